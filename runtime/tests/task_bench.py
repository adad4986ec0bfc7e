"""What the tests of the task loops share: a log in memory, a pipeline without stages, faults on demand, a runner."""

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from millstream.broker.connect import open_broker
from millstream.broker.ports import AdminSettings, ConsumerSettings, Outgoing, ProducerSettings
from millstream.errors import MillstreamError
from millstream.identity import State, TaskId
from millstream.lifecycle import SystemClock, spawn
from millstream.pipeline.ledger import BatchLedger, RowLedger
from millstream.pipeline.poll import Routed
from millstream.task.control import Control
from millstream.task.events import StateChanged, TopicSeen
from millstream.task.parts import SinkParts, SinkSettings, SourceParts, SourceSettings
from millstream_api import RecordBatch, SinkBatch, SourceBatch, SourceRecord, TopicPartition

DROP, BAD, BIG = "drop", "bad", "big"
LIMIT = 5_000  # bytes a record
OFFSETS = "offsets"
ID = TaskId("numbers", 0)
SECONDS = 20.0  # for what takes milliseconds on a machine that has nothing else to do; a test as a whole has 30


class HastyControl(Control):
    """Does not sleep."""

    def wait(self, seconds: float) -> bool:
        return super().wait(0)


@dataclass
class Slice:
    """A `SourceSlice` whose records are at hand."""

    records: Sequence[SourceRecord]
    outgoing: Sequence[Routed]
    ledger: Any
    boundary: str | None = None
    failure: Exception | None = None
    failed_row: int | None = None

    @property
    def rows(self) -> int:
        return len(self.records)

    def record(self, row: int) -> SourceRecord:
        return self.records[row]


class PlainPipeline:
    """Text to UTF-8; drops records that say `drop`, fails at those that say `bad`, makes `big` ones large."""

    def __init__(self, slice_rows: int = 3) -> None:
        self.slice_rows = slice_rows
        self.refusals: list[tuple[str, Exception]] = []
        self.closed = False

    def slices(self, polled: Sequence[Any]) -> Iterator[Slice]:
        plain: list[SourceRecord] = []
        for some in polled:
            if isinstance(some, SourceBatch):
                yield self._of_batch(some)
            else:
                plain.append(some)
        for start in range(0, len(plain), self.slice_rows):
            records = plain[start : start + self.slice_rows]
            ledger = RowLedger([r.source_partition for r in records], [r.source_offset for r in records])
            made = self._made(records, ledger)
            yield made
            if made.failure is not None:
                return

    def refused(self, slice_: Slice, row: int, error: Exception) -> None:
        self.refusals.append((slice_.record(row).value, error))

    def close(self) -> None:
        self.closed = True

    def _of_batch(self, batch: SourceBatch) -> Slice:
        records = [
            SourceRecord(batch.topic, value, batch.source_partition, batch.offset_at(row))
            for row, value in enumerate(batch.values)
        ]
        made = self._made(records, BatchLedger(batch.source_partition, batch.offset_at, 0))
        made.boundary = batch.boundary
        return made

    def _made(self, records: Sequence[SourceRecord], ledger: Any) -> Slice:
        rows: dict[str, list[int]] = {}
        failure: Exception | None = None
        failed_row: int | None = None
        for row, record in enumerate(records):
            if record.value.startswith(BAD):
                failure, failed_row = MillstreamError("Tolerance exceeded in error handler"), row
                break
            if not record.value.startswith(DROP):
                rows.setdefault(record.topic, []).append(row)
        outgoing = [
            Routed(Outgoing(topic, [encoded(records[row].value) for row in own]), own) for topic, own in rows.items()
        ]
        return Slice(records, outgoing, ledger, None, failure, failed_row)


def encoded(value: str) -> bytes:
    return (value * LIMIT if value.startswith(BIG) else value).encode()


class PlainSinkPipeline:
    """UTF-8 to text; drops and fails as `PlainPipeline` does."""

    reporter: Any = None

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.closed = False

    def batch(self, incoming: Sequence[Any]) -> Any:
        origins, groups, failure, read = [], [], None, 0
        for some in incoming:
            values, rows = [], []
            for offset, value in zip(some.offsets, some.values, strict=True):
                text = value.decode()
                read += 1
                if text.startswith(BAD):
                    failure = MillstreamError("Tolerance exceeded in error handler")
                if not text.startswith(DROP):
                    rows.append(len(origins))
                    values.append(text)
                    origins.append(SimpleNamespace(topic=some.topic, partition=some.partition, offset=offset))
            if values:
                partitions = [some.partition] * len(values)
                groups.append(RecordBatch(some.topic, None, values, partitions=partitions, rows=rows))
        positions = {TopicPartition(some.topic, some.partition): some.offsets[-1] + 1 for some in incoming}
        topics = [some.topic for some in incoming]
        batch = SinkBatch(groups, origins)
        return SimpleNamespace(batch=batch, read=read, positions=positions, failure=failure, topics=topics)

    def errant(self, record: Any, error: Exception) -> Sequence[Any]:
        self.errors.append(error)
        return ()

    def close(self) -> None:
        self.closed = True


class Faulty:
    """A client whose methods fail when told to: `faults(method)` gives what to raise before it, None for nothing.

    A method's name with `:after` is asked about when it has succeeded.
    """

    def __init__(self, client: Any, faults: Callable[[str], Exception | None]) -> None:
        self._client = client
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        held = getattr(self._client, name)
        if not callable(held):
            return held

        def called(*arguments: Any) -> Any:
            if (error := self._faults(name)) is not None:
                raise error
            result = held(*arguments)
            if (error := self._faults(f"{name}:after")) is not None:
                raise error
            return result

        return called


class OffsetsInTheLog:
    """Offsets as rows of a topic: reader, rows for a transaction, and writer for at-least-once."""

    def __init__(self, bench: "Bench") -> None:
        self.bench = bench
        self.answers: list[Exception | str | None] = []  # what the writer says next; "silent": nothing

    def offsets(self, partitions: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any] | None]:
        stored = self.bench.stored()
        return [stored.get(json.dumps(partition, sort_keys=True)) for partition in partitions]

    def rows(self, offsets: Any) -> Outgoing:
        keys = [json.dumps(partition, sort_keys=True).encode() for partition, _ in offsets]
        return Outgoing(OFFSETS, [json.dumps(offset).encode() for _, offset in offsets], keys)

    def write(self, offsets: Any, done: Callable[[Exception | None], None]) -> None:
        answer = self.answers.pop(0) if self.answers else None
        if answer == "silent":
            return
        if answer is None:
            producer = self.bench.broker.producer(ProducerSettings("worker"))
            producer.begin()
            producer.send(self.rows(offsets), lambda _: None)
            producer.commit()
            producer.close(0)
        done(answer)  # type: ignore[arg-type]


class Bench:
    """One log, by default in memory, and tasks run against it on this thread or another."""

    def __init__(self, bootstrap: str = "", overlapped: bool = False) -> None:
        self.overlapped = overlapped
        self.broker = open_broker(bootstrap or f"sqlite::memory:{uuid.uuid4().hex}", {"max.message.bytes": str(LIMIT)})
        self.store = OffsetsInTheLog(self)
        self.pipeline = PlainPipeline()
        self.told: list[Any] = []
        self.heard = threading.Condition()
        self.on_event: Callable[[Any], None] = lambda event: None

    def close(self) -> None:
        self.broker.close()

    def tell(self, event: Any) -> None:
        with self.heard:
            self.told.append(event)
            self.heard.notify_all()
        self.on_event(event)

    def states(self) -> list[State]:
        return [event.state for event in self.told if isinstance(event, StateChanged)]

    def topics_seen(self) -> list[str]:
        return [event.topic for event in self.told if isinstance(event, TopicSeen)]

    def trace(self) -> str:
        return next(event.trace for event in reversed(self.told) if isinstance(event, StateChanged) and event.trace)

    def until(self, met: Callable[[], bool], seconds: float = SECONDS) -> None:
        with self.heard:
            assert self.heard.wait_for(met, seconds), f"not within {seconds} s; told: {self.told!r}"

    def source_parts(self, plugin: Callable[[Any], Any], **changes: Any) -> SourceParts:
        producer = self.broker.producer(ProducerSettings("task", report_each=changes.pop("report_each", False)))
        faults = changes.pop("faults", None)
        exactly = changes.pop("exactly", True)
        settings = changes.pop("settings", {})
        return SourceParts(
            id=ID,
            plugin=plugin,
            pipeline=changes.pop("pipeline", self.pipeline),
            producer=Faulty(producer, faults) if faults else producer,
            admin=changes.pop("admin", None) or self.broker.admin(AdminSettings("task")),
            reader=self.store,
            control=changes.pop("control", None) or HastyControl(),
            tell=self.tell,
            clock=changes.pop("clock", SystemClock()),
            rows=self.store if exactly else None,
            writer=None if exactly else self.store,
            settings=SourceSettings(**{"overlapped": self.overlapped, **settings}),
            **changes,
        )

    def sink_parts(self, plugin: Callable[[Any], Any], **changes: Any) -> SinkParts:
        consumer = self.broker.consumer(ConsumerSettings("task", group=changes.pop("group", "connect-numbers")))
        faults = changes.pop("faults", None)
        settings = {"topics": ["data"], "offset_flush_interval_ms": 0, **changes.pop("settings", {})}
        return SinkParts(
            id=ID,
            plugin=plugin,
            pipeline=changes.pop("pipeline", None) or PlainSinkPipeline(),
            consumer=Faulty(consumer, faults) if faults else consumer,
            control=changes.pop("control", None) or HastyControl(),
            tell=self.tell,
            clock=changes.pop("clock", SystemClock()),
            settings=SinkSettings(**settings),
            **changes,
        )

    def produce(self, values: Sequence[str], topic: str = "data", partition: int | None = None) -> None:
        producer = self.broker.producer(ProducerSettings("test"))
        producer.begin()
        partitions = None if partition is None else [partition] * len(values)
        producer.send(Outgoing(topic, [value.encode() for value in values], partitions=partitions), lambda _: None)
        producer.commit()
        producer.close(0)

    def log(self, topic: str = "data") -> list[str]:
        return [value.decode() for _, value in self._rows(topic) if value is not None]

    def stored(self) -> dict[str, Any]:
        return {key.decode(): json.loads(value) for key, value in self._rows(OFFSETS)}

    def committed(self, partition: int = 0, group: str = "connect-numbers") -> int | None:
        admin = self.broker.admin(AdminSettings("test"))
        try:
            return admin.group_offsets(group).get(TopicPartition("data", partition))
        finally:
            admin.close()

    def _rows(self, topic: str) -> list[tuple[Any, Any]]:
        found: list[tuple[Any, Any]] = []
        consumer = self.broker.consumer(ConsumerSettings("test"))
        try:
            description = self._topic(topic)
            if description is None:
                return found
            wanted = [TopicPartition(topic, number) for number in range(description.partitions)]
            consumer.assign(dict.fromkeys(wanted, "beginning"))
            ends = consumer.end_offsets(wanted)
            while any(consumer.position(one) < ends[one] for one in wanted):
                for some in consumer.poll(1000, 0):
                    keys = some.keys or [None] * len(some.values)
                    found.extend(zip(keys, some.values, strict=True))
        finally:
            consumer.close()
        return found

    def _topic(self, name: str) -> Any:
        admin = self.broker.admin(AdminSettings("test"))
        try:
            return admin.topics().get(name)
        finally:
            admin.close()


@dataclass
class Running:
    """A loop on a thread of its own."""

    loop: Any
    control: Control
    ended: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.thread = spawn("task", lambda _: self._run())

    def _run(self) -> None:
        try:
            self.loop.run()
        finally:
            self.ended.set()

    def stop(self) -> None:
        self.control.stop()
        assert self.ended.wait(SECONDS), f"the task did not end within {SECONDS} s of its stop"


def eventually(met: Callable[[], bool], seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.002)
