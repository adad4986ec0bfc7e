"""What a plugin may have left behind: threads, processes, open files, things printed, a process that is changed."""

import locale
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from millstream_conformance.calling import in_time

PATIENCE_S = 2.0
STANDARD = {0: "standard input", 1: "standard output", 2: "standard error"}
#: pytest's own, which it changes all the time
OF_PYTEST = {"PYTEST_CURRENT_TEST"}


def _open_files() -> Counter[str]:
    """What this process has open, as the kernel names it, and how often; empty where there is no /proc."""
    folder = "/proc/self/fd"
    found: Counter[str] = Counter()
    if not os.path.isdir(folder):
        return found
    for fd in os.listdir(folder):
        try:
            found[os.readlink(f"{folder}/{fd}")] += 1
        except FileNotFoundError:  # the directory's own descriptor, closed by now
            continue
    return found


def _children() -> set[str]:
    """The numbers of the processes that this one has started and not waited for; none where there is no /proc."""
    found: set[str] = set()
    for children in Path("/proc/self/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # of a thread that has ended by now
            found.update(children.read_text().split())
    return found


@contextmanager
def nothing_left_behind() -> Iterator[None]:
    """Fail if threads, processes or open files that were not there before are there after, PATIENCE_S later."""
    threads, files, children = set(threading.enumerate()), _open_files(), _children()
    yield
    new: tuple[list[str], ...] = ()

    def gone(seconds: float) -> bool:
        nonlocal new
        new_threads = [thread.name for thread in threading.enumerate() if thread not in threads]
        new = new_threads, sorted((_open_files() - files).elements()), sorted(_children() - children)
        return not any(new) or threading.Event().wait(seconds)

    if not in_time(gone, PATIENCE_S):
        raise AssertionError("left behind after stop: threads {}, open files {}, processes {}".format(*new))


def nothing_printed(capfd: pytest.CaptureFixture[str]) -> None:
    """Fail if something was written to standard output; quoted is its beginning, for it may be endless."""
    printed = capfd.readouterr().out
    if printed:
        pytest.fail(f"{len(printed)} characters are printed to standard output, which begin with {printed[:80]!r}")


@dataclass(frozen=True)
class Surroundings:
    """What all code of a process shares.

    folder:       the working directory.      handlers: by number, what a signal does; blocked: signals that wait.
    standard:     by descriptor, the file behind it; None: closed.      umask: of files it makes.
    environment:  its variables.              locale: of all categories.
    """

    folder: str
    handlers: Mapping[int, Any]
    blocked: frozenset[int]
    standard: Mapping[int, tuple[int, int] | None]
    umask: int
    environment: Mapping[str, str]
    locale: str

    @classmethod
    def now(cls) -> "Surroundings":
        mask = os.umask(0o077)
        os.umask(mask)
        return cls(
            _folder(),
            {number: signal.getsignal(number) for number in signal.valid_signals()},
            frozenset(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
            if hasattr(signal, "pthread_sigmask")
            else frozenset(),
            {fd: _file_behind(fd) for fd in STANDARD},
            mask,
            {name: text for name, text in os.environ.items() if name not in OF_PYTEST},
            locale.setlocale(locale.LC_ALL),
        )

    def changes(self) -> Iterator[str]:
        """Say what is no more as it was; values of the environment are not quoted."""
        now = Surroundings.now()
        if now.folder != self.folder:
            yield f"the working directory is {now.folder!r} instead of {self.folder!r}"
        handled = [
            _signal(number) for number, handler in sorted(self.handlers.items()) if now.handlers[number] != handler
        ]
        if handled:
            yield f"other handlers are set for the signals {', '.join(handled)}"
        if now.blocked != self.blocked:
            yield f"other signals are blocked: {', '.join(map(_signal, sorted(now.blocked ^ self.blocked)))}"
        for fd, behind in self.standard.items():
            if now.standard[fd] != behind:
                yield f"{STANDARD[fd]} is {'closed' if now.standard[fd] is None else 'another file'}"
        if now.umask != self.umask:
            yield f"the umask is {now.umask:#o} instead of {self.umask:#o}"
        names = {name for name, _ in self.environment.items() ^ now.environment.items()}
        if names:
            yield f"variables of the environment are changed: {', '.join(sorted(names))}"
        if now.locale != self.locale:
            yield f"the locale is {now.locale!r} instead of {self.locale!r}"

    def restore(self) -> None:
        """Put back what can be put back, all but the standard descriptors."""
        now = Surroundings.now()
        if now.folder != self.folder and os.path.isdir(self.folder):
            os.chdir(self.folder)
        for number, handler in self.handlers.items():
            if now.handlers[number] != handler and handler is not None:  # None: set by C code, and lost
                signal.signal(number, handler)
        if now.blocked != self.blocked:
            signal.pthread_sigmask(signal.SIG_SETMASK, self.blocked)
        os.umask(self.umask)
        for name in now.environment.keys() - self.environment.keys():
            del os.environ[name]
        os.environ.update(self.environment)
        if now.locale != self.locale:
            locale.setlocale(locale.LC_ALL, self.locale)


@contextmanager
def changes_nothing() -> Iterator[None]:
    """Fail if what all code of a process shares is not the same afterwards."""
    before = Surroundings.now()
    yield
    changes = list(before.changes())
    assert not changes, f"the process is not as it was: {'; '.join(changes)}"


@contextmanager
def as_it_was() -> Iterator[None]:
    """Leave the process to whoever comes next as it was, whatever is done to it within."""
    before = Surroundings.now()
    kept = {fd: os.dup(fd) for fd, behind in before.standard.items() if behind is not None}
    try:
        yield
    finally:
        before.restore()
        for fd, copy in kept.items():
            if _file_behind(fd) is None:
                os.dup2(copy, fd)
            os.close(copy)


def _folder() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # it was removed
        return ""


def _file_behind(fd: int) -> tuple[int, int] | None:
    try:
        found = os.fstat(fd)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of the real-time signals has no name
        return str(number)
