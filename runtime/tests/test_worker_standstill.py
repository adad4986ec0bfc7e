"""Which processes are looked at for having been stopped, and what is said of each."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from millstream.worker.standstill import LOOK_SECONDS, MOST_NAMED, Lookout, Lookouts, is_stopped

sys.path.insert(0, str(Path(__file__).parent / "plugins"))

from watching import Turning, wait_until

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc: run it on Linux")


class Halted:
    """A process that was stopped."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        self.pid = self._process.pid
        os.kill(self.pid, signal.SIGSTOP)
        wait_until(lambda: is_stopped(self.pid))

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)
        wait_until(lambda: not is_stopped(self.pid))

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextmanager
def halted() -> Iterator[Halted]:
    process = Halted()
    try:
        yield process
    finally:
        process.end()


@pytest.fixture
def turning(caplog: pytest.LogCaptureFixture) -> Iterator[Turning]:
    caplog.set_level(logging.INFO)
    made = Turning()
    yield made
    made.loop.close()


def test_another_process_of_a_name_is_said_anew_and_the_former_does_not_go_on(
    turning: Turning, caplog: pytest.LogCaptureFixture
) -> None:
    with halted() as first, halted() as second:
        now: Mapping[str, tuple[int, Sequence[str]]] = {"template t": (first.pid, ["the start of a"])}
        lookouts = Lookouts(turning.loop, lambda: now)
        lookouts.begin()
        lookouts.begin()
        turning.pass_time(2 * LOOK_SECONDS)
        now = {"template t": (second.pid, ["the start of a"])}
        turning.pass_time(2 * LOOK_SECONDS)
        assert [text.partition(" was stopped")[0] for text in caplog.messages] == [
            f"[template t] does nothing: its process {pid}" for pid in (first.pid, second.pid)
        ]
        second.go_on()
        turning.pass_time(LOOK_SECONDS)
        assert caplog.messages[2:] == ["[template t] its process goes on"]
        lookouts.over()


def test_of_many_that_wait_the_first_are_named(turning: Turning, caplog: pytest.LogCaptureFixture) -> None:
    with halted() as process:
        names = [f"n{number}" for number in range(MOST_NAMED + 3)]
        lookouts = Lookouts(turning.loop, lambda: {"template t": (process.pid, names)})
        lookouts.begin()
        turning.pass_time(3 * LOOK_SECONDS)
        lookouts.over()
    assert len(caplog.messages) == 1
    assert caplog.messages[0].endswith(f"for it wait: {', '.join(names[:MOST_NAMED])} and 3 more")


def test_a_child_is_looked_after_until_that_is_over(turning: Turning, caplog: pytest.LogCaptureFixture) -> None:
    with halted() as first, halted() as second:
        lookout = Lookout(turning.loop, "it")
        lookout.begin(first)
        turning.pass_time(3 * LOOK_SECONDS)
        lookout.begin(second)
        turning.pass_time(3 * LOOK_SECONDS)
        lookout.over()
        turning.pass_time(3 * LOOK_SECONDS)
        assert [text.partition(" was stopped")[0] for text in caplog.messages] == [
            f"[it] does nothing: its process {pid}" for pid in (first.pid, second.pid)
        ]
