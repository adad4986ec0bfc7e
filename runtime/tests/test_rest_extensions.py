"""The operator's own code around the API and beside it: where it stands, and what it raises."""

import asyncio
import logging
import socket
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from millstream.cli import composition
from millstream.cli.composition import Standalone
from millstream.errors import PluginError
from millstream.inventory.inventory import Inventory, Plugin
from millstream.rest.app import RestSettings, create_admin_app, create_app
from millstream.rest.extensions import Extensions, beside, guarded, load_extensions
from millstream.rest.listeners import Listener, bind
from millstream.rest.security import CrossOrigin
from millstream.settings.plugins import Kind
from millstream_api import Cluster, RestExtension


class Audit(RestExtension[Any]):
    """`/audit` tells its path, raises, or begins to answer and raises; refuses who names a stranger."""

    def __init__(self) -> None:
        """No settings."""

    def resources(self, cluster: Cluster) -> tuple[str, Any]:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["path"] == "/raise":
                raise ValueError("no such page")
            await send({"type": "http.response.start", "status": 200, "headers": []})
            if scope["path"] == "/half":
                raise ValueError("half")
            await send({"type": "http.response.body", "body": scope["path"].encode()})

        return "/audit", app

    def guard(self, app: Any) -> Any:
        async def guarding(scope: Scope, receive: Receive, send: Send) -> None:
            if (b"who", b"stranger") in scope["headers"]:
                await send({"type": "http.response.start", "status": 401, "headers": []})
                await send({"type": "http.response.body", "body": b""})
                return
            await app(scope, receive, send)

        return guarding


class Sulking(RestExtension[Any]):
    """Raises where `sulks` says."""

    sulks = ""

    def __init__(self, config: Any = None) -> None:
        self._sulk("__init__")

    def resources(self, cluster: Cluster) -> tuple[str, Any] | None:
        self._sulk("resources")
        return None

    def guard(self, app: Any) -> Any:
        self._sulk("guard")
        return app

    def _sulk(self, method: str) -> None:
        if self.sulks == method:
            raise OSError("the directory of users is away")


class Broken(RestExtension[Any]):
    def __init__(self) -> None:
        """No settings."""

    def guard(self, app: Any) -> Any:
        async def guarding(scope: Scope, receive: Receive, send: Send) -> None:
            raise RuntimeError("the directory of users is away")

        return guarding


class Told(RestExtension[Any]):
    """Says when it is asked, and when it is closed."""

    def __init__(self, name: str, heard: list[str]) -> None:
        self._name = name
        self._heard = heard

    def guard(self, app: Any) -> Any:
        async def guarding(scope: Scope, receive: Receive, send: Send) -> None:
            self._heard.append(self._name)
            await app(scope, receive, send)

        return guarding

    def close(self) -> None:
        self._heard.append(f"{self._name} closed")


def ask(app: Any, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    async def asked() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://worker") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(asked())


@pytest.fixture
def extensions() -> Extensions:
    made = Extensions([Audit()])
    made.open(None)  # type: ignore[arg-type]  # it asks the cluster nothing
    return made


def test_a_resource_stands_beside_the_api_and_behind_the_guards(extensions: Extensions) -> None:
    app = guarded(beside(create_app(None, RestSettings()), extensions), extensions)
    assert ask(app, "/audit/x").text == "/x"
    early = ask(app, "/connectors")  # the herder is not there yet
    assert (early.status_code, early.headers["retry-after"]) == (503, "1")
    assert early.json()["message"] == "The worker is still starting; ask again."
    assert ask(app, "/audit/x", who="stranger").status_code == 401


def test_what_a_resource_raises_is_an_error_as_any_other_and_one_line_of_the_log(
    extensions: Extensions, caplog: pytest.LogCaptureFixture
) -> None:
    app = guarded(beside(create_app(None, RestSettings()), extensions), extensions)
    answer = ask(app, "/audit/raise")
    said = "an extension of rest.extension.classes failed at /audit/raise: no such page"
    assert (answer.status_code, answer.json()) == (500, {"error_code": 500, "message": said})
    assert [record.getMessage() for record in caplog.records] == [said]


def test_an_answer_that_has_begun_is_left_unfinished(extensions: Extensions, caplog: pytest.LogCaptureFixture) -> None:
    app = guarded(beside(create_app(None, RestSettings()), extensions), extensions)
    with pytest.raises(AssertionError):  # httpx's transport: the answer did not come to its end
        ask(app, "/audit/half")
    assert "failed at /audit/half: half" in caplog.text


def test_what_a_guard_raises_is_an_error_and_nobody_gets_past_it() -> None:
    extensions = Extensions([Broken()])
    answer = ask(guarded(create_app(None, RestSettings()), extensions), "/connectors")
    assert answer.status_code == 500
    assert "failed at /connectors: the directory of users is away" in answer.json()["message"]


def test_admin_listeners_have_the_guards_and_no_resources(extensions: Extensions) -> None:
    app = guarded(create_admin_app(None, RestSettings()), extensions)
    assert ask(app, "/audit/x").status_code == 404
    assert ask(app, "/connectors").status_code == 404
    assert ask(app, "/admin/loggers").status_code == 503
    assert ask(app, "/admin/loggers", who="stranger").status_code == 401


def test_the_first_extension_named_is_the_first_one_asked() -> None:
    heard: list[str] = []
    extensions = Extensions([Told("first", heard), Told("second", heard)])
    ask(guarded(create_app(None, RestSettings()), extensions), "/connectors")
    assert heard == ["first", "second"]


@pytest.mark.parametrize("method", ["__init__", "resources", "guard"])
def test_an_extension_that_raises_at_the_start_hinders_it_and_is_said_with_the_method(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sulking, "sulks", method)
    monkeypatch.setitem(sys.modules, "sulking", cast(ModuleType, SimpleNamespace(Sulking=Sulking)))
    known = Inventory((Plugin(Kind.REST_EXTENSION, "sulking:Sulking", (), "sulking", "1"),))

    def begin() -> None:
        extensions = load_extensions(["sulking:Sulking"], known, {})
        guarded(create_app(None, RestSettings()), extensions)
        extensions.open(None)  # type: ignore[arg-type]  # it asks the cluster nothing

    with pytest.raises(PluginError) as caught:
        begin()
    said = str(caught.value)
    assert f"Sulking of rest.extension.classes failed in {method}, and the worker does not start without it" in said
    assert said.endswith("OSError: the directory of users is away")


def standalone(folder: Path, **settings: str) -> Standalone:
    strings = "org.apache.kafka.connect.storage.StringConverter"
    return Standalone(
        {
            "bootstrap.servers": f"sqlite:{folder}/log.db",
            "listeners": "http://127.0.0.1:0",
            "key.converter": strings,
            "value.converter": strings,
            "task.isolation": "thread",
            **{name.replace("_", "."): text for name, text in settings.items()},
        },
        None,
    )


def test_extensions_of_a_worker_guard_each_listener_and_are_closed_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    ports: dict[str, int] = {}

    def bound(listener: Listener, setting: str = "listeners") -> socket.socket:
        listening = bind(listener, setting)
        ports[setting] = listening.getsockname()[1]
        return listening

    monkeypatch.setattr(composition, "bind", bound)
    monkeypatch.setattr(composition, "load_extensions", lambda *_: Extensions([Told("guard", heard), Audit()]))
    worker = standalone(tmp_path, admin_listeners="http://127.0.0.1:0")
    worker.start([])
    try:
        with httpx.Client(timeout=60) as client:

            def status(setting: str, path: str, **headers: str) -> int:
                return client.get(f"http://127.0.0.1:{ports[setting]}{path}", headers=headers).status_code

            for setting, path in (("listeners", "/connectors"), ("admin.listeners", "/admin/loggers")):
                assert status(setting, path) == 200
                assert status(setting, path, who="stranger") == 401
            assert (status("listeners", "/audit/x"), status("admin.listeners", "/audit/x")) == (200, 404)
        assert heard == ["guard"] * 6
    finally:
        worker.stop()
    assert heard[6:] == ["guard closed"]


def test_a_worker_whose_extension_cannot_give_its_resources_stops_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(Sulking, "sulks", "resources")
    monkeypatch.setattr(composition, "load_extensions", lambda *_: Extensions([Sulking()]))
    worker = standalone(tmp_path)
    with pytest.raises(PluginError, match="failed in resources"):
        worker.start([])
    worker.stop()
    assert caplog.messages[-1] == "stopped"


@pytest.mark.parametrize(
    ("origin", "allowed"), [("http://a.example", "http://a.example"), ("http://b.example", None), (None, None)]
)
def test_an_answer_says_that_it_is_another_one_for_other_origins(origin: str | None, allowed: str | None) -> None:
    app = CrossOrigin(create_app(None, RestSettings()), ["http://a.example"])
    answer = ask(app, "/connectors", **({"origin": origin} if origin else {}))
    assert (answer.headers["vary"], answer.headers.get("access-control-allow-origin")) == ("Origin", allowed)


@pytest.mark.parametrize(
    ("settings", "method", "said"),
    [
        (RestSettings(topic_tracking_enable=False), "GET", "Topic tracking is disabled."),
        (RestSettings(topic_tracking_enable=False), "PUT", "Topic tracking is disabled."),
        (RestSettings(topic_tracking_allow_reset=False), "PUT", "Topic tracking reset is disabled."),
    ],
)
def test_topics_that_are_not_tracked_are_neither_told_nor_forgotten(
    settings: RestSettings, method: str, said: str
) -> None:
    answer = ask(create_app(None, settings), "/connectors/x/topics" + ("/reset" if method == "PUT" else ""), method)
    assert (answer.status_code, answer.json()) == (403, {"error_code": 403, "message": said})
