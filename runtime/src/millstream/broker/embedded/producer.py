"""Writes rows to the embedded log: what one transaction sends goes into one SQLite transaction, at its commit."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from millstream.broker.embedded.batches import Rows
from millstream.broker.embedded.catalog import Catalog
from millstream.broker.embedded.schema import SLOT_BITS
from millstream.broker.embedded.store import Store
from millstream.broker.embedded.writing import Piece, Prepared, Rules, prepare
from millstream.broker.ports import Delivered, Outgoing, ProducerSettings
from millstream.errors import BrokerError, IllegalStateError, UnknownTopicError
from millstream_api.records import Origin

LINGER_BYTES = 1 << 20  # outside a transaction, so much is gathered before it is written unasked

Done = Callable[[Delivered], None]


@dataclass(slots=True)
class Sent:
    """An Outgoing on its way. done None: it has been told."""

    prepared: Prepared
    done: Done | None


class EmbeddedProducer:
    """Holds a transaction's rows in memory until its commit, so that no plugin code runs under the log's lock."""

    def __init__(self, catalog: Catalog, settings: ProducerSettings) -> None:
        self._catalog = catalog
        self._settings = settings
        self._sent: list[Sent] = []
        self._size = 0
        self._open = False
        self._closed = False
        self._sticky = 0
        self._dirty: set[Store] = set()

    @property
    def transactional(self) -> bool:
        return True

    def begin(self) -> None:
        if self._open:
            raise IllegalStateError("a transaction is open already: commit or abort it before the next begin")
        self._write()
        self._open = True

    def send(self, batch: Outgoing, done: Done) -> None:
        if self._closed:
            raise IllegalStateError(f"the producer {self._settings.client_id!r} is closed; nothing can be sent")
        catalog = self._catalog
        topic = catalog.find(batch.topic)
        if topic is None and self._settings.create_topics:
            try:
                topic = catalog.find_or_create(batch.topic)
            except BrokerError as error:
                if error.retriable:
                    raise
                done(Delivered(dict.fromkeys(range(len(batch.values)), error)))
                return
        if topic is None:
            missing = UnknownTopicError(
                f"topic {batch.topic!r} does not exist, and this producer may not create it; create it first"
            )
            done(Delivered(dict.fromkeys(range(len(batch.values)), missing)))
            return
        limit = topic.number("max.message.bytes", catalog.settings.max_message_bytes)
        self._sticky += 1
        prepared = prepare(batch, topic, Rules(catalog.clock.now_ms(), self._sticky, limit))
        self._sent.append(Sent(prepared, None if self._open else done))
        self._size += prepared.size
        if self._open:
            done(self._delivered(prepared))
        elif self._size >= LINGER_BYTES:
            self._write()

    def poll(self) -> None:
        if not self._open:
            self._write()

    def commit(self) -> None:
        if not self._open:
            raise IllegalStateError("no transaction is open: begin comes before commit")
        self._write()
        self._open = False

    def abort(self) -> None:
        if not self._open:
            raise IllegalStateError("no transaction is open: begin comes before abort")
        self._sent.clear()
        self._size = 0
        self._open = False

    def flush(self, timeout: float) -> int:
        if not self._open:
            self._write()
        return 0

    def durable(self) -> None:
        while self._dirty:
            store = next(iter(self._dirty))
            with store.writing(durable=True) as connection:
                connection.execute("update meta set value = value + 1 where key = 'barrier'")
            self._dirty.discard(store)

    def partitions(self, topic: str) -> int:
        found = self._catalog.find(topic)
        return 0 if found is None else len(found.slots)

    def warm(self, topics: Iterable[str]) -> None:
        for topic in topics:
            self._catalog.find(topic)

    def close(self, timeout: float) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            if not self._open:
                self._write()
        finally:
            self._give_up(BrokerError(f"the producer {self._settings.client_id!r} was closed before this was written"))
            self._open = False
            self._catalog.close()

    def _write(self) -> None:
        """Write everything sent. A retriable failure leaves it as it was, another one is the end of it."""
        if not self._sent:
            return
        try:
            for store in (self._catalog.data, self._catalog.meta):
                sent = [one.prepared for one in self._sent if one.prepared.topic.store is store]
                waiting = [prepared for prepared in sent if any(piece.base < 0 for piece in prepared.pieces)]
                if waiting:
                    self._write_to(store, waiting)
        except BrokerError as error:
            if not error.retriable:
                self._give_up(error)
            raise
        told, self._sent = self._sent, []
        self._size = 0
        for one in told:
            if one.done is not None:
                done, one.done = one.done, None
                done(self._delivered(one.prepared))

    def _write_to(self, store: Store, sent: Sequence[Prepared]) -> None:
        bases: list[tuple[Piece, int]] = []
        with store.writing(self._settings.epoch) as connection:
            appender = Appender(connection)
            for prepared in sent:
                for piece in prepared.pieces:
                    bases.append((piece, appender.append(prepared.topic.slots[piece.partition], piece)))
            appender.finish()
            store.wrote(appender.size)
        for piece, base in bases:
            piece.base = base
        self._dirty.add(store)

    def _give_up(self, error: BrokerError) -> None:
        sent, self._sent = self._sent, []
        self._size = 0
        for one in sent:
            if one.done is not None:
                failures: dict[int, Exception] = dict.fromkeys(range(one.prepared.count), error)
                failures.update(one.prepared.failures)
                done, one.done = one.done, None
                done(Delivered(failures))

    def _delivered(self, prepared: Prepared) -> Delivered:
        if not self._settings.report_each:
            return Delivered(prepared.failures)
        return Delivered(prepared.failures, lambda: _origins(prepared))


def _origins(prepared: Prepared) -> Sequence[Origin | None]:
    origins: list[Origin | None] = [None] * prepared.count
    for piece in prepared.pieces:
        if piece.base < 0:
            raise IllegalStateError("where a row is, is known once its transaction has been committed")
        at = range(prepared.count) if piece.at is None else piece.at
        for offset, row in enumerate(at, piece.base):
            origins[row] = Origin(prepared.topic.name, piece.partition, offset, "CreateTime")
    return origins


class Appender:
    """Appends pieces within one SQLite transaction; each partition's end is read and written once."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._ends: dict[int, tuple[int, int]] = {}  # slot -> (next offset, bytes)
        self.size = 0

    def append(self, slot: int, piece: Piece) -> int:
        """Give the offset of the piece's first row."""
        end = self._ends.get(slot)
        if end is None:
            end = self._connection.execute("select next, bytes from part where slot = ?", (slot,)).fetchone()
            assert end is not None
        base, size = end
        offset = base
        for count, blob in piece.blobs:
            self._connection.execute(
                "insert into batch values(?, ?, ?, ?, ?)",
                ((slot << SLOT_BITS) + offset, count, piece.timestamp, len(blob), blob),
            )
            offset += count
            size += len(blob)
            self.size += len(blob)
        if not piece.blobs:
            offset += self._put_rows(slot, offset, piece)
        self._ends[slot] = (offset, size)
        return int(base)

    def _put_rows(self, slot: int, offset: int, piece: Piece) -> int:
        rows: Rows = piece.rows
        stamps = rows.timestamps or [piece.timestamp] * piece.count
        headers = rows.headers or [()] * piece.count
        assert rows.keys is not None
        self._connection.executemany(
            "insert or replace into row(slot, key, offset, ts, value, headers) values(?, ?, ?, ?, ?, ?)",
            [
                (slot, key, offset + i, stamps[i], rows.values[i], headers_text(headers[i]))
                for i, key in enumerate(rows.keys)
            ],
        )
        return piece.count

    def finish(self) -> None:
        self._connection.executemany(
            "update part set next = ?, bytes = ? where slot = ?",
            [(end, size, slot) for slot, (end, size) in self._ends.items()],
        )


def headers_text(headers: Sequence[tuple[str, bytes | None]]) -> str | None:
    """Headers of a row of a compacted topic, as JSON with values in Latin-1."""
    if not headers:
        return None
    return json.dumps([(name, None if value is None else value.decode("latin-1")) for name, value in headers])


def headers_from(text: str | None) -> Sequence[tuple[str, bytes | None]]:
    """The inverse of `headers_text`."""
    if text is None:
        return ()
    return tuple((name, None if value is None else value.encode("latin-1")) for name, value in json.loads(text))
