"""A source task whose commits run on a thread of their own while it goes on polling."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from overlapped_bench import PARTITION, Gate, Polls, give, rows, run, running, stored, waiting
from task_bench import ID, SECONDS, Bench, eventually

from millstream.errors import BrokerError
from millstream.identity import State
from millstream.task import overlapped
from millstream.task.control import Control
from millstream.task.events import Counted
from millstream.task.source import SourceTaskLoop
from millstream_api import SourceBatch, SourceRecord


class Hearing(Polls):
    def commit_record(self, record: Any, written: Any) -> None: ...


@pytest.fixture
def bench() -> Iterator[Any]:
    bench = Bench(overlapped=True)
    yield bench
    bench.close()


def test_polls_made_while_a_commit_is_under_way_go_into_one_transaction(bench: Any) -> None:
    gate = Gate()

    def third() -> list[SourceRecord]:
        assert gate.reached.wait(SECONDS)
        return rows("c", start=2)

    def last() -> list[SourceRecord]:
        gate.opened.set()
        return rows("e", start=4)

    run(bench, [give("a"), third, give("d", start=3), last], faults=gate)
    assert bench.log() == ["a", "c", "d", "e"]
    assert stored(bench) == {"position": 5}
    assert gate.commits in {2, 3}  # the first alone; the second and third together, the last with them or behind them
    numbers = [event for event in bench.told if isinstance(event, Counted)][-1].values
    assert numbers["source-record-write-total"] == 4
    assert numbers["transaction-size-max"] >= 2
    assert numbers["source-record-active-count"] == 0


def test_what_a_poll_gave_is_committed_though_the_next_one_does_not_return(bench: Any) -> None:
    release = threading.Event()
    stuck = waiting(release)
    control = Control()
    with running(bench, [give("a", "b"), stuck], release, control=control):
        eventually(lambda: bench.log() == ["a", "b"] and stored(bench) == {"position": 2})
    assert bench.states() == [State.RUNNING, State.UNASSIGNED]


def test_rows_are_in_the_log_before_the_plugin_waits(bench: Any) -> None:
    seen: list[Any] = []

    class Waiting(Polls):
        context: Any

        def poll(self) -> Any:
            if not self.steps:
                self.context.wait(0)
                seen.append((bench.log(), stored(bench), bench.topics_seen()))
            return super().poll()

    control = Control()

    def plugin(context: Any) -> Polls:
        task = Waiting([give("a"), give("b", start=1)], control)
        task.context = context
        return task

    SourceTaskLoop(bench.source_parts(plugin, control=control)).run()
    assert seen == [(["a", "b"], {"position": 2}, ["data"])]


def test_a_commit_of_unknown_outcome_fails_the_task_and_nothing_is_written_any_more(bench: Any) -> None:
    control = Control()

    def faults(name: str) -> Exception | None:
        return BrokerError("the answer was lost") if name == "commit:after" else None

    def later() -> list[SourceRecord]:
        eventually(lambda: control.error is not None)
        return rows("b", start=1)

    steps = [give("a"), later, give("c", start=2), give("d", start=3)]
    run(bench, steps, control=control, faults=faults)
    assert bench.log() == ["a"]
    assert stored(bench) == {"position": 1}
    assert bench.states() == [State.RUNNING, State.FAILED]
    assert "the answer was lost" in bench.trace()


def test_a_refused_row_is_where_the_task_ends_and_the_polls_before_it_are_in_the_log(bench: Any) -> None:
    gate = Gate()

    def behind() -> list[SourceRecord]:
        assert gate.reached.wait(SECONDS)
        return rows("b", "c", start=1)

    def opening() -> list[SourceRecord]:
        gate.opened.set()
        return rows("e", start=4)

    run(bench, [give("a"), behind, give("big", start=3), opening, *[list] * 3], faults=gate)
    assert bench.log() == ["a", "b", "c"]
    assert stored(bench) == {"position": 3}
    assert bench.states() == [State.RUNNING, State.FAILED]
    assert "RecordTooLargeException" in bench.trace()


def test_a_poll_whose_rows_were_all_dropped_is_no_transaction(bench: Any) -> None:
    faults: list[str] = []
    run(bench, [give("drop"), give("drop", "drop", start=1)], faults=faults.append)
    numbers = [event for event in bench.told if isinstance(event, Counted)][-1].values
    assert "commit" not in faults
    assert "transaction-size-min" not in numbers
    assert (numbers["source-record-poll-total"], numbers["source-record-active-count"]) == (3, 0)
    assert stored(bench) is None


def test_the_task_waits_when_too_much_has_gathered(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlapped, "MOST_BYTES", 500)
    gate = Gate()
    polled: list[str] = []

    def counted(value: str, start: int) -> Callable[[], list[SourceRecord]]:
        def poll() -> list[SourceRecord]:
            assert value == "a" or gate.reached.wait(SECONDS)
            polled.append(value)
            return rows(value * 100, start=start)

        return poll

    control = Control()
    steps = [counted(value, start) for start, value in enumerate("abcdefgh")]
    with running(bench, steps, gate.opened, control=control, faults=gate):
        eventually(lambda: len(polled) == 4)  # one in the commit, three gathered
        assert not gate.opened.wait(0.1)
        assert len(polled) == 4
    assert bench.log() == [value * 100 for value in "abcdefgh"]


def test_what_has_gathered_is_committed_in_transactions_of_bounded_size(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlapped, "TRANSACTION_BYTES", 250)  # two polls of a row of 100 bytes
    gate = Gate()

    def first_after_the_gate() -> list[SourceRecord]:
        assert gate.reached.wait(SECONDS)
        return rows("b" * 100, start=1)

    def last() -> list[SourceRecord]:
        gate.opened.set()
        return []

    gathered = [give(value * 100, start=start) for start, value in enumerate("cde", 2)]
    run(bench, [give("a" * 100), first_after_the_gate, *gathered, last], faults=gate)
    assert bench.log() == [value * 100 for value in "abcde"]
    assert stored(bench) == {"position": 5}
    assert gate.commits == 3


def test_a_plugin_is_asked_for_its_offsets_on_its_own_thread_alone(bench: Any) -> None:
    threads: set[int] = set()

    def offset_at(row: int) -> dict[str, int]:
        threads.add(threading.get_ident())
        return {"position": row}

    def poll() -> list[SourceBatch]:
        return [SourceBatch("data", None, ["a", "b"], PARTITION, offset_at)]

    run(bench, [poll, poll, poll])
    assert threads == {threading.get_ident()}
    assert stored(bench) == {"position": 1}


def test_a_plugin_that_hears_of_its_records_is_told_before_its_next_poll(bench: Any) -> None:
    logs: list[Any] = []

    def look() -> list[SourceRecord]:
        logs.append(bench.log())
        return []

    run(bench, [give("a"), look], Hearing, report_each=True)
    assert logs == [["a"]]


def test_a_cancelled_task_leaves_the_commit_under_way_alone_and_writes_nothing_more(bench: Any) -> None:
    gate = Gate()
    control = Control()

    def cancelling() -> list[SourceRecord]:
        assert gate.reached.wait(SECONDS)
        control.cancel()
        gate.opened.set()
        return rows("b", start=1)

    run(bench, [give("a"), cancelling], control=control, faults=gate)
    assert bench.log() == ["a"]
    assert gate.commits == 1
    assert not [thread for thread in threading.enumerate() if thread.name == f"{ID} commits"]
