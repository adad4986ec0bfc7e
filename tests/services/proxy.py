"""A TCP proxy on the loopback whose connections can be cut, frozen, slowed down and refused."""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from services.ports import HOST

T = TypeVar("T")

CHUNK = 256 * 1024
COMMAND_S = 10.0
#: closed so, a socket resets its connection instead of ending it in good order
RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Forwards what comes to `port` to another port of the loopback. Its methods are for any thread."""

    def __init__(self, target: int) -> None:
        self.target = target
        self._delay_s = 0.0
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._moving = asyncio.Event()
        self._moving.set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self.port = 0
        self.port = self._do(self._listen())

    @property
    def connections(self) -> int:
        """How many clients are connected now."""
        return len(self._writers) // 2

    def cut(self) -> None:
        """Reset every connection; whoever comes again is let through."""
        self._do(self._cut())

    def refuse(self) -> None:
        """Reset every connection, and refuse all new ones until `heal`."""
        self._do(self._refuse())

    def freeze(self) -> None:
        """No byte moves until `heal`; connections stay, and new ones are accepted."""
        self._do(self._set(frozen=True))

    def delay(self, seconds: float) -> None:
        """From now on each piece of data waits so long, in both directions."""
        self._do(self._set(delay_s=seconds))

    def heal(self) -> None:
        """Everything as at the start; connections that live go on."""
        self._do(self._set())
        self._do(self._listen())

    def close(self) -> None:
        """The end of it: no connection, no thread."""
        if not self._loop.is_closed():
            self._do(self._refuse())
            self._do(self._finish())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _do(self, command: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(command, self._loop).result(COMMAND_S)

    async def _listen(self) -> int:
        if self._server is None:
            self._server = await asyncio.start_server(self._connected, HOST, self.port, limit=CHUNK)
        return int(self._server.sockets[0].getsockname()[1])

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut()

    async def _cut(self) -> None:
        for writer in list(self._writers):
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()

    async def _set(self, frozen: bool = False, delay_s: float = 0.0) -> None:
        self._delay_s = delay_s
        if frozen:
            self._moving.clear()
        else:
            self._moving.set()

    async def _finish(self) -> None:
        """Every task but this one ends."""
        self._moving.set()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(HOST, self.target, limit=CHUNK)
        except OSError:  # nobody listens behind: the client learns it as it would without a proxy
            writer.transport.abort()
            return
        pair = {writer, back}
        self._writers |= pair
        try:
            async with asyncio.TaskGroup() as directions:
                directions.create_task(self._forward(reader, back))
                directions.create_task(self._forward(there, writer))
        finally:
            self._writers -= pair
            for end in pair:
                end.transport.abort()

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while chunk := await source.read(CHUNK):
                await asyncio.sleep(self._delay_s)
                await self._moving.wait()
                sink.write(chunk)
                await sink.drain()
            sink.write_eof()
        except OSError:  # reset by one end, or cut: the other direction ends with it
            sink.transport.abort()
