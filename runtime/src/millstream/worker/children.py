"""One child as the worker sees it: its channel, its output, its signals, its end. On the loop's thread only."""

import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from selectors import EVENT_READ
from typing import Protocol

from millstream.host.channel import Hello, LogLine, Message, Run, decode, encode
from millstream.worker.logs import Output, is_whole, stack_in
from millstream.worker.loop import Loop
from millstream.worker.parent_end import ParentEnd
from millstream.worker.shortage import WORKER, is_passing, shortage

log = logging.getLogger(__name__)

PIPE = 1 << 16
FLOOD_PIPE = 1 << 20
"""Bytes that the pipe of a child holds, and once it was full: with 64 KB a child that prints 100 MB waits 1,600 times
for the worker's turn, on a busy machine a minute. Not from the start: an unprivileged user may hold 64 such pipes."""
#: codes of what a person, a supervisor or the kernel for want of memory does; a crash has another signal
ENDED_BY_OTHERS = frozenset({-signal.SIGKILL, -signal.SIGTERM})
STACK_SECONDS = 2.0
STACK_LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Ending:
    """How a child ended. code: exit code, or minus the signal; None when nobody could see it.

    reason: what is known beside it, such as the death of its template.   lines: the last ones of its output.
    from_outside: neither the worker nor the child itself brought it about, as far as can be told.
    no_room: it has never lived: the machine did not give what a child takes, and may later.
    """

    code: int | None
    reason: str
    lines: str
    from_outside: bool = False
    no_room: bool = False

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
    """Launched by a launcher, which gives it a body or says that it could not (`gone`).

    Raises OSError when there are no descriptors for its channel and its output; nothing is left open then.
    """

    def __init__(self, loop: Loop, run: Run, owner: Owner) -> None:
        self.run = run
        self.body: Body | None = None
        self.is_gone = False
        self._ending = False
        self._is_senseless = False
        self._thread = 0  # that runs plugin code, once the child has told it
        self._loop = loop
        self._owner = owner
        self._pending_signals: list[int] = []
        self._kill_reason = ""
        self.is_killed = False  # by the worker
        self.output = Output(run.label, owner.logged, loop)
        self._is_wide = False
        self.made_at = self.heard_at = loop.now()
        self.on_hello: Callable[[int], None] | None = None  # who gives it a body may hear its number from itself
        near, self._far = socket.socketpair()
        try:
            self._reading, self._writing = os.pipe()
        except OSError:
            near.close()
            self._far.close()
            raise
        self._channel = ParentEnd(loop, near, self._on_line, self.kill)
        os.set_blocking(self._reading, False)
        loop.watch(self._reading, self._on_output)
        self._channel.send(encode(run))

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
        self.heard_at = self._loop.now()
        for number in self._pending_signals:
            body.signal(number)

    def gone(self, code: int | None, reason: str = "", from_outside: bool = False, no_room: bool = False) -> None:
        """The body ended: read what it left behind, close, tell the owner. Once, whatever is wrong."""
        if self.is_gone:
            return
        self.close_far_ends()
        self._ending = True
        try:
            self._channel.read_rest()
            self._on_output(EVENT_READ)
        finally:
            self.is_gone = True
            self.output.finish()
            self._release()
            from_outside = from_outside or (code in ENDED_BY_OTHERS and not self.is_killed)
            why = reason or self._kill_reason
            self._owner.ended(Ending(code, why, self.output.last_lines(), from_outside, no_room))

    # -- for the owner

    @property
    def pid(self) -> int:
        return self.body.pid if self.body else 0

    def send(self, message: Message) -> None:
        if not self.is_gone:
            self._channel.send(encode(message))

    def signal(self, number: int) -> None:
        if self.is_gone:
            return
        if self.body is None:
            self._pending_signals.append(number)
        else:
            self.body.signal(number)

    def kill(self, reason: str = "") -> None:
        """End it and its group now; `reason` is then what its trace begins with."""
        self.is_killed = True
        self._kill_reason = self._kill_reason or reason
        self.signal(signal.SIGKILL)

    def stack(self, then: Callable[[str], None]) -> None:
        """Call `then` soon with where the child's threads are, "" when it cannot be had."""
        told = self.body.stack() if self.body and not self.is_gone else ""
        if told is not None:
            then(told)
            return
        if self.output.capture is not None:
            self._loop.after(STACK_LOOK_SECONDS, lambda: self.stack(then))
            return
        lines: list[str] = []
        self.output.capture = lines
        self.signal(signal.SIGUSR1)

        deadline = self._loop.now() + STACK_SECONDS

        def collect(had: int) -> None:
            """Once it is whole, or of a child that has not told its thread no more comes.

            On a busy machine a signal may take its time, and each line of the answer, too.
            """
            whole = is_whole(lines, self._thread) if self._thread else 0 < len(lines) == had
            if self._loop.now() < deadline and not whole and not self.is_gone:
                self._loop.after(STACK_LOOK_SECONDS, lambda: collect(len(lines)))
                return
            self.output.capture = None
            then(stack_in(lines))

        self._loop.after(STACK_LOOK_SECONDS, lambda: collect(0))

    # -- what comes and goes

    def _on_line(self, line: bytes) -> None:
        self.heard_at = self._loop.now()
        if self._is_senseless:
            return
        try:
            message = decode(line)
        except ValueError as error:
            self._is_senseless = True  # said once, however much of it there is
            self._channel.ignore()
            log.error("[%s] the child is ended: %s", self.run.label, error)
            self.kill(f"its half of the channel said what nobody understands: {error}")
            return
        if isinstance(message, Hello):
            self._thread = message.thread
            if self.on_hello is not None:
                self.on_hello(message.pid)
                self.on_hello = None
        self._owner.heard(message)

    def _on_output(self, _: int) -> None:
        """One read a turn: a flood of one child must not hold up the others.

        After the end all that is left, which is a pipe full: what the child had started may hold the pipe, and go on.
        """
        left = FLOOD_PIPE if self._ending else 1
        while not self.is_gone and left > 0:
            try:
                data = os.read(self._reading, FLOOD_PIPE if self._is_wide else PIPE)
            except BlockingIOError:
                return
            if not data:
                self._loop.forget(self._reading)
                return
            left -= len(data)
            self.output.feed(data)
            if len(data) >= PIPE and not self._is_wide:
                self._is_wide = _widened(self._reading)

    def _release(self) -> None:
        self._channel.close()
        self._loop.forget(self._reading)
        os.close(self._reading)
        self.close_far_ends()


def refuse(child: Child, wanted: str, error: OSError | RuntimeError, whose: str = WORKER) -> None:
    """It gets no body: the machine does not give `wanted`.   whose: the process that could not make it."""
    child.gone(None, shortage(wanted, error, whose), no_room=is_passing(error))


def _widened(pipe: int) -> bool:
    """Let a pipe hold FLOOD_PIPE bytes; where that cannot be, it stays as it is. True: it was tried."""
    import fcntl

    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(PermissionError):  # this user's pipes hold all they may
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, FLOOD_PIPE)
    return True


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "no name"
