"""Rows made ready for the log: checked, given to partitions, stamped, encoded. No I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from millstream.broker.embedded.batches import NULL, Rows, encode, lengths
from millstream.broker.embedded.catalog import Topic
from millstream.broker.partitioner import partition_of
from millstream.broker.ports import Outgoing
from millstream.errors import BrokerError, RecordTooLargeError, UnknownTopicError

CHUNK_ROWS = 5_000
CHUNK_BYTES = 4 << 20


@dataclass(slots=True)
class Piece:
    """Rows for one partition. at: their numbers in the Outgoing, None: all. base: where they begin, once written."""

    partition: int
    at: Sequence[int] | None
    rows: Rows
    timestamp: int  # of every row, or the newest where rows.timestamps has them
    count: int
    blobs: Sequence[tuple[int, bytes]]  # (rows, batch); empty for a compacted topic
    base: int = -1


@dataclass(slots=True)
class Prepared:
    topic: Topic
    count: int
    pieces: list[Piece] = field(default_factory=list)
    failures: dict[int, Exception] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return sum(len(blob) for piece in self.pieces for _, blob in piece.blobs) + 100 * self.count


@dataclass(frozen=True, slots=True)
class Rules:
    """now_ms: stamps rows without a timestamp. sticky: partition of keyless rows. limit: bytes of one record.
    ignore_keys: all rows are keyless to the partitioner."""

    now_ms: int
    sticky: int
    limit: int
    ignore_keys: bool = False


def prepare(batch: Outgoing, topic: Topic, rules: Rules) -> Prepared:
    """Split the rows among the topic's partitions; what cannot be written becomes a failure of its row."""
    prepared = Prepared(topic, len(batch.values))
    keyless = batch.keys is None or rules.ignore_keys
    if batch.partitions is None and not topic.compacted and (keyless or len(topic.slots) == 1):
        piece = _piece(batch, rules.sticky % len(topic.slots), None, rules.now_ms, topic.compacted)
        if len(piece.blobs) == 1 and len(piece.blobs[0][1]) <= rules.limit:  # so no single row is above it
            prepared.pieces.append(piece)
            return prepared
    prepared.failures.update(_refused(batch, topic, rules.limit))
    for partition, at in _dealt(batch, topic, rules, prepared.failures).items():
        if at is None or at:
            prepared.pieces.append(_piece(batch, partition, at, rules.now_ms, topic.compacted))
    return prepared


def _refused(batch: Outgoing, topic: Topic, limit: int) -> Mapping[int, Exception]:
    failures: dict[int, Exception] = {}
    if topic.compacted:
        keys = batch.keys or [None] * len(batch.values)
        for row, key in enumerate(keys):
            if key is None:
                failures[row] = BrokerError(
                    f"a record without a key was sent to topic {topic.name!r}, which is compacted: it keeps the newest "
                    "record of each key; give the record a key",
                    skippable=True,
                )
    sizes = _sizes(batch)
    if max(sizes, default=0) > limit:
        for row, size in enumerate(sizes):
            if size > limit:
                failures[row] = RecordTooLargeError(
                    f"a record of {size} bytes (key, value, headers) was sent to topic {topic.name!r}, which accepts "
                    f"{limit}; raise max.message.bytes, of the topic or of the worker, or make the record smaller"
                )
    if batch.partitions is not None:
        count = len(topic.slots)
        for row, partition in enumerate(batch.partitions):
            if partition is not None and not 0 <= partition < count:
                failures[row] = UnknownTopicError(
                    f"a record was sent to partition {partition} of topic {topic.name!r}, which has {count} "
                    f"(0 to {count - 1})",
                    skippable=True,
                )
    return failures


def _sizes(batch: Outgoing) -> Sequence[int]:
    sizes: Sequence[int] = lengths(batch.values)
    if NULL in sizes:
        sizes = [0 if size == NULL else size for size in sizes]
    if batch.keys is not None:
        sizes = [size + len(key or b"") for size, key in zip(sizes, batch.keys, strict=True)]
    if batch.headers is not None:
        sizes = [
            size + sum(len(name) + len(value or b"") for name, value in headers)
            for size, headers in zip(sizes, batch.headers, strict=True)
        ]
    return sizes


def _dealt(
    batch: Outgoing, topic: Topic, rules: Rules, failures: Mapping[int, Exception]
) -> Mapping[int, list[int] | None]:
    """Partition -> its rows in order, None for all of them."""
    count, sticky = len(topic.slots), rules.sticky
    keys = None if rules.ignore_keys else batch.keys
    if not failures:
        if batch.partitions is None and (count == 1 or keys is None):
            return {sticky % count: None}
        if count == 1:
            return {0: None}
    dealt: dict[int, list[int]] = {}
    for row in range(len(batch.values)):
        if row in failures:
            continue
        partition = batch.partitions[row] if batch.partitions is not None else None
        if partition is None:
            key = keys[row] if keys is not None else None
            partition = sticky % count if key is None else partition_of(key, count)
        dealt.setdefault(partition, []).append(row)
    return dict(dealt)


def _piece(batch: Outgoing, partition: int, at: Sequence[int] | None, now_ms: int, compacted: bool) -> Piece:
    stamps = batch.timestamps
    if at is None:
        rows = Rows(batch.values, batch.keys, None, batch.headers)
    else:
        rows = Rows(
            [batch.values[i] for i in at],
            None if batch.keys is None else [batch.keys[i] for i in at],
            None,
            None if batch.headers is None else [batch.headers[i] for i in at],
        )
        stamps = None if stamps is None else [stamps[i] for i in at]
    newest = now_ms
    if stamps:
        first = stamps[0]
        if first is not None and stamps.count(first) == len(stamps):
            newest = first
        else:
            filled = [now_ms if stamp is None else stamp for stamp in stamps]
            newest = max(filled)
            if min(filled) != newest:
                rows = Rows(rows.values, rows.keys, filled, rows.headers)
    return Piece(partition, at, rows, newest, len(rows.values), () if compacted else _blobs(rows))


def _blobs(rows: Rows) -> Sequence[tuple[int, bytes]]:
    """Batches small enough that a reader holds few rows more than it was asked for."""
    count = len(rows.values)
    if count <= CHUNK_ROWS:
        blob = encode(rows)
        if count <= 1 or len(blob) <= CHUNK_BYTES:
            return [(count, blob)]
    half = count // 2
    return [*_blobs(_cut(rows, slice(None, half))), *_blobs(_cut(rows, slice(half, None)))]


def _cut(rows: Rows, part: slice) -> Rows:
    return Rows(
        rows.values[part],
        None if rows.keys is None else rows.keys[part],
        None if rows.timestamps is None else rows.timestamps[part],
        None if rows.headers is None else rows.headers[part],
    )
