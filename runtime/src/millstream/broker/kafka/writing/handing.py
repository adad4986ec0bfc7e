"""Hands the rows of a batch to librdkafka, one call each and nothing else a row."""

import random
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import repeat
from operator import length_hint
from typing import TYPE_CHECKING, TypeVar

from confluent_kafka import KafkaError, KafkaException, Message

from millstream.broker.kafka.client.failures import TOO_LARGE, TOO_LARGE_REMEDY, error_of, explained
from millstream.broker.kafka.client.peer import Peer
from millstream.broker.kafka.writing.flight import BY_KEY, Pending, arrived
from millstream.broker.ports import Outgoing
from millstream.errors import BrokerError, RecordTooLargeError

if TYPE_CHECKING:
    from confluent_kafka import Producer

T = TypeVar("T")
Refused = Callable[[Pending, KafkaError, Message], None]
Report = Callable[[KafkaError | None, Message], None]


class Hand:
    """refused: hears of each record that was not written.   report_each: whether of written ones is heard, too."""

    def __init__(self, peer: Peer, refused: Refused, ignore_keys: bool, report_each: bool) -> None:
        self._peer = peer
        self._refused = refused
        self._ignore_keys = ignore_keys
        self._report_each = report_each
        self._sticky: dict[str, tuple[int, int]] = {}  # topic -> (partition, bytes it got)

    def place(self, pending: Pending, partitions: int, turn: int) -> None:
        """Choose the partitions of its rows. partitions: of the topic; turn: bytes after which keyless rows go to the
        next one."""
        batch = pending.batch
        if (batch.keys is None or self._ignore_keys) and batch.partitions is None:
            pending.where = self._turn(batch.topic, partitions, pending.size, turn)
            pending.lane = (batch.topic, pending.where)
        else:
            pending.where, one = self._chosen(batch, partitions, pending.size, turn)
            pending.lane = (batch.topic, one)
            pending.spread = 1 if batch.partitions is not None else partitions

    def over(self, client: "Producer", pending: Pending, stop: int) -> None:
        """Hand over its rows up to `stop`. Those that librdkafka refuses at once are noted."""
        batch, start = pending.batch, pending.handed
        if self._report_each and pending.origins is None:
            pending.origins = [None] * len(batch.values)
        pending.handed = stop
        if self._report_each or pending.failures or batch.headers is not None:
            self._each(client, pending, range(start, stop))
        else:
            self._plain(client, pending, start, stop)

    def again(self, client: "Producer", rows: Sequence[tuple[Pending, int]]) -> None:
        """Rows whose batch was refused, in order, each to the partition it was for; noted as failed until then."""
        for pending, row in rows:
            report = self._report_row(pending, row) if self._report_each else self._report(pending)
            refused = pending.failures.pop(row)
            try:
                _one(client, pending.batch, row, (pending.partition(row), report))
            except KafkaException as error:
                pending.failures[row] = _at_once(pending.batch, row, error, self._peer)
            except BaseException:
                pending.failures[row] = refused
                raise

    def _plain(self, client: "Producer", pending: Pending, start: int, stop: int) -> None:
        batch, produce, where = pending.batch, client.produce, pending.where
        values = iter(_part(batch.values, start, stop))
        columns = (
            repeat(batch.topic),
            values,
            repeat(None) if batch.keys is None else _part(batch.keys, start, stop),
            repeat(where) if isinstance(where, int) else _part(where, start, stop),
            repeat(self._report(pending)),
            repeat(None),
            repeat(0) if batch.timestamps is None else _stamps(_part(batch.timestamps, start, stop)),
        )
        calls = map(produce, *columns)
        while True:
            try:
                deque(calls, 0)  # all the calls, without one step of the interpreter between them
            except KafkaException as error:
                row = stop - length_hint(values) - 1
                pending.failures[row] = _at_once(batch, row, error, self._peer)
            else:
                return

    def _each(self, client: "Producer", pending: Pending, rows: range) -> None:
        report = self._report(pending)
        for row in rows:
            if row in pending.failures:
                continue
            try:
                hear = self._report_row(pending, row) if self._report_each else report
                _one(client, pending.batch, row, (pending.partition(row), hear))
            except KafkaException as error:
                pending.failures[row] = _at_once(pending.batch, row, error, self._peer)

    def _report(self, pending: Pending) -> Report:
        return partial(self._hear, pending)

    def _hear(self, pending: Pending, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._refused(pending, error, message)

    def _report_row(self, pending: Pending, row: int) -> Report:
        def hear(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self._refused(pending, error, message)
            else:
                arrived(pending, row, message)

        return hear

    def _chosen(self, batch: Outgoing, partitions: int, size: int, turn: int) -> tuple[list[int], int]:
        """The partition of each row: the one it names, its key's, or that of all keyless rows; and that of all."""
        sticky = self._turn(batch.topic, partitions, size, turn)
        count = len(batch.values)
        named = batch.partitions or [None] * count
        keys = [None] * count if batch.keys is None or self._ignore_keys else batch.keys
        where = [
            sticky if name is None and key is None else BY_KEY if name is None else name
            for name, key in zip(named, keys, strict=True)
        ]
        one = where[0] if where and where.count(where[0]) == count else BY_KEY
        if one == BY_KEY and partitions == 1 and where.count(BY_KEY) + where.count(0) == count:
            one = 0
        return where, one

    def _turn(self, topic: str, partitions: int, size: int, turn: int) -> int:
        partition, got = self._sticky.get(topic, (random.randrange(partitions), 0))
        if got >= turn or partition >= partitions:
            partition, got = (partition + 1) % partitions, 0
        self._sticky[topic] = (partition, got + size)
        return partition


def _part(column: Sequence[T], start: int, stop: int) -> list[T]:
    if type(column) is list and stop - start == len(column):
        return column
    return list(column[start:stop])


def _stamps(column: list[int | None]) -> list[int | None]:
    """0 is now."""
    return column if all(column) else [stamp or 0 for stamp in column]


def _one(client: "Producer", batch: Outgoing, row: int, way: tuple[int, Report]) -> None:
    partition, report = way
    stamp = batch.timestamps[row] if batch.timestamps is not None else None
    client.produce(
        batch.topic,
        batch.values[row],
        None if batch.keys is None else batch.keys[row],
        partition,
        report,
        timestamp=stamp or 0,  # 0: now
        headers=list(batch.headers[row]) if batch.headers is not None else None,
    )


def size_of(batch: Outgoing) -> int:
    """Bytes of all keys and values; of headers an estimate."""
    size = _bytes(batch.values)
    if batch.keys is not None:
        size += _bytes(batch.keys)
    if batch.headers is not None:
        size += sum(len(name) + len(value or b"") for row in batch.headers for name, value in row)
    return size


def part_size(batch: Outgoing, start: int, stop: int) -> int:
    """As `size_of`, of some of its rows."""
    if batch.headers is not None:
        return sum(payload(batch, row) for row in range(start, stop))
    return _bytes(batch.values[start:stop]) + (0 if batch.keys is None else _bytes(batch.keys[start:stop]))


def payload(batch: Outgoing, row: int) -> int:
    """Bytes of one row."""
    size = len(batch.values[row] or b"")
    if batch.keys is not None:
        size += len(batch.keys[row] or b"")
    if batch.headers is not None:
        size += sum(len(name) + len(value or b"") for name, value in batch.headers[row])
    return size


def too_large(batch: Outgoing, row: int, limit: str) -> RecordTooLargeError:
    size = payload(batch, row)
    return RecordTooLargeError(
        f"a record of {size} bytes for topic {batch.topic!r} is larger than {limit}; {TOO_LARGE_REMEDY}"
    )


def _bytes(column: Sequence[bytes | None]) -> int:
    try:
        return sum(map(len, column))  # type: ignore[arg-type]  # None raises, and is counted below
    except TypeError:
        return sum(len(one) for one in column if one is not None)


def _at_once(batch: Outgoing, row: int, error: KafkaException, peer: Peer) -> BrokerError:
    inner = error_of(error)
    if inner.code() in TOO_LARGE:
        return too_large(batch, row, "producer.max.request.size lets through")
    return explained(inner, f"writing to topic {batch.topic!r}", peer, batch.topic)
