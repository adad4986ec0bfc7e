"""What a row costs in Python calls, counted instead of timed: the same on every machine.

A batch plugin's rows pass the pipeline without one Python call each; a record form costs its record and its call.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from millstream.broker.ports import Incoming
from millstream.lifecycle import ManualClock
from millstream.pipeline import slicing
from millstream.pipeline.chain import Chain, Link
from millstream.pipeline.conversion import Converters
from millstream.pipeline.poll import SinkPipeline, SourcePipeline
from millstream.pipeline.reporting import Reporting
from millstream.pipeline.tolerance import Handling, Tolerance
from millstream_api import Predicate, Record, RecordBatch, Schema, SourceBatch, SourceRecord, Transformation, Type
from millstream_json.converter import JsonConverter, JsonConverterConfig

FEW, MANY = 500, 1500
STRING = Schema(Type.STRING)
PLACE = {"filename": "lines.txt"}


class Columns(Transformation[Any]):
    def apply(self, record: Any) -> Any:
        raise AssertionError("the batch form is there to be used")

    def apply_batch(self, batch: RecordBatch) -> Sequence[RecordBatch]:
        return [batch.replace(topic="elsewhere")]


class Single(Transformation[Any]):
    def apply(self, record: Any) -> Any:
        return record


class OfTopic(Predicate[Any]):
    def test_batch(self, batch: RecordBatch) -> bool:
        return batch.topic == "lines"


class Short(Predicate[Any]):
    def test(self, record: Record) -> bool:
        return len(record.value) < 50


def calls(run: Callable[[], object]) -> int:
    """How many Python functions were entered."""
    count = 0

    def profile(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(profile)
    try:
        run()
    finally:
        sys.setprofile(None)
    return count


def slope(run: Callable[[int], object]) -> float:
    """Python calls a row, by the difference between many and few rows."""
    run(FEW)  # what is compiled once is compiled now
    run(MANY)
    few, many = calls(lambda: run(FEW)), calls(lambda: run(MANY))
    return (many - few) / (MANY - FEW)


def surroundings() -> tuple[Converters, Handling, Reporting]:
    converter = JsonConverter(JsonConverterConfig.parse({"converter.type": "value"}))
    clock = ManualClock()
    return Converters(converter, converter, converter), Handling(Tolerance(), clock, clock.wait), Reporting()


def source(links: Sequence[Link], polled: Callable[[int], Sequence[Any]]) -> Callable[[int], object]:
    pipeline = SourcePipeline(Chain(links), *surroundings())
    prepared = {count: polled(count) for count in (FEW, MANY)}

    def run(count: int) -> None:
        sent = sum(len(routed.batch.values) for part in pipeline.slices(prepared[count]) for routed in part.outgoing)
        assert sent == count

    return run


def sink(links: Sequence[Link]) -> Callable[[int], object]:
    pipeline = SinkPipeline(Chain(links), *surroundings())
    values = [b'{"schema":{"type":"string","optional":false},"payload":"a line"}'] * MANY
    stamps = [1_700_000_000_000] * MANY

    def run(count: int) -> None:
        poll = pipeline.batch([Incoming("lines", 0, range(count), values[:count], stamps[:count])])
        assert len(poll.batch) == count

    return run


def batch(count: int) -> Sequence[SourceBatch]:
    lines = [f"line {number}" for number in range(count)]
    stamps = list(range(count))
    return [SourceBatch("lines", STRING, lines, PLACE, lambda row: {"position": row}, timestamps=stamps)]


def records(count: int) -> Sequence[SourceRecord]:
    return [SourceRecord("lines", f"line {n}", PLACE, {"position": n}, STRING) for n in range(count)]


@pytest.fixture
def one_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many rows in one slice, as few are, so that only rows make a difference."""
    monkeypatch.setattr(slicing, "SLICE_ROWS", MANY)


@pytest.mark.usefixtures("one_slice")
@pytest.mark.parametrize(
    ("links", "polled", "a_row"),
    [
        ([], batch, 0),
        ([Link(Columns({})), Link(Columns({}))], batch, 0),
        ([Link(Columns({}), OfTopic({}))], batch, 0),
        ([], records, 0),
        ([Link(Single({}))], batch, 2),
        ([Link(Single({}))], records, 1),
        ([Link(Single({})), Link(Single({})), Link(Single({}))], batch, 4),
        ([Link(Single({}), OfTopic({}))], batch, 2),
        ([Link(Columns({})), Link(Single({}))], records, 2),
        ([Link(Single({}), Short({}))], records, 3),
    ],
    ids=[
        "a source of batches",
        "two batch forms",
        "a batch form with a predicate",
        "a source of records",
        "a record form after a source of batches: its record and its call",
        "a record form after a source of records",
        "three record forms",
        "a record form with a predicate over columns",
        "a record form after a batch form",
        "a record form with a record predicate: the operation, the question, the call",
    ],
)
def test_a_row_of_a_source_costs_no_more_python_calls_than(
    links: Sequence[Link], polled: Callable[[int], Sequence[Any]], a_row: int
) -> None:
    found = slope(source(links, polled))
    assert a_row <= found <= a_row + 0.01, f"{found:.3f} Python calls a row"


@pytest.mark.parametrize(
    ("links", "a_row"),
    [([], 0), ([Link(Columns({}))], 0), ([Link(Single({}))], 2)],
    ids=["a sink", "a batch form", "a record form"],
)
def test_a_row_of_a_sink_costs_no_more_python_calls_than(links: Sequence[Link], a_row: int) -> None:
    found = slope(sink(links))
    assert a_row <= found <= a_row + 0.01, f"{found:.3f} Python calls a row"


def test_a_slice_costs_a_hundred_python_calls_at_most() -> None:
    assert slope(source([], batch)) * (MANY - FEW) / 2 <= 100  # two slices more


@pytest.mark.usefixtures("one_slice")
def test_a_helper_called_for_each_row_is_noticed() -> None:
    class Careless(Columns):
        def apply_batch(self, batch: RecordBatch) -> Sequence[RecordBatch]:
            return [batch.replace(values=[self.trim(value) for value in batch.values])]

        def trim(self, value: str) -> str:
            return value.strip()

    assert slope(source([Link(Careless({}))], batch)) >= 1
