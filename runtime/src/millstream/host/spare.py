"""A spare child: forked while nobody waits for one, it has done what every child does, and takes the next request.

Over a socket pair with its template it says READY, is sent the two descriptors of a request, and says TAKEN. Until then
the template keeps them, so that a request outlives a spare that does not.
"""

import contextlib
import ctypes
import errno
import gc
import logging
import os
import signal
import socket
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

from millstream.errors import MillstreamError
from millstream.lifecycle import Clock

if TYPE_CHECKING:  # a template imports it with what it preloads
    from millstream.host.child import Prepared

log = logging.getLogger(__name__)

NAME = b"millstream-next"
PR_SET_NAME, PR_GET_NAME = 15, 16
READY, TAKE, TAKEN = b"ready", b"take", b"taken"
QUIET_SECONDS = 0.02
"""Without a request, until a spare is forked: a burst of starts is not to share the machine with rehearsals."""
KEPT_SECONDS = 60.0
"""Without a request, until a spare is let go."""
TAKE_SECONDS = 5.0
"""For a spare to take a request: one that does not was stopped by somebody, and the request is not to wait for that."""
REHEARSAL_SECONDS = 10
ATTEMPTS = 3
"""So many that end before they are ready, one after the other, and there are no more."""

_libc = ctypes.CDLL(None)


class Spares:
    """The template's half: one child ahead.

    fork:    makes a process that is `be_spare` with the other end of a line; gives its number, 0 when none can be.
    taken:   called with request and pid once a spare is that child.   lost: with a request whose spare has died.
    """

    def __init__(
        self,
        fork: Callable[[socket.socket], int],
        taken: Callable[[int, int], None],
        lost: Callable[[int, list[int]], None],
        clock: Clock,
        is_wanted: bool = True,
    ) -> None:
        self.line: socket.socket | None = None
        self._fork = fork
        self._taken = taken
        self._lost = lost
        self._pid = 0
        self._attempts = ATTEMPTS if is_wanted else 0
        self._clock = clock
        self._is_ready = False
        self._request: tuple[int, list[int]] | None = None
        self._due: float | None = None
        self._wish_for_one()

    def processes(self) -> Sequence[int]:
        return (self._pid,) if self._pid else ()

    def patience(self) -> float | None:
        """Seconds until `change` is to be called; None: not before there is a request."""
        return None if self._due is None else max(self._due - self._clock.monotonic(), 0.0)

    def change(self) -> None:
        """Nobody has asked for a while: fork one, or let it go. Or it has been asked, and does nothing."""
        if self._due is None or self._clock.monotonic() < self._due:
            return
        self._due = None
        if self._request is not None:
            log.warning(
                "the process %d, kept ahead for the next start, has not taken it for %.0f s and is ended: another does",
                *(self._pid, TAKE_SECONDS),
            )
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)  # its end is heard, and the request is another's then
            return
        if self.line is not None:
            self.forget()
            return
        try:
            self.line, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError:  # no descriptors: children are forked when they are asked for
            return
        self._pid = self._fork(far)
        far.close()
        if not self._pid:
            self.forget()

    def give(self, number: int, descriptors: list[int]) -> bool:
        """Hand the request to the spare; false: there is none that waits for it."""
        if self.line is None:
            self._wish_for_one()
        if self.line is None or not self._is_ready or self._request is not None:
            return False
        try:
            socket.send_fds(self.line, [TAKE], descriptors)
        except OSError:
            return False  # it is dead; its end comes as an event
        self._request = (number, descriptors)
        self._due = self._clock.monotonic() + TAKE_SECONDS
        return True

    def hear(self, is_gone: bool = False) -> None:
        """The spare said something, or is gone: then another is wished for, unless none gets ready."""
        if self.line is None:
            return
        try:
            said = self.line.recv(64, socket.MSG_DONTWAIT)
        except BlockingIOError:
            if not is_gone:
                return
            said = b""
        except OSError:
            said = b""
        if said == READY:
            self._is_ready = True
            self._attempts = ATTEMPTS
            self._due = self._clock.monotonic() + KEPT_SECONDS
            return
        request, pid = self._request, self._pid
        self._attempts -= not self._is_ready
        self.forget()
        self._wish_for_one()
        if request is None:
            return
        number, descriptors = request
        if said == TAKEN:
            for descriptor in descriptors:
                os.close(descriptor)
            self._taken(number, pid)
        else:
            self._lost(number, descriptors)

    def ended(self, pid: int) -> None:
        """The process has ended; what it said before, if it was the spare, is heard first."""
        while self.line is not None and self._pid == pid:
            self.hear(is_gone=True)

    def leave(self) -> None:
        """In a forked process: what is held here is the template's."""
        for descriptor in self._request[1] if self._request is not None else ():
            os.close(descriptor)
        self.forget()

    def forget(self) -> None:
        """Let the spare go."""
        if self.line is not None:
            self.line.close()
        self.line, self._pid, self._is_ready, self._request = None, 0, False, None

    def _wish_for_one(self) -> None:
        self._due = self._clock.monotonic() + QUIET_SECONDS if self._attempts else None


def be_spare(line: socket.socket, disabled: Sequence[str], prepared: "Prepared") -> NoReturn:
    """In a forked process: rehearse, wait for a request, and be that child.

    Ends when its template lets it go; of a rehearsal that takes too long by the kernel's alarm.
    """
    from millstream.host import child, rehearsal  # imported by the preload: names, not loads

    code = 70
    try:
        former = named(NAME)
        signal.alarm(REHEARSAL_SECONDS)
        with contextlib.suppress(MillstreamError):  # the operator has disabled what it is rehearsed with
            rehearsal.rehearse(disabled)
        signal.alarm(0)
        gc.collect()
        gc.freeze()
        request = _request(line)
        if request is not None:
            named(former)
            child.run(*request, prepared)
        code = 0
    except BaseException:  # noqa: BLE001 - the last line of a process: it is said, and it ends
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


def _request(line: socket.socket) -> tuple[int, int] | None:
    """Wait for a request, and take it; None: the template has let this one go, or is gone."""
    try:
        line.send(READY)
        said, descriptors, _, _ = socket.recv_fds(line, 64, 2)
    except (BrokenPipeError, ConnectionResetError):
        return None
    if said != TAKE:
        return None
    if len(descriptors) != 2:  # the template keeps its own, and forks anew
        raise OSError(errno.EMFILE, f"the next child received {len(descriptors)} of the 2 descriptors of its request")
    try:
        line.send(TAKEN)
    except (BrokenPipeError, ConnectionResetError):
        return None
    line.close()
    return descriptors[0], descriptors[1]


def named(name: bytes) -> bytes:
    """Name this process as `ps` and `top` show it, and give its former name."""
    former = ctypes.create_string_buffer(16)
    _libc.prctl(PR_GET_NAME, former, 0, 0, 0)
    _libc.prctl(PR_SET_NAME, ctypes.create_string_buffer(name), 0, 0, 0)
    return former.value
