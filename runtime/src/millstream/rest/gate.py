"""Before a route runs: the path as it was sent, and what a request may bring and want."""

import re
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from millstream.rest.errors import RestError, error_body, refusal
from millstream.rest.json import MEDIA_TYPE

#: what no path may hold
REFUSED = (
    (re.compile("//"), "Ambiguous URI empty segment"),
    (re.compile("%([01][0-9a-f]|7f)", re.IGNORECASE), "Bad Request: a path holds no control characters"),
)
FORM = "application/x-www-form-urlencoded"


class RawPaths:
    """Routes see the path still percent-encoded, without a trailing slash: a name may hold `/`, `\\` or `%`.

    What Jetty refuses is refused: an empty segment, and a control character.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            raw = scope.get("raw_path") or scope["path"].encode()
            path = raw.partition(b"?")[0].decode("latin-1")
            problem = next((sentence for pattern, sentence in REFUSED if pattern.search(path)), None)
            if problem is not None:
                await error_body(400, problem)(scope, receive, send)
                return
            scope = {**scope, "path": path.rstrip("/") or "/"}
        await self._app(scope, receive, send)


def check_media_types(request: Request) -> None:
    """415 for a body that is not JSON, 406 for a client that does not want JSON.

    One liberty: curl sends a form's content type by default, so that a JSON body under it is taken from whoever is no
    browser. A browser says so by `Origin` or `Sec-Fetch-*`, and must ask first (CORS) before it may send JSON.
    """
    headers = request.headers
    if _has_body(headers):
        given = headers.get("content-type")
        media_type = (given or "").partition(";")[0].strip().lower()
        if given is not None and not media_type:
            raise RestError(400, "Bad Request: the Content-Type is empty; expected application/json")
        if media_type != MEDIA_TYPE and not (media_type == FORM and not _is_browser(headers)):
            raise refusal(415)
    accept = headers.getlist("accept")
    if accept and not _accepts_json(accept):
        raise refusal(406)


def _has_body(headers: Headers) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def _is_browser(headers: Headers) -> bool:
    return "origin" in headers or any(name.startswith("sec-fetch-") for name in headers)


def _accepts_json(accept: Sequence[str]) -> bool:
    for each in ",".join(accept).split(","):
        media_range, *parameters = (part.strip().lower() for part in each.split(";"))
        refused = any(parameter.replace(" ", "") in ("q=0", "q=0.0") for parameter in parameters)
        if media_range in (MEDIA_TYPE, "application/*", "*/*", "*") and not refused:
            return True
    return False
