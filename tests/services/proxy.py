"""A TCP proxy on the loopback whose connections can be cut, frozen, slowed down and refused."""

import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from services.ports import HOST, free

CHUNK = 256 * 1024
WAITING_CHUNKS = 16
CONNECT_S = 1.0
COMMAND_S = 60.0
WAYS = ("there", "back")
#: closed so, a socket resets its connection instead of ending it in good order
RESET = struct.pack("ii", 1, 0)


@dataclass(eq=False)
class _Way:
    """One direction of a connection: what was read and is not written yet, with the moment it may be."""

    source: socket.socket
    sink: socket.socket
    waiting: deque[tuple[float, bytes]] = field(default_factory=deque)
    ended: bool = False
    finished: bool = False

    def read(self, due: float) -> None:
        data = self.source.recv(CHUNK)
        self.ended = not data
        if data:
            self.waiting.append((due, data))
        self._finish()

    def write(self) -> None:
        due, data = self.waiting[0]
        sent = self.sink.send(data)
        self.waiting.popleft()
        if sent < len(data):
            self.waiting.appendleft((due, data[sent:]))
        self._finish()

    def _finish(self) -> None:
        if self.ended and not self.waiting and not self.finished:
            self.finished = True
            self.sink.shutdown(socket.SHUT_WR)


@dataclass(eq=False)
class _Connection:
    client: socket.socket
    server: socket.socket

    def __post_init__(self) -> None:
        self.ways = (_Way(self.client, self.server), _Way(self.server, self.client))
        for end in (self.client, self.server):
            end.setblocking(False)

    def close(self, reset: bool) -> None:
        for end in (self.client, self.server):
            _close(end, reset)


class Proxy:
    """Forwards what comes to `port` to another port of the loopback. Any thread may call it, and finds it done then.

    One thread does everything: a socket that another thread closed would live on while it is polled.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        (self.port,) = free(1)  # none that the kernel gives to a client while nobody listens there
        self._delay_s = 0.0
        self._frozen: frozenset[int] = frozenset()
        self._closed = False
        self._listener: socket.socket | None = None
        self._connections: list[_Connection] = []
        self._commands: SimpleQueue[tuple[Callable[[], None], Future[None]]] = SimpleQueue()
        self._waking, self._woken = socket.socketpair()
        self._heal()
        self._thread = threading.Thread(target=self._run, name=f"proxy-{self.port}", daemon=True)
        self._thread.start()

    @property
    def connections(self) -> int:
        """How many clients are connected now."""
        return len(self._connections)

    def cut(self) -> None:
        """Reset every connection; whoever comes again is let through."""
        self._do(self._cut)

    def refuse(self) -> None:
        """Reset every connection, and refuse all new ones until `heal`."""
        self._do(self._refuse)

    def freeze(self, *ways: str) -> None:
        """No byte moves "there" or "back", by default neither way, until `heal`.

        Connections stay, and the kernel accepts new ones.
        """
        self._do(lambda: self._freeze(frozenset(map(WAYS.index, ways or WAYS))))

    def delay(self, seconds: float) -> None:
        """What is read from now on waits so long, in each direction."""
        self._delay_s = seconds

    def heal(self) -> None:
        """Everything as at the start; connections that live go on."""
        self._do(self._heal)

    def close(self) -> None:
        """The end of it: no connection, no thread."""
        if not self._closed:
            self._do(self._close)
            self._thread.join()
            for end in (self._waking, self._woken):
                end.close()

    def _do(self, command: Callable[[], None]) -> None:
        done: Future[None] = Future()
        self._commands.put((command, done))
        self._waking.send(b"!")
        done.result(COMMAND_S)

    def _cut(self) -> None:
        self._accept()  # who is connected for its kernel is connected
        for connection in self._connections:
            connection.close(reset=True)
        self._connections.clear()

    def _refuse(self) -> None:
        self._cut()
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _freeze(self, ways: frozenset[int]) -> None:
        self._frozen = ways

    def _heal(self) -> None:
        self._frozen, self._delay_s = frozenset(), 0.0
        if self._listener is None:
            self._listener = socket.create_server((HOST, self.port))
            self._listener.setblocking(False)

    def _close(self) -> None:
        self._refuse()
        self._closed = True

    def _accept(self) -> None:
        with suppress(BlockingIOError):
            while self._listener is not None:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection((HOST, self.target), CONNECT_S)
                except OSError:  # nobody listens behind
                    _close(client, reset=True)
                else:
                    self._connections.append(_Connection(client, server))

    def _run(self) -> None:
        while not self._closed:
            polled, wait_s = self._wanted()
            poll = select.poll()
            for end, events in polled.items():
                poll.register(end, events)
            ready = {descriptor for descriptor, _ in poll.poll(None if wait_s is None else 1000 * wait_s)}
            self._move({end for end in polled if end.fileno() in ready})
            self._obey()

    def _obey(self) -> None:
        with suppress(Empty):
            while True:
                command, done = self._commands.get_nowait()
                try:
                    command()
                except Exception as error:
                    done.set_exception(error)
                else:
                    done.set_result(None)

    def _wanted(self) -> tuple[dict[socket.socket, int], float | None]:
        """Which sockets to ask for what, and when the next data may be written."""
        polled = {self._woken: select.POLLIN}
        if self._listener is not None and len(self._frozen) < len(WAYS):
            polled[self._listener] = select.POLLIN
        moments, now = [], time.monotonic()
        for way in self._ways():
            if not way.ended and len(way.waiting) < WAITING_CHUNKS:
                polled[way.source] = polled.get(way.source, 0) | select.POLLIN
            if way.waiting and way.waiting[0][0] <= now:
                polled[way.sink] = polled.get(way.sink, 0) | select.POLLOUT
            elif way.waiting:
                moments.append(way.waiting[0][0] - now)
        return polled, min(moments, default=None)

    def _ways(self) -> list[_Way]:
        return [way for connection in self._connections for way in self._moving(connection)]

    def _moving(self, connection: _Connection) -> list[_Way]:
        return [way for number, way in enumerate(connection.ways) if number not in self._frozen]

    def _move(self, ready: set[socket.socket]) -> None:
        """Read and write what is ready."""
        if self._woken in ready:
            self._woken.recv(CHUNK)
        if self._listener in ready:
            self._accept()
        for connection in list(self._connections):
            try:
                for way in self._moving(connection):
                    self._move_along(way, ready)
                over = all(way.finished for way in connection.ways)
            except OSError:  # reset by one end: the other learns it
                connection.close(reset=True)
                over = True
            if over:
                connection.close(reset=False)
                self._connections.remove(connection)

    def _move_along(self, way: _Way, ready: set[socket.socket]) -> None:
        now = time.monotonic()
        with suppress(BlockingIOError):
            if way.source in ready and not way.ended and len(way.waiting) < WAITING_CHUNKS:
                way.read(now + self._delay_s)
        with suppress(BlockingIOError):
            if way.waiting and way.waiting[0][0] <= now:
                way.write()


def _close(end: socket.socket, reset: bool) -> None:
    if reset and end.fileno() >= 0:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    end.close()
