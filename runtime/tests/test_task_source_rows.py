"""What becomes of the rows of a source task and their offsets: dropped, refused, too large, while the log is away."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import task_bench
from source_bench import (
    BOTH_WAYS,
    FULL_DISK,
    PARTITION,
    Listening,
    Script,
    failing,
    numbers,
    record,
    records,
    run,
    stored,
)
from task_bench import HastyControl, eventually

from millstream.broker.ports import Delivered, NewTopic, Outgoing
from millstream.errors import BrokerError, ConflictError, UnknownTopicError
from millstream.identity import State
from millstream.lifecycle import ManualClock
from millstream.task import submitted
from millstream.task.source import SourceTaskLoop
from millstream_api import Origin, SourceRecord

pytestmark = BOTH_WAYS


def test_dropped_rows_advance_no_offset(bench: Any) -> None:
    run(bench, [records("a", "drop", "b", "drop")])
    assert bench.log() == ["a", "b"]
    assert stored(bench) == {"position": 3}
    values = numbers(bench)
    assert values["source-record-poll-total"] == 4
    assert values["source-record-write-total"] == 2
    assert values["source-record-active-count"] == 0


@pytest.mark.parametrize("exactly", [True, False])
def test_rows_before_a_failing_one_are_written_with_their_offsets(bench: Any, exactly: bool) -> None:
    run(bench, [records("a", "b", "c", "d", "bad", "e")], exactly=exactly)
    assert bench.log() == ["a", "b", "c", "d"]
    assert stored(bench) == {"position": 4}
    assert bench.states() == [State.RUNNING, State.FAILED]
    assert "Tolerance exceeded in error handler" in bench.trace()


@pytest.mark.parametrize("exactly", [True, False])
def test_a_record_that_is_too_large_fails_the_task_with_the_offset_before_it(bench: Any, exactly: bool) -> None:
    run(bench, [records("a", "b"), records("c", "big", "d", "e", start=2)], exactly=exactly)
    assert bench.states() == [State.RUNNING, State.FAILED]
    assert stored(bench) == {"position": 3}
    assert "Unrecoverable exception from producer send callback" in bench.trace()
    assert "RecordTooLargeException" in bench.trace()
    if exactly:
        assert bench.log() == ["a", "b", "c"]
    else:
        assert bench.log()[:3] == ["a", "b", "c"]


@pytest.mark.parametrize("exactly", [True, False])
def test_with_tolerance_all_a_refused_record_is_reported_and_passed_by(bench: Any, exactly: bool) -> None:
    settings = {"tolerate_failures": True}
    task = run(bench, [records("a", "big", "b")], Listening, exactly=exactly, settings=settings, report_each=True)
    assert bench.log() == ["a", "b"]
    assert stored(bench) == {"position": 3}
    assert [value for value, _ in bench.pipeline.refusals] == ["big"]
    assert [(value, written and written.offset) for value, written in task.heard] == [("a", 0), ("big", None), ("b", 1)]
    assert bench.states() == [State.RUNNING, State.UNASSIGNED]


def test_an_abort_that_cannot_reach_the_log_is_tried_again_and_the_rows_are_written_once(bench: Any) -> None:
    due = {"commit": [FULL_DISK], "abort": [FULL_DISK, FULL_DISK]}

    def faults(name: str) -> Exception | None:
        return due[name].pop() if due.get(name) else None

    run(bench, [records("a", "b"), records("c", start=2)], faults=faults, settings={"overlapped": False})
    assert due == {"commit": [], "abort": []}
    assert bench.log() == ["a", "b", "c"]
    assert stored(bench) == {"position": 3}
    assert bench.states() == [State.RUNNING, State.UNASSIGNED]


class Losing:
    """A producer that writes all rows but `lost`, for `error`."""

    def __init__(self, producer: Any, error: Exception) -> None:
        self._producer = producer
        self._error = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    def send(self, batch: Outgoing, done: Callable[[Delivered], None]) -> None:
        refused = {row: self._error for row, value in enumerate(batch.values) if value == b"lost"}
        kept = [row for row in range(len(batch.values)) if row not in refused]
        if batch.topic != "data" or not refused:
            self._producer.send(batch, done)
            return
        self._producer.send(Outgoing(batch.topic, [batch.values[row] for row in kept]), lambda _: None)
        done(Delivered(refused))


@pytest.mark.parametrize("exactly", [True, False])
@pytest.mark.parametrize(
    "error", [BrokerError("the producer is broken"), UnknownTopicError("topic 'data' does not exist")], ids=str
)
def test_tolerance_all_leaves_out_no_record_for_what_hinders_every_record(
    bench: Any, exactly: bool, error: Exception
) -> None:
    control = HastyControl()
    settings = {"tolerate_failures": True, "offset_flush_interval_ms": 0}
    steps = [records("a", "b"), records("c", "lost", "d", start=2), records("e", start=5)]
    parts = bench.source_parts(
        lambda context: Script(context, steps, control), control=control, exactly=exactly, settings=settings
    )
    SourceTaskLoop(replace(parts, producer=Losing(parts.producer, error))).run()
    assert bench.states() == [State.RUNNING, State.FAILED]
    assert str(error) in bench.trace()
    assert stored(bench) == {"position": 3}
    assert bench.pipeline.refusals == []


@pytest.mark.parametrize("exactly", [True, False])
def test_commit_record_is_called_once_a_row_in_poll_order_and_commit_after_it(bench: Any, exactly: bool) -> None:
    polled = [record("a", 1), record("drop", 2), record("b", 3, "other"), record("c", 4)]
    settings = {"offset_flush_interval_ms": 0}
    task = run(bench, [polled], Listening, exactly=exactly, report_each=True, settings=settings)
    assert [value for value, _ in task.heard] == ["a", "drop", "b", "c"]
    assert task.heard[1][1] is None
    assert task.heard[2][1] == Origin("other", 0, 0, "CreateTime")
    assert task.durable == [[(PARTITION, {"position": 4})]]


def test_commit_is_called_once_the_log_is_durable(bench: Any) -> None:
    calls: list[str] = []

    def watch(name: str) -> None:
        calls.append(name)

    class Told(Listening):
        def commit(self, durable: Any) -> None:
            calls.append("told")

    run(bench, [records("a")], Told, faults=watch)
    assert calls.index("commit:after") < calls.index("durable:after") < calls.index("told")


def test_what_commit_and_commit_record_raise_is_logged_and_ignored(
    bench: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Raising(Script):
        def commit(self, durable: Any) -> None:
            raise ValueError("no")

        def commit_record(self, record: Any, written: Any) -> None:
            raise ValueError("no")

    run(bench, [records("a", "b")], Raising)
    assert bench.log() == ["a", "b"]
    assert bench.states() == [State.RUNNING, State.UNASSIGNED]
    assert "commit raised; the offsets stay committed" in caplog.text
    assert "commit_record raised; the record stays written" in caplog.text


@pytest.mark.parametrize(
    ("exactly", "method"),
    [(True, "begin"), (True, "send"), (True, "commit"), (False, "send"), (False, "poll"), (False, "flush")],
)
def test_a_full_disk_is_waited_for_and_nothing_is_skipped(
    bench: Any, exactly: bool, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    control = HastyControl()
    run(bench, [records("a", "b", "c", "d"), records("e", start=4)], exactly=exactly, faults=failing({method: 3}))
    assert control.error is None
    assert bench.log() == ["a", "b", "c", "d", "e"]
    assert bench.states() == [State.RUNNING, State.UNASSIGNED]
    if method == "flush":
        assert caplog.text == "", "all that was out is acknowledged"
    else:
        assert caplog.text.count("Writing to the log: the disk is full. Nothing is skipped") == 1
        assert stored(bench) == {"position": 5}


def test_stored_offsets_that_cannot_be_had_for_a_while_are_waited_for(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, faults = bench.store.rows, failing({"rows": 3})

    def once_it_is_there(offsets: Any) -> Any:
        if (error := faults("rows")) is not None:
            raise error
        return rows(offsets)

    monkeypatch.setattr(bench.store, "rows", once_it_is_there)
    run(bench, [records("a", "b"), records("c", start=2)])
    assert bench.log() == ["a", "b", "c"]
    assert stored(bench) == {"position": 3}
    assert bench.states() == [State.RUNNING, State.UNASSIGNED]


def test_a_stop_while_the_disk_is_full_ends_the_task_and_the_rows_come_again(
    bench: Any, caplog: pytest.LogCaptureFixture
) -> None:
    control = HastyControl()
    count = 0

    def faults(name: str) -> Exception | None:
        nonlocal count
        if name != "commit":
            return None
        count += 1
        if count == 3:
            control.stop()
        return FULL_DISK

    run(bench, [records("a")], control=control, faults=faults)
    assert bench.states() == [State.RUNNING, State.UNASSIGNED]
    assert bench.log() == []
    assert stored(bench) is None
    said = "The task is stopping while the log cannot be written to; what it read last is read again"
    assert caplog.text.count(said) == 1
    run(bench, [records("a")])
    assert bench.log() == ["a"]


def test_a_fenced_producer_fails_the_task_and_its_transaction_is_aborted(bench: Any) -> None:
    error = BrokerError("epoch 3 has been taken over by epoch 4")
    run(bench, [records("a"), records("b", start=1)], faults=failing({"commit": 9}, error))
    assert bench.states() == [State.RUNNING, State.FAILED]
    assert "epoch 3 has been taken over" in bench.trace()
    assert bench.log() == []


def test_a_last_commit_that_fails_too_does_not_hide_what_failed_first(
    bench: Any, caplog: pytest.LogCaptureFixture
) -> None:
    faults = failing({"flush": 1}, BrokerError("the producer is broken"))
    run(bench, [records("a"), ValueError("bad line")], exactly=False, faults=faults)
    assert bench.trace().startswith("ValueError: bad line")
    assert "The last commit of a failing task failed too: the producer is broken" in caplog.text


def test_rows_that_are_not_acknowledged_in_time_are_said_and_sent_again_after_a_restart(
    bench: Any, caplog: pytest.LogCaptureFixture
) -> None:
    control = HastyControl()
    parts = bench.source_parts(lambda context: Script(context, [records("a")], control), control=control, exactly=False)
    lost, clock = Late(parts.producer), ManualClock()

    def flush(seconds: float) -> int:
        clock.advance(seconds)
        return 1

    lost.flush = flush
    SourceTaskLoop(replace(parts, producer=lost, clock=clock)).run()
    said = "1 batch of rows was not acknowledged within 5000 ms (offset.flush.timeout.ms), to be sent again after a"
    assert said in caplog.text
    assert stored(bench) is None
    run(bench, [records("a")], exactly=False)
    assert (bench.log(), stored(bench)) == (["a"], {"position": 1})


def test_rows_that_a_failing_task_never_sent_are_not_said_to_have_been_waited_for(
    bench: Any, caplog: pytest.LogCaptureFixture
) -> None:
    refused = BrokerError("looking for topic 'data': not authorized")
    run(bench, [records("a")], exactly=False, faults=failing({"send": 1}, refused))
    assert bench.states() == [State.RUNNING, State.FAILED]
    assert "1 batch of rows was not acknowledged, to be sent again after a restart" in caplog.text


class Late:
    """A producer that says of each row only behind the commit that it was refused."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self._told: list[Callable[[Delivered], None]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    def send(self, batch: Outgoing, done: Callable[[Delivered], None]) -> None:
        self._told.append(done)

    def commit(self) -> None:
        self._producer.commit()
        while self._told:
            self._told.pop()(Delivered({0: BrokerError("too late")}))


def test_a_producer_that_breaks_its_word_fails_the_task(bench: Any) -> None:
    control = HastyControl()
    parts = bench.source_parts(lambda context: Script(context, [records("a")], control), control=control)
    SourceTaskLoop(replace(parts, producer=Late(parts.producer))).run()
    assert bench.states() == [State.RUNNING, State.FAILED]
    assert "the transaction was committed without all of its rows" in bench.trace()
    assert "too late" in bench.trace()


def test_an_offset_that_is_not_json_fails_the_task_and_nothing_of_its_transaction_is_seen(bench: Any) -> None:
    def bad() -> Any:
        eventually(lambda: bench.log() == ["a"])  # else one transaction would have both
        return [SourceRecord("data", "b", PARTITION, {"position": object()})]

    run(bench, [records("a"), bad])
    assert bench.states() == [State.RUNNING, State.FAILED]
    assert "Failed to flush offsets and/or records for task numbers-0" in bench.trace()
    assert bench.log() == ["a"]


def test_records_for_a_topic_that_the_worker_keeps_its_connectors_in_are_refused(bench: Any) -> None:
    run(bench, [[record("a", 1, "connect-configs")]], settings={"own_topics": ("connect-configs", "connect-status")})
    assert "the task wrote to 'connect-configs', where this worker keeps its connectors" in bench.trace()
    assert "give its records another topic" in bench.trace()


def test_records_for_the_own_offsets_topic_are_refused(bench: Any) -> None:
    run(bench, [[record("a", 1, "offsets-own")]], settings={"own_offsets_topic": "offsets-own"})
    assert "Source tasks may not produce to their own offsets topics" in bench.trace()


def test_missing_topics_are_made_before_their_first_record(bench: Any) -> None:
    polled = [record("a", 1), record("b", 2, "other"), record("c", 3)]
    run(bench, [polled], new_topic=lambda name: NewTopic(name, partitions=3))
    admin = bench.broker.admin(task_bench.AdminSettings("test"))
    assert {name: admin.topics()[name].partitions for name in ("data", "other")} == {"data": 3, "other": 3}
    admin.close()


class Refusing:
    """An admin client that cannot make topics."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.asked = 0

    def names(self) -> set[str]:
        return set()

    def create_topics(self, topics: Any) -> dict[str, Any]:
        self.asked += 1
        return {"data": self.errors.pop(0) if self.errors else None}

    def close(self) -> None: ...


def test_a_topic_that_cannot_be_made_fails_the_task_and_names_it(bench: Any) -> None:
    admin = Refusing(*[BrokerError("not authorized")] * 2)
    run(bench, [records("a")], new_topic=lambda name: NewTopic(name, asked_for="three of them"), admin=admin)
    assert "Task failed to create new topic 'data' (three of them): not authorized. Ensure" in bench.trace()
    assert "restart the task" in bench.trace()


def test_a_topic_is_asked_for_again_while_the_broker_is_away_and_may_exist_already(bench: Any) -> None:
    admin = Refusing(FULL_DISK, ConflictError("topic 'data' exists"))
    run(bench, [records("a")], new_topic=NewTopic, admin=admin)
    assert admin.asked == 2
    assert bench.log() == ["a"]


def test_offsets_at_least_once_are_written_at_the_interval_and_again_after_a_failure(
    bench: Any, caplog: pytest.LogCaptureFixture
) -> None:
    bench.store.answers = [OSError("the worker is busy"), None]
    settings = {"offset_flush_interval_ms": 0}
    task = run(bench, [records("a"), records("b", start=1)], Listening, exactly=False, settings=settings)
    assert stored(bench) == {"position": 2}
    assert task.durable == [[(PARTITION, {"position": 2})]]
    assert "Failed to commit offsets; they are committed with the next ones: the worker is busy" in caplog.text
    assert numbers(bench)["offset-commit-failure-percentage"] > 0


def test_an_answer_that_does_not_come_is_given_up_after_the_time_out(
    bench: Any, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    bench.store.answers = ["silent"]

    def later() -> Any:
        clock.advance(6)
        return records("b", start=1)

    settings = {"offset_flush_interval_ms": 0, "offset_flush_timeout_ms": 5_000}
    run(bench, [records("a"), later, []], exactly=False, settings=settings, clock=clock)
    assert "no answer within 5 s (offset.flush.timeout.ms)" in caplog.text
    assert stored(bench) == {"position": 2}


def test_an_answer_that_comes_the_moment_it_is_given_up_is_not_taken_for_another(
    bench: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()

    class Crossing(submitted._Writing):
        """Its answer comes when somebody has looked for it, and finds none."""

        _error: Exception | None = None

        @property
        def error(self) -> Exception | None:
            found = self._error
            if not self.answered.is_set() and clock.monotonic() >= 5:
                self.answer(OSError("the worker is busy"))
            return found

        @error.setter
        def error(self, error: Exception | None) -> None:
            self._error = error

    def later() -> Any:
        clock.advance(6)
        return []

    monkeypatch.setattr(submitted, "_Writing", Crossing)
    bench.store.answers = ["silent"]
    settings = {"offset_flush_interval_ms": 0, "offset_flush_timeout_ms": 5_000}
    task = run(bench, [records("a"), later, []], Listening, exactly=False, settings=settings, clock=clock)
    assert "no answer within 5 s (offset.flush.timeout.ms)" in caplog.text
    assert stored(bench) == {"position": 1}
    assert task.durable == [[(PARTITION, {"position": 1})]]


def test_offsets_are_kept_by_source_partition(bench: Any) -> None:
    polled = [record("a", 1), record("b", 7, partition={"file": "b"}), record("c", 2)]
    polled.append(SourceRecord("data", "e", None, None))  # has no place: nothing is kept
    polled.append(record("d", 9, partition=None))
    run(bench, [polled])
    assert bench.stored() == {
        '{"file": "a"}': {"position": 2},
        '{"file": "b"}': {"position": 7},
        "null": {"position": 9},
    }


@pytest.mark.parametrize("exactly", [True, False])
def test_a_source_partition_that_is_no_mapping_fails_the_task(bench: Any, exactly: bool) -> None:
    run(bench, [[record("a", 1, partition="a.txt")]], exactly=exactly)
    said = "a source partition is a str; it must be a mapping such as {'file': 'a.txt'}, or None"
    assert said in bench.trace()
