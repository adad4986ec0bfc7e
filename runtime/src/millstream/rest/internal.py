"""The worker itself: what it is, whether it is well, and the paths between workers, which a standalone one has not."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from millstream.herder.herder import Herder
from millstream.herder.requests import Ping
from millstream.rest import models
from millstream.rest.asking import ask, herder_of
from millstream.rest.errors import RestError
from millstream.rest.json import respond

HEALTH_TIMEOUT_S = 10.0
HEALTHY = "Worker has completed startup and is ready to handle requests."
STARTING = "Worker is still starting up."
UNHEALTHY = "Worker was unable to handle this request and may be unable to handle other requests."


async def root(request: Request) -> Response:
    return respond(models.server_info(herder_of(request).identity))


async def health(request: Request) -> Response:
    """200, 503 while it starts, 500 when its herder does not come round. Source: RootResource.java, KIP-1017."""
    herder: Herder | None = request.app.state.herder
    if herder is None or not herder.ready:
        summary = None if herder is None else herder.stages.summary()
        return _worker_status(503, "starting", STARTING, summary, {"Retry-After": "1"})
    try:
        await ask(request, Ping(), HEALTH_TIMEOUT_S)
    except RestError:
        return _worker_status(500, "unhealthy", UNHEALTHY, herder.stages.summary())
    return _worker_status(200, "healthy", HEALTHY, None)


def _worker_status(
    code: int, status: str, message: str, stage: str | None, headers: Mapping[str, str] | None = None
) -> Response:
    return respond({"status": status, "message": f"{message} {stage}" if stage else message}, code, headers)


async def submit_tasks(request: Request) -> Response:
    raise RestError(500, "Kafka Connect in standalone mode does not support externally setting task configurations.")


async def fence(request: Request) -> Response:
    raise RestError(500, "Kafka Connect in standalone mode does not support exactly-once source connectors.")
