"""Writes rows to Kafka. What is out is in `flight.py`, how rows are handed over in `handing.py`."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException, Message

from millstream.broker.kafka.astray import Astray
from millstream.broker.kafka.failures import TOO_LARGE, Watch, error_of, explained
from millstream.broker.kafka.flight import Done, Flight, Pending
from millstream.broker.kafka.handing import Hand, payload, size_of, too_large
from millstream.broker.kafka.making import Making
from millstream.broker.kafka.topics import Topic, Topics
from millstream.broker.ports import Delivered, Outgoing, ProducerSettings
from millstream.errors import BrokerError, IllegalStateError, UnknownTopicError
from millstream.lifecycle import Clock, StopToken, spawn

if TYPE_CHECKING:
    from confluent_kafka import Producer

log = logging.getLogger(__name__)

BUFFER_BYTES = 33_554_432  # buffer.memory
#: what a row takes beside its bytes, which are there twice: ours and librdkafka's. Measured with rows of 20 to 10,000
#: bytes and a broker that does not answer: without it 32 MB of rows of 20 bytes were 500 MB
ROW_BYTES = 280
BARRIER_SECONDS = 0.25
STALL_SECONDS = 1.0
SLOW_SECONDS = 5.0
STEP_SECONDS = 0.05
WARM_SECONDS = 5.0
OVERHEAD = 1_024  # of a batch with one record: header, varints, and what record headers add at most is counted apart
LEAST_BATCH = 1_024
AGAIN_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Terms:
    """What a producer's settings come to."""

    java: Mapping[str, str]
    buffer: int
    batch_size: int
    in_order: bool
    compressed: bool
    largest: int
    max_age: float
    api_seconds: float

    @classmethod
    def of(cls, making: Making, settings: ProducerSettings) -> "Terms":
        java = {"client.id": settings.client_id} | making.settings("producer", settings.overrides)
        found = making.translated("producer", java)
        return cls(
            java,
            int(java.get("buffer.memory", settings.queue_bytes or BUFFER_BYTES)),
            int(found["batch.size"]),
            found["enable.idempotence"] == "true" and found["message.timeout.ms"] == "0",
            found.get("compression.codec", "none").lower() != "none",
            int(found["message.max.bytes"]),
            int(found["topic.metadata.refresh.interval.ms"]) / 1000,
            making.api_seconds("producer", settings.overrides),
        )


class Line:
    """One librdkafka producer after the other: another is made when its batches have to become smaller."""

    def __init__(self, making: Making, settings: ProducerSettings, terms: Terms, watch: Watch) -> None:
        self._making = making
        self._settings = settings
        self._terms = terms
        self._watch = watch
        self.batch_size = terms.batch_size
        self.ready = False  # transactions are initialised
        self._client: Producer | None = self._make()

    @property
    def client(self) -> "Producer":
        if self._client is None:
            raise IllegalStateError(f"the producer {self._settings.client_id!r} is closed")
        return self._client

    @property
    def held(self) -> int:
        """How many messages are out."""
        return 0 if self._client is None else len(self._client)

    def release(self) -> None:
        """End the client now, not when Python finds it: alive, it asks for its topics, and makes deleted ones anew."""
        self._client = None

    def remake(self, batch_size: int) -> None:
        """Only while nothing is out. What it raises leaves the client as it is."""
        before, self.batch_size = self.batch_size, batch_size
        try:
            self._client = self._make()
        except BaseException:
            self.batch_size = before
            raise
        self.ready = False

    def serve(self, seconds: float) -> None:
        """Take reports, waiting at most so long for the first. Raises what cannot pass by itself."""
        self._raising(lambda: self.client.poll(seconds))

    def flush(self, seconds: float) -> None:
        """Wait at most so long for all that is out."""
        self._raising(lambda: self.client.flush(seconds))

    def _raising(self, step: Callable[[], object]) -> None:
        try:
            step()
        except KafkaException as error:
            self._watch.heard(error_of(error))
            self._watch.check()
            raise explained(error, f"writing to {self._making.bootstrap}") from error

    def _make(self) -> "Producer":
        more: dict[str, str | int | bool] = {"batch.size": self.batch_size}
        if not self._settings.create_topics:
            more["allow.auto.create.topics"] = False
        if not self._settings.report_each:
            more["delivery.report.only.error"] = True
        if self._settings.transactional_id is not None:
            more |= {"transactional.id": self._settings.transactional_id, "enable.idempotence": True}
        return self._making.producer(self._terms.java, more, self._watch)


class Sending:
    """The part of a producer that hands rows over and learns what became of them."""

    def __init__(self, making: Making, settings: ProducerSettings, topics: Topics, watch: Watch, clock: Clock) -> None:
        self._settings = settings
        self._watch = watch
        self._clock = clock
        self._topics = topics
        self.terms = Terms.of(making, settings)
        self.line = Line(making, settings, self.terms, watch)
        self._flight = Flight(lambda: self.line.held, self.terms.in_order)
        ignore_keys = self.terms.java.get("partitioner.ignore.keys", "false").lower() == "true"
        self._hand = Hand(self._refused, ignore_keys, settings.report_each)
        self._again: list[tuple[Pending, int]] = []
        self._astray = Astray(self._hand, topics, settings.transactional_id is not None)
        self._batch_size = self.terms.batch_size  # halved each time that one was too large
        self._alone = False  # each record is a batch of its own now
        self.failure: Exception | None = None  # of a transaction's rows

    def hand_over(self, batch: Outgoing, done: Done) -> None:
        topic = self._topic(batch.topic, done, len(batch.values))
        if topic is None:
            return
        size = size_of(batch)
        held = 2 * size + ROW_BYTES * len(batch.values)
        self._make_room(held)
        self._fit(topic)
        pending = Pending(batch, done, size, self._clock.monotonic(), held)
        limit = topic.limit
        if limit is not None and size > limit and not self.terms.compressed:
            for row in range(len(batch.values)):
                if payload(batch, row) > limit:
                    pending.failures[row] = too_large(batch, row, f"max.message.bytes of the topic, {limit}")
        count, lane = self._hand.over(self.line.client, pending, topic.partitions, self.line.batch_size)
        astray = self._astray.at_once(pending) if pending.failures else 0
        self._flight.add(pending, count + astray, None if astray else lane)
        if not astray:
            self.failure = self.failure or next(iter(pending.failures.values()), None)

    def serve(self, seconds: float = 0.0) -> None:
        """Take reports, tell what is over."""
        self._flight.look()
        self.line.serve(seconds)
        since = self._flight.unclear_since
        if since is not None and self.line.held and self._clock.monotonic() - since >= BARRIER_SECONDS:
            self.line.flush(STEP_SECONDS)
        self._settle()

    def drain(self, seconds: float) -> int:
        """Wait at most so long for all that is out; gives the rows still out."""
        deadline = self._clock.monotonic() + seconds
        while True:
            left = deadline - self._clock.monotonic()
            self._flight.look()
            self.line.flush(max(left, 0.0))
            self._settle()
            if self._flight.empty or left <= 0:
                return self._flight.rows

    def give_up(self) -> None:
        """Nothing more is waited for: what is out is told as failed."""
        closed = BrokerError("the producer was closed before this was written")
        client, deadline = self.line.client, self._clock.monotonic() + STALL_SECONDS
        client.purge()
        client.poll(0)
        while client.flush(STEP_SECONDS) and self._clock.monotonic() < deadline:
            continue  # reports of what was on its way
        for pending, row in (*self._again, *self._astray.rows):
            pending.failures[row] = closed
        self._again, self._astray.rows = [], []
        self._flight.land()
        self._flight.abandon(closed)
        self.line.release()

    def _settle(self) -> None:
        if self._astray.rows and not self._again:
            if not self.line.held:
                self._astray.scatter(self.line.client)
        elif not self._again:
            if self._flight.land():
                self._watch.answered()
            if self._alone and self._flight.empty:
                self._alone = False
                self._batch_size = max(self._batch_size // 2, LEAST_BATCH)
                self.line.remake(self._batch_size)
        elif not self.line.held:
            self._resend()

    def _topic(self, name: str, done: Done, rows: int) -> Topic | None:
        error: BrokerError | None = None
        found: Topic | None = None
        try:
            found = self._topics.find(self.line.client, name, self._settings.create_topics)
        except BrokerError as failure:
            if not failure.skippable:  # it is so for every row: none may be left out for it
                raise
            error = failure
        if found is None:
            missing = f"topic {name!r} does not exist, and this producer may not create it; create it first"
            refusal: Exception = error or UnknownTopicError(missing)
            done(Delivered(dict.fromkeys(range(rows), refusal)))
        return found

    def _make_room(self, size: int) -> None:
        """Wait until so many bytes may go out. Raises a retriable BrokerError when the brokers take nothing in."""
        started = moved = self._clock.monotonic()
        held = self.line.held
        while self._again or self._astray.rows or (self._flight.size and self._flight.size + size > self.terms.buffer):
            self._flight.look()
            if self._flight.unclear_since is None:
                self.line.serve(STEP_SECONDS)
            else:
                self.line.flush(STEP_SECONDS)
            self._settle()
            self._watch.check()
            now, before, held = self._clock.monotonic(), held, self.line.held
            if held < before:
                moved = now
            if now - moved >= STALL_SECONDS or now - started >= SLOW_SECONDS:
                raise self._watch.unreachable(f"{self._flight.rows} rows wait for the brokers (buffer.memory is full)")

    def _fit(self, topic: Topic) -> None:
        """librdkafka never splits a batch: none may become larger than the topic takes."""
        if topic.limit is None or self.line.batch_size <= max(topic.limit - OVERHEAD, 1):
            return
        fitting = max(topic.limit - OVERHEAD, 1)
        if self._settings.transactional_id is not None:  # another client cannot go on in this one's transaction
            self._batch_size = min(self._batch_size, fitting)
            raise BrokerError("batches have to become smaller: abort the transaction and begin another", retriable=True)
        if self.drain(STALL_SECONDS):
            raise self._watch.unreachable("batches have to become smaller, and rows are out")
        self.line.remake(fitting)

    def fit(self) -> None:
        """Between two transactions: make batches as small as the last one found out that they have to be."""
        if self._batch_size < self.line.batch_size:
            if self.drain(STALL_SECONDS):
                raise self._watch.unreachable("batches have to become smaller, and rows are out")
            self.line.remake(self._batch_size)

    def _refused(self, pending: Pending, error: KafkaError, message: Message) -> None:
        """A report of a record that was not written."""
        self._flight.refused()
        name = pending.batch.topic
        failure = explained(error, f"writing to topic {name!r}")
        row = pending.refuse(message, failure)
        if error.code() in TOO_LARGE:
            if not self._alone and self.line.batch_size > 1 and self._settings.transactional_id is None:
                self._again.append((pending, row))  # noted as failed until it is sent: an equal row is another
                return
            pending.failures[row] = too_large(pending.batch, row, "the topic or its brokers take")
        if self._astray.takes(pending, row, error.code()):
            return
        self.failure = self.failure or pending.failures[row]
        if isinstance(failure, UnknownTopicError):
            self._topics.forget(name)

    def _resend(self) -> None:
        """A batch was refused for its size: each of its rows again, alone, so that the large one alone fails."""
        log.warning("a batch of %d rows was larger than the topic takes; each is sent again, alone", len(self._again))
        self.line.remake(1)
        self._alone = True
        rows, self._again = self._again, []
        for pending, row in rows:
            del pending.failures[row]
        self._hand.again(self.line.client, rows)


class Transacting:
    """The part of a producer that begins and ends transactions."""

    def __init__(self, making: Making, settings: ProducerSettings, topics: Topics, watch: Watch, clock: Clock) -> None:
        self._settings = settings
        self._watch = watch
        self._clock = clock
        self._sending = Sending(making, settings, topics, watch, clock)
        self._topics = topics
        self._open = False
        self._undecided: BrokerError | None = None  # a commit was asked for, and not answered
        self._closed = False
        self._rest = StopToken()  # never set: to wait on
        client = self._sending.line.client
        spawn(f"{settings.client_id} warm-up", lambda _: _connect(client))

    @property
    def transactional(self) -> bool:
        return self._settings.transactional_id is not None

    def begin(self) -> None:
        self._check()
        if not self.transactional:
            raise IllegalStateError("this producer has no transactional id, and so no transactions")
        if self._open:
            raise IllegalStateError("a transaction is open already: commit or abort it before the next begin")
        self._sending.fit()
        self._transact("beginning a transaction", self._begin)
        self._sending.failure = None
        self._open = True

    def commit(self) -> None:
        """Asked for, a commit cannot be taken back: it is asked about until it is answered."""
        if not self._open:
            raise IllegalStateError("no transaction is open: begin comes before commit")
        if self._undecided is None:
            if self._sending.drain(SLOW_SECONDS):
                raise self._watch.unreachable("committing a transaction")
            if self._sending.failure is not None:
                raise self._sending.failure
        try:
            self._end("committing a transaction", lambda: self._sending.line.client.commit_transaction(SLOW_SECONDS))
        except _UnansweredError as error:
            self._undecided = BrokerError(
                f"{error}: whether the transaction is committed is not known; restart the task, it goes on behind it"
            )
            raise self._undecided from error
        self._open, self._undecided = False, None
        self._sending.serve()

    def abort(self) -> None:
        if not self._open:
            raise IllegalStateError("no transaction is open: begin comes before abort")
        if self._undecided is not None:
            raise self._undecided
        try:
            self._end("aborting a transaction", lambda: self._sending.line.client.abort_transaction(SLOW_SECONDS))
        except _UnansweredError as error:
            raise BrokerError(str(error), retriable=True) from error
        except BrokerError:
            self._open = False
            raise
        self._open = False
        self._sending.serve()

    def _begin(self) -> None:
        line = self._sending.line
        if not line.ready:
            line.client.init_transactions(self._sending.terms.api_seconds)
            line.ready = True
        line.client.begin_transaction()

    def _end(self, doing: str, step: Callable[[], None]) -> None:
        """Ask again, as long as `default.api.timeout.ms` says, what librdkafka wants to be asked again."""
        deadline = self._clock.monotonic() + self._sending.terms.api_seconds
        while True:
            try:
                self._transact(doing, step)
            except BrokerError as error:
                if not isinstance(error.__cause__, KafkaException) or not _resumable(error.__cause__):
                    raise
                if self._clock.monotonic() >= deadline:
                    raise _UnansweredError(str(self._watch.unreachable(doing))) from error
                self._rest.wait(AGAIN_SECONDS)
            else:
                return

    def _transact(self, doing: str, step: Callable[[], None]) -> None:
        try:
            step()
        except KafkaException as error:
            self._sending.serve()
            self._watch.check()
            inner = error_of(error)
            failure = explained(inner, doing)
            if inner.txn_requires_abort() or inner.retriable():
                failure = BrokerError(str(failure), retriable=True)
            raise failure from error

    def _check(self) -> None:
        if self._closed:
            raise IllegalStateError(f"the producer {self._settings.client_id!r} is closed; nothing can be sent")
        self._watch.check()


class KafkaProducer(Transacting):
    def send(self, batch: Outgoing, done: Done) -> None:
        self._check()
        if self.transactional and not self._open:
            raise IllegalStateError("a transactional producer sends between begin and commit alone")
        self._sending.hand_over(batch, done)

    def poll(self) -> None:
        self._check()
        self._sending.serve()
        self._watch.check()

    def flush(self, timeout: float) -> int:
        return 0 if self._closed else self._sending.drain(timeout)

    def durable(self) -> None:
        """Acknowledged means written by as many brokers as `acks` and `min.insync.replicas` ask for."""

    def partitions(self, topic: str) -> int:
        found = self._topics.find(self._sending.line.client, topic, create=False)
        return 0 if found is None else found.partitions

    def warm(self, topics: Iterable[str]) -> None:
        for topic in topics:
            self._topics.find(self._sending.line.client, topic, create=False)

    def close(self, timeout: float) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            if self._open:
                self.abort()
            self._sending.drain(timeout)
        finally:
            self._sending.give_up()


class _UnansweredError(Exception):
    """The brokers were asked long enough."""


def _resumable(error: KafkaException) -> bool:
    inner = error_of(error)
    return inner.retriable() and not inner.txn_requires_abort()


def _connect(client: "Producer") -> None:
    """Have a broker connection and a producer id before the first record asks for them: 1.4 ms instead of 505."""
    try:
        client.list_topics(timeout=WARM_SECONDS)
    except KafkaException as error:
        log.debug("no broker answered yet: %s", error)
