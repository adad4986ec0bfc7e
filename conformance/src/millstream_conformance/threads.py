"""Calls of one function from several threads: two that take turns line by line, then as the interpreter lets them."""

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

from millstream_conformance.calling import in_time

A = TypeVar("A")
T = TypeVar("T")

THREADS = 4
TURN_S = 1e-6
PAIRS = 4
TURNS = 1_000  # of one pair of calls; what comes behind them is left to chance
WAIT_S, SHORT_WAIT_S = 0.2, 0.02
_OURS = {"millstream_conformance", *sys.stdlib_module_names}


def side_by_side(function: Callable[[A], T], arguments: Sequence[A]) -> list[T]:
    """What the function gives for each argument, in order.

    The first are called in pairs of neighbours, whose threads take turns after each line: what one call keeps aside for
    the next line, the other one has changed by then. The others by THREADS threads that start at once.
    """
    paired = min(2 * PAIRS, len(arguments) // 2 * 2)
    return [*_in_turns(function, arguments[:paired]), *_at_once(function, arguments[paired:])]


def _at_once(function: Callable[[A], T], arguments: Sequence[A]) -> list[T]:
    start = threading.Barrier(THREADS)

    def share(first: int) -> list[T]:
        start.wait()
        return [function(argument) for argument in arguments[first::THREADS]]

    before = sys.getswitchinterval()
    sys.setswitchinterval(TURN_S)
    try:
        with ThreadPoolExecutor(THREADS) as threads:
            shares = list(threads.map(share, range(THREADS)))
    finally:
        sys.setswitchinterval(before)
    return [shares[at % THREADS][at // THREADS] for at in range(len(arguments))]


def _in_turns(function: Callable[[A], T], arguments: Sequence[A]) -> list[T]:
    found: list[T] = []
    wait_s = WAIT_S
    with ThreadPoolExecutor(2) as threads:
        for first in range(0, len(arguments), 2):
            turns = _Turns(wait_s)

            def call(me: int, turns: _Turns = turns, first: int = first) -> T:
                with turns.taken_by(me):
                    return function(arguments[first + me])

            found.extend(threads.map(call, (0, 1)))
            wait_s = SHORT_WAIT_S if turns.waited_in_vain else wait_s
    return found


class _Turns:
    """Two threads of which one runs while the other waits, unless the one waits for what the other holds.

    wait_s: after which a thread goes on though its turn has not come, until the other one is heard of again.
    """

    def __init__(self, wait_s: float) -> None:
        self.waited_in_vain = False
        self._wait_s = wait_s
        self._doors = (threading.Lock(), threading.Lock())  # a thread waits before its own, and opens the other's
        self._both = threading.Barrier(2)
        self._left = TURNS
        self._stuck: int | None = None
        for door in self._doors:
            door.acquire()

    @contextmanager
    def taken_by(self, me: int) -> Iterator[None]:
        def trace(frame: FrameType, event: str, argument: Any) -> Any:
            if frame.f_globals.get("__name__", "").partition(".")[0] in _OURS:
                return None
            self._hand_over(me)
            return trace

        self._both.wait()
        if me == 1:
            self._wait(me)
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            yield
        finally:
            sys.settrace(before)
            self._left = 0
            self._open(1 - me)

    def _hand_over(self, me: int) -> None:
        if self._stuck == me:
            self._stuck = None
        if self._left <= 0 or self._stuck is not None:
            return
        self._left -= 1
        self._open(1 - me)
        if not self._wait(me) and self._left > 0:
            self._stuck, self.waited_in_vain = 1 - me, True

    def _wait(self, me: int) -> bool:
        return in_time(lambda seconds: self._doors[me].acquire(timeout=seconds), self._wait_s)

    def _open(self, other: int) -> None:
        if self._doors[other].locked():
            self._doors[other].release()
