"""From errors to answers: one mapper for everything, and every error answer is JSON."""

import logging
from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from millstream.errors import (
    ConfigError,
    ConflictError,
    MillstreamError,
    NotFoundError,
    NotLeaderError,
    PluginError,
    RebalanceError,
    message_of,
)
from millstream.herder.offsets import OffsetsError
from millstream.herder.validation import KindError
from millstream.rest.json import respond

log = logging.getLogger(__name__)

#: what HTTP's own refusals are called; Java's messages are `HTTP 404 Not Found`
REASONS = {
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    415: "Unsupported Media Type",
}
#: the nearest ancestor counts
STATUS: Mapping[type[BaseException], int] = {
    OffsetsError: 400,
    KindError: 400,
    ConfigError: 400,
    PluginError: 400,
    NotFoundError: 404,
    ConflictError: 409,
    NotLeaderError: 409,
    RebalanceError: 409,
    MillstreamError: 500,
}


class RestError(Exception):
    """An answer that is an error, as it is to be sent."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers


def refusal(status: int, headers: Mapping[str, str] | None = None) -> RestError:
    """HTTP's own refusal in Java's words."""
    return RestError(status, f"HTTP {status} {REASONS[status]}", headers)


def error_body(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    return respond({"error_code": status, "message": message}, status, headers)


async def answer_error(request: Request, error: Exception) -> Response:
    """Answer any exception that left a route."""
    if isinstance(error, RestError):
        return error_body(error.status, error.message, error.headers)
    if isinstance(error, ClientDisconnect):
        return error_body(400, "The client went away before the end of its request.")
    if isinstance(error, HTTPException):
        reason = REASONS.get(error.status_code, error.detail)
        return error_body(error.status_code, f"HTTP {error.status_code} {reason}", error.headers)
    status = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)
    if not isinstance(error, MillstreamError):
        log.error("%s %s failed: this is a bug of the worker", request.method, request.url.path, exc_info=error)
    return error_body(status, message_of(error))
