"""Calls of a plugin's methods: each returns in time or fails its test, and can be told from outside."""

import faulthandler
import mmap
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import FrameType
from typing import IO, Any, NamedTuple

import pytest

PATIENCE_S = 10.0
#: after which the process is ended by a call that lets no other code run, a signal's handler neither
MARGIN_S = 2.0
NOTE_BYTES = 256
LOOK_S = 0.01


def in_time(wait: Callable[[float], bool], seconds: float) -> bool:
    """Whether what `wait` waits for comes within so many seconds in which this process gets on.

    wait: waits at most the seconds it is given, and says whether it has come. It is given a few at a time: a machine
    that stands still meanwhile takes one of these, however long it does.
    """
    return any(wait(LOOK_S) for _ in range(max(1, round(seconds / LOOK_S))))


class Watch(NamedTuple):
    """What somebody outside looks at. note: which call goes on; stacks: where the threads are, written at the end."""

    note: mmap.mmap
    stacks: IO[bytes]

    def begin(self, what: str, patience_s: float) -> None:
        self.note[:] = what.encode()[:NOTE_BYTES].ljust(NOTE_BYTES, b"\0")
        faulthandler.dump_traceback_later(patience_s + MARGIN_S, exit=True, file=self.stacks.fileno())

    def end(self) -> None:
        faulthandler.cancel_dump_traceback_later()
        self.note[:] = bytes(NOTE_BYTES)

    def read(self) -> str:
        """The call that goes on, or went on when the process ended; "" none."""
        return self.note[:].rstrip(b"\0").decode(errors="replace")


class Calls:
    """The calls of one suite after the other.

    patience_s:  how long a call may take.
    hung:        by suite and call, the test in which it did not return; it is not called again.
    watch:       None: nobody looks from outside.
    """

    def __init__(self) -> None:
        self.patience_s = PATIENCE_S
        self.suite = self.test = ""
        self.hung: dict[tuple[str, str], str] = {}
        self.watch: Watch | None = None

    def given_up(self, what: str) -> str:
        """Note that this call did not return, and say so."""
        self.hung.setdefault((self.suite, what), self.test)
        return f"{what} did not return within {self.patience_s:g} s"


CALLS = Calls()


@contextmanager
def called(what: str) -> Iterator[None]:
    """Fail the test when the call within does not return in time.

    what: such as `the task's start`. On the main thread it is interrupted; when it runs on another one, the main thread
    is to wait no longer than `CALLS.patience_s`. What cannot be interrupted ends the process, if that is watched.
    """
    hung_in = CALLS.hung.get((CALLS.suite, what))
    if hung_in is not None:
        pytest.fail(f"{what} is not called again: it did not return in {hung_in}")
    watch = CALLS.watch
    if watch is not None:
        watch.begin(what, CALLS.patience_s)
    try:
        with _interrupted(what):
            yield
    finally:
        if watch is not None:
            watch.end()


def timed(what: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, a call of which has its time; without it, for other threads, it is `__wrapped__`."""

    @wraps(function)
    def calling(*arguments: Any) -> Any:
        with called(what):
            return function(*arguments)

    return calling


class Timed:
    """A plugin whose methods, when they are called, have their time.

    word: what people call it.
    """

    def __init__(self, plugin: Any, word: str) -> None:
        self._plugin = plugin
        self._word = word

    def __getattr__(self, name: str) -> Any:
        return timed(f"the {self._word}'s {name}", getattr(self._plugin, name))


@contextmanager
def _interrupted(what: str) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return
    theirs_s, interval_s = signal.getitimer(signal.ITIMER_REAL)
    if 0 < theirs_s <= CALLS.patience_s:  # of pytest-timeout, which fails the test before we would
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        pytest.fail(CALLS.given_up(what))

    before = signal.signal(signal.SIGALRM, ring)
    began_s = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, CALLS.patience_s, 1.0)  # again, should the plugin swallow the first
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if theirs_s:
            left_s = theirs_s - (time.monotonic() - began_s)
            signal.setitimer(signal.ITIMER_REAL, max(0.001, left_s), interval_s)  # 0 would be none
