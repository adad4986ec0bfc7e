"""Ctrl-C, SIGTERM and SIGHUP: they end a command with 128 and their number, as a shell counts, and no traceback."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from millstream.lifecycle import Interrupted

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AGAIN_S = 0.01


class _Interrupts:
    """What is heard in this process. A signal that came while `holding` waits in `pending`."""

    def __init__(self) -> None:
        self.holding = False
        self.pending: int | None = None
        self.former_hook = sys.unraisablehook

    def heard(self, number: int, frame: FrameType | None) -> None:
        """Whoever asks twice does not want to wait."""
        if self.holding and self.pending is None:
            self.pending = number
        elif _names(frame):
            self.comes_again(number)
        else:
            raise Interrupted(number)

    def comes_again(self, number: int) -> None:
        """A moment later, when it can end the command."""
        signal.signal(signal.SIGALRM, lambda _, frame: self.heard(number, frame))
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S)

    def raised_in_vain(self, unraisable: "UnraisableHookArgs") -> None:
        """In a callback, such as those by which imports let go of their locks, Python prints an error and goes on: an
        interruption comes again."""
        error = unraisable.exc_value
        if isinstance(error, Interrupted):
            self.comes_again(error.number)
        else:
            self.former_hook(unraisable)


def _names(frame: FrameType | None) -> bool:
    """Whether a class is being made, and an attribute told its name: what is raised there is a RuntimeError to whoever
    made the class (CPython before 3.12, type_new_set_names)."""
    while frame is not None and frame.f_code.co_name != "__set_name__":
        frame = frame.f_back
    return frame is not None


_interrupts = _Interrupts()
_in_vain = _interrupts.raised_in_vain  # one object, to be known again


def hear() -> None:
    """From now on they raise Interrupted in the main thread; those that are ignored, as under nohup, stay so."""
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupts.heard)
    if sys.unraisablehook is not _in_vain:
        _interrupts.former_hook, sys.unraisablehook = sys.unraisablehook, _in_vain


@contextmanager
def heard() -> Iterator[None]:
    """`hear`, and as it was afterwards."""
    before = {number: signal.getsignal(number) for number in ENDING}
    hook = sys.unraisablehook
    hear()
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            if handler is not None:  # of a program that is not Python's: it cannot be set again
                signal.signal(number, handler)


@contextmanager
def held() -> Iterator[None]:
    """What is done in here is done whole: the first signal raises Interrupted after it, a second one at once."""
    _interrupts.holding = True
    try:
        yield
    finally:
        _interrupts.holding = False
        pending, _interrupts.pending = _interrupts.pending, None
    if pending is not None:
        raise Interrupted(pending)
