"""Writes rows to the embedded log: what one transaction sends goes into one SQLite transaction, at its commit."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from millstream.broker.embedded.appending import Appender
from millstream.broker.embedded.catalog import Catalog
from millstream.broker.embedded.store import Store
from millstream.broker.embedded.writing import Piece, Prepared, Rules, prepare
from millstream.broker.ports import Delivered, Outgoing, ProducerSettings
from millstream.errors import BrokerError, IllegalStateError, UnknownTopicError
from millstream_api.records import Origin

LINGER_BYTES = 1 << 20  # outside a transaction, so much is gathered before the next batch has it written unasked

Done = Callable[[Delivered], None]


@dataclass(slots=True)
class Sent:
    """An Outgoing on its way. done None: it has been told."""

    prepared: Prepared
    done: Done | None


class Outbox:
    """What has been sent and not been written; outside of it nothing knows how rows reach the files."""

    def __init__(self, catalog: Catalog, settings: ProducerSettings) -> None:
        self._catalog = catalog
        self._settings = settings
        self._sent: list[Sent] = []
        self._dirty: set[Store] = set()
        self._torn = False  # a signal ended a write, and nobody knows whether it is in the log
        self.size = 0

    def add(self, sent: Sent) -> None:
        self._sent.append(sent)
        self.size += sent.prepared.size

    def clear(self) -> None:
        self._sent.clear()
        self._torn = False
        self.size = 0

    def write(self) -> None:
        """Write everything sent. A retriable failure leaves it as it was, another one is the end of it."""
        if not self._sent:
            return
        if self._torn:
            raise BrokerError("writing to the log was interrupted, and whether those rows are in it is not known")
        try:
            for store in dict.fromkeys(one.prepared.topic.store for one in self._sent):
                sent = [one.prepared for one in self._sent if one.prepared.topic.store is store]
                waiting = [prepared for prepared in sent if any(piece.base < 0 for piece in prepared.pieces)]
                if waiting:
                    self._write_to(store, waiting)
        except BrokerError as error:
            if not error.retriable:
                self.give_up(error)
            raise
        except BaseException as error:
            self._torn = not isinstance(error, Exception)  # as Ctrl-C: written again, they could be there twice
            raise
        told, self._sent = self._sent, []
        self.size = 0
        for one in told:
            if one.done is not None:
                done, one.done = one.done, None
                done(self.delivered(one.prepared))

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

    def give_up(self, error: BrokerError) -> None:
        sent, self._sent = self._sent, []
        self._torn = False
        self.size = 0
        for one in sent:
            if one.done is not None:
                failures: dict[int, Exception] = dict.fromkeys(range(one.prepared.count), error)
                failures.update(one.prepared.failures)
                done, one.done = one.done, None
                done(Delivered(failures))

    def durable(self) -> None:
        while self._dirty:
            store = next(iter(self._dirty))
            with store.writing(durable=True) as connection:
                connection.execute("update meta set value = value + 1 where key = 'barrier'")
            self._dirty.discard(store)

    def delivered(self, prepared: Prepared) -> Delivered:
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


class EmbeddedProducer:
    """Holds a transaction's rows in memory until its commit, so that no plugin code runs under the log's lock."""

    def __init__(self, catalog: Catalog, settings: ProducerSettings) -> None:
        self._catalog = catalog
        self._settings = settings
        self._outbox = Outbox(catalog, settings)
        self._open = False
        self._closed = False
        self._sticky = 0
        self._ignore_keys = settings.overrides.get("partitioner.ignore.keys", "false").strip().lower() == "true"

    @property
    def transactional(self) -> bool:
        return True

    def begin(self) -> None:
        if self._open:
            raise IllegalStateError("a transaction is open already: commit or abort it before the next begin")
        self._outbox.write()
        self._open = True

    def send(self, batch: Outgoing, done: Done) -> None:
        if self._closed:
            raise IllegalStateError(f"the producer {self._settings.client_id!r} is closed; nothing can be sent")
        catalog = self._catalog
        topic = catalog.find(batch.topic)
        if not self._open and self._outbox.size >= LINGER_BYTES:
            self._outbox.write()  # before these are taken: whoever is told to try again sends them again
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
        prepared = prepare(batch, topic, Rules(catalog.clock.now_ms(), self._sticky, limit, self._ignore_keys))
        self._outbox.add(Sent(prepared, None if self._open else done))
        if self._open:
            done(self._outbox.delivered(prepared))

    def poll(self) -> None:
        if not self._open:
            self._outbox.write()

    def commit(self) -> None:
        if not self._open:
            raise IllegalStateError("no transaction is open: begin comes before commit")
        self._outbox.write()
        self._open = False

    def abort(self) -> None:
        if not self._open:
            raise IllegalStateError("no transaction is open: begin comes before abort")
        self._outbox.clear()
        self._open = False

    def flush(self, timeout: float) -> int:
        if not self._open:
            self._outbox.write()
        return 0

    def durable(self) -> None:
        self._outbox.durable()

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
                self._outbox.write()
        finally:
            self._outbox.give_up(
                BrokerError(f"the producer {self._settings.client_id!r} was closed before this was written")
            )
            self._open = False
            self._catalog.close()
