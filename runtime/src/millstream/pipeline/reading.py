"""What a consumer read, as rows of one poll, and the way back from a sink's record to the bytes consumed."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, count, repeat
from typing import Any, overload

from millstream.broker.ports import Incoming
from millstream.pipeline.conversion import Converters
from millstream.pipeline.grouping import cells, joined, numbered
from millstream.pipeline.reporting import Consumed
from millstream_api import Header, Origin, Record, RecordBatch, SinkBatch, SinkRecord, Subject, TopicPartition


class ConsumedOrigin(Origin):
    """An origin that still has what was consumed there."""

    incoming: Incoming
    at: int

    def consumed(self) -> Consumed:
        some, at = self.incoming, self.at
        stamp = some.timestamps[at]
        return Consumed(
            some.topic,
            some.partition,
            some.offsets[at],
            None if stamp == -1 else stamp,
            some.timestamp_type,
            None if some.keys is None else some.keys[at],
            some.values[at],
            () if some.headers is None else some.headers[at],
        )


class Origins(Sequence[Origin]):
    """One a row of the poll, made when asked for."""

    __slots__ = ("_incoming", "_rows", "_starts")

    def __init__(self, incoming: Sequence[Incoming]) -> None:
        self._incoming = incoming
        self._starts = [0, *accumulate(len(some.values) for some in incoming)]
        self._rows = self._starts.pop()

    def __len__(self) -> int:
        return self._rows

    def _at(self, row: int) -> ConsumedOrigin:
        number = bisect_right(self._starts, row) - 1
        some, at = self._incoming[number], row - self._starts[number]
        origin = ConsumedOrigin(some.topic, some.partition, some.offsets[at], some.timestamp_type)
        origin.incoming, origin.at = some, at
        return origin

    def consumed(self, row: int) -> Consumed:
        return self._at(row).consumed()

    @overload
    def __getitem__(self, index: int) -> Origin: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Origin]: ...
    def __getitem__(self, index: int | slice) -> Origin | Sequence[Origin]:
        rows = range(self._rows)[index]
        return self._at(rows) if isinstance(rows, int) else [self._at(row) for row in rows]


class Picked(Sequence[Origin]):
    """Some of a poll's origins, under new numbers."""

    __slots__ = ("_kept", "_origins")

    def __init__(self, origins: Sequence[Origin], kept: Sequence[int]) -> None:
        self._origins = origins
        self._kept = kept

    def __len__(self) -> int:
        return len(self._kept)

    @overload
    def __getitem__(self, index: int) -> Origin: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Origin]: ...
    def __getitem__(self, index: int | slice) -> Origin | Sequence[Origin]:
        kept = self._kept[index]
        return self._origins[kept] if isinstance(kept, int) else [self._origins[row] for row in kept]


def raw_groups(incoming: Sequence[Incoming]) -> tuple[list[RecordBatch], Origins]:
    """One group of undecoded columns a topic; rows are numbered in the order given."""
    origins = Origins(incoming)
    by_topic: dict[str, list[RecordBatch]] = {}
    start = 0
    for some in incoming:
        rows = len(some.values)
        if rows:
            headers = some.headers
            named = (
                None if headers is None or not any(headers) else [[Header(*pair) for pair in row] for row in headers]
            )
            batch = RecordBatch(
                some.topic,
                None,
                some.values,
                None,
                some.keys,
                [some.partition] * rows,
                some.timestamps,
                named,
                range(start, start + rows),
                origins,
            )
            by_topic.setdefault(some.topic, []).append(batch)
        start += rows
    return [joined(batches) for batches in by_topic.values()], origins


def positions(incoming: Iterable[Incoming]) -> dict[TopicPartition, int]:
    """Where to read on in each partition."""
    return {TopicPartition(some.topic, some.partition): some.offsets[-1] + 1 for some in incoming if len(some.offsets)}


def sink_records(batch: SinkBatch) -> Callable[[RecordBatch], Iterable[Record]]:
    """What makes records of a group for transformations; their row is the poll's."""

    def make(group: RecordBatch) -> Iterable[Record]:
        return map(SinkRecord, *cells(group), repeat(batch), group.rows)

    return make


def number_anew(groups: Sequence[RecordBatch], origins: Sequence[Origin]) -> SinkBatch:
    """The rows that are left, numbered from 0 in the order consumed."""
    if sum(map(len, groups)) == len(origins):
        return SinkBatch(groups, origins)
    kept = sorted(chain.from_iterable(group.rows for group in groups))
    number = dict(zip(kept, count()))
    left = Picked(origins, kept)
    return SinkBatch([numbered(group, list(map(number.__getitem__, group.rows)), left) for group in groups], left)


@dataclass(frozen=True, slots=True)
class Spelling:
    """The task's converters, used to spell a record that was never consumed."""

    converters: Converters

    def column(self, record: SinkRecord, role: str) -> bytes | None:
        if role == "key":
            subject, value = Subject(record.topic, record.key_schema, "key"), record.key
            return self.converters.key.encoder(subject)([value], [[]])[0]
        subject, value = Subject(record.topic, record.value_schema, "value"), record.value
        return self.converters.value.encoder(subject)([value], [[]])[0]

    def headers(self, record: SinkRecord) -> list[tuple[str, bytes | None]]:
        to_bytes = self.converters.header.to_bytes
        return [(name, to_bytes(record.topic, name, value, schema)) for name, value, schema in record.headers]


def consumed_by(record: SinkRecord, converters: Converters) -> Consumed:
    """What was consumed for a record; for one a plugin made itself, what the task's converters make of it (§6.5)."""
    batch: Any = getattr(record, "batch", None)
    origin = batch.origins[record.row] if isinstance(batch, SinkBatch) else None
    if isinstance(origin, ConsumedOrigin):
        return origin.consumed()
    spelling = Spelling(converters)
    return Consumed(
        record.topic,
        record.partition,
        None if origin is None else origin.offset,
        record.timestamp,
        "NoTimestampType" if origin is None else origin.timestamp_type,
        spelling.column(record, "key"),
        spelling.column(record, "value"),
        spelling.headers(record),
    )
