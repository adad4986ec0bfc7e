"""What all code of a process shares: a change of it is told, and put back."""

import locale
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from millstream_conformance.leftovers import Surroundings, as_it_was, changes_nothing


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


def test_the_value_of_a_variable_is_not_shown() -> None:
    with pytest.raises(AssertionError) as caught, changes_nothing():
        os.environ["MILLSTREAM_KIT_NEW"] = "open sesame"
    assert "open sesame" not in str(caught.value)


def test_what_stays_as_it_was_is_no_change() -> None:
    with changes_nothing():
        os.environ["PYTEST_CURRENT_TEST"] = "pytest changes it all the time"
        Path("file").touch()
