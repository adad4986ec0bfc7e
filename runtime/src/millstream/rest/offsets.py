"""Where a connector is, and to move it."""

from starlette.requests import Request
from starlette.responses import Response

from millstream.herder.requests import AlterOffsets, ConnectorOffsets, ResetOffsets
from millstream.rest import bodies, models
from millstream.rest.asking import ask, name_of
from millstream.rest.json import respond


async def show(request: Request) -> Response:
    return respond(models.connector_offsets(await ask(request, ConnectorOffsets(name_of(request)))))


async def alter(request: Request) -> Response:
    offsets = bodies.offsets(await bodies.body_of(request, 'an object with "offsets"'))
    return respond({"message": await ask(request, AlterOffsets(name_of(request), offsets))})


async def reset(request: Request) -> Response:
    return respond({"message": await ask(request, ResetOffsets(name_of(request)))})
