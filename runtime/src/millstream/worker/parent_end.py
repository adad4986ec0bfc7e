"""The worker's end of one channel: never waits, and gives up on a child that does not read."""

import contextlib
import logging
import socket
from collections.abc import Callable
from selectors import EVENT_READ, EVENT_WRITE

from millstream.host.channel import Lines
from millstream.worker.loop import Loop

log = logging.getLogger(__name__)

MAX_UNREAD = 8 * 1024 * 1024
UNREAD_SECONDS = 30.0
MOST_LEFT = 8 * 1024 * 1024
"""Bytes that the socket of a child that has ended may hold: many times what Linux gives one."""


class ParentEnd:
    """Lines in and out of a non-blocking socket, on the loop's thread.

    give_up: called with the reason when more than 8 MB, or anything for 30 s, waits to be read, or a line has no end.
    """

    def __init__(
        self, loop: Loop, stream: socket.socket, on_line: Callable[[bytes], None], give_up: Callable[[str], None]
    ) -> None:
        self._loop = loop
        self._stream = stream
        self._on_line = on_line
        self._give_up = give_up
        self._lines = Lines()
        self._unsent = bytearray()
        self._waits = False
        self._is_open = True
        self._is_hopeless = False
        stream.setblocking(False)
        loop.watch(stream, self._ready)

    def send(self, line: bytes) -> None:
        self._unsent += line
        if not self._waits:
            self._flush()
        if len(self._unsent) > MAX_UNREAD:
            self._not_read()

    def ignore(self) -> None:
        """Nothing that comes from now on is worth keeping: it is being ended."""
        self._is_hopeless = True
        self._lines = Lines()

    def read_rest(self) -> None:
        """The child has ended: take what it left, but not all that one who still has its end may go on saying."""
        for _ in range(MOST_LEFT // len(self._loop.buffer)):
            if not self._read():
                return

    def _read(self) -> bool:
        """Take what has come, once; false: there is no more now."""
        if not self._is_open:
            return False
        try:
            size = self._stream.recv_into(self._loop.buffer)
        except (BlockingIOError, ConnectionResetError):
            return False
        if not size:
            self._loop.forget(self._stream)
            return False
        if self._is_hopeless:
            return True
        try:
            lines = self._lines.feed(bytes(self._loop.buffer[:size]))
        except ValueError as error:
            self.ignore()
            self._give_up(str(error))
            return True
        with contextlib.ExitStack() as heard:  # all of them, whatever one raises
            for line in reversed(lines):
                heard.callback(self._on_line, line)
        return True

    def close(self) -> None:
        self._is_open = False
        self._loop.forget(self._stream)
        self._stream.close()

    def _ready(self, events: int) -> None:
        if events & EVENT_WRITE:
            self._flush()
        if events & EVENT_READ:
            self._read()  # once a turn: one that tells a lot must not hold up the others

    def _flush(self) -> None:
        waited, self._waits = self._waits, False
        try:
            while self._unsent:
                del self._unsent[: self._stream.send(self._unsent)]
        except BlockingIOError:
            self._waits = True
            self._loop.watch(self._stream, self._ready, EVENT_READ | EVENT_WRITE)
            if not waited:
                left = bytes(self._unsent[:64])
                self._loop.after(UNREAD_SECONDS, lambda: self._check(left))
            return
        except OSError:
            self._unsent.clear()  # it ended, or closed the channel: its exit tells which
        if waited:
            self._loop.watch(self._stream, self._ready)

    def _check(self, former: bytes) -> None:
        """Half a minute later: nothing at all has been read since when the same bytes still come next."""
        if self._is_open and self._waits and bytes(self._unsent[:64]) == former:
            self._not_read()
        elif self._is_open and self._waits:
            left = bytes(self._unsent[:64])
            self._loop.after(UNREAD_SECONDS, lambda: self._check(left))

    def _not_read(self) -> None:
        text = f"it did not read its channel: {len(self._unsent)} bytes were waiting; the worker ended it"
        log.error("%s", text)
        self._unsent.clear()
        self._give_up(text)
