"""A forked process that may end as it likes: what it says, and how it ended."""

import faulthandler
import mmap
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, NoReturn

import pytest

from millstream_conformance.calling import CALLS, NOTE_BYTES, Watch

GRACE_S = 5.0
LOOK_S = 0.05
INTERRUPTED = 130
#: lines of a stack that say nothing of a plugin
OF_PYTEST = ("/_pytest/", "/pluggy/", "<frozen runpy>")

#: what runs in the child: it sends what it has to say
Serve = Callable[[Connection], object]


class Child:
    """A process that serves, and what can be known of it from outside."""

    def __init__(self, serve: Serve) -> None:
        self._watch = Watch(mmap.mmap(-1, NOTE_BYTES), tempfile.TemporaryFile())  # noqa: SIM115 - the child's, to its end
        self._receiving, sending = Pipe(duplex=False)
        self._status: int | None = None
        self._is_silent = False
        sys.stdout.flush()
        sys.stderr.flush()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads that others have in this process
            self._pid = os.fork()
        if self._pid == 0:
            self._receiving.close()
            CALLS.watch = self._watch
            _serve(serve, sending, self._watch)
        sending.close()

    def message(self, patience_s: float) -> Any:
        """What it says next; None when it has ended, or has been ended because it said nothing."""
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            ended = self._has_ended()
            try:
                if self._receiving.poll(0 if ended else LOOK_S):
                    return self._receiving.recv()
            except EOFError:
                ended = self._has_ended(GRACE_S)
            if ended:
                return None
        self._is_silent = True
        os.kill(self._pid, signal.SIGABRT)  # at which it writes down where its threads are
        self._end()
        return None

    def close(self) -> None:
        """Wait for its end for a while, then end it; nothing can be told of it afterwards."""
        self._end()
        self._receiving.close()
        self._watch.stacks.close()
        self._watch.note.close()

    def _end(self) -> None:
        if not self._has_ended(GRACE_S):
            os.kill(self._pid, signal.SIGKILL)
            self._has_ended(GRACE_S)

    def told(self) -> tuple[str, str]:
        """How it ended, in one sentence; and where its threads were, if that is known."""
        self._watch.stacks.seek(0)
        lines = self._watch.stacks.read().decode(errors="replace").splitlines(keepends=True)
        stacks = "".join(line for line in lines if not any(name in line for name in OF_PYTEST))
        call = self._watch.read()
        within = f" in {call}" if call else ""
        if stacks.startswith("Timeout") and call:
            return f"{CALLS.given_up(call)}, and let no other code of its process run", stacks
        if self._is_silent:
            return f"the test did not end in time{within}", stacks
        code = 0 if self._status is None else os.waitstatus_to_exitcode(self._status)
        if code == INTERRUPTED:
            return f"KeyboardInterrupt was raised{within}", stacks
        if code >= 0:
            return f"the process ended itself with exit code {code}{within}", stacks
        return f"the process was ended by signal {-code} ({_name(-code)}){within}", stacks

    def _has_ended(self, patience_s: float = 0) -> bool:
        deadline = time.monotonic() + patience_s
        while self._status is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._status = status
            elif time.monotonic() >= deadline:
                return False
            else:
                threading.Event().wait(0.001)
        return True


def apart(function: Callable[[], Any], patience_s: float, otherwise: Any) -> Any:
    """What the function gives in a process of its own; something else when that ends without an answer, or never."""
    if not hasattr(os, "fork"):
        return function()
    child = Child(lambda sending: sending.send((function(),)))
    try:
        answer = child.message(patience_s)
    finally:
        child.close()
    return otherwise if answer is None else answer[0]


def _serve(serve: Serve, sending: Connection, watch: Watch) -> NoReturn:
    code = 1
    try:
        faulthandler.enable(file=watch.stacks.fileno())
        serve(sending)
        code = 0
    except (KeyboardInterrupt, pytest.exit.Exception):
        code = INTERRUPTED
    except BaseException:  # noqa: BLE001 - the last line of the child; who started it shows this
        watch.stacks.write(traceback.format_exc().encode())
        watch.stacks.flush()
    finally:
        os._exit(code)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of the real-time signals
        return "no name"
