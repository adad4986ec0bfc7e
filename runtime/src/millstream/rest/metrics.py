"""`GET /metrics`: Prometheus text, under the names that users of the JMX exporter have."""

from starlette.requests import Request
from starlette.responses import Response

from millstream.metrics.prometheus import CONTENT_TYPE, render
from millstream.rest.asking import herder_of


async def show(request: Request) -> Response:
    return Response(render(herder_of(request).readings()), media_type=CONTENT_TYPE)
