"""Where the transactions of a source task begin and end: at polls, at intervals, at the connector's wish."""

from collections.abc import Callable
from typing import Any

import pytest
from source_bench import BOTH_WAYS, PARTITION, Script, numbers, records, run, stored
from task_bench import HastyControl

from millstream.identity import State
from millstream.lifecycle import ManualClock
from millstream_api import SourceBatch, SourceRecord

pytestmark = BOTH_WAYS


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
