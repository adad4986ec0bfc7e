"""A signal ends a command wherever it is, also where Python has nobody to raise an error to."""

import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from millstream.cli.interrupts import heard, unwrapped
from millstream.lifecycle import Interrupted

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
def test_a_signal_in_a_callback_ends_the_command_a_moment_later(number: signal.Signals) -> None:
    done = run(CALLED_BACK.format(number=int(number)))
    assert (done.returncode, done.stdout, done.stderr) == (128 + number, "", "")


def test_other_errors_in_callbacks_are_printed_as_ever() -> None:
    done = run(DELETED)
    assert done.returncode == 0
    assert "ValueError: not of a signal" in done.stderr


@pytest.mark.parametrize("way", [unwrapped, heard])
def test_a_signal_while_a_class_is_made_is_no_error_of_that_class(
    way: Callable[[], AbstractContextManager[None]],
) -> None:
    class Member:
        def __set_name__(self, owner: type, name: str) -> None:
            raise Interrupted(signal.SIGTERM)

    with pytest.raises(Interrupted) as caught, way():
        type("Kinds", (), {"member": Member()})
    assert caught.value.code == 143


def test_other_errors_while_a_class_is_made_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="of its own"), unwrapped():
        raise RuntimeError("of its own") from ValueError("why")
