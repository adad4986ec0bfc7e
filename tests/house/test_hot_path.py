"""What a row costs in Python calls, counted instead of timed: the same on every machine.

A batch plugin's rows pass the pipeline without one Python call each; a record form costs its record and its call.
"""

import gc
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message

from millstream.broker.connect import open_broker
from millstream.broker.kafka.client.failures import Watch
from millstream.broker.kafka.client.making import Making
from millstream.broker.kafka.reading.consumer import KafkaConsumer
from millstream.broker.ports import ConsumerSettings, Delivered, Incoming, Outgoing, ProducerSettings
from millstream.builtin.converters import StringConverter, StringConverterConfig
from millstream.lifecycle import ManualClock, SystemClock
from millstream.pipeline import slicing
from millstream.pipeline.chain import Chain, Link
from millstream.pipeline.conversion import Converters
from millstream.pipeline.poll import SinkPipeline, SourcePipeline
from millstream.pipeline.reporting import Reporting
from millstream.pipeline.tolerance import Handling, Tolerance
from millstream.task.source import rows_of
from millstream_api import (
    Origin,
    Predicate,
    Record,
    RecordBatch,
    Schema,
    SinkBatch,
    SourceBatch,
    SourceRecord,
    TopicPartition,
    Transformation,
    Type,
)
from millstream_file.config import FileSinkConfig, FileSourceConfig
from millstream_file.sink import FileStreamSinkTask
from millstream_file.source import FileStreamSourceTask
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

    gc.disable()  # others' callbacks at its collections are Python functions, too
    sys.setprofile(profile)
    try:
        run()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count


def slope(run: Callable[[int], object]) -> float:
    """Python calls a row, by the difference between many and few rows."""
    run(FEW)  # what is compiled once is compiled now
    run(MANY)
    few, many = calls(lambda: run(FEW)), calls(lambda: run(MANY))
    return (many - few) / (MANY - FEW)


def surroundings(named: str = "json") -> tuple[Converters, Handling, Reporting]:
    converter: Any = JsonConverter(JsonConverterConfig.parse({"converter.type": "value"}))
    if named == "string":
        converter = StringConverter(StringConverterConfig.parse({"converter.type": "value"}))
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


def test_the_records_of_a_poll_are_counted_without_a_look_at_each() -> None:
    polled = {count: records(count) for count in (FEW, MANY)}
    assert slope(lambda count: rows_of(polled[count])) == 0
    assert rows_of([*batch(3), *records(2), *batch(4)]) == 9


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


def log_rows(
    tmp_path: Path, columns: Callable[[int], Outgoing]
) -> tuple[Callable[[int], object], Callable[[int], object]]:
    """Writing so many rows to an embedded log, and reading them."""
    broker = open_broker(f"sqlite:{tmp_path}/log.db")
    producer = broker.producer(ProducerSettings("writer"))
    consumer = broker.consumer(ConsumerSettings("reader"))
    prepared = {count: columns(count) for count in (FEW, MANY)}

    def write(count: int) -> None:
        told: list[Delivered] = []
        producer.begin()
        producer.send(prepared[count], told.append)
        producer.commit()
        assert told == [Delivered()]

    def read(count: int) -> None:
        end = consumer.end_offsets([TopicPartition("rows", 0)])[TopicPartition("rows", 0)]
        consumer.assign({TopicPartition("rows", 0): end - count})
        assert sum(len(incoming.values) for incoming in consumer.poll(count, 0)) == count

    return write, read


def plain_rows(count: int) -> Outgoing:
    return Outgoing("rows", [b"a line"] * count)


def full_rows(count: int) -> Outgoing:
    keys = [b"%d" % number for number in range(count)]
    return Outgoing("rows", keys, keys, timestamps=list(range(count)))


@pytest.mark.parametrize("columns", [plain_rows, full_rows], ids=["values alone", "keys and a timestamp each"])
def test_a_row_costs_no_python_call_into_the_embedded_log_and_out_of_it(
    tmp_path: Path, columns: Callable[[int], Outgoing]
) -> None:
    write, read = log_rows(tmp_path, columns)
    assert slope(write) <= 0.01
    write(MANY)  # one batch to be read, whatever was written before
    assert slope(read) <= 0.01


class Still:
    """A task's context with nothing in it."""

    def offset(self, partition: Any) -> None:
        return None

    def wait(self, seconds: float) -> bool:
        return False


def test_a_line_costs_no_python_call_in_the_file_source(tmp_path: Path) -> None:
    tasks = {}
    for count in (FEW, MANY):
        file = tmp_path / f"{count}.txt"
        file.write_text("".join(f"line {number}\n" for number in range(count)))
        tasks[count] = FileSourceConfig.parse({"file": str(file), "topic": "lines"})

    def run(count: int) -> None:
        task = FileStreamSourceTask(tasks[count], Still())
        task.start()
        (batch,) = task.poll()
        assert len(batch.values) == count
        assert batch.offset_at(count - 1)["position"] == (tmp_path / f"{count}.txt").stat().st_size
        task.stop()

    assert slope(run) <= 0.01


class Fetched:
    """librdkafka's consumer with so many messages in its queue."""

    def __init__(self, messages: list[Message]) -> None:
        self.messages = messages

    def consume(self, count: int, timeout: float) -> list[Message]:
        given, self.messages = self.messages[:count], self.messages[count:]
        return given


@pytest.mark.parametrize("one_topic", [True, False], ids=["one topic", "several topics"])
@pytest.mark.parametrize("converter", ["string", "json"])
def test_a_record_costs_no_python_call_from_kafka_s_client_to_the_file(
    tmp_path: Path, one_topic: bool, converter: str
) -> None:
    line = b'{"schema":{"type":"string","optional":false},"payload":"a line"}' if converter == "json" else b"a line"
    messages = [
        Message(topic="lines", partition=0, offset=at, value=line, timestamp=(1, 1_700_000_000_000))
        for at in range(MANY)
    ]
    consumer = KafkaConsumer(
        Making("127.0.0.1:1", {}), ConsumerSettings("reader", "g"), Watch("reader", "x"), SystemClock()
    )
    consumer._places.of[TopicPartition("lines", 0)] = 0
    consumer._one_topic = one_topic
    pipeline = SinkPipeline(Chain(()), *surroundings(converter))
    task = FileStreamSinkTask(FileSinkConfig.parse({"file": str(tmp_path / "out.txt")}), Still())
    task.start()

    def run(count: int) -> None:
        consumer._client = Fetched(messages[:count])
        poll = pipeline.batch(consumer.poll(count, 0))
        task.put(poll.batch)
        assert len(poll.batch) == count

    assert slope(run) <= 0.01
    task.stop()
    assert (tmp_path / "out.txt").read_text() == "a line\n" * (2 * (FEW + MANY))


def test_a_record_costs_no_python_call_in_the_file_sink(tmp_path: Path) -> None:
    task = FileStreamSinkTask(FileSinkConfig.parse({"file": str(tmp_path / "out.txt")}), Still())
    task.start()
    batches = {
        count: SinkBatch([RecordBatch("lines", STRING, ["a line"] * count)], [Origin("lines", 0, 0)] * count)
        for count in (FEW, MANY)
    }
    assert slope(lambda count: task.put(batches[count])) <= 0.01
    task.stop()
    assert (tmp_path / "out.txt").read_text() == "a line\n" * (2 * (FEW + MANY))
