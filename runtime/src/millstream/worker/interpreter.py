"""The process of a template: a fresh interpreter, or one that another template forked and the worker adopted.

Light: `millstream run` begins the bare template with it before anything else is imported.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from millstream.worker.environment import child_environment

PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER = 36, 37
CHILD_MODULES = (
    "millstream.host.task",
    "millstream.host.connector",
    "millstream.host.probe",
    "millstream.host.rehearsal",
)
"""What every template imports before it is frozen."""
EMBEDDED_MODULES = ("millstream.broker.embedded.log",)
KAFKA_MODULES = ("millstream.broker.kafka.broker",)


def modules_for(bootstrap: str) -> Sequence[str]:
    """What the children of a worker on this log need."""
    return (*CHILD_MODULES, *(EMBEDDED_MODULES if bootstrap.startswith("sqlite:") else KAFKA_MODULES))


WAIT_SECONDS = 0.005
REAP_SECONDS = 0.5
"""So long a template that has closed its socket may take to end."""
UNKNOWN_CODE = 255
"""Of a process that somebody else has waited for; subprocess says 0, which would be an end in peace."""


class Process(Protocol):
    """A child of the worker: its number stays its own until it is waited for."""

    @property
    def pid(self) -> int: ...
    def kill(self) -> None: ...
    def wait(self, timeout: float | None = None) -> int:
        """Give the exit code, or minus the signal. Raises subprocess.TimeoutExpired."""
        ...


class Line:
    """What a worker and one template share: the control socket and the pipe of its output.

    Raises OSError when there are no descriptors for it; nothing is left open then.
    """

    def __init__(self) -> None:
        self.control, self._far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self.reading, self._writing = os.pipe()
        except OSError:
            self.control.close()
            self._far.close()
            raise
        os.set_blocking(self.reading, False)

    def far_ends(self) -> tuple[int, int]:
        """As the template gets them: its control socket, its output."""
        return self._far.fileno(), self._writing

    def close_far_ends(self) -> None:
        """The template has its copies, or will never have any."""
        if self._writing >= 0:
            self._far.close()
            os.close(self._writing)
            self._writing = -1

    def close(self) -> None:
        self.close_far_ends()
        self.control.close()
        os.close(self.reading)


@dataclass(slots=True)
class Begun:
    """A template that runs and has not been told yet what it is for."""

    line: Line
    process: Process

    def end(self) -> None:
        """Nobody needs it; it has no children yet."""
        self.line.close()
        self.process.kill()
        self.process.wait()


def begin_interpreter(modules: Sequence[str]) -> Begun:
    """Start a fresh interpreter as a template; it imports `modules` before it is told anything.

    By a thread that lives as long as the worker: PR_SET_PDEATHSIG follows the thread. Raises OSError when the machine
    gives no process, or no descriptors for it; nothing is left open then.
    """
    allow_many_descriptors()
    line = Line()
    control, output = line.far_ends()
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "millstream.host.template", str(control), str(os.getpid()), *modules],
            pass_fds=[control],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=child_environment(),
        )
    except OSError:
        line.close()
        raise
    line.close_far_ends()
    return Begun(line, process)


def allow_many_descriptors() -> None:
    """Three a child: the soft limit of 1,024 is not enough for the tasks that memory allows. Children inherit it."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Adopted:
    """A process whose forking parent ended, so that it became this one's child."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._code: int | None = None

    @property
    def pid(self) -> int:
        return self._pid

    def kill(self) -> None:
        if self._code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._code is None:
            self._code = self._ended()
            if self._code is None:
                if deadline is not None and time.monotonic() >= deadline:
                    raise subprocess.TimeoutExpired(f"template {self._pid}", timeout or 0.0)
                time.sleep(WAIT_SECONDS)
        return self._code

    def _ended(self) -> int | None:
        """Without a descriptor, of which none may be left."""
        try:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
        except ChildProcessError:  # somebody else in this process has waited for it
            return UNKNOWN_CODE
        return os.waitstatus_to_exitcode(status) if pid else None


class Adopting:
    """While somebody is expected, what this process's descendants leave behind when they end becomes its child.

    Only then: else every daemon that a plugin starts would be the worker's to reap.
    """

    def __init__(self) -> None:
        self._expected = 0
        self._former = ctypes.c_int(0)  # whoever started the worker may have wanted it so
        self._libc = ctypes.CDLL(None)

    def expect(self) -> None:
        if not self._expected:
            self._libc.prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(self._former), 0, 0, 0)
        self._expected += 1
        self._libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def arrived(self) -> None:
        """One that was expected is here, or will not come."""
        self._expected -= 1
        if not self._expected:
            self._libc.prctl(PR_SET_CHILD_SUBREAPER, self._former.value, 0, 0, 0)


def reaped(process: Process) -> int:
    """Its end of the socket is closed, so it is ending, or has lost its mind: then it is killed."""
    try:
        return process.wait(REAP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def begin_early(settings: Mapping[str, str]) -> Begun | None:
    """Begin the bare template before the worker itself has imported all: while one imports, so does the other.

    settings: the worker's as written. None where it is not certain that there will be templates, where it would not
    help, and where there is no process for it, which the worker finds itself, and says.
    """
    bootstrap = settings.get("bootstrap.servers", "sqlite:")
    uncertain = "${" in bootstrap or ":memory:" in bootstrap
    templates = (settings.get("task.isolation", "process"), settings.get("task.start", "template"))
    if sys.platform != "linux" or uncertain or templates != ("process", "template") or len(os.sched_getaffinity(0)) < 2:
        return None
    try:
        return begin_interpreter(modules_for(bootstrap))
    except OSError:
        return None
