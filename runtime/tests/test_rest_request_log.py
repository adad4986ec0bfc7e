"""What the log says of requests."""

import asyncio
import logging

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from millstream.rest.request_log import RequestLog


async def removed(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def created(scope: Scope, receive: Receive, send: Send) -> None:
    location = b"http://[made-up/connectors/a%20b"
    await send({"type": "http.response.start", "status": 201, "headers": [(b"location", location)]})
    await send({"type": "http.response.body", "body": b"{}"})


def answers(
    method: str, path: str, client: tuple[str, int] | None = ("192.0.2.7", 4711), app: ASGIApp = removed
) -> list[str]:
    """Ask; gives what was answered."""
    sent: list[str] = []

    async def receive() -> Message:
        raise AssertionError("nobody reads a body")

    async def send(message: Message) -> None:
        sent.append(message["type"])

    scope = {"type": "http", "method": method, "path": "", "raw_path": path.encode(), "client": client}
    asyncio.run(RequestLog(app)(scope, receive, send))
    return sent


@pytest.mark.parametrize(
    ("method", "path", "level"),
    [
        ("DELETE", "/connectors/a%2Fb%20c", logging.INFO),
        ("POST", "/connectors", logging.INFO),
        ("PUT", "/admin/loggers/root", logging.INFO),
        ("PATCH", "/connectors/a/offsets", logging.INFO),
        ("PUT", "/connector-plugins/X/config/validate", logging.DEBUG),
        ("GET", "/connectors", logging.DEBUG),
        ("OPTIONS", "/connectors", logging.DEBUG),
    ],
)
def test_a_request_is_one_line_at_info_where_it_changes_something(
    method: str, path: str, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "millstream.rest")
    assert answers(method, path) == ["http.response.start", "http.response.body"]
    told = [(record.levelno, record.getMessage()) for record in caplog.records if record.name.startswith("millstream")]
    assert told == [(level, f"192.0.2.7 asked: {method} {path}: 204")]


def test_a_query_is_not_in_the_log_nor_an_address_where_there_is_none(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "millstream.rest")
    answers("POST", "/connectors/a/restart?token=hidden", client=None)
    assert caplog.messages == ["? asked: POST /connectors/a/restart: 204"]


def test_a_connector_that_is_made_is_named(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "millstream.rest")
    answers("POST", "/connectors", app=created)
    assert caplog.messages == ["192.0.2.7 asked: POST /connectors a%20b: 201"]
