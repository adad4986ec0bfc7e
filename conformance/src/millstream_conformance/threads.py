"""Calls of one function from several threads, which take turns as often as the interpreter lets them."""

import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
T = TypeVar("T")

THREADS = 4
TURN_S = 1e-6


def side_by_side(function: Callable[[A], T], arguments: Sequence[A]) -> list[T]:
    """What the function gives for each argument, in order, called by THREADS threads that start at once."""
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
