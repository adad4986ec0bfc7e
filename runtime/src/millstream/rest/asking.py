"""What the routes share: asking the herder without holding the loop, and reading names and flags from a request."""

import asyncio
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request

from millstream.herder.herder import Herder
from millstream.herder.requests import Request as Wish
from millstream.herder.requests import connector_of
from millstream.rest.errors import RestError, refusal

#: how long an answer may take; DEFAULT_REST_REQUEST_TIMEOUT_MS, not configurable in Java either
TIMEOUT_S = 90.0
INT32_DIGITS = 10


def herder_of(request: Request) -> Herder:
    """The herder this app serves; 503 while the worker starts."""
    herder: Herder | None = request.app.state.herder
    if herder is None:
        raise RestError(503, "The worker is still starting; ask again.", {"Retry-After": "1"})
    return herder


async def ask(request: Request, wish: Wish, timeout: float = TIMEOUT_S) -> Any:
    """Have it done, and give the outcome; 500 with the stage when that takes longer than `timeout` seconds."""
    herder = herder_of(request)
    try:
        return await asyncio.wait_for(asyncio.wrap_future(herder.submit(wish)), timeout)
    except TimeoutError:
        stage = herder.stages.summary(connector_of(wish))
        raise RestError(500, f"Request timed out. {stage}" if stage else "Request timed out") from None


def name_of(request: Request) -> str:
    """The connector's name; routes match the path as it was sent, so that a name may hold a slash as %2F."""
    return unquote(request.path_params["name"])


def task_of(request: Request) -> int:
    """The task's number; what is no integer is an unknown path, as in Java."""
    text = request.path_params["task"]
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or len(digits) > INT32_DIGITS:
        raise refusal(404)
    return int(text)


def flag(request: Request, name: str) -> bool:
    """`true` in any letter case is true, everything else false: these parameters are never refused."""
    return request.query_params.get(name, "false").lower() == "true"
