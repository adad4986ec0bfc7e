"""Writes rows to Kafka, in transactions or without. What is out is in `flight.py`, how it got there in `sending.py`."""

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException

from millstream.broker.kafka.client.failures import UNREACHABLE, Watch, error_of, explained
from millstream.broker.kafka.client.forgotten import introduce
from millstream.broker.kafka.client.making import Making
from millstream.broker.kafka.writing.flight import Done
from millstream.broker.kafka.writing.sending import SLOW_SECONDS, Sending
from millstream.broker.kafka.writing.topics import Topics
from millstream.broker.ports import Outgoing, ProducerSettings
from millstream.errors import BrokerError, IllegalStateError
from millstream.lifecycle import Clock, StopToken, spawn

if TYPE_CHECKING:
    from confluent_kafka import Producer

log = logging.getLogger(__name__)

WARM_SECONDS = 5.0
AGAIN_SECONDS = 0.1


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
            raise IllegalStateError(
                f"the producer {self._settings.client_id!r} has no transactional id, and so no transactions"
            )
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
            self._drain()
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
        self._sending.drop(BrokerError("the transaction was aborted before this was written"))
        try:
            self._end("aborting a transaction", lambda: self._sending.line.client.abort_transaction(SLOW_SECONDS))
        except _UnansweredError as error:
            raise BrokerError(str(error), retriable=True) from error
        except BrokerError as error:
            self._open = error.retriable
            raise
        self._open = False
        self._sending.serve()

    def _drain(self) -> None:
        """Wait for all rows as long as some are written."""
        before = self._sending.rows
        while left := self._sending.drain(SLOW_SECONDS):
            if left >= before:
                raise self._watch.unreachable("committing a transaction")
            before = left

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
            inner = error_of(error)
            if inner.code() in UNREACHABLE:
                introduce(self._sending.line.client, self._watch.peer.servers)
            self._watch.check()
            failure = explained(inner, doing, self._watch.peer)
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
            raise IllegalStateError(
                f"the transactional producer {self._settings.client_id!r} sends between begin and commit alone"
            )
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
