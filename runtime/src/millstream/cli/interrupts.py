"""Ctrl-C, SIGTERM and SIGHUP: they end a command with 128 and their number, as a shell counts, and no traceback."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(SystemExit):
    """A signal that asks the command to end; its exit code is that of a shell for a program that died of it."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.name = signal.Signals(number).name


class _Interrupts:
    """What is heard in this process. A signal that came while `holding` waits in `pending`."""

    def __init__(self) -> None:
        self.holding = False
        self.pending: int | None = None

    def heard(self, number: int, frame: FrameType | None) -> None:
        """Whoever asks twice does not want to wait."""
        if self.holding and self.pending is None:
            self.pending = number
        else:
            raise Interrupted(number)


_interrupts = _Interrupts()


def hear() -> None:
    """From now on they raise Interrupted in the main thread; those that are ignored, as under nohup, stay so."""
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupts.heard)


@contextmanager
def heard() -> Iterator[None]:
    """`hear`, and as it was afterwards."""
    before = {number: signal.getsignal(number) for number in ENDING}
    hear()
    try:
        yield
    finally:
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
