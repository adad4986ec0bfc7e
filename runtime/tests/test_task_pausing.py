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
    assert disk.refused.wait(10)
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
        assert disk.refused.wait(10) or running.ended.is_set()
        control.aim(TargetState.PAUSED)
        disk.full = False
        bench.until(lambda: bench.states()[-1] is State.FAILED)
        assert State.PAUSED not in bench.states()
    finally:
        running.stop()
        bench.close()
