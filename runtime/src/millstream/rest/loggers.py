"""Log levels at run time. Nothing of it survives a restart."""

import logging
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response

from millstream.herder.requests import SetLevel
from millstream.rest import bodies
from millstream.rest.asking import ask, herder_of
from millstream.rest.errors import RestError
from millstream.rest.json import empty, respond

log = logging.getLogger(__name__)


async def list_loggers(request: Request) -> Response:
    levels = herder_of(request).levels()
    return respond({name: {"level": each.level, "last_modified": each.changed} for name, each in levels.items()})


async def show(request: Request) -> Response:
    name = _name(request)
    each = herder_of(request).level_of(name)
    if each is None:
        raise RestError(404, f"Logger {name} not found.")
    return respond({"level": each.level, "last_modified": each.changed})


async def set_level(request: Request) -> Response:
    level = bodies.level(await bodies.body_of(request, 'an object with "level"'))
    scope = request.query_params.get("scope", "worker").lower()
    if scope not in ("worker", "cluster"):
        log.warning("scope=%r is not known; expected worker or cluster: taken as worker", scope)
    matched = await ask(request, SetLevel(_name(request), level))
    return empty(204) if scope == "cluster" else respond(matched)


def _name(request: Request) -> str:
    return unquote(request.path_params["logger"])
