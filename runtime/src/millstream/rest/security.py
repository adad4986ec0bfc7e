"""What every answer carries, and where scripts of other origins may call from: settings of the operator, as Java's."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.utils import formatdate

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from millstream.errors import ConfigError
from millstream.lifecycle import Clock

DEFAULT_METHODS = ("GET", "POST", "HEAD")
PREFLIGHT_MAX_AGE_S = "60"
RULE = re.compile(r"^\s*((?i:set|add|setDate|addDate))\s+([^:\s]+)\s*:\s*(.*)$", re.DOTALL)
HEADERS_SETTING = "response.http.headers.config"


@dataclass(frozen=True, slots=True)
class HeaderRule:
    """add: beside a header of that name that is there already; else in its place.
    dated: the value is a length from now in milliseconds, and the answer carries the moment.
    """

    name: str
    value: str
    add: bool
    dated: bool = False

    def at(self, now_ms: int) -> str:
        """The header's value in an answer of this moment."""
        return formatdate((now_ms + int(self.value)) / 1000, usegmt=True) if self.dated else self.value


def header_rules(setting: str) -> list[HeaderRule]:
    """Read `response.http.headers.config`: `[set|add|setDate|addDate] name:value`, comma separated, `"` quotes.

    As in Java an action is taken in any letter case, and adds or is dated only where it begins with `add` or ends with
    `Date`. Raises ConfigError. Source: RestServerConfig.validateHttpResponseHeaderConfig, Jetty's HeaderFilter.
    """
    rules = []
    for item in _comma_separated(setting):
        match = RULE.match(item)
        if match is None:
            raise ConfigError(
                {
                    HEADERS_SETTING: f"Invalid value {setting!r} for configuration {HEADERS_SETTING}: {item!r} is not"
                    " of the form '[action] [name]:[value]' with an action of set, add, setDate, addDate"
                }
            )
        action, name, value = match[1], match[2], match[3].strip()
        dated = action.endswith("Date")
        if dated and re.fullmatch(r"[+-]?\d+", value) is None:
            problem = f"{item!r} needs a length in milliseconds from now, such as '{action} {name}: 3600000'"
            raise ConfigError(
                {HEADERS_SETTING: f"Invalid value {setting!r} for configuration {HEADERS_SETTING}: {problem}"}
            )
        rules.append(HeaderRule(name, value, action.startswith("add"), dated))
    return rules


def _comma_separated(text: str) -> list[str]:
    items = re.findall(r'\s*"(?:[^"\\]|\\.)*"\s*|[^,]+', text)
    cut = [item.strip() for item in items]
    return [re.sub(r"\\(.)", r"\1", item[1:-1]) if item.startswith('"') else item for item in cut if item]


class _EveryAnswer:
    """The part that the two share: have a look at the headers of each answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def _with(self, change: Callable[[MutableHeaders], None], scope: Scope, receive: Receive, send: Send) -> None:
        async def changed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message.setdefault("headers", [])
                change(MutableHeaders(scope=message))
            await send(message)

        await self._app(scope, receive, changed)


class ResponseHeaders(_EveryAnswer):
    """`response.http.headers.config`."""

    def __init__(self, app: ASGIApp, rules: Sequence[HeaderRule], clock: Clock) -> None:
        super().__init__(app)
        self._rules = rules
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await self._with(self._apply, scope, receive, send)

    def _apply(self, headers: MutableHeaders) -> None:
        for rule in self._rules:
            value = rule.at(self._clock.now_ms())
            if rule.add:
                headers.append(rule.name, value)
            else:
                headers[rule.name] = value


class CrossOrigin(_EveryAnswer):
    """`access.control.allow.origin` and `.methods`.

    Unlike Starlette's, a preflight goes on to the application, where authentication may refuse it: so does Jetty's, and
    a preflight without credentials tells a stranger nothing. Source: RestServer.java, CrossOriginHandler.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str], methods: Sequence[str] = ()) -> None:
        super().__init__(app)
        self._origins = frozenset(origin.strip() for origin in origins)
        self._methods = ",".join(method.strip() for method in methods or DEFAULT_METHODS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope)
        origin = given.get("origin")
        preflight = scope["method"] == "OPTIONS" and "access-control-request-method" in given

        def change(headers: MutableHeaders) -> None:
            headers.append("Vary", "Origin")
            if origin is None or not ("*" in self._origins or origin in self._origins):
                return
            headers["Access-Control-Allow-Origin"] = origin
            if preflight:
                headers["Access-Control-Allow-Methods"] = self._methods
                headers["Access-Control-Allow-Headers"] = "Content-Type"
                headers["Access-Control-Max-Age"] = PREFLIGHT_MAX_AGE_S

        await self._with(change, scope, receive, send)
