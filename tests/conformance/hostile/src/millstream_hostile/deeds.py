"""What a hostile plugin does, by name; each is a function without arguments."""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping

FOR_EVER_S = 10_000.0
FLOOD_BYTES = 100_000_000
GREED_BYTES = 2_000_000_000
LEAK_BYTES = 50_000_000
LINE = b"x" * 999 + b"\n"


class Unpicklable(Exception):
    """Holds a lock, so that pickle refuses it."""

    def __init__(self) -> None:
        super().__init__("this cannot be pickled")
        self.lock = threading.Lock()


class Unspeakable(Exception):
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise ValueError("no text for you")

    __repr__ = __str__


def none() -> None:
    """Nothing."""


def exit_at_once() -> None:
    os._exit(3)


def segfault() -> None:
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGSEGV)


def abort() -> None:
    os.abort()


def system_exit() -> None:
    sys.exit(5)


def keyboard_interrupt() -> None:
    raise KeyboardInterrupt


def greed() -> None:
    """All at once, touching each page, or the kernel gives none."""
    block = bytearray(GREED_BYTES)
    block[::4096] = b"\1" * len(block[::4096])


def leak() -> None:
    """As `greed`, little by little."""
    held: list[bytearray] = []
    while len(held) * LEAK_BYTES < GREED_BYTES:
        held.append(bytearray(LEAK_BYTES))
        held[-1][::4096] = b"\1" * len(held[-1][::4096])


def stray_thread() -> None:
    threading.Thread(target=time.sleep, args=(FOR_EVER_S,), name="stray", daemon=False).start()


def close_stdout() -> None:
    os.close(1)


def change_folder() -> None:
    os.chdir("/")


def other_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


def greet() -> None:
    """Print a line: no more than bad manners."""
    os.write(1, b"hello\n")


def flood() -> None:
    for _ in range(FLOOD_BYTES // len(LINE)):
        os.write(1, LINE)


def change_batch() -> None:
    """Done by the tasks, who have the batch: see `connectors`."""


def raise_unpicklable() -> None:
    raise Unpicklable


def raise_unspeakable() -> None:
    raise Unspeakable


def sleep() -> None:
    time.sleep(FOR_EVER_S)


def spin() -> None:
    while True:
        pass


def hold_the_gil() -> None:
    """In a C call that does not give the interpreter up, and goes on after a signal: nobody writes into the pipe."""
    reading, _ = os.pipe()
    ctypes.PyDLL(None).read(reading, ctypes.create_string_buffer(1), 1)


DEEDS: Mapping[str, Callable[[], None]] = {
    function.__name__: function
    for function in (
        *(none, exit_at_once, segfault, abort, system_exit, keyboard_interrupt, greed, stray_thread, close_stdout),
        *(
            leak,
            change_folder,
            other_signals,
            greet,
            flood,
            change_batch,
            raise_unpicklable,
            raise_unspeakable,
            sleep,
            spin,
            hold_the_gil,
        ),
    )
}
