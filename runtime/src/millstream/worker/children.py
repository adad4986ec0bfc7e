"""One child as the worker sees it: its channel, its output, its signals, its end. On the loop's thread only."""

import logging
import os
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from selectors import EVENT_READ, EVENT_WRITE
from typing import Protocol

from millstream.host.channel import Lines, LogLine, Message, Run, decode, encode
from millstream.worker.logs import Output, stack_in
from millstream.worker.loop import Loop

log = logging.getLogger(__name__)

READ_AT_ONCE = 1 << 18
MAX_UNREAD = 8 * 1024 * 1024
UNREAD_SECONDS = 30.0
STACK_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Ending:
    """How a child ended. code: exit code, or minus the signal; None when nobody could see it.

    reason: what is known beside it, such as the death of its template.   lines: the last ones of its output.
    """

    code: int | None
    reason: str
    lines: str

    def sentence(self) -> str:
        """Say it for a trace: "the process was killed by SIGSEGV"."""
        if self.reason:
            return self.reason
        if self.code is None:
            return "the process is gone"
        if self.code < 0:
            return f"the process was ended by signal {-self.code} ({_signal_name(-self.code)})"
        return f"the process ended itself with exit code {self.code}"


class Owner(Protocol):
    """Who a child belongs to."""

    def heard(self, message: Message) -> None: ...
    def logged(self, line: LogLine) -> None: ...
    def ended(self, ending: Ending) -> None: ...


class Body(Protocol):
    """What carries a child: a process, or a thread."""

    @property
    def pid(self) -> int: ...
    def signal(self, number: int) -> None:
        """Send the signal; SIGKILL goes to the whole group. A body that is gone is no error."""
        ...

    def stack(self) -> str | None:
        """Give where its threads are; None: ask with SIGUSR1, it comes through the output."""
        ...


class Child:
    """Made by a launcher, which gives it a body or says that it could not (`gone`)."""

    def __init__(self, loop: Loop, run: Run, owner: Owner) -> None:
        self.run = run
        self.body: Body | None = None
        self.is_gone = False
        self._loop = loop
        self._owner = owner
        self._lines = Lines()
        self._unsent = bytearray()
        self._unsent_since: float | None = None
        self._pending_signals: list[int] = []
        self._kill_reason = ""
        self._output = Output(run.label, owner.logged, loop.now)
        self.heard_at = loop.now()
        self._channel, self._far = socket.socketpair()
        self._reading, self._writing = os.pipe()
        self._channel.setblocking(False)
        os.set_blocking(self._reading, False)
        loop.watch(self._channel, self._on_channel)
        loop.watch(self._reading, self._on_output)
        self.send(run)

    # -- for the launcher

    def far_ends(self) -> tuple[socket.socket, int]:
        """The channel and the output pipe as the child gets them."""
        return self._far, self._writing

    def close_far_ends(self) -> None:
        """The child has its copies now."""
        if self._writing >= 0:
            self._far.close()
            os.close(self._writing)
            self._writing = -1

    def carried_by(self, body: Body) -> None:
        self.body = body
        for number in self._pending_signals:
            body.signal(number)

    def gone(self, code: int | None, reason: str = "") -> None:
        """The body ended: read what it left behind, close, tell the owner. Told once."""
        if self.is_gone:
            return
        self.close_far_ends()
        self._on_channel(EVENT_READ)
        self._on_output(EVENT_READ)
        self.is_gone = True
        self._output.finish()
        self._release()
        self._owner.ended(Ending(code, reason or self._kill_reason, self._output.last_lines()))

    def abandon(self) -> None:
        """Listen no more: a thread that cannot be killed."""
        if not self.is_gone:
            self.is_gone = True
            self._release()

    # -- for the owner

    @property
    def pid(self) -> int:
        return self.body.pid if self.body else 0

    def send(self, message: Message) -> None:
        if self.is_gone:
            return
        self._unsent += encode(message)
        self._flush()
        if len(self._unsent) > MAX_UNREAD:
            self._give_up_on_reading()

    def signal(self, number: int) -> None:
        if self.is_gone:
            return
        if self.body is None:
            self._pending_signals.append(number)
        else:
            self.body.signal(number)

    def kill(self, reason: str = "") -> None:
        """End it and its group now; `reason` is then what its trace begins with."""
        self._kill_reason = self._kill_reason or reason
        self.signal(signal.SIGKILL)

    def stack(self, then: Callable[[str], None]) -> None:
        """Call `then` soon with where the child's threads are, "" when it cannot be had."""
        told = self.body.stack() if self.body and not self.is_gone else ""
        if told is not None:
            then(told)
            return
        if self._output.capture is not None:
            self._loop.after(STACK_SECONDS, lambda: self.stack(then))
            return
        lines: list[str] = []
        self._output.capture = lines
        self.signal(signal.SIGUSR1)

        def collect() -> None:
            self._output.capture = None
            then(stack_in(iter(lines)))

        self._loop.after(STACK_SECONDS, collect)

    def last_lines(self) -> str:
        return self._output.last_lines()

    # -- what comes and goes

    def _on_channel(self, events: int) -> None:
        if self.is_gone:
            return
        if events & EVENT_WRITE:
            self._flush()
        if events & EVENT_READ:
            for data in self._incoming():
                self._understand(data)

    def _incoming(self) -> Sequence[bytes]:
        pieces = []
        while True:
            try:
                data = self._channel.recv(READ_AT_ONCE)
            except (BlockingIOError, ConnectionResetError):
                return pieces
            if not data:
                self._loop.forget(self._channel)
                return pieces
            pieces.append(data)
            if len(data) < READ_AT_ONCE:
                return pieces

    def _understand(self, data: bytes) -> None:
        self.heard_at = self._loop.now()
        try:
            messages = [decode(line) for line in self._lines.feed(data)]
        except ValueError as error:
            log.error("[%s] the child is ended: %s", self.run.label, error)
            self.kill(f"its half of the channel said what nobody understands: {error}")
            return
        for message in messages:
            self._owner.heard(message)

    def _on_output(self, _: int) -> None:
        """One read a turn: a flood of one child must not hold up the others. After the end: all that is left."""
        while not self.is_gone:
            try:
                data = os.read(self._reading, READ_AT_ONCE)
            except BlockingIOError:
                return
            if not data:
                self._loop.forget(self._reading)
                return
            self._output.feed(data)
            if self._writing >= 0 or len(data) < 65536:
                return

    def _flush(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: self._channel.send(self._unsent)]
        except BlockingIOError:
            self._wait_for_room()
            return
        except OSError:
            self._unsent.clear()  # it ended, or closed the channel: its exit tells which
        self._unsent_since = None
        if not self.is_gone:
            self._loop.watch(self._channel, self._on_channel)

    def _wait_for_room(self) -> None:
        self._loop.watch(self._channel, self._on_channel, EVENT_READ | EVENT_WRITE)
        if self._unsent_since is None:
            since = self._unsent_since = self._loop.now()

            def check() -> None:
                if self._unsent_since == since:
                    self._give_up_on_reading()

            self._loop.after(UNREAD_SECONDS, check)

    def _give_up_on_reading(self) -> None:
        log.error("[%s] the child does not read what it is told, and is ended", self.run.label)
        self.kill(f"it did not read its channel: {len(self._unsent)} bytes were waiting; the worker ended it")

    def _release(self) -> None:
        self._loop.forget(self._channel)
        self._loop.forget(self._reading)
        self._channel.close()
        os.close(self._reading)
        self.close_far_ends()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "no name"
