"""Whatever happens to a task, in whatever order: exactly-once loses and repeats no row, at-least-once loses none."""

import importlib.util
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millstream.errors import BrokerError, RetriableError
from millstream.identity import State, TargetState
from millstream.task.control import Control
from millstream.task.events import StateChanged
from millstream.task.sink import SinkTaskLoop
from millstream.task.source import SourceTaskLoop
from millstream_api import SinkBatch, SinkTask, SourceBatch, SourceRecord, SourceTask, TopicPartition

spec = importlib.util.spec_from_file_location("task_bench", Path(__file__).with_name("task_bench.py"))
assert spec is not None
assert spec.loader is not None
task_bench = sys.modules.get("task_bench") or importlib.util.module_from_spec(spec)
if "task_bench" not in sys.modules:
    sys.modules["task_bench"] = task_bench
    spec.loader.exec_module(task_bench)

Bench, HastyControl = task_bench.Bench, task_bench.HastyControl
FULL = BrokerError("the disk is full", retriable=True)
GONE = BrokerError("the file is gone")
FIRST = TopicPartition("data", 0)
PARTITIONS = [{"file": "a"}, {"file": "b"}]

# What happens at each poll of a source. Several faults may be armed for the same poll.
SOURCE_STEPS = st.one_of(
    st.tuples(st.just("rows"), st.integers(1, 8)),
    st.tuples(st.just("batch"), st.integers(1, 8)),
    st.tuples(
        st.sampled_from(["drop", "bad", "big", "empty", "retriable", "raise", "pause", "stop", "cancel", "fail"])
    ),
    st.tuples(
        st.just("fault"),
        st.sampled_from(["begin", "send", "send:after", "commit", "commit:after", "poll", "flush"]),
        st.booleans(),
        st.integers(1, 3),
    ),
    st.tuples(st.just("answer"), st.sampled_from(["error", "silent"])),
)


class World:
    """The outside: two endless files of numbers, and what is to happen next. It survives the task."""

    def __init__(self, steps: Sequence[tuple[Any, ...]], exactly: bool, overlapped: bool) -> None:
        self.bench = Bench(overlapped=overlapped)
        self.steps = list(steps)
        self.exactly = exactly
        self.faults: dict[str, tuple[Exception, int]] = {}
        self.spoilt: dict[str, str] = {}  # value -> what it is the first time it is read
        self.control: Control = HastyControl()
        self.bench.on_event = self.hear

    def hear(self, event: Any) -> None:
        if isinstance(event, StateChanged) and event.state is State.PAUSED:
            self.control.aim(TargetState.STARTED)

    def fault(self, name: str) -> Exception | None:
        error, left = self.faults.get(name, (None, 0))
        if error is None:
            return None
        if left == 1:
            del self.faults[name]
        else:
            self.faults[name] = (error, left - 1)
        return error

    def run(self) -> None:
        """Start a task again and again until nothing is left to happen, and let the last one end well."""
        while self.steps:
            self.once()
        self.faults.clear()
        self.bench.store.answers.clear()
        self.once()
        assert self.bench.states()[-1] is State.UNASSIGNED, self.bench.trace()

    def once(self) -> None:
        self.control = HastyControl()
        parts = self.bench.source_parts(
            lambda context: Files(context, self),
            control=self.control,
            exactly=self.exactly,
            faults=self.fault,
            settings={"offset_flush_interval_ms": 0, "offset_flush_timeout_ms": 20},
        )
        SourceTaskLoop(parts).run()


class Files(SourceTask[Any]):
    """Reads on where its offsets say."""

    def __init__(self, context: Any, world: World) -> None:
        self.context = context
        self.world = world
        stored = self.context.offsets(PARTITIONS)
        self.next = [0 if offset is None else int(offset["position"]) for offset in stored]
        self.turn = 0

    def poll(self) -> Any:
        world = self.world
        if not world.steps:
            world.control.stop()
            return []
        name, *arguments = world.steps.pop(0)
        return getattr(self, f"do_{name}")(*arguments)

    def rows(self, count: int) -> list[SourceRecord]:
        made = []
        for _ in range(count):
            self.turn += 1
            file = self.turn % 2
            value = f"{'ab'[file]}{self.next[file]}"
            self.next[file] += 1
            text = self.world.spoilt.pop(value, value)
            made.append(SourceRecord("data", text, PARTITIONS[file], {"position": self.next[file]}))
        return made

    def do_rows(self, count: int) -> Any:
        return self.rows(count)

    def do_batch(self, count: int) -> Any:
        first = self.next[0]
        self.next[0] += count
        values = [f"a{first + at}" for at in range(count)]
        return [SourceBatch("data", None, values, PARTITIONS[0], lambda row: {"position": first + row + 1})]

    def spoil(self, kind: str) -> Any:
        """The record after the next two is bad once; read again it is fine."""
        self.world.spoilt[f"a{self.next[0] + 1}"] = kind
        return self.rows(5)

    def do_bad(self) -> Any:
        return self.spoil(task_bench.BAD)

    def do_big(self) -> Any:
        return self.spoil(task_bench.BIG)

    def do_drop(self) -> Any:
        return [SourceRecord("data", "drop", PARTITIONS[0], {"position": self.next[0] + 1000}), *self.rows(1)]

    def do_empty(self) -> Any:
        return []

    def do_retriable(self) -> Any:
        raise RetriableError("away")

    def do_raise(self) -> Any:
        raise ValueError("the parser broke")

    def do_pause(self) -> Any:
        self.world.control.aim(TargetState.PAUSED)
        return self.rows(2)

    def do_stop(self) -> Any:
        self.world.control.stop()
        return self.rows(2)

    def do_cancel(self) -> Any:
        self.world.control.cancel()
        return self.rows(2)

    def do_fail(self) -> Any:
        self.context.fail(OSError("the socket broke"))
        return self.rows(2)

    def do_fault(self, method: str, retriable: bool, times: int) -> Any:
        if method.endswith(":after") and retriable:
            method = method.removesuffix(":after")  # a port that succeeded does not say "try again"
        self.world.faults[method] = (FULL if retriable else GONE, times)
        return self.rows(4)

    def do_answer(self, answer: str) -> Any:
        self.world.bench.store.answers.append(OSError("the worker is busy") if answer == "error" else "silent")
        return self.rows(2)


def outcome(
    steps: Sequence[tuple[Any, ...]], exactly: bool, overlapped: bool = False
) -> tuple[list[str], dict[str, int]]:
    world = World(steps, exactly, overlapped)
    try:
        world.run()
        stored = {json.loads(key)["file"]: offset["position"] for key, offset in world.bench.stored().items()}
        return world.bench.log(), stored
    finally:
        world.bench.close()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("overlapped", [False, True], ids=["commits in turn", "commits overlapped"])
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(SOURCE_STEPS, max_size=14))
def test_exactly_once_neither_loses_nor_repeats_a_row_and_keeps_their_order(
    overlapped: bool, steps: Sequence[tuple[Any, ...]]
) -> None:
    log, stored = outcome(steps, exactly=True, overlapped=overlapped)
    for file in "ab":
        assert [value for value in log if value[0] == file] == [f"{file}{at}" for at in range(stored.get(file, 0))]


@pytest.mark.timeout(180)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(SOURCE_STEPS, max_size=14))
def test_at_least_once_loses_no_row_that_its_offsets_have_passed(steps: Sequence[tuple[Any, ...]]) -> None:
    log, stored = outcome(steps, exactly=False)
    for file in "ab":
        written = {int(value[1:]) for value in log if value[0] == file}
        assert set(range(stored.get(file, 0))) <= written


SINK_STEPS = st.one_of(
    st.tuples(st.just("rows"), st.integers(1, 6)),
    st.tuples(
        st.sampled_from(["drop", "retriable", "raise", "pause", "stop", "cancel", "fail", "flush", "request", "back"])
    ),
    st.tuples(
        st.just("fault"), st.sampled_from(["poll", "commit", "commit_now", "seek"]), st.booleans(), st.integers(1, 2)
    ),
    st.tuples(st.just("answer"), st.integers(0, 3)),
)


class Outside:
    """What a sink writes to: what is put is durable with the next pre_commit alone."""

    def __init__(self, steps: Sequence[tuple[Any, ...]], interval_ms: int) -> None:
        self.bench = Bench()
        self.steps = list(steps)
        self.interval_ms = interval_ms
        self.produced = 0
        self.durable: set[int] = set()
        self.faults: dict[str, tuple[Exception, int]] = {}
        self.control: Control = HastyControl()
        self.bench.on_event = self.hear
        self.flush_fails = False
        self.behind = 0

    hear = World.hear
    fault = World.fault

    def produce(self, count: int, drop: bool = False) -> None:
        numbers = range(self.produced, self.produced + count)
        self.bench.produce([f"drop{number}" if drop else str(number) for number in numbers])
        if drop:
            self.durable.update(numbers)
        self.produced += count

    def run(self) -> None:
        self.produce(1)
        while self.steps:
            self.once()
            self.check()
        self.faults.clear()
        self.flush_fails, self.behind = False, 0
        self.once()
        self.check()
        assert self.bench.states()[-1] is State.UNASSIGNED, self.bench.trace()
        assert self.durable == set(range(self.produced))
        assert self.bench.committed() == self.produced

    def once(self) -> None:
        self.control = HastyControl()
        parts = self.bench.sink_parts(
            lambda context: Table(context, self),
            control=self.control,
            faults=self.fault,
            settings={"max_poll_rows": 4, "offset_flush_interval_ms": self.interval_ms},
        )
        SinkTaskLoop(parts).run()

    def check(self) -> None:
        """Nothing behind the committed position is missing outside."""
        assert set(range(self.bench.committed() or 0)) <= self.durable


class Table(SinkTask[Any]):
    def __init__(self, context: Any, outside: Outside) -> None:
        self.context = context
        self.outside = outside
        self.put_since: set[int] = set()
        self.idle = 0
        self.context.retry_in(0.001)

    def put(self, batch: SinkBatch) -> None:
        outside = self.outside
        outside.check()
        self.context.retry_in(0.001)
        step = outside.steps.pop(0) if outside.steps else None
        if step is not None:
            name, *arguments = step
            getattr(self, f"do_{name}")(*arguments)
        self.put_since.update(int(record.value) for record in batch)
        self.idle = 0 if len(batch) or step else self.idle + 1
        if self.idle == 3:
            outside.control.stop()

    def pre_commit(self, offsets: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
        if self.outside.flush_fails:
            self.outside.flush_fails = False
            self.put_since.clear()  # what was not durable is lost, and has to be put again
            raise OSError("fsync failed")
        self.outside.durable |= self.put_since
        behind, self.outside.behind = self.outside.behind, 0
        return {partition: offset - behind for partition, offset in offsets.items()}

    def do_rows(self, count: int) -> None:
        self.outside.produce(count)

    def do_drop(self) -> None:
        self.outside.produce(2, drop=True)

    def do_retriable(self) -> None:
        raise RetriableError("away")

    def do_raise(self) -> None:
        raise ValueError("no such column")

    def do_pause(self) -> None:
        self.outside.control.aim(TargetState.PAUSED)

    def do_stop(self) -> None:
        self.outside.control.stop()

    def do_cancel(self) -> None:
        self.outside.control.cancel()

    def do_fail(self) -> None:
        self.context.fail(OSError("the pool broke"))

    def do_flush(self) -> None:
        self.outside.flush_fails = True

    def do_request(self) -> None:
        self.context.request_commit()

    def do_back(self) -> None:
        self.context.seek({FIRST: self.outside.bench.committed() or 0})

    def do_fault(self, method: str, retriable: bool, times: int) -> None:
        self.outside.faults[method] = (FULL if retriable else GONE, times)

    def do_answer(self, behind: int) -> None:
        self.outside.behind = behind


@pytest.mark.timeout(180)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(SINK_STEPS, max_size=14), st.sampled_from([0, 60_000]))
def test_a_sink_never_commits_what_is_not_durable_and_gets_every_row(
    steps: Sequence[tuple[Any, ...]], interval_ms: int
) -> None:
    outside = Outside(steps, interval_ms)
    try:
        outside.run()
    finally:
        outside.bench.close()
