"""What passes between plugins and the runtime: records one by one, and batches of columns."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, Literal, NamedTuple, Self, TypeVar, overload

from millstream_api.headers import Headers
from millstream_api.schema import Schema

__all__ = [
    "Origin",
    "Place",
    "R",
    "Record",
    "RecordBatch",
    "SinkBatch",
    "SinkRecord",
    "SourceBatch",
    "SourceRecord",
    "TopicPartition",
    "records_of",
]

Place = Mapping[str, Any]
"""A source partition or a source offset: text to None, bool, int of 64 bits, float, str or bytes, as in Java.

They are stored as JSON: bytes come back as base64 text, a NaN as `"NaN"`. Source: OffsetUtils.java."""

_KEEP: Any = type("Keep", (), {"__slots__": (), "__repr__": lambda _self: "<unchanged>"})()


class TopicPartition(NamedTuple):
    """One partition of a topic: `topic` is its name, `partition` counts from 0. Source: TopicPartition.java."""

    topic: str
    partition: int


class Origin(NamedTuple):
    """Where a record was consumed from, before any transformation. Source: KIP-793.

    topic, partition, offset: of the record in the log; partitions and offsets count from 0.
    timestamp_type:  `CreateTime`, `LogAppendTime` or `NoTimestampType`.
    """

    topic: str
    partition: int
    offset: int
    timestamp_type: str = "CreateTime"


class Record:
    """What a transformation sees: topic, value, key, their schemas, partition, timestamp, headers.

    topic:         where the record goes to (source) or came from (sink).
    value, key:    None is null; a value of None with value_schema None is a tombstone.
    value_schema, key_schema: None for data without a schema.
    partition:     None leaves the choice to the producer.
    timestamp:     milliseconds since 1970 in UTC; None leaves it to the producer.
    headers:       see `Headers`.

    Never changed in place, values included: `replace` gives a new one. Equal when all fields and
    coordinates are equal, values compared deeply. `repr` shows no key, value or header.
    Source: ConnectRecord.java.
    """

    __slots__ = ("headers", "key", "key_schema", "partition", "timestamp", "topic", "value", "value_schema")

    def __init__(
        self,
        topic: str,
        value: Any,
        value_schema: Schema | None = None,
        key: Any = None,
        key_schema: Schema | None = None,
        partition: int | None = None,
        timestamp: int | None = None,
        headers: Headers = (),
    ) -> None:
        self.topic = topic
        self.value = value
        self.value_schema = value_schema
        self.key = key
        self.key_schema = key_schema
        self.partition = partition
        self.timestamp = timestamp
        self.headers = headers

    def replace(
        self,
        *,
        topic: str = _KEEP,
        value: Any = _KEEP,
        value_schema: Schema | None = _KEEP,
        key: Any = _KEEP,
        key_schema: Schema | None = _KEEP,
        partition: int | None = _KEEP,
        timestamp: int | None = _KEEP,
        headers: Headers = _KEEP,
    ) -> Self:
        """Give a copy with the fields named changed.

        Coordinates (source partition and offset, the batch and row of a sink) are kept: they are no
        arguments, so that no transformation can lose a position. Source: ConnectRecord.newRecord.
        """
        new = object.__new__(type(self))
        new.topic = self.topic if topic is _KEEP else topic
        new.value = self.value if value is _KEEP else value
        new.value_schema = self.value_schema if value_schema is _KEEP else value_schema
        new.key = self.key if key is _KEEP else key
        new.key_schema = self.key_schema if key_schema is _KEEP else key_schema
        new.partition = self.partition if partition is _KEEP else partition
        new.timestamp = self.timestamp if timestamp is _KEEP else timestamp
        new.headers = self.headers if headers is _KEEP else headers
        self._place(new)
        return new

    def _place(self, copy: Any) -> None:
        """Give a copy made by `replace` the coordinates of this record."""

    def _fields(self) -> tuple[Any, ...]:
        return (
            *(self.topic, self.value, self.value_schema, self.key, self.key_schema),
            *(self.partition, self.timestamp, list(self.headers)),
        )

    def _coordinates(self) -> tuple[tuple[str, Any], ...]:
        return ()

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._fields() == other._fields() and self._coordinates() == other._coordinates()

    __hash__ = None  # type: ignore[assignment]  # values are lists and dicts

    def __repr__(self) -> str:
        shown = [
            *(("topic", self.topic), ("partition", self.partition), ("timestamp", self.timestamp)),
            *(("key_schema", self.key_schema), ("value_schema", self.value_schema)),
            *self._coordinates(),
        ]
        kinds = f"key=<{type(self.key).__name__}>, value=<{type(self.value).__name__}>, {len(self.headers)} headers"
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in shown)}, {kinds})"


R = TypeVar("R", bound=Record)


class SourceRecord(Record):
    """A record made by a source.

    source_partition:  what it was read from, such as `{"filename": "a.txt"}`. None is a partition, too: the one
                       of all records without one.
    source_offset:     where to go on after this record, such as `{"position": 812}`; None takes away what was
                       kept for the partition. No offset is kept when both are None.

    See `Place` for what they may hold; anything else fails the task when offsets are committed.
    Source: SourceRecord.java, OffsetStorageWriter.java.
    """

    __slots__ = ("source_offset", "source_partition")

    def __init__(
        self,
        topic: str,
        value: Any,
        source_partition: Place | None,
        source_offset: Place | None,
        value_schema: Schema | None = None,
        key: Any = None,
        key_schema: Schema | None = None,
        partition: int | None = None,
        timestamp: int | None = None,
        headers: Headers = (),
    ) -> None:
        self.topic = topic
        self.value = value
        self.source_partition = source_partition
        self.source_offset = source_offset
        self.value_schema = value_schema
        self.key = key
        self.key_schema = key_schema
        self.partition = partition
        self.timestamp = timestamp
        self.headers = headers

    def _place(self, copy: "SourceRecord") -> None:
        copy.source_partition = self.source_partition
        copy.source_offset = self.source_offset

    def _coordinates(self) -> tuple[tuple[str, Any], ...]:
        return (("source_partition", self.source_partition), ("source_offset", self.source_offset))


class SinkRecord(Record):
    """A record for a sink. It keeps its batch, so that `report` finds it as it was consumed.

    batch:  the batch it came in.
    row:    its number in that batch.

    Source: SinkRecord.java.
    """

    __slots__ = ("batch", "row")

    def __init__(
        self,
        topic: str,
        value: Any,
        value_schema: Schema | None,
        key: Any,
        key_schema: Schema | None,
        partition: int | None,
        timestamp: int | None,
        headers: Headers,
        batch: "SinkBatch",
        row: int,
    ) -> None:
        self.topic = topic
        self.value = value
        self.value_schema = value_schema
        self.key = key
        self.key_schema = key_schema
        self.partition = partition
        self.timestamp = timestamp
        self.headers = headers
        self.batch = batch
        self.row = row

    @property
    def origin(self) -> Origin:
        """Topic, partition and offset as consumed, whatever transformations did.

        Source: KIP-793; SinkRecord.originalTopic, originalKafkaPartition, originalKafkaOffset.
        """
        return self.batch.origins[self.row]

    def _place(self, copy: "SinkRecord") -> None:
        copy.batch = self.batch
        copy.row = self.row

    def _coordinates(self) -> tuple[tuple[str, Any], ...]:
        return (("origin", self.origin), ("row", self.row))


class RecordBatch:
    """Rows of one topic and one pair of schemas, as columns of equal length.

    values:      one value a row. A None under a schema is a null, with value_schema None a tombstone.
    keys, partitions, timestamps, headers: as in `Record`; a column of None: null (none) in every row.
    rows:        each row's number in the poll, ascending; by default 0, 1, 2, …
    origins:     of the whole poll, on sinks only: row i came from `origins[rows[i]]`.

    Nothing in it is ever changed in place. `take` is the one way to drop or split rows.
    """

    __slots__ = (
        *("topic", "value_schema", "values", "key_schema", "keys"),
        *("partitions", "timestamps", "headers", "rows", "origins"),
    )

    def __init__(
        self,
        topic: str,
        value_schema: Schema | None,
        values: Sequence[Any],
        key_schema: Schema | None = None,
        keys: Sequence[Any] | None = None,
        partitions: Sequence[int | None] | None = None,
        timestamps: Sequence[int | None] | None = None,
        headers: Sequence[Headers] | None = None,
        rows: Sequence[int] | None = None,
        origins: Sequence[Origin] | None = None,
    ) -> None:
        self.topic = topic
        self.value_schema = value_schema
        self.values = values
        self.key_schema = key_schema
        self.keys = keys
        self.partitions = partitions
        self.timestamps = timestamps
        self.headers = headers
        self.rows: Sequence[int] = range(len(values)) if rows is None else rows
        self.origins = origins

    def __len__(self) -> int:
        return len(self.values)

    def replace(
        self,
        *,
        topic: str = _KEEP,
        value_schema: Schema | None = _KEEP,
        values: Sequence[Any] = _KEEP,
        key_schema: Schema | None = _KEEP,
        keys: Sequence[Any] | None = _KEEP,
        partitions: Sequence[int | None] | None = _KEEP,
        timestamps: Sequence[int | None] | None = _KEEP,
        headers: Sequence[Headers] | None = _KEEP,
    ) -> "RecordBatch":
        """Give the same rows with another topic, schema or column; columns keep their length.

        Not checked here: the runtime refuses columns of different lengths where it takes the batch.
        """
        return RecordBatch(
            self.topic if topic is _KEEP else topic,
            self.value_schema if value_schema is _KEEP else value_schema,
            self.values if values is _KEEP else values,
            self.key_schema if key_schema is _KEEP else key_schema,
            self.keys if keys is _KEEP else keys,
            self.partitions if partitions is _KEEP else partitions,
            self.timestamps if timestamps is _KEEP else timestamps,
            self.headers if headers is _KEEP else headers,
            self.rows,
            self.origins,
        )

    def take(self, at: Sequence[int]) -> "RecordBatch":
        """Give the rows at these indices of the columns, ascending from 0; they keep their numbers.

        Raises IndexError for an index that is not there.
        """
        return RecordBatch(
            self.topic,
            self.value_schema,
            _picked(self.values, at),
            self.key_schema,
            None if self.keys is None else _picked(self.keys, at),
            None if self.partitions is None else _picked(self.partitions, at),
            None if self.timestamps is None else _picked(self.timestamps, at),
            None if self.headers is None else _picked(self.headers, at),
            _picked(self.rows, at),
            self.origins,
        )

    def _columns(self) -> tuple[Any, ...]:
        columns = (self.values, self.keys, self.partitions, self.timestamps, self.headers, self.rows, self.origins)
        return (
            *(self.topic, self.value_schema, self.key_schema),
            *(None if column is None else list(column) for column in columns),
        )

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._columns() == other._columns()

    __hash__ = None  # type: ignore[assignment]  # values are lists and dicts

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(topic={self.topic!r}, {len(self)} rows, "
            f"key_schema={self.key_schema!r}, value_schema={self.value_schema!r})"
        )


def _picked(column: Sequence[Any], at: Sequence[int]) -> Sequence[Any]:
    return list(map(column.__getitem__, at))


class SourceBatch(RecordBatch):
    """What a fast `poll` returns: rows of one source partition. Chains see it as a `RecordBatch`.

    source_partition:  what the rows were read from; None as in `SourceRecord`.
    offset_at:         gives the source offset after the row at this index (0 to length - 1). Asked
                       about once a commit, for the last row acknowledged, on the task's thread; it must
                       stay right after `poll` was called again. What it raises fails the task.
    boundary:          `commit` or `abort` the transaction behind the last row, with
                       `transaction.boundary=connector`; None: go on.

    Source: TransactionContext.commitTransaction, abortTransaction of a record.
    """

    __slots__ = ("boundary", "offset_at", "source_partition")

    def __init__(
        self,
        topic: str,
        value_schema: Schema | None,
        values: Sequence[Any],
        source_partition: Place | None,
        offset_at: Callable[[int], Place | None],
        key_schema: Schema | None = None,
        keys: Sequence[Any] | None = None,
        partitions: Sequence[int | None] | None = None,
        timestamps: Sequence[int | None] | None = None,
        headers: Sequence[Headers] | None = None,
        boundary: Literal["commit", "abort"] | None = None,
    ) -> None:
        RecordBatch.__init__(self, topic, value_schema, values, key_schema, keys, partitions, timestamps, headers)
        self.source_partition = source_partition
        self.offset_at = offset_at
        self.boundary = boundary

    def _columns(self) -> tuple[Any, ...]:
        offsets = [self.offset_at(row) for row in range(len(self))]
        return (*super()._columns(), self.source_partition, offsets, self.boundary)


class SinkBatch(Sequence[SinkRecord]):
    """What `put` gets, in the order consumed; `batch[row]` is the record that `origins[row]` tells of.

    groups:   the same rows as columns, one batch for each topic and pair of schemas; `rows` of a
              group are numbers in this batch, from 0.
    origins:  one a row, made when asked for.
    records:  makes all records. Iterating makes them anew each time, equal but not the same, so that
              each is freed as soon as it is let go; once `batch[i]` was asked for, all are kept.
    """

    __slots__ = ("_made", "groups", "origins", "records")

    def __init__(
        self,
        groups: Sequence[RecordBatch],
        origins: Sequence[Origin],
        records: "Callable[[SinkBatch], Sequence[SinkRecord]] | None" = None,
    ) -> None:
        self.groups = groups
        self.origins = origins
        self.records = records or records_of
        self._made: Sequence[SinkRecord] | None = None

    def __len__(self) -> int:
        return sum(map(len, self.groups))

    def __iter__(self) -> Iterator[SinkRecord]:
        if self._made is not None:
            return iter(self._made)
        if self.records is records_of and len(self.groups) == 1:
            return _made(self, self.groups[0])
        return iter(self.records(self))  # not kept: batch and records in a circle cost 300 ns a record

    @overload
    def __getitem__(self, index: int) -> SinkRecord: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[SinkRecord]: ...

    def __getitem__(self, index: int | slice) -> SinkRecord | Sequence[SinkRecord]:
        if self._made is None:
            self._made = self.records(self)
        return self._made[index]

    def __repr__(self) -> str:
        return f"SinkBatch({len(self)} rows in {len(self.groups)} groups)"


def records_of(batch: SinkBatch) -> Sequence[SinkRecord]:
    """Make the records of a batch from its columns, in row order: what `SinkBatch.records` is by default."""
    if len(batch.groups) == 1:
        return list(_made(batch, batch.groups[0]))
    out: list[Any] = [None] * len(batch)
    for group in batch.groups:
        for row, record in zip(group.rows, _made(batch, group), strict=True):
            out[row] = record
    return out


def _made(batch: SinkBatch, group: RecordBatch) -> Iterator[SinkRecord]:
    return map(
        SinkRecord,
        repeat(group.topic),
        group.values,
        repeat(group.value_schema),
        repeat(None) if group.keys is None else group.keys,
        repeat(group.key_schema),
        repeat(None) if group.partitions is None else group.partitions,
        repeat(None) if group.timestamps is None else group.timestamps,
        repeat(()) if group.headers is None else group.headers,
        repeat(batch),
        group.rows,
    )
