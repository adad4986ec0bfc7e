"""The loop of a sink task: deliveries, redelivery, commits, rebalances, states."""

import importlib.util
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from millstream.broker.ports import Incoming
from millstream.errors import BrokerError, IllegalStateError, RetriableError, UnknownTopicError
from millstream.identity import State, TargetState
from millstream.lifecycle import ManualClock
from millstream.task.control import Control
from millstream.task.errants import Errants
from millstream.task.events import Counted
from millstream.task.sink import SinkTaskLoop, without
from millstream_api import RecordBatch, SinkBatch, SinkTask, TopicPartition

spec = importlib.util.spec_from_file_location("task_bench", Path(__file__).with_name("task_bench.py"))
assert spec is not None
assert spec.loader is not None
task_bench = sys.modules.get("task_bench") or importlib.util.module_from_spec(spec)
if "task_bench" not in sys.modules:
    sys.modules["task_bench"] = task_bench
    spec.loader.exec_module(task_bench)

Bench, HastyControl, Running = task_bench.Bench, task_bench.HastyControl, task_bench.Running
FIRST = TopicPartition("data", 0)
SECOND = TopicPartition("data", 1)


@pytest.fixture
def bench() -> Iterator[Any]:
    bench = Bench()
    yield bench
    bench.close()


class Keeping(SinkTask[Any]):
    """Keeps what it is given, and stops itself at its `turns`-th put."""

    turns = 3

    def __init__(self, context: Any, control: Control) -> None:
        self.context = context
        self.control = control
        self.puts: list[list[str]] = []
        self.calls: list[Any] = []

    def start(self) -> None:
        self.calls.append("start")

    def open(self, partitions: frozenset[TopicPartition]) -> None:
        self.calls.append(("open", sorted(partitions)))

    def put(self, batch: SinkBatch) -> None:
        self.puts.append([record.value for record in batch])
        if len(self.puts) >= self.turns:
            self.control.stop()
        self.take(batch)

    def take(self, batch: SinkBatch) -> None: ...

    def close(self, partitions: frozenset[TopicPartition]) -> None:
        self.calls.append(("close", sorted(partitions)))

    def stop(self) -> None:
        self.calls.append("stop")


def run(bench: Any, kind: type[Keeping] = Keeping, **changes: Any) -> Keeping:
    control = changes.pop("control", None) or HastyControl()
    made: list[Keeping] = []

    def plugin(context: Any) -> Keeping:
        made.append(kind(context, control))
        return made[0]

    SinkTaskLoop(bench.sink_parts(plugin, control=control, **changes)).run()
    return made[0]


def numbers(bench: Any) -> Mapping[str, Any]:
    values: Mapping[str, Any] = [event for event in bench.told if isinstance(event, Counted)][-1].values
    return values


def test_rows_are_put_committed_and_the_task_is_opened_closed_and_stopped_in_order(bench: Any) -> None:
    bench.produce(["a", "b", "drop", "c", "drop"])
    task = run(bench)
    assert task.puts == [["a", "b", "c"], [], []]
    assert task.calls == ["start", ("open", [FIRST]), ("close", [FIRST]), "stop"]
    assert bench.committed() == 5
    assert bench.states() == [State.RUNNING, State.UNASSIGNED]
    assert bench.topics_seen() == ["data"]
    values = numbers(bench)
    assert values["sink-record-read-total"] == 5
    assert values["sink-record-send-total"] == 3
    assert values["sink-record-active-count"] == 0
    assert values["partition-count"] == 1


def test_a_restarted_task_goes_on_behind_what_was_committed(bench: Any) -> None:
    bench.produce(["a", "b"])
    run(bench)
    bench.produce(["c"])
    assert run(bench).puts[0] == ["c"]


def test_topics_are_taken_by_pattern_and_a_poll_is_no_longer_than_allowed(bench: Any) -> None:
    bench.produce(["a", "b", "c"])
    bench.produce(["x"], "database")
    bench.produce(["y"], "other")
    task = run(bench, settings={"topics": None, "pattern": re.compile("data.*"), "max_poll_rows": 2})
    assert sorted(value for put in task.puts for value in put) == ["a", "b", "c", "x"]
    assert max(map(len, task.puts)) == 2
    assert sorted(bench.topics_seen()) == ["data", "database"]


def test_put_that_is_retriable_gets_the_same_batch_again_and_nothing_else_meanwhile(bench: Any) -> None:
    batches: list[SinkBatch] = []

    class Busy(Keeping):
        turns = 5

        def take(self, batch: SinkBatch) -> None:
            batches.append(batch)
            if len(self.puts) <= 3:
                bench.produce([f"new{len(self.puts)}"])
                self.context.retry_in(0.001)
                raise RetriableError("the database is away")

    bench.produce(["a", "b"])
    task = run(bench, Busy)
    assert task.puts == [["a", "b"]] * 4 + [["new1", "new2", "new3"]]
    assert all(batch is batches[0] for batch in batches[:4])
    assert bench.committed() == 5


def test_a_stop_during_redelivery_commits_nothing_of_the_batch(bench: Any) -> None:
    class Away(Keeping):
        def take(self, batch: SinkBatch) -> None:
            raise RetriableError("away")

    bench.produce(["a"])
    run(bench, Away)
    assert bench.committed() in (None, 0)
    assert bench.states() == [State.RUNNING, State.UNASSIGNED]
    assert run(bench).puts[0] == ["a"]


def test_any_other_error_of_put_fails_the_task_in_connects_words(bench: Any) -> None:
    class Broken(Keeping):
        def take(self, batch: SinkBatch) -> None:
            if len(batch) and batch[0].value == "c":
                raise ValueError("column 'price' is missing")

    bench.produce(["a", "b"])
    bench.produce(["c"])
    task = run(bench, Broken, settings={"max_poll_rows": 2})
    assert bench.states() == [State.RUNNING, State.FAILED]
    assert "Exiting WorkerSinkTask due to unrecoverable exception." in bench.trace()
    assert "Caused by: ValueError: column 'price' is missing" in bench.trace()
    assert bench.committed() == 2
    assert task.calls[-2:] == [("close", [FIRST]), "stop"]


def test_a_record_that_cannot_be_read_fails_the_task_and_nothing_of_its_poll_is_put(bench: Any) -> None:
    bench.produce(["a", "bad", "c"])
    task = run(bench)
    assert task.puts == []
    assert bench.states() == [State.RUNNING, State.FAILED]
    assert bench.committed() in (None, 0)


def test_a_failing_start_fails_the_task_and_stops_it(bench: Any) -> None:
    class Broken(Keeping):
        def start(self) -> None:
            raise SystemExit("no driver")

    task = run(bench, Broken)
    assert bench.states() == [State.FAILED]
    assert "SystemExit: no driver" in bench.trace()
    assert task.calls == ["stop"]


def test_a_failing_open_fails_the_task(bench: Any) -> None:
    class Closed(Keeping):
        def open(self, partitions: frozenset[TopicPartition]) -> None:
            raise OSError("cannot open the file")

    bench.produce(["a"])
    task = run(bench, Closed)
    assert bench.states() == [State.RUNNING, State.FAILED]
    assert bench.trace().startswith("OSError: cannot open the file")
    assert task.puts == []


def test_a_seek_from_open_is_done_before_the_first_row_is_read(bench: Any) -> None:
    class Resuming(Keeping):
        def open(self, partitions: frozenset[TopicPartition]) -> None:
            self.context.seek({FIRST: 2})

    bench.produce(["a", "b", "c"])
    assert run(bench, Resuming).puts[0] == ["c"]
    assert bench.committed() == 3


def test_a_seek_goes_back_and_counts_as_committed(bench: Any) -> None:
    class Again(Keeping):
        def take(self, batch: SinkBatch) -> None:
            if len(self.puts) == 1:
                self.context.seek({FIRST: 1})

    bench.produce(["a", "b"])
    assert run(bench, Again).puts[:2] == [["a", "b"], ["b"]]


@pytest.mark.parametrize("method", ["seek", "pause", "resume"])
def test_partitions_of_others_are_refused_by_name(bench: Any, method: str) -> None:
    class Lost(Keeping):
        def take(self, batch: SinkBatch) -> None:
            if method == "seek":
                self.context.seek({TopicPartition("data", 7): 0})
            else:
                getattr(self.context, method)(TopicPartition("data", 7))

    bench.produce(["a"])
    run(bench, Lost)
    assert "data-7" in bench.trace()
    assert "context.assignment() has those that are" in bench.trace()


def test_paused_partitions_give_nothing_until_resumed(bench: Any) -> None:
    class Steering(Keeping):
        turns = 4

        def take(self, batch: SinkBatch) -> None:
            if len(self.puts) == 1:
                assert self.context.assignment() == {FIRST}
                self.context.pause(FIRST)
                bench.produce(["b"])
            if len(self.puts) == 3:
                self.context.resume(FIRST)

    bench.produce(["a"])
    assert run(bench, Steering).puts == [["a"], [], [], ["b"]]


def test_a_paused_task_is_put_nothing_but_empty_batches_and_has_committed(bench: Any) -> None:
    control = Control()

    class Slow(Keeping):
        turns = 10**9

    made: list[Keeping] = []

    def plugin(context: Any) -> Keeping:
        made.append(Slow(context, control))
        return made[0]

    bench.produce(["a"])
    settings = {"offset_flush_interval_ms": 20}
    running = Running(SinkTaskLoop(bench.sink_parts(plugin, control=control, settings=settings)), control)
    task_bench.eventually(lambda: bool(made and made[0].puts))
    control.aim(TargetState.PAUSED)
    bench.until(lambda: State.PAUSED in bench.states())
    task_bench.eventually(lambda: bench.committed() == 1)
    bench.produce(["b"])
    count = len(made[0].puts)
    task_bench.eventually(lambda: len(made[0].puts) > count + 2)
    assert not any(made[0].puts[count:])
    control.aim(TargetState.STARTED)
    task_bench.eventually(lambda: ["b"] in made[0].puts)
    running.stop()
    assert bench.states() == [State.RUNNING, State.PAUSED, State.RUNNING, State.UNASSIGNED]
    assert bench.committed() == 2


def test_a_stop_wakes_a_poll_that_waits_for_rows(bench: Any) -> None:
    control = Control()

    class Idle(Keeping):
        turns = 10**9

    settings = {"offset_flush_interval_ms": 600_000}
    loop = SinkTaskLoop(bench.sink_parts(lambda context: Idle(context, control), control=control, settings=settings))
    running = Running(loop, control)
    bench.until(lambda: bench.states() == [State.RUNNING])
    running.stop()
    assert bench.states() == [State.RUNNING, State.UNASSIGNED]


def test_a_cancelled_task_commits_nothing_and_tells_nothing(bench: Any) -> None:
    class Cancelled(Keeping):
        def take(self, batch: SinkBatch) -> None:
            self.control.cancel()

        def pre_commit(self, offsets: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
            self.calls.append("pre_commit")
            return offsets

    bench.produce(["a"])
    task = run(bench, Cancelled, settings={"offset_flush_interval_ms": 60_000})
    assert bench.committed() in (None, 0)
    assert bench.states() == [State.RUNNING]
    assert task.calls == ["start", ("open", [FIRST]), ("close", [FIRST]), "stop"]


def answering(answer: Callable[[Mapping[TopicPartition, int]], Any]) -> type[Keeping]:
    class Answering(Keeping):
        def pre_commit(self, offsets: Mapping[TopicPartition, int]) -> Any:
            self.calls.append(("pre_commit", dict(offsets)))
            return answer(offsets)

    return Answering


@pytest.mark.parametrize(
    ("answer", "committed", "said"),
    [
        (lambda offsets: {FIRST: 1}, 1, ""),
        (lambda offsets: {}, None, ""),
        (lambda offsets: None, None, "Answering gave None, so that nothing is committed, and all is read again after"),
        (lambda offsets: {FIRST: 99}, None, "pre_commit gave 99 for"),
        (lambda offsets: {FIRST: -1}, None, "it can be a whole number from 0 to 2"),
        (lambda offsets: {FIRST: "2"}, None, "pre_commit gave '2' for"),
        (lambda offsets: {SECOND: 1}, None, "not among the partitions it was asked for"),
        (lambda offsets: {SECOND: 1, FIRST: 2}, 2, "not among the partitions it was asked for"),
    ],
)
def test_what_pre_commit_answers_is_believed_within_bounds(
    bench: Any, answer: Any, committed: int | None, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    bench.produce(["a", "b"])
    run(bench, answering(answer))
    assert bench.committed() == committed
    assert said in caplog.text


def test_a_pre_commit_that_gives_no_mapping_fails_the_task(bench: Any) -> None:
    bench.produce(["a"])
    run(bench, answering(lambda offsets: 5))
    assert (
        "pre_commit of answering.<locals>.Answering gave 'int'; it must give a mapping of partition to offset: those it"
        " was given, or fewer, or {}"
    ) in bench.trace()


def test_a_pre_commit_that_raises_rewinds_to_what_is_committed(bench: Any, caplog: pytest.LogCaptureFixture) -> None:
    left = [OSError("fsync failed")]

    def answer(offsets: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
        if offsets[FIRST] and left:
            raise left.pop()
        return offsets

    bench.produce(["a", "b"])
    task = run(bench, answering(answer))
    assert task.puts == [["a", "b"], ["a", "b"], []]
    assert bench.committed() == 2
    assert "rewinding to the last committed offsets" in caplog.text


def test_rows_that_wait_to_be_put_again_do_not_overtake_those_a_failed_pre_commit_lost(bench: Any) -> None:
    left = [OSError("fsync failed")]

    class Losing(Keeping):
        turns = 3

        def take(self, batch: SinkBatch) -> None:
            if self.puts == [["a", "b"]]:
                bench.produce(["c"])
            elif left and len(batch):
                self.context.retry_in(0.001)
                self.context.request_commit()
                raise RetriableError("the database is away")

        def pre_commit(self, offsets: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
            if offsets[FIRST] and left:
                raise left.pop()
            return offsets

    bench.produce(["a", "b"])
    task = run(bench, Losing, settings={"offset_flush_interval_ms": 60_000})
    assert task.puts[:3] == [["a", "b"], ["c"], ["a", "b", "c"]]
    assert bench.committed() == 3


def test_a_rewind_that_fails_commits_nothing_that_pre_commit_could_not_keep(bench: Any) -> None:
    left = [OSError("fsync failed")]

    def answer(offsets: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
        if offsets[FIRST] and left:
            raise left.pop()
        return offsets

    def faults(name: str) -> Exception | None:
        return BrokerError("the log is gone") if name == "seek" else None

    bench.produce(["a", "b"])
    run(bench, answering(answer), faults=faults)
    assert bench.states()[-1] is State.FAILED
    assert bench.committed() in (None, 0)


def test_a_pre_commit_that_raises_at_the_end_still_closes_and_commits_nothing(bench: Any) -> None:
    def answer(offsets: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
        raise OSError("fsync failed")

    class Once(answering(answer)):  # type: ignore[misc]
        turns = 1

    bench.produce(["a"])
    task = run(bench, Once, settings={"offset_flush_interval_ms": 60_000})
    assert task.calls[-2:] == [("close", [FIRST]), "stop"]
    assert bench.committed() is None
    assert bench.states() == [State.RUNNING, State.UNASSIGNED]


def test_a_commit_is_made_at_the_interval_on_request_and_only_when_something_changed(bench: Any) -> None:
    clock = ManualClock()
    commits: list[Any] = []

    class Asking(Keeping):
        turns = 6

        def take(self, batch: SinkBatch) -> None:
            commits.append(bench.committed())
            if len(self.puts) == 2:
                bench.produce(["b"])
                self.context.request_commit()
            if len(self.puts) == 4:
                clock.advance(11)
            self.context.retry_in(0.001)

    bench.produce(["a"])
    run(bench, Asking, clock=clock, settings={"offset_flush_interval_ms": 10_000})
    assert commits == [None, None, 1, 1, 2, 2]
    assert numbers(bench)["offset-commit-completion-total"] >= 3


def test_an_answer_to_a_commit_that_came_too_late_is_skipped(bench: Any, caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    late: list[Callable[[Exception | None], None]] = []

    class Slow:
        """A consumer that answers a commit only when it is told to."""

        def __init__(self, consumer: Any) -> None:
            self.consumer = consumer

        def __getattr__(self, name: str) -> Any:
            return getattr(self.consumer, name)

        def commit(self, offsets: Any, done: Any) -> None:
            late.append(done)

    class Waiting(Keeping):
        turns = 4

        def take(self, batch: SinkBatch) -> None:
            clock.advance(4)
            if len(self.puts) == 3:
                late[0](None)
            self.context.retry_in(0.001)

    bench.produce(["a"])
    control = HastyControl()
    parts = bench.sink_parts(
        lambda context: Waiting(context, control),
        control=control,
        clock=clock,
        settings={"offset_flush_interval_ms": 1_000, "offset_flush_timeout_ms": 3_000},
    )
    changed = {name: getattr(parts, name) for name in parts.__slots__} | {"consumer": Slow(parts.consumer)}
    SinkTaskLoop(type(parts)(**changed)).run()
    assert caplog.text.count("was not answered within 3000 ms (offset.flush.timeout.ms)") == 1
    assert numbers(bench)["offset-commit-skip-total"] == 1


def test_a_commit_that_fails_is_logged_and_made_again(bench: Any, caplog: pytest.LogCaptureFixture) -> None:
    left = [BrokerError("the disk is full", retriable=True)]

    def faults(name: str) -> Exception | None:
        return left.pop() if name == "commit" and left else None

    bench.produce(["a"])
    run(bench, faults=faults)
    assert bench.committed() == 1
    assert "Commit of offsets failed; the next one includes it" in caplog.text


def test_a_commit_that_fails_for_a_topic_that_is_gone_is_no_error_of_the_task(
    bench: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Its consumer says that the topic is gone, or another one in the same name."""
    left = [UnknownTopicError("committing positions: of t: deleted, and made anew or not yet; not committed")]

    def faults(name: str) -> Exception | None:
        return left.pop() if name == "commit" and left else None

    bench.produce(["a"])
    run(bench, faults=faults)
    assert not left
    assert bench.committed() == 1
    assert "Commit of offsets failed" not in caplog.text


def test_a_full_disk_is_said_once_although_each_commit_fails(bench: Any, caplog: pytest.LogCaptureFixture) -> None:
    failed: list[str] = []

    def faults(name: str) -> Exception | None:
        if name != "commit":
            return None
        failed.append(name)
        return BrokerError("the disk is full", retriable=True)

    bench.produce(["a", "b", "c", "d"])
    run(bench, faults=faults, settings={"offset_flush_interval_ms": 0})
    assert len(failed) > 1
    assert caplog.text.count("the disk is full") == 1


def test_a_log_that_is_away_for_a_while_is_read_again_and_any_other_error_fails(bench: Any) -> None:
    errors: list[Exception] = [BrokerError("the log is busy", retriable=True)]

    def faults(name: str) -> Exception | None:
        return errors.pop() if name == "poll" and errors else None

    bench.produce(["a"])
    assert ["a"] in run(bench, faults=faults).puts
    errors.append(BrokerError("the log is corrupt"))
    run(bench, faults=faults)
    assert bench.states()[-1] is State.FAILED
    assert "the log is corrupt" in bench.trace()


class Moving:
    """A consumer whose partitions come and go as a test wants; each step is run inside a poll."""

    def __init__(self, *steps: Callable[["Moving"], Sequence[Incoming]]) -> None:
        self.steps = list(steps)
        self.listener: Any = None
        self.positions = {FIRST: 0, SECOND: 0}
        self.committed: list[Mapping[TopicPartition, int]] = []
        self.paused: set[TopicPartition] = set()

    def subscribe(self, topics: Any, pattern: Any, listener: Any) -> None:
        self.listener = listener

    def poll(self, max_rows: int, timeout: float) -> Sequence[Incoming]:
        return self.steps.pop(0)(self) if self.steps else ()

    def position(self, partition: TopicPartition) -> int:
        return self.positions[partition]

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.positions[partition] = offset

    def pause(self, partitions: Any) -> None:
        self.paused.update(partitions)

    def resume(self, partitions: Any) -> None:
        self.paused.difference_update(partitions)

    def commit(self, offsets: Any, done: Any) -> None:
        self.commit_now(offsets)
        done(None)

    def commit_now(self, offsets: Any) -> None:
        self.committed.append(dict(offsets))

    def wakeup(self) -> None: ...

    def close(self) -> None: ...


def rows(*values: str, partition: int = 0, start: int = 0) -> Incoming:
    offsets = range(start, start + len(values))
    return Incoming("data", partition, offsets, [value.encode() for value in values], [0] * len(values))


def moving(bench: Any, consumer: Moving, kind: type[Keeping] = Keeping) -> Keeping:
    control = HastyControl()
    made: list[Keeping] = []

    def plugin(context: Any) -> Keeping:
        made.append(kind(context, control))
        return made[0]

    parts = bench.sink_parts(plugin, control=control, settings={"offset_flush_interval_ms": 60_000})
    parts.consumer.close()
    changed = {name: getattr(parts, name) for name in parts.__slots__} | {"consumer": consumer}
    SinkTaskLoop(type(parts)(**changed)).run()
    return made[0]


def assign(*partitions: TopicPartition, give: Sequence[Incoming] = ()) -> Callable[[Moving], Sequence[Incoming]]:
    def step(consumer: Moving) -> Sequence[Incoming]:
        consumer.listener.assigned(partitions)
        return give

    return step


def test_revoked_partitions_are_committed_and_closed_and_the_others_stay(bench: Any) -> None:
    def revoke(consumer: Moving) -> Sequence[Incoming]:
        consumer.listener.revoked([SECOND])
        return [rows("c", start=1)]

    both = [rows("a"), rows("b", partition=1)]
    consumer = Moving(assign(FIRST, SECOND, give=both), revoke)
    task = moving(bench, consumer)
    assert task.puts[:2] == [["a", "b"], ["c"]]
    assert task.calls == [
        "start",
        ("open", [FIRST, SECOND]),
        ("close", [SECOND]),
        ("close", [FIRST]),
        "stop",
    ]
    assert consumer.committed == [{SECOND: 1}, {FIRST: 2}]


def test_lost_partitions_are_closed_without_a_commit(bench: Any) -> None:
    def lose(consumer: Moving) -> Sequence[Incoming]:
        consumer.listener.lost([FIRST])
        return ()

    consumer = Moving(assign(FIRST, give=[rows("a")]), lose)
    task = moving(bench, consumer)
    assert task.calls == ["start", ("open", [FIRST]), ("close", [FIRST]), "stop"]
    assert consumer.committed == []


def test_rows_of_partitions_that_went_are_not_delivered_again(bench: Any) -> None:
    class Away(Keeping):
        turns = 3

        def take(self, batch: SinkBatch) -> None:
            if len(self.puts) < 3:
                raise RetriableError("away")

    def revoke(consumer: Moving) -> Sequence[Incoming]:
        assert consumer.paused == {FIRST, SECOND}
        consumer.listener.revoked([SECOND])
        return ()

    both = [rows("a", "b"), rows("x", partition=1)]
    consumer = Moving(assign(FIRST, SECOND, give=both), revoke)
    task = moving(bench, consumer, Away)
    assert task.puts == [["a", "b", "x"], ["a", "b"], ["a", "b"]]
    assert consumer.committed == [{FIRST: 2}], "the redelivered rows of the partition that went were never put"


def test_what_a_callback_raises_fails_the_task_behind_the_poll(bench: Any) -> None:
    class Stuck(Keeping):
        def close(self, partitions: frozenset[TopicPartition]) -> None:
            raise OSError("cannot close")

    def revoke(consumer: Moving) -> Sequence[Incoming]:
        consumer.listener.revoked([FIRST])
        return ()

    moving(bench, Moving(assign(FIRST), revoke), Stuck)
    assert bench.states() == [State.RUNNING, State.FAILED]
    assert bench.trace().startswith("OSError: cannot close")


def test_a_client_that_gives_rows_of_paused_partitions_is_not_believed(bench: Any) -> None:
    class Away(Keeping):
        def take(self, batch: SinkBatch) -> None:
            raise RetriableError("away")

    consumer = Moving(assign(FIRST, give=[rows("a")]), lambda _: [rows("b", start=1)])
    moving(bench, consumer, Away)
    assert "rows of paused partitions" in bench.trace()


def test_rows_of_some_partitions_are_taken_out_of_a_batch() -> None:
    origins = [
        task_bench.SimpleNamespace(topic="data", partition=number, offset=at) for at, number in enumerate([0, 1, 0])
    ]
    first = RecordBatch("data", None, ["a", "c"], rows=[0, 2])
    second = RecordBatch("data", None, ["b"], rows=[1])
    left = without(SinkBatch([first, second], origins), frozenset({SECOND}))
    assert [(record.value, record.row, record.origin.offset) for record in left] == [("a", 0, 0), ("c", 1, 2)]
    assert not without(left, frozenset({FIRST}))


class Reporting:
    """A pipeline whose reports take a while."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []

    def errant(self, record: Any, error: Exception) -> Sequence[Future[Any]]:
        self.futures.append(Future())
        return self.futures[-1:]


def test_reports_are_awaited_before_a_commit_and_cancelled_with_lost_partitions() -> None:
    pipeline = Reporting()
    errants = Errants(pipeline)  # type: ignore[arg-type]
    record = task_bench.SimpleNamespace(origin=task_bench.SimpleNamespace(topic="data", partition=0))
    errants.report(record, ValueError())
    done = threading.Event()
    threading.Thread(target=lambda: (errants.wait([FIRST]), done.set())).start()
    assert not done.wait(0.02)
    pipeline.futures[0].set_result(None)
    assert done.wait(task_bench.SECONDS)
    errants.report(record, ValueError())
    errants.cancel([FIRST])
    assert pipeline.futures[1].cancelled()
    errants.report(record, ValueError())
    pipeline.futures[2].set_exception(BrokerError("the dead letter queue is full"))
    with pytest.raises(BrokerError, match="the dead letter queue is full"):
        errants.wait([FIRST, SECOND])


def test_a_task_has_a_reporter_only_when_somebody_hears_it(bench: Any) -> None:
    pipeline = task_bench.PlainSinkPipeline()
    assert run(bench, pipeline=pipeline).context.report is None
    pipeline = task_bench.PlainSinkPipeline()
    pipeline.reporter = pipeline.errant

    class Reporter(Keeping):
        def take(self, batch: SinkBatch) -> None:
            for record in batch:
                self.context.report(record, ValueError(record.value))

    bench.produce(["a"])
    run(bench, Reporter, pipeline=pipeline)
    assert [str(error) for error in pipeline.errors] == ["a"]


def test_seeking_is_for_the_tasks_own_partitions_only(bench: Any) -> None:
    with pytest.raises(IllegalStateError, match="pause names partitions that are not assigned to this task: data-0"):
        run(bench).context.pause(FIRST)


def test_what_was_committed_of_a_topic_is_not_kept_for_the_one_made_anew(bench: Any) -> None:
    class OnlySecond(Keeping):
        def pre_commit(self, offsets: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
            return {SECOND: offsets[SECOND]}

    both = [rows("a", start=10), rows("b", partition=1)]
    consumer = Moving(assign(FIRST, SECOND, give=both), lambda _: [rows("n", start=0)])
    consumer.positions[FIRST] = 10
    moving(bench, consumer, OnlySecond)
    assert consumer.committed == [{FIRST: 0, SECOND: 1}]
