"""The loop of a source task: states, deliveries, offsets, failures."""

import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from millstream.broker.ports import Delivered, NewTopic, Outgoing
from millstream.errors import BrokerError, ConflictError, RetriableError, UnknownTopicError
from millstream.identity import State, TargetState
from millstream.lifecycle import ManualClock
from millstream.task import submitted
from millstream.task.control import Control
from millstream.task.events import Counted, Progressed
from millstream.task.source import SourceTaskLoop
from millstream_api import Origin, SourceBatch, SourceRecord, SourceTask

spec = importlib.util.spec_from_file_location("task_bench", Path(__file__).with_name("task_bench.py"))
assert spec is not None
assert spec.loader is not None
task_bench = sys.modules.get("task_bench") or importlib.util.module_from_spec(spec)
if "task_bench" not in sys.modules:
    sys.modules["task_bench"] = task_bench
    spec.loader.exec_module(task_bench)

Bench, HastyControl, Running, eventually = (
    task_bench.Bench,
    task_bench.HastyControl,
    task_bench.Running,
    task_bench.eventually,
)
SECONDS = task_bench.SECONDS
PARTITION = {"file": "a"}
FULL_DISK = BrokerError("the disk is full", retriable=True)


@pytest.fixture(params=[False, True], ids=["commits in turn", "commits overlapped"])
def bench(request: pytest.FixtureRequest) -> Iterator[Any]:
    bench = Bench(overlapped=request.param)
    yield bench
    bench.close()


def record(value: str, position: int, topic: str = "data", partition: Any = PARTITION) -> SourceRecord:
    return SourceRecord(topic, value, partition, {"position": position})


def records(*values: str, start: int = 0) -> list[SourceRecord]:
    return [record(value, start + at + 1) for at, value in enumerate(values)]


class Script(SourceTask[Any]):
    """Polls what each step gives or raises; behind the last one it asks for its own stop."""

    def __init__(self, context: Any, steps: Sequence[Any], control: Control) -> None:
        self.context = context
        self.steps = list(steps)
        self.control = control
        self.calls: list[str] = []

    def start(self) -> None:
        self.calls.append("start")

    def poll(self) -> Any:
        self.calls.append("poll")
        if not self.steps:
            self.context.wait(0)  # what is under way comes to its end, and a failure of it before the stop
            if self.control.error is None:
                self.control.stop()
            return []
        step = self.steps.pop(0)
        if isinstance(step, BaseException):
            raise step
        return step() if callable(step) else step

    def stop(self) -> None:
        self.calls.append("stop")


class Listening(Script):
    """Hears of records and commits."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.heard: list[tuple[str, Origin | None]] = []
        self.durable: list[Any] = []

    def commit_record(self, record: SourceRecord, written: Origin | None) -> None:
        self.heard.append((record.value, written))

    def commit(self, durable: Any) -> None:
        self.durable.append(list(durable))


def run(bench: Any, steps: Sequence[Any], kind: type[Script] = Script, **changes: Any) -> Script:
    """Run a task through its steps on this thread."""
    control = changes.pop("control", None) or HastyControl()
    made: list[Script] = []

    def plugin(context: Any) -> Script:
        made.append(kind(context, steps, control))
        return made[0]

    SourceTaskLoop(bench.source_parts(plugin, control=control, **changes)).run()
    return made[0]


def stored(bench: Any) -> Any:
    return bench.stored().get('{"file": "a"}')


def numbers(bench: Any) -> dict[str, Any]:
    return [event for event in bench.told if isinstance(event, Counted)][-1].values


def test_a_poll_without_a_return_is_asked_about_and_gives_nothing(bench: Any, caplog: pytest.LogCaptureFixture) -> None:
    run(bench, [None, None, records("a")])
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "poll of Script gave None, which is taken for []: does it lack a return?"
    ]
    assert stored(bench) == {"position": 1}


@pytest.mark.parametrize("exactly", [True, False])
def test_rows_and_their_offsets_reach_the_log_and_the_states_are_told(bench: Any, exactly: bool) -> None:
    task = run(bench, [records("a", "b"), records("c", start=2)], exactly=exactly)
    assert bench.log() == ["a", "b", "c"]
    assert stored(bench) == {"position": 3}
    assert bench.states() == [State.RUNNING, State.UNASSIGNED]
    assert bench.topics_seen() == ["data"]
    assert task.calls == ["start", "poll", "poll", "poll", "stop"]
    assert bench.pipeline.closed


def test_running_is_told_after_the_tasks_own_start_has_returned(bench: Any) -> None:
    seen: list[Any] = []

    class Slow(Script):
        def start(self) -> None:
            seen.extend(bench.states())

    run(bench, [], Slow)
    assert seen == []
    assert bench.states() == [State.RUNNING, State.UNASSIGNED]


def test_a_task_whose_start_raises_fails_with_its_trace_and_is_stopped(bench: Any) -> None:
    class Broken(Script):
        def start(self) -> None:
            raise OSError("no such table 'orders'")

    task = run(bench, [], Broken)
    assert bench.states() == [State.FAILED]
    assert bench.trace().startswith("OSError: no such table 'orders'")
    assert task.calls == ["stop"]


def test_a_constructor_that_raises_fails_the_task_too(bench: Any) -> None:
    def plugin(context: Any) -> Any:
        raise SystemExit(3)

    SourceTaskLoop(bench.source_parts(plugin)).run()
    assert bench.states() == [State.FAILED]
    assert bench.trace().startswith("SystemExit: 3")


@pytest.mark.parametrize("error", [ValueError("bad line"), SystemExit(1), KeyboardInterrupt()])
def test_whatever_poll_raises_fails_the_task_and_keeps_what_was_committed(
    bench: Any, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    run(bench, [records("a"), error])
    assert "The task failed by an error without an explanation; it was raised here" in caplog.text
    assert bench.states() == [State.RUNNING, State.FAILED]
    assert bench.log() == ["a"]
    assert stored(bench) == {"position": 1}


def test_failed_is_told_before_the_tasks_stop_is_called(bench: Any) -> None:
    seen: list[Any] = []

    class Hanging(Script):
        def stop(self) -> None:
            seen.extend(bench.states())
            raise RuntimeError("stop is broken as well")

    run(bench, [ValueError("x")], Hanging)
    assert seen == [State.RUNNING, State.FAILED]
    assert bench.states() == seen


def test_an_exception_after_the_wish_to_stop_is_no_failure(bench: Any) -> None:
    control = HastyControl()

    def interrupted() -> Any:
        control.stop()
        raise InterruptedError("the connection was closed by cancel")

    run(bench, [interrupted], control=control)
    assert bench.states() == [State.RUNNING, State.UNASSIGNED]


def test_a_retriable_error_of_poll_is_taken_as_nothing_and_none_as_well(
    bench: Any, caplog: pytest.LogCaptureFixture
) -> None:
    run(bench, [RetriableError("away"), RetriableError("away"), None, records("a")])
    told = [record.getMessage() for record in caplog.records]
    assert told[:2] == [f"poll failed and is tried again in {seconds} s: away" for seconds in (0.1, 0.2)]
    assert bench.log() == ["a"]
    assert bench.states() == [State.RUNNING, State.UNASSIGNED]


def test_a_task_started_while_paused_is_paused_and_not_started(bench: Any) -> None:
    control = Control(TargetState.PAUSED)
    started = threading.Event()

    class Noting(Script):
        def start(self) -> None:
            started.set()

    loop = SourceTaskLoop(bench.source_parts(lambda context: Noting(context, [], control), control=control))
    running = Running(loop, control)
    bench.until(lambda: bench.states() == [State.PAUSED])
    assert not started.is_set()
    control.aim(TargetState.STARTED)
    assert running.ended.wait(SECONDS)
    assert bench.states() == [State.PAUSED, State.RUNNING, State.UNASSIGNED]


def test_a_task_stopped_while_held_ends_without_having_been_started(bench: Any) -> None:
    control = Control(TargetState.PAUSED)
    running = Running(SourceTaskLoop(bench.source_parts(lambda context: pytest.fail("made"), control=control)), control)
    bench.until(lambda: bench.states() == [State.PAUSED])
    running.stop()
    assert bench.states() == [State.PAUSED, State.UNASSIGNED]


def test_a_paused_task_does_not_poll_and_goes_on_when_resumed(bench: Any) -> None:
    control = Control()
    polls: list[int] = []

    class Counting(SourceTask[Any]):
        def __init__(self, context: Any) -> None:
            self.context = context

        def poll(self) -> Any:
            polls.append(len(polls))
            self.context.wait(0.001)
            return [record(str(polls[-1]), polls[-1])]

    running = Running(SourceTaskLoop(bench.source_parts(Counting, control=control)), control)
    eventually(lambda: len(polls) > 2)
    control.aim(TargetState.PAUSED)
    bench.until(lambda: State.PAUSED in bench.states())
    before = len(polls)
    assert stored(bench) == {"position": before - 1}
    assert not running.ended.wait(0.05)
    assert len(polls) == before
    control.aim(TargetState.STARTED)
    eventually(lambda: len(polls) > before)
    running.stop()
    assert bench.states() == [State.RUNNING, State.PAUSED, State.RUNNING, State.UNASSIGNED]
    assert bench.log() == [str(number) for number in polls]


def test_a_stop_calls_cancel_on_another_thread_and_ends_a_blocked_poll(bench: Any) -> None:
    control = Control()
    polling, cancelled = threading.Event(), threading.Event()
    threads: list[int] = []

    class Blocked(SourceTask[Any]):
        def __init__(self, context: Any) -> None: ...

        def poll(self) -> Any:
            threads.append(threading.get_ident())
            polling.set()
            assert cancelled.wait(SECONDS)
            return []

        def cancel(self) -> None:
            threads.append(threading.get_ident())
            cancelled.set()

    running = Running(SourceTaskLoop(bench.source_parts(Blocked, control=control)), control)
    assert polling.wait(SECONDS)
    running.stop()
    assert len(set(threads)) == 2
    assert threading.get_ident() not in threads


def test_a_failure_reported_from_the_plugins_own_thread_ends_its_wait_and_fails_it(bench: Any) -> None:
    class Watching(SourceTask[Any]):
        def __init__(self, context: Any) -> None:
            self.context = context

        def poll(self) -> Any:
            thread = threading.Thread(target=lambda: self.context.fail(OSError("the socket broke")))
            thread.start()
            thread.join()
            assert self.context.wait(60)
            return []

    SourceTaskLoop(bench.source_parts(Watching, control=Control())).run()
    assert bench.states() == [State.RUNNING, State.FAILED]
    assert bench.trace().startswith("OSError: the socket broke")


def test_a_cancelled_task_tells_no_state_and_commits_nothing(bench: Any) -> None:
    control = HastyControl()

    def cancelled() -> Any:
        eventually(lambda: bench.log() == ["a"])
        control.cancel()
        return records("late")

    run(bench, [records("a"), cancelled], control=control)
    assert bench.log() == ["a"]
    assert bench.states() == [State.RUNNING]


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


def failing(times: dict[str, int], error: Exception = FULL_DISK) -> Callable[[str], Exception | None]:
    def faults(name: str) -> Exception | None:
        if times.get(name, 0) > 0:
            times[name] -= 1
            return error
        return None

    return faults


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
    lost = Late(parts.producer)
    lost.flush = lambda seconds: 1
    SourceTaskLoop(replace(parts, producer=lost)).run()
    said = (
        "1 batches of rows were not acknowledged within 5000 ms (offset.flush.timeout.ms); they are sent again after a"
    )
    assert said in caplog.text
    assert stored(bench) is None
    run(bench, [records("a")], exactly=False)
    assert (bench.log(), stored(bench)) == (["a"], {"position": 1})


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


def test_records_for_the_own_offsets_topic_are_refused(bench: Any) -> None:
    run(bench, [[record("a", 1, "offsets-own")]], settings={"own_offsets_topic": "offsets-own"})
    assert "Source tasks may not produce to their own offsets topics" in bench.trace()


def batch(*values: str, boundary: Any = None, start: int = 0) -> SourceBatch:
    return SourceBatch(
        "data", None, list(values), PARTITION, lambda row: {"position": start + row + 1}, boundary=boundary
    )


def test_the_connector_cuts_its_transactions_by_batches_and_by_request(bench: Any) -> None:
    control = HastyControl()
    seen: list[tuple[int, Any]] = []
    made: list[Any] = []

    class Cutting(Script):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.append(self)

    def look(then: Callable[[], Any]) -> Callable[[], Any]:
        def step() -> Any:
            seen.append((len(bench.log()), stored(bench)))
            return then()

        return step

    def commit() -> Any:
        made[0].context.transaction.commit()
        return records("d", start=3)

    def abort() -> Any:
        made[0].context.transaction.abort()
        return records("f", start=5)

    steps = [
        look(lambda: [batch("a"), batch("b", boundary="commit", start=1), batch("c", start=2)]),
        look(commit),
        look(lambda: [batch("e", start=4)]),
        look(abort),
        look(lambda: records("g", start=6)),
    ]
    run(bench, steps, Cutting, control=control, settings={"boundary": "connector"})
    assert seen == [
        (0, None),
        (2, {"position": 2}),
        (4, {"position": 4}),
        (4, {"position": 4}),
        (4, {"position": 6}),  # an abort commits the offsets all the same
    ]
    assert bench.log() == ["a", "b", "c", "d"], "the end of the task commits nothing the connector did not ask for"


def test_a_wish_to_abort_what_has_not_begun_is_said(bench: Any, caplog: pytest.LogCaptureFixture) -> None:
    class Early(Script):
        def start(self) -> None:
            self.context.transaction.abort()

    run(bench, [[]], Early, settings={"boundary": "connector"})
    assert "The task asked to abort a transaction, and none is open" in caplog.text
    assert bench.states() == [State.RUNNING, State.UNASSIGNED]


def test_a_task_that_asks_to_commit_and_to_abort_fails(bench: Any) -> None:
    class Torn(Script):
        def poll(self) -> Any:
            self.context.transaction.commit()
            self.context.transaction.abort()
            return []

    run(bench, [], Torn, settings={"boundary": "connector"})
    assert "asked to commit and to abort the same transaction" in bench.trace()


def test_a_poll_whose_rows_were_all_dropped_is_no_transaction(bench: Any) -> None:
    steps = [records("drop", "drop"), records("a", "drop", start=2), records("drop", start=4)]
    run(bench, [lambda some=some: some for some in steps])
    assert bench.log() == ["a"]
    assert stored(bench) == {"position": 3}
    values = numbers(bench)
    assert {name: values[f"transaction-size-{name}"] for name in ("min", "max", "avg")} == dict.fromkeys(
        ("min", "max", "avg"), 1
    )
    assert values["source-record-active-count"] == 0


def test_transactions_by_interval_wait_for_it_and_the_end_commits(bench: Any) -> None:
    clock = ManualClock()
    seen: list[int] = []

    def later(seconds: float, *values: SourceRecord) -> Callable[[], Any]:
        def step() -> Any:
            seen.append(len(bench.log()))
            clock.advance(seconds)
            return list(values)

        return step

    steps = [later(0, *records("a")), later(2, *records("b", start=1)), later(0, *records("c", start=2))]
    run(bench, steps, clock=clock, settings={"boundary": "interval", "boundary_interval_ms": 1_000})
    assert seen == [0, 0, 2]
    assert bench.log() == ["a", "b", "c"]
    assert stored(bench) == {"position": 3}
    assert numbers(bench)["transaction-size-max"] == 2


def test_a_transaction_that_is_due_does_not_wait_for_a_waiting_poll(bench: Any) -> None:
    clock = ManualClock()
    control = HastyControl()

    class Waiting(Script):
        def poll(self) -> Any:
            if self.steps:
                return self.steps.pop(0)
            clock.advance(5)
            self.context.wait(3600)
            assert bench.log() == ["a"]
            control.stop()
            return []

    settings = {"boundary": "interval", "boundary_interval_ms": 1_000}
    run(bench, [records("a")], Waiting, clock=clock, control=control, settings=settings)
    assert bench.states() == [State.RUNNING, State.UNASSIGNED]


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


def test_the_context_reads_offsets_in_one_round_trip_and_tells_progress(bench: Any) -> None:
    run(bench, [records("a")])
    found: list[Any] = []

    class Resuming(Script):
        def start(self) -> None:
            found.append(self.context.offset(PARTITION))
            found.append(list(self.context.offsets([{"file": "z"}, PARTITION])))
            found.append(self.context.transaction)
            self.context.progress(3, 9, "lines", "a.txt")

    run(bench, [], Resuming)
    assert found == [{"position": 1}, [None, {"position": 1}], None]
    assert Progressed(3, 9, "lines", "a.txt") in bench.told


def test_parts_need_exactly_one_way_to_keep_offsets(bench: Any) -> None:
    parts = bench.source_parts(lambda context: None)
    changed = {name: getattr(parts, name) for name in parts.__slots__} | {"writer": bench.store}
    with pytest.raises(ValueError, match="either `rows` \\(transactions\\) or `writer` \\(at least once\\)"):
        type(parts)(**changed)


@pytest.mark.parametrize(
    ("polled", "kind"),
    [(record("a", 1), "SourceRecord"), ((record("a", at) for at in range(2)), "generator"), ("text", "str")],
    ids=["one record", "a generator", "text"],
)
def test_a_poll_that_gives_no_list_fails_the_task_with_what_would_be_right(bench: Any, polled: Any, kind: str) -> None:
    run(bench, [lambda: polled])
    assert bench.states()[-1] is State.FAILED
    assert (
        f"poll of Script gave a {kind}; it must give a list of SourceRecord and SourceBatch objects, [] for nothing yet"
        in bench.trace()
    )


@pytest.mark.parametrize("exactly", [True, False])
def test_a_source_partition_that_is_no_mapping_fails_the_task(bench: Any, exactly: bool) -> None:
    run(bench, [[record("a", 1, partition="a.txt")]], exactly=exactly)
    said = "a source partition is a str; it must be a mapping such as {'file': 'a.txt'}, or None"
    assert said in bench.trace()
