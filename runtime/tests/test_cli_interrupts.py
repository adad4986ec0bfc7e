"""A signal ends a command wherever it is, also where Python has nobody to raise an error to."""

import signal
import subprocess
import sys

import pytest

CALLED_BACK = """
import signal, threading, weakref
from millstream.cli.interrupts import hear

class Kept:
    pass

hear()
kept = Kept()
seen = weakref.ref(kept, lambda _: signal.raise_signal({number}))
del kept
threading.Event().wait(600)
"""
NAMED = """
import signal, threading
from millstream.cli.interrupts import hear

class Named:
    def __set_name__(self, owner, name):
        self.tell()

    def tell(self):
        signal.raise_signal({number})

hear()

class Owner:
    named = Named()

threading.Event().wait(600)
"""
DELETED = """
from millstream.cli.interrupts import hear

class Kept:
    def __del__(self):
        raise ValueError("not of a signal")

hear()
kept = Kept()
del kept
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("code", [CALLED_BACK, NAMED], ids=["callback", "attribute of a class that is told its name"])
def test_a_signal_in_the_middle_of_what_python_calls_ends_the_command_a_moment_later(
    code: str, number: signal.Signals
) -> None:
    done = run(code.format(number=int(number)))
    assert (done.returncode, done.stdout, done.stderr) == (128 + number, "", "")


def test_other_errors_in_callbacks_are_printed_as_ever() -> None:
    done = run(DELETED)
    assert done.returncode == 0
    assert "ValueError: not of a signal" in done.stderr
