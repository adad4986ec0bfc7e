"""The life of a source task: its states, its calls, and what ends it."""

import threading
from typing import Any

import pytest
import task_bench
from source_bench import BOTH_WAYS, PARTITION, Script, record, records, run, stored
from task_bench import HastyControl, Running, eventually

from millstream.errors import RetriableError
from millstream.identity import State, TargetState
from millstream.task.control import Control
from millstream.task.events import Progressed
from millstream.task.source import SourceTaskLoop
from millstream_api import SourceTask

pytestmark = BOTH_WAYS

SECONDS = task_bench.SECONDS


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
