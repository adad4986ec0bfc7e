"""A source task that waits for its log, as on a full disk, is paused, resumed and stopped all the same."""

import importlib.util
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from millstream.errors import BrokerError
from millstream.identity import State, TargetState
from millstream.task.control import Control
from millstream.task.source import SourceTaskLoop
from millstream_api import SourceRecord, SourceTask

spec = importlib.util.spec_from_file_location("task_bench", Path(__file__).with_name("task_bench.py"))
assert spec is not None
assert spec.loader is not None
task_bench = sys.modules.get("task_bench") or importlib.util.module_from_spec(spec)
if "task_bench" not in sys.modules:
    sys.modules["task_bench"] = task_bench
    spec.loader.exec_module(task_bench)

WAYS = {
    "transactions": ({"exactly": True}, False),
    "overlapped": ({"exactly": True}, True),
    "at-least-once": ({"exactly": False}, False),
}


class Counting(SourceTask[Any]):
    """A row a poll, of the first three; then it waits."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self.count = 0

    def poll(self) -> Any:
        if self.count == 3:
            self.context.wait(0.02)
            return []
        self.count += 1
        return [SourceRecord("data", str(self.count), {"file": "a"}, {"position": self.count})]


class Disk:
    """Faults of a producer on a disk that is full."""

    def __init__(self) -> None:
        self.full = True
        self.refused = threading.Event()

    def __call__(self, name: str) -> Exception | None:
        if self.full and name in {"begin", "send"}:
            self.refused.set()
            return BrokerError("the disk is full", retriable=True)
        return None


@pytest.fixture(params=WAYS)
def waiting(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Any, Disk]]:
    """A bench, a task on it that waits for its disk, and the disk."""
    changes, overlapped = WAYS[request.param]
    bench, disk, control = task_bench.Bench(overlapped=overlapped), Disk(), Control()
    parts = bench.source_parts(Counting, control=control, faults=disk, **changes)
    running = task_bench.Running(SourceTaskLoop(parts), control)
    assert disk.refused.wait(task_bench.SECONDS)
    yield bench, running, disk
    running.stop()
    bench.close()


def test_a_task_that_waits_for_its_disk_is_paused_and_writes_what_it_had_once_it_goes_on(
    waiting: tuple[Any, Any, Disk],
) -> None:
    bench, running, disk = waiting
    running.control.aim(TargetState.PAUSED)
    bench.until(lambda: bench.states() == [State.RUNNING, State.PAUSED])
    disk.full = False
    running.control.aim(TargetState.STARTED)
    bench.until(lambda: bench.states()[:3] == [State.RUNNING, State.PAUSED, State.RUNNING])
    task_bench.eventually(lambda: bench.log() == ["1", "2", "3"])
    running.stop()
    assert bench.stored() == {'{"file": "a"}': {"position": 3}}


def test_a_paused_task_that_waited_for_its_disk_waits_again_when_it_goes_on_and_is_stopped(
    waiting: tuple[Any, Any, Disk],
) -> None:
    bench, running, _ = waiting
    for _ in range(2):
        running.control.aim(TargetState.PAUSED)
        bench.until(lambda: bench.states()[-1] is State.PAUSED)
        running.control.aim(TargetState.STARTED)
        bench.until(lambda: bench.states()[-1] is State.RUNNING)
    running.control.aim(TargetState.PAUSED)
    bench.until(lambda: bench.states()[-1] is State.PAUSED)
    running.stop()
    assert bench.states()[-1] is State.UNASSIGNED
    assert bench.log() == []


def test_a_task_that_fails_while_its_disk_is_full_is_not_paused_in_place_of_that() -> None:
    bench, disk, control = task_bench.Bench(), Disk(), Control()
    disk.full = False

    class Failing(Counting):
        def poll(self) -> Any:
            if self.count == 3:
                disk.full = True
                raise ValueError("the moon is full")
            return super().poll()

    settings = {"boundary": "interval", "boundary_interval_ms": 60_000}  # the last commit is the first
    loop = SourceTaskLoop(bench.source_parts(Failing, control=control, faults=disk, settings=settings))
    running = task_bench.Running(loop, control)
    try:
        assert disk.refused.wait(task_bench.SECONDS) or running.ended.is_set()
        control.aim(TargetState.PAUSED)
        disk.full = False
        bench.until(lambda: bench.states()[-1] is State.FAILED)
        assert State.PAUSED not in bench.states()
    finally:
        running.stop()
        bench.close()


class Unwritable:
    """Faults of a producer that can neither commit nor abort until it is mended; counts the aborts."""

    def __init__(self) -> None:
        self.away, self.aborts = True, 0

    def __call__(self, name: str) -> Exception | None:
        if not self.away or name not in {"commit", "abort"}:
            return None
        self.aborts += name == "abort"
        return BrokerError("away", retriable=True)

    def tried(self, times: int) -> None:
        """Wait until the thread of commits has tried that often again."""
        aborts = self.aborts + times
        task_bench.eventually(lambda: self.aborts >= aborts)


class Held(SourceTask[Any]):
    """Two rows; then its poll lasts until it is let go, and ends as it is told to, and it polls on."""

    def __init__(self) -> None:
        self.polls = 0
        self.let_go = threading.Event()
        self.raises: Exception | None = None

    def poll(self) -> Any:
        self.polls += 1
        if self.polls == 1:
            return [SourceRecord("data", value, {"file": "a"}, {"position": value}) for value in "12"]
        assert self.let_go.wait(task_bench.SECONDS), "nobody let it go"
        if self.raises is not None:
            raise self.raises
        return []


@pytest.fixture
def unwritable() -> Iterator[tuple[Any, Any, Held, Unwritable]]:
    """A bench, a task on it whose commits cannot even be taken back, its plugin in a long poll, and its producer."""
    bench, faults, control, plugin = task_bench.Bench(overlapped=True), Unwritable(), task_bench.HastyControl(), Held()
    parts = bench.source_parts(lambda context: plugin, control=control, faults=faults)
    running = task_bench.Running(SourceTaskLoop(parts), control)
    faults.tried(1)
    task_bench.eventually(lambda: plugin.polls == 2)
    yield bench, running, plugin, faults
    plugin.let_go.set()
    running.stop()
    bench.close()


def test_a_task_is_not_paused_while_its_poll_lasts_though_its_commits_wait_for_the_log(
    unwritable: tuple[Any, Any, Held, Unwritable],
) -> None:
    bench, running, plugin, faults = unwritable
    running.control.aim(TargetState.PAUSED)
    faults.tried(3)  # nothing holds them
    assert bench.states() == [State.RUNNING]
    plugin.let_go.set()
    bench.until(lambda: bench.states() == [State.RUNNING, State.PAUSED])
    assert (faults.away, plugin.polls) == (True, 2)
    faults.away = False
    running.control.aim(TargetState.STARTED)
    bench.until(lambda: bench.states() == [State.RUNNING, State.PAUSED, State.RUNNING])
    task_bench.eventually(lambda: bench.log() == ["1", "2"])


def test_a_poll_that_fails_in_a_task_that_is_to_pause_is_told_without_a_resume(
    unwritable: tuple[Any, Any, Held, Unwritable],
) -> None:
    bench, running, plugin, faults = unwritable
    running.control.aim(TargetState.PAUSED)
    faults.tried(3)
    plugin.raises = ValueError("the moon is full")
    plugin.let_go.set()
    faults.tried(3)
    faults.away = False
    bench.until(lambda: bench.states() == [State.RUNNING, State.FAILED])
    assert "the moon is full" in bench.trace()
    assert bench.log() == ["1", "2"]


class Fickle(Control):
    """Its operator pauses it again the moment it is resumed, once."""

    again = True

    def wait_while_paused(self) -> None:
        super().wait_while_paused()
        if self.again and not self.stopping:
            self.again = False
            self.aim(TargetState.PAUSED)


def test_a_task_that_is_resumed_and_paused_at_once_tells_both() -> None:
    bench, control = task_bench.Bench(), Fickle()
    running = task_bench.Running(SourceTaskLoop(bench.source_parts(Counting, control=control)), control)
    try:
        bench.until(lambda: bench.states() == [State.RUNNING])
        control.aim(TargetState.PAUSED)
        bench.until(lambda: bench.states()[-1] is State.PAUSED)
        control.aim(TargetState.STARTED)
        bench.until(lambda: len(bench.states()) == 4)
        control.aim(TargetState.STARTED)
        bench.until(lambda: len(bench.states()) == 5)
    finally:
        running.stop()
        bench.close()
    assert bench.states() == [*[State.RUNNING, State.PAUSED] * 2, State.RUNNING, State.UNASSIGNED]
