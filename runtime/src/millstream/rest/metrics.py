"""`GET /metrics`: Prometheus text, under the names that users of the JMX exporter have."""

from starlette.requests import Request
from starlette.responses import Response

from millstream.herder.requests import Measure
from millstream.metrics.prometheus import CONTENT_TYPE, render
from millstream.rest.asking import ask


async def show(request: Request) -> Response:
    return Response(render(await ask(request, Measure())), media_type=CONTENT_TYPE)
