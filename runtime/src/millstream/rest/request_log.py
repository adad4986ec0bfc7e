"""Who asked for what, so that the log says who removed a connector. Source: Jetty's CustomRequestLog."""

import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

CHANGING = ("POST", "PUT", "PATCH", "DELETE")
VALIDATION = "/config/validate"  # user interfaces ask at every key


class RequestLog:
    """What changes something is a line at INFO, anything else at DEBUG; without the query, which may hold a secret."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                _tell(scope, message)
            await send(message)

        await self._app(scope, receive, told if scope["type"] == "http" else send)


def _tell(scope: Scope, answer: Message) -> None:
    path = (scope.get("raw_path") or scope["path"].encode()).partition(b"?")[0].decode("latin-1")
    changes = scope["method"] in CHANGING and not path.rstrip("/").endswith(VALIDATION)
    host = (scope.get("client") or ("?",))[0]
    places = [value.decode("latin-1") for name, value in answer.get("headers", ()) if name == b"location"]
    made = f" {places[0].rpartition('/')[2]}" if places else ""  # behind a host, which the client may have made up
    level = logging.INFO if changes else logging.DEBUG
    log.log(level, "%s asked: %s %s%s: %d", host, scope["method"], path, made, answer["status"])
