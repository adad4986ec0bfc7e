"""The HTTP servers of a worker: one thread, one loop, and a server for each kind of listener."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp

from millstream.errors import WorkerError
from millstream.lifecycle import Spawned, StopToken, spawn

log = logging.getLogger(__name__)

#: seconds for requests under way; RestServer.GRACEFUL_SHUTDOWN_TIMEOUT_MS
GRACEFUL_S = 60
KEEP_ALIVE_S = 30
START_S = 30.0


@dataclass(frozen=True, slots=True)
class Served:
    """Sockets that listen already, with the application they serve.   tls: None for http."""

    app: ASGIApp
    sockets: Sequence[socket.socket]
    tls: ssl.SSLContext | None = None


class RestServer:
    """Serves until it is stopped. Sockets are bound before, so that a taken port is an error before anything runs."""

    def __init__(self, served: Sequence[Served]) -> None:
        self._served = served
        self._servers = [_server(each) for each in served]
        self._thread: Spawned | None = None

    def start(self) -> None:
        """Returns when requests are answered."""
        running: Future[None] = Future()

        def died(error: BaseException | None) -> None:
            if not running.done():
                running.set_exception(error or WorkerError("the REST server ended while it started"))
            elif error is not None:
                log.error("the REST server ended with an error", exc_info=error)

        self._thread = spawn("rest", lambda stop: self._run(stop, running), on_death=died)
        running.result(START_S)

    def _run(self, stop: StopToken, running: "Future[None]") -> None:
        asyncio.run(self._serve(running))

    async def _serve(self, running: "Future[None]") -> None:
        serving = [
            asyncio.ensure_future(server.serve(list(each.sockets)))
            for server, each in zip(self._servers, self._served, strict=True)
        ]
        while not all(server.started for server in self._servers):
            if any(task.done() for task in serving):
                break
            await asyncio.sleep(0.001)
        else:
            running.set_result(None)
        await asyncio.gather(*serving)

    def stop(self, timeout: float = GRACEFUL_S) -> None:
        """Take no more requests, let those under way end within `timeout` seconds, and return."""
        for server in self._servers:
            server.should_exit = True
        if self._thread is not None and not self._thread.join(timeout):
            for server in self._servers:
                server.force_exit = True
            self._thread.join(timeout)


def _server(served: Served) -> uvicorn.Server:
    config = uvicorn.Config(
        served.app,
        lifespan="off",
        log_config=None,
        log_level="warning",  # its start and stop are told by the worker itself
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACEFUL_S,
        ws="none",
        loop="asyncio",
        http="h11",
    )
    config.load()
    config.ssl = served.tls
    return uvicorn.Server(config)
