"""What becomes of rows while the next poll does not return: refused, written later, of unknown outcome."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from overlapped_bench import Polls, give, rows, run, running, stored, waiting
from task_bench import SECONDS, Bench, eventually

from millstream.errors import BrokerError
from millstream.identity import State
from millstream.task.control import Control
from millstream.task.delivery import Patience
from millstream.task.events import Counted
from millstream.task.source import SourceTaskLoop
from millstream_api import SourceRecord


@pytest.fixture
def bench() -> Iterator[Any]:
    bench = Bench(overlapped=True)
    yield bench
    bench.close()


class Blocking(Polls):
    """Behind its steps it blocks until it is cancelled, and then does as it was told."""

    def __init__(self, steps: Sequence[Callable[[], Any]], control: Control) -> None:
        super().__init__(steps, control)
        self.then: Callable[[], Any] = list
        self.cancelled, self.blocks = threading.Event(), threading.Event()

    def poll(self) -> Any:
        if self.steps:
            return super().poll()
        self.blocks.set()
        assert self.cancelled.wait(SECONDS), "nobody cancelled the poll"
        return self.then()

    def cancel(self) -> None:
        self.cancelled.set()


def blocked(bench: Any, steps: Sequence[Callable[[], Any]], then: Callable[[], Any] = list, error: Any = None) -> None:
    """Run a task that nobody stops: it has to end by itself, although its plugin blocks in its last poll.

    Nothing is written before it does. error: comes of the first commit."""
    control = Control()
    plugin = Blocking(steps, control)
    plugin.then = then

    def faults(name: str) -> Any:
        if name == "begin":
            assert plugin.blocks.wait(SECONDS), "the plugin does not block"
        return error if name == "commit:after" else None

    SourceTaskLoop(bench.source_parts(lambda context: plugin, control=control, faults=faults)).run()


def test_a_refused_row_ends_the_poll_that_blocks_and_the_task_at_that_row(
    bench: Any, caplog: pytest.LogCaptureFixture
) -> None:
    blocked(bench, [lambda: rows("a", "big", "c")])
    assert bench.log() == ["a"]
    assert stored(bench) == {"position": 1}
    assert bench.states() == [State.RUNNING, State.FAILED]
    assert "source offset {'position': 2}" in bench.trace()
    assert "RecordTooLargeException" in bench.trace()
    (said,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "Rows cannot be written" in said.getMessage()
    assert "max.message.bytes" in said.getMessage()


def test_a_row_that_is_refused_between_two_polls_is_told_as_exactly_as_during_one(bench: Any) -> None:
    control, behind = Control(), threading.Event()

    def hear(event: Any) -> None:
        if isinstance(event, Counted):  # behind the poll
            behind.set()
            eventually(lambda: control.error is not None)

    def faults(name: str) -> None:
        assert name != "begin" or behind.wait(SECONDS)

    bench.on_event = hear
    run(bench, [give("a", "big", "c")], control=control, faults=faults)
    assert bench.log() == ["a"]
    assert bench.states() == [State.RUNNING, State.FAILED]
    assert "source offset {'position': 2}" in bench.trace()
    assert "RecordTooLargeException" in bench.trace()


def test_what_the_plugin_fails_for_is_not_replaced_by_what_becomes_of_its_rows(bench: Any) -> None:
    class Reporting(Polls):
        context: Any

        def poll(self) -> Any:
            self.context.fail(OSError("the socket broke"))
            return super().poll()

    control, behind = Control(), threading.Event()
    bench.on_event = lambda event: behind.set() if isinstance(event, Counted) else None

    def plugin(context: Any) -> Polls:
        task = Reporting([give("a", "big", "c")], control)
        task.context = context
        return task

    def faults(name: str) -> None:
        assert name != "begin" or behind.wait(SECONDS)  # behind the poll

    SourceTaskLoop(bench.source_parts(plugin, control=control, faults=faults)).run()
    assert bench.log() == ["a"]
    assert bench.trace().startswith("OSError: the socket broke")


def test_what_a_poll_raises_when_it_is_cancelled_does_not_hide_why_it_was(bench: Any) -> None:
    def torn() -> None:
        raise OSError("the connection was closed")

    blocked(bench, [lambda: rows("a", "big")], torn)
    assert bench.log() == ["a"]
    assert bench.states() == [State.RUNNING, State.FAILED]
    assert "RecordTooLargeException" in bench.trace().partition("\n")[0]
    assert "the connection was closed" in bench.trace()


def test_a_poll_that_ignores_its_cancellation_does_not_hide_a_refused_row(
    bench: Any, caplog: pytest.LogCaptureFixture
) -> None:
    release = threading.Event()
    stuck = waiting(release)
    with running(bench, [lambda: rows("a", "big"), stuck], release):
        eventually(lambda: any("Rows cannot be written" in line for line in caplog.messages))
    assert bench.states() == [State.RUNNING, State.FAILED]


def test_what_could_not_be_written_for_a_while_is_written_though_the_poll_blocks(
    bench: Any, caplog: pytest.LogCaptureFixture
) -> None:
    release, blocks, left = threading.Event(), threading.Event(), [3]

    def faults(name: str) -> Exception | None:
        if name == "begin":
            assert blocks.wait(SECONDS)
        if name != "commit" or not left[0]:
            return None
        left[0] -= 1
        return BrokerError("the disk is full", retriable=True)

    def stuck() -> list[SourceRecord]:
        blocks.set()
        assert release.wait(SECONDS)
        return []

    steps = [give("a", "b"), stuck, give("c", start=2)]
    with running(bench, steps, release, faults=faults):
        eventually(lambda: bench.log() == ["a", "b"] and stored(bench) == {"position": 2})
    assert bench.log() == ["a", "b", "c"]
    assert bench.states() == [State.RUNNING, State.UNASSIGNED]
    assert [line for line in caplog.messages if "disk" in line] == [
        "Writing to the log: the disk is full. Nothing is skipped; the task tries again until it succeeds"
    ]


def test_that_the_log_cannot_be_written_is_not_said_behind_its_having_been_written(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, calls = threading.Event(), []
    complain = Patience.complain

    def slowly(patience: Patience, error: Exception) -> None:
        begun.wait(0.2)  # in vain: until it is said nobody writes the rows again
        calls.append("said")
        complain(patience, error)

    def faults(name: str) -> Exception | None:
        if name == "begin":
            calls.append("begin")
            if len(calls) > 1:
                begun.set()
        return BrokerError("the disk is full", retriable=True) if name == "commit" and len(calls) == 1 else None

    monkeypatch.setattr(Patience, "complain", slowly)
    run(bench, [give("a"), list], faults=faults)
    assert bench.log() == ["a"]
    assert calls[:2] == ["begin", "said"]


def test_a_commit_of_unknown_outcome_ends_the_poll_that_blocks(bench: Any) -> None:
    blocked(bench, [give("a")], error=BrokerError("the answer was lost"))
    assert bench.states() == [State.RUNNING, State.FAILED]
    assert "the answer was lost" in bench.trace()


def test_a_refused_row_that_is_tolerated_holds_up_no_row_beside_it(bench: Any) -> None:
    release = threading.Event()
    stuck = waiting(release)
    steps = [lambda: rows("a", "big", "c"), stuck]
    with running(bench, steps, release, settings={"overlapped": True, "tolerate_failures": True}):
        eventually(lambda: bench.log() == ["a", "c"] and stored(bench) == {"position": 3})
    assert bench.states() == [State.RUNNING, State.UNASSIGNED]
    assert [value for value, _ in bench.pipeline.refusals] == ["big"]
    numbers = [event for event in bench.told if isinstance(event, Counted)][-1].values
    assert numbers["source-record-write-total"] == 2
    assert numbers["transaction-size-max"] == 2
    assert numbers["source-record-active-count"] == 0


def test_a_task_whose_abort_fails_while_its_poll_is_under_way_is_told_so(bench: Any) -> None:
    released, control = threading.Event(), Control()
    stuck = waiting(released)

    def faults(name: str) -> Exception | None:
        return BrokerError("away", retriable=name == "commit") if name in {"commit", "abort"} else None

    failed: list[BaseException] = []
    fail = control.fail

    def failing(error: BaseException) -> None:
        failed.append(error)
        fail(error)
        released.set()

    control.fail = failing  # type: ignore[method-assign]  # it is seen while the poll lasts
    with running(bench, [give("a"), stuck], released, control=control, faults=faults):
        eventually(lambda: bool(failed))
    assert bench.states()[-1] is State.FAILED


def test_an_abort_that_fails_for_a_while_is_tried_again_and_the_rows_are_written_though_the_poll_blocks(
    bench: Any, caplog: pytest.LogCaptureFixture
) -> None:
    released, failing = threading.Event(), ["commit", "abort", "abort"]
    stuck = waiting(released)

    def faults(name: str) -> Exception | None:
        if failing and name == failing[0]:
            return BrokerError(f"{failing.pop(0)}: away", retriable=True)
        return None

    with running(bench, [give("a", "b"), stuck], released, faults=faults):
        eventually(lambda: bench.log() == ["a", "b"] and stored(bench) == {"position": 2})
    assert failing == []
    assert bench.states() == [State.RUNNING, State.UNASSIGNED]
    assert len([line for line in caplog.messages if "away. Nothing is skipped" in line]) == 1


def test_a_task_that_is_stopped_while_its_abort_cannot_be_answered_ends_and_writes_nothing(bench: Any) -> None:
    aborts, control = threading.Event(), Control()

    def faults(name: str) -> Exception | None:
        if name == "abort" and not control.stopping:
            aborts.set()
        return BrokerError("away", retriable=True) if name in {"commit", "abort"} else None

    def stopping() -> list[SourceRecord]:
        assert aborts.wait(SECONDS)
        control.stop()
        return []

    run(bench, [give("a"), stopping], control=control, faults=faults)
    assert bench.log() == []
    assert bench.states() == [State.RUNNING, State.UNASSIGNED]
