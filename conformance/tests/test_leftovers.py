"""What all code of a process shares: a change of it is told, and put back."""

import locale
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from millstream_conformance import leftovers
from millstream_conformance.leftovers import Surroundings, as_it_was, changes_nothing, nothing_left_behind


@pytest.fixture(autouse=True)
def _folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MILLSTREAM_KIT_HAS", "this")
    with as_it_was():
        yield


CHANGES: list[tuple[Callable[[], object], str]] = [
    (lambda: os.chdir("/"), "the working directory is '/' instead of "),
    (lambda: signal.signal(signal.SIGUSR1, signal.SIG_IGN), "other handlers are set for the signals SIGUSR1"),
    (lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2}), "other signals are blocked: SIGUSR2"),
    (lambda: os.close(0), "standard input is closed"),
    (lambda: os.close(1), "standard output is closed"),
    (lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), 2), "standard error is another file"),
    (lambda: os.umask(0o123), "the umask is 0o123 instead of 0o"),
    (lambda: os.environ.update(MILLSTREAM_KIT_NEW="x"), "variables of the environment are changed: MILLSTREAM_KIT_NEW"),
    (lambda: os.environ.update(MILLSTREAM_KIT_HAS="x"), "variables of the environment are changed: MILLSTREAM_KIT_HAS"),
    (lambda: os.environ.pop("MILLSTREAM_KIT_HAS"), "variables of the environment are changed: MILLSTREAM_KIT_HAS"),
    (lambda: locale.setlocale(locale.LC_ALL, "C.UTF-8"), "the locale is "),
]


@pytest.mark.parametrize(("change", "told"), CHANGES, ids=[told for _, told in CHANGES])
def test_a_change_is_told_and_can_be_put_back(change: Callable[[], object], told: str) -> None:
    locale.setlocale(locale.LC_ALL, "C")
    before = Surroundings.now()
    with as_it_was():
        with pytest.raises(AssertionError, match="the process is not as it was: ") as caught, changes_nothing():
            change()
        assert told in str(caught.value)
    left = list(before.changes())
    assert left == (["standard error is another file"] if "another" in told else [])


@pytest.mark.skipif(not Path("/proc/thread-self/children").exists(), reason="needs /proc: run it on Linux")
def test_a_process_that_goes_on_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "PATIENCE_S", 0.1)
    started: list[subprocess.Popen[bytes]] = []
    try:
        with pytest.raises(AssertionError, match=r"processes \['\d+'\]"), nothing_left_behind():
            started.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))
    finally:
        for process in started:
            process.communicate(b"\n")
    with nothing_left_behind():
        subprocess.run([sys.executable, "-c", ""], check=True)


def test_the_value_of_a_variable_is_not_shown() -> None:
    with pytest.raises(AssertionError) as caught, changes_nothing():
        os.environ["MILLSTREAM_KIT_NEW"] = "open sesame"
    assert "open sesame" not in str(caught.value)


def test_what_stays_as_it_was_is_no_change() -> None:
    with changes_nothing():
        os.environ["PYTEST_CURRENT_TEST"] = "pytest changes it all the time"
        Path("file").touch()
