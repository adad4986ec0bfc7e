"""The life of a sink task: deliveries, redelivery, states, reports."""

import re
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import pytest
import task_bench
from sink_bench import FIRST, SECOND, Keeping, numbers, run
from task_bench import Running

from millstream.errors import BrokerError, RetriableError
from millstream.identity import State, TargetState
from millstream.task.control import Control
from millstream.task.errants import Errants
from millstream.task.sink import SinkTaskLoop
from millstream_api import SinkBatch, TopicPartition


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


def test_a_pause_commits_though_no_commit_is_due(bench: Any) -> None:
    control = Control()
    made: list[Keeping] = []

    def plugin(context: Any) -> Keeping:
        made.append(Keeping(context, control))
        made[0].turns = 10**9
        return made[0]

    bench.produce(["a"])
    settings = {"offset_flush_interval_ms": 3_600_000}
    running = Running(SinkTaskLoop(bench.sink_parts(plugin, control=control, settings=settings)), control)
    task_bench.eventually(lambda: bool(made) and ["a"] in made[0].puts)
    control.aim(TargetState.PAUSED)
    task_bench.eventually(lambda: bench.committed() == 1)
    running.stop()
    assert bench.states() == [State.RUNNING, State.PAUSED, State.UNASSIGNED]


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
