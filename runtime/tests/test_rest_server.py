"""The REST server's start, and the end that nobody asked for."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from millstream.errors import WorkerError
from millstream.rest.listeners import Listener, bind
from millstream.rest.server import RestServer, Served


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Is asked nothing."""


@pytest.fixture
def server() -> Iterator[RestServer]:
    with bind(Listener("http", "127.0.0.1", 0)) as listening:
        yield RestServer([Served(app, [listening])])


def test_a_server_that_ends_before_it_answers_is_an_error_of_the_start(
    server: RestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ends(self: uvicorn.Server, sockets: Any = None) -> None:
        """At once."""

    monkeypatch.setattr(uvicorn.Server, "serve", ends)
    with pytest.raises(WorkerError, match="the REST server ended while it started"):
        server.start()


def test_a_server_that_dies_later_is_in_the_log(
    server: RestServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(self: uvicorn.Server, sockets: Any = None) -> None:
        raise OSError("no descriptor is left")

    monkeypatch.setattr(uvicorn.Server, "main_loop", fails)
    with caplog.at_level(logging.ERROR):
        server.start()
        server.stop()
    assert "the REST server ended with an error" in caplog.text
    assert "no descriptor is left" in caplog.text
