"""The suite of REST extensions."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from millstream_api import App, ConnectorHealth, PartHealth
from millstream_conformance.leftovers import nothing_left_behind
from millstream_conformance.settings import SettingsConformance
from millstream_conformance.suite import does_not_apply

#: what the worker answers itself, and what lies below it
THE_WORKERS = ("connectors", "connector-plugins", "admin", "loggers", "metrics", "health")
ANSWER_S = 10.0
MESSAGE = "answered by the worker"


class OneConnector:
    """A cluster with one running source."""

    kafka_cluster_id = "conformance-cluster-id"

    def connectors(self) -> Sequence[str]:
        return ("orders",)

    def health(self, connector: str) -> ConnectorHealth:
        self._known(connector)
        running = PartHealth("RUNNING", "127.0.0.1:8083")
        return ConnectorHealth(connector, "source", running, {0: running})

    def settings(self, connector: str) -> Mapping[str, str]:
        self._known(connector)
        return {"name": connector, "connector.class": "some.Connector", "password": "${file:/secrets:password}"}

    def _known(self, connector: str) -> None:
        if connector != "orders":
            raise KeyError(connector)


@dataclass
class Reply:
    """What an application sent."""

    status: int = 0
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def ask(app: App, path: str, headers: Mapping[str, str], method: str = "GET", root: str = "") -> Reply:
    """One HTTP request to an application, by hand; raises what the application raises."""
    scope: MutableMapping[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": root + path,
        "raw_path": (root + path).encode(),
        "root_path": root,
        "query_string": b"",
        "headers": [(name.lower().encode(), text.encode()) for name, text in headers.items()],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8083),
    }
    reply = Reply()

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            reply.status = message["status"]
            reply.headers = {name.decode().lower(): text.decode() for name, text in message.get("headers", ())}
        elif message["type"] == "http.response.body":
            reply.body += message.get("body", b"")

    async def within() -> None:
        await asyncio.wait_for(app(scope, receive, send), ANSWER_S)

    asyncio.run(within())
    return reply


class WorkersApp:
    """The API that a guard is put before; remembers what reached it."""

    def __init__(self) -> None:
        self.reached: list[tuple[str, str]] = []

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        self.reached.append((scope["type"], scope.get("path", "")))
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"x-worker", b"yes")]})
            await send({"type": "http.response.body", "body": MESSAGE.encode()})


class RestExtensionConformance(SettingsConformance):
    """Certifies a REST extension.

    extension:  `module:Class`.
    config:     settings of the worker that it runs with.
    request:    headers of a request that it lets through, such as credentials: text by name.
    refused:    headers of one that it does not; None: it lets all through.
    paths:      paths below its own that it answers with a success, `/` for its own.
    """

    hook = "register_rest_extensions"
    extension: str
    config: Mapping[str, str] = {}
    request: Mapping[str, str] = {}
    refused: Mapping[str, str] | None = None
    paths: Sequence[str] = ("/",)

    def resources(self, made: Any) -> tuple[str, App]:
        """Its path and application, on a cluster of one connector, `orders`. Skips the test when it has none."""
        found: tuple[str, App] | None = made.resources(OneConnector())
        if found is None:
            does_not_apply("the extension has no resources of its own")
        return found

    def guarded(self, made: Any) -> tuple[WorkersApp, App]:
        """An application in the worker's place, and the same behind the extension's guard."""
        behind = WorkersApp()
        app: App = made.guard(behind)
        return behind, app

    def test_its_path_is_its_own(self) -> None:
        path, _ = self.resources(self.made())
        first = path.strip("/").partition("/")[0]
        assert path.startswith("/"), f"{path!r} does not begin with /"
        assert first, "it cannot answer /: the worker does"
        assert first not in THE_WORKERS, f"{path!r} is the worker's own"

    def test_it_answers_below_its_path(self) -> None:
        root, app = self.resources(self.made())
        for path in self.paths:
            reply = ask(app, path, self.request, root=root)
            assert 200 <= reply.status < 400, f"GET {root}{path} answered {reply.status}"

    def test_what_it_does_not_know_below_its_path_is_answered_not_raised(self) -> None:
        root, app = self.resources(self.made())
        reply = ask(app, "/no/such/thing", self.request, root=root)
        assert 400 <= reply.status < 500, f"an unknown path below {root} answered {reply.status}; 404 is right"

    def test_it_answers_under_its_own_path_only(self) -> None:
        """Whatever the worker answers reaches the worker, and comes back as the worker said it."""
        behind, app = self.guarded(self.made())
        for path in ("/", "/connectors", "/connectors/orders/status", "/connector-plugins"):
            reply = ask(app, path, self.request)
            assert (reply.status, reply.body.decode()) == (200, MESSAGE), f"it answers {path} in the worker's place"
            assert reply.headers.get("x-worker") == "yes", f"it drops headers of the worker's answer to {path}"
        assert [path for kind, path in behind.reached if kind == "http"] == [
            "/",
            "/connectors",
            "/connectors/orders/status",
            "/connector-plugins",
        ]

    def test_what_it_refuses_does_not_reach_the_worker(self) -> None:
        if self.refused is None:
            does_not_apply("the extension lets every request through")
        behind, app = self.guarded(self.made())
        for method in ("GET", "POST", "PUT", "DELETE"):
            reply = ask(app, "/connectors", self.refused, method)
            assert 400 <= reply.status < 500, f"a refused {method} was answered with {reply.status}"
        assert behind.reached == []

    def test_what_is_no_request_passes(self) -> None:
        behind, app = self.guarded(self.made())

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "lifespan.shutdown"}

        async def send(message: MutableMapping[str, Any]) -> None:
            """Nobody waits for it."""

        async def within() -> None:
            await asyncio.wait_for(app({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send), ANSWER_S)

        asyncio.run(within())
        assert ("lifespan", "") in behind.reached, "guard keeps the worker from hearing of its start and end"

    def test_headers_of_requests_are_in_no_log_or_output(
        self, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> None:
        made = self.made()
        _, app = self.guarded(made)
        with caplog.at_level(logging.DEBUG):
            for headers in (self.request, self.refused or {}):
                ask(app, "/connectors", headers)
        printed = capfd.readouterr()
        shown = caplog.text + printed.out + printed.err
        secrets = [*self.request.values(), *(self.refused or {}).values()]
        assert not [text for text in secrets if len(text) >= 4 and text in shown], "credentials are shown"

    def test_nothing_is_left_behind_after_close(self) -> None:
        def whole() -> None:
            made = self.made()
            made.resources(OneConnector())
            _, app = self.guarded(made)
            ask(app, "/connectors", self.request)
            made.close()

        whole()
        with nothing_left_behind():
            whole()
