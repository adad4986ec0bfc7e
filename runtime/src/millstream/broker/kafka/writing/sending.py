"""Hands rows to librdkafka and learns what became of them. When: `rounds.py`; how: `handing.py`; where: `astray.py`."""

import logging
from collections import defaultdict

from confluent_kafka import KafkaError, Message

from millstream.broker.kafka.client.failures import OF_A_BATCH, TOO_LARGE, Watch, explained
from millstream.broker.kafka.client.making import Making
from millstream.broker.kafka.writing.astray import Astray
from millstream.broker.kafka.writing.clients import Line, Terms
from millstream.broker.kafka.writing.flight import Done, Flight, Lane, Pending
from millstream.broker.kafka.writing.handing import Hand, payload, size_of, too_large
from millstream.broker.kafka.writing.rounds import Passing, Rounds
from millstream.broker.kafka.writing.stalled import Stalled
from millstream.broker.kafka.writing.topics import Topic, Topics
from millstream.broker.ports import Delivered, Outgoing, ProducerSettings
from millstream.errors import BrokerError, UnknownTopicError
from millstream.lifecycle import Clock

log = logging.getLogger(__name__)

#: what a row takes beside its bytes, which are there twice: ours and librdkafka's. Measured with rows of 20 to 10,000
#: bytes and a broker that does not answer: without it 32 MB of rows of 20 bytes were 500 MB
ROW_BYTES = 280
STALL_SECONDS = 1.0
SLOW_SECONDS = 5.0
STEP_SECONDS = 0.05
OVERHEAD = 1_024  # of a batch with one record: header, varints, and what record headers add at most is counted apart
REMAKING = "making batches smaller once the rows that are out are written"
SMALLER = "batches have to become smaller: abort the transaction and begin another"
IN_A_TRANSACTION = "this row, or another of its batch, so that errors.tolerance does not leave it out of a transaction"


class Settling:
    """The part of a producer that learns what became of its rows, and has those go on that wait."""

    def __init__(self, making: Making, settings: ProducerSettings, topics: Topics, watch: Watch, clock: Clock) -> None:
        self._settings = settings
        self._watch = watch
        self._clock = clock
        self._topics = topics
        self.terms = Terms.of(making, settings)
        self.line = Line(making, settings, self.terms, watch)
        self._flight = Flight(lambda: self.line.held)
        self._stalled = Stalled(watch, clock)
        self._rounds = Rounds(f"{settings.client_id} rounds", self._go_on, self.terms.linger, clock)
        self._passing = Passing(self._flight, self._rounds, self.terms.in_order, self._nothing_again)
        ignore_keys = self.terms.java.get("partitioner.ignore.keys", "false").lower() == "true"
        self._hand = Hand(watch.peer, self._refused, ignore_keys, settings.report_each)
        self._again: list[tuple[Pending, int]] = []
        self._astray = Astray(self._hand, topics, settings.transactional_id is not None, clock)
        self._batch_size = self.terms.batch_size  # of the next transaction, halved when one was too large
        self._refusals: defaultdict[Lane, int] = defaultdict(int)  # bytes of rows whose batches were too large
        self._resent = False  # rows are out again, each alone, and nothing may come before them
        self.failure: Exception | None = None  # of a transaction's rows

    def serve(self) -> None:
        """Take reports, tell what is over."""
        with self._rounds.changed:
            self._rounds.check()
            self.line.serve(0.0)
            self._settle()

    def drain(self, seconds: float) -> int:
        """Wait at most so long for all there is; gives the rows that are not written yet."""
        deadline = self._clock.monotonic() + seconds
        with self._rounds.changed:
            self._rounds.check()
            while True:
                left = max(deadline - self._clock.monotonic(), 0.0)
                self.line.flush(min(left, self._rounds.notice if self._flight.waiting else STALL_SECONDS))
                self._settle()
                if self._flight.empty or left <= 0:
                    return self._flight.rows

    @property
    def rows(self) -> int:
        """How many are not known to be written."""
        return self._flight.rows

    def drop(self, error: Exception) -> None:
        """What was not handed over yet is not to be."""
        with self._rounds.changed:
            self._flight.drop(error)

    def give_up(self) -> None:
        """Nothing more is waited for: what is out is told as failed."""
        closed = BrokerError("the producer was closed before this was written")
        self._rounds.close()
        client, deadline = self.line.client, self._clock.monotonic() + STALL_SECONDS
        client.purge()
        client.poll(0)
        while client.flush(STEP_SECONDS) and self._clock.monotonic() < deadline:
            continue  # reports of what was on its way
        for pending, row in (*self._again, *self._astray.rows):
            pending.failures[row] = closed
        self._again, self._astray.rows = [], []
        self._flight.look()
        self._flight.abandon(closed)
        self.line.release()

    def _settle(self) -> None:
        self._advance()
        landed = self._flight.land()
        if landed:
            self._watch.answered()
        self._stalled.look(self.line.held, self._flight, landed)

    def _advance(self) -> None:
        """Have go out what may: first what has to go again."""
        if self.line.unled.topics and self._settings.transactional_id is None:
            self.line.let_go()
        if self._astray.rows and not self._again:
            if not self.line.held:
                self._passing.goes_again(refused=False)
                self._astray.scatter(self.line.client)
        elif self._again:
            if not self.line.held:
                self._resend()
        else:
            if self._passing.look() and self._resent:
                self.line.join(self._refusals.values())
                self._refusals.clear()
                self._resent = False
            self._forward()

    def _forward(self) -> None:
        """Hand over what may go out now: nothing while rows have to go again, which are older."""
        flight = self._flight
        if not flight.waiting or self._again or self._resent or self._astray.rows:
            return
        over = self._passing.look()
        while flight.waiting and not (self._again or self._astray.rows):
            pending, count = flight.waiting[0], len(flight.waiting[0].batch.values)
            start = pending.handed
            if start < count and not (rows := self._passing.take(pending, self.line.batch_size, over)):
                return
            if start < count:
                try:
                    self._hand.over(self.line.client, pending, start + rows)
                except Exception as error:
                    self.failure = self.failure or error
                    flight.fail_first(start, error)
                    raise
                self._passing.handed(pending, start)
            if not (pending.failures and self._astray.at_once(pending, start)):
                self.failure = self.failure or next(iter(pending.failures.values()), None)
            if pending.handed == count:
                flight.left()

    def _nothing_again(self) -> bool:
        """Take all reports; whether no row has to go again."""
        self.line.serve(0.0)
        return not (self._again or self._astray.rows)

    def _go_on(self) -> bool:
        """On the thread of the rounds. What is over is told by the task's."""
        self.line.serve(0.0)
        self._advance()
        return bool(self._flight.waiting)

    def _refused(self, pending: Pending, error: KafkaError, message: Message) -> None:
        """A report of a record that was not written; whichever thread takes reports hears it."""
        with self._rounds.changed:
            self._passing.refused()
            name = pending.batch.topic
            failure = explained(error, f"writing to topic {name!r}", self._watch.peer, name)
            if isinstance(failure, UnknownTopicError):
                failure = self._topics.gone(name, failure)
            row = pending.refuse(message, failure)
            large = error.code() in TOO_LARGE
            if large or error.code() in OF_A_BATCH:
                if self.line.alone(payload(pending.batch, row)):
                    if large:
                        if self._resent:
                            self._refusals.clear()  # that is why
                        pending.failures[row] = too_large(pending.batch, row, "the topic or its brokers take")
                elif self._settings.transactional_id is None:
                    if large:
                        self._refusals[name, message.partition() or 0] += payload(pending.batch, row)
                    self._again.append((pending, row))  # noted as failed until it is sent: an equal row is another
                    return
                elif large:
                    self._batch_size = min(self._batch_size, max(self.line.batch_size // 2, 1))
                    pending.failures[row] = BrokerError(f"{failure}; {SMALLER}", retriable=True)
                else:  # which of its batch is at fault is not known, so that none may be left out
                    pending.failures[row] = BrokerError(f"{failure}; {IN_A_TRANSACTION}")
            if self._astray.takes(pending, row, error.code()):
                return
            self.failure = self.failure or pending.failures[row]

    def _resend(self) -> None:
        """Their batches were refused: each row again, alone, so that the one at fault alone fails."""
        why = "were larger than the topic takes" if self._refusals else "held a row that the topic does not take"
        log.warning("batches of %d rows together %s; each is sent again, alone", len(self._again), why)
        self.line.part()
        self._resent = True
        rows, self._again = self._again, []
        self._passing.goes_again(refused=True)
        self._hand.again(self.line.client, rows)


class Sending(Settling):
    """The part of a producer that takes rows in."""

    def hand_over(self, batch: Outgoing, done: Done) -> None:
        topic = self._topic(batch.topic, done, len(batch.values))
        if topic is None:
            return
        with self._rounds.changed:
            self._rounds.check()
            size = size_of(batch)
            held = 2 * size + ROW_BYTES * len(batch.values)
            self._make_room(held)
            self._fit(topic)
            pending = Pending(batch, done, size, held)
            limit = topic.limit
            if limit is not None and size > limit and not self.terms.compressed:
                for row in range(len(batch.values)):
                    if payload(batch, row) > limit:
                        pending.failures[row] = too_large(batch, row, f"max.message.bytes of the topic, {limit}")
            self._hand.place(pending, topic.partitions, self.line.batch_size)
            self._flight.add(pending)
            self._forward()
            if self._flight.waiting:
                self._rounds.wake()

    def fit(self) -> None:
        """Between two transactions: make batches as small as the last one found out that they have to be, and let a
        client go that does not follow the leaders of a topic made anew."""
        with self._rounds.changed:
            if self._batch_size < self.line.batch_size or self.line.unled.topics:
                if self.drain(STALL_SECONDS):
                    raise self._watch.unreachable(REMAKING)
                if self.line.unled.topics:
                    log.warning("%s. Another one begins the next transaction", self.line.unled)
                self.line.remake(self._batch_size)

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
        flight = self._flight
        left = (flight.size, self.line.held)
        while self._again or self._astray.rows or (flight.size and flight.size + size > self.terms.buffer):
            self.line.flush(self._rounds.notice)
            self._settle()
            self._watch.check()
            now, before, left = self._clock.monotonic(), left, (flight.size, self.line.held)
            if left < before:
                moved = now
            if now - moved >= STALL_SECONDS or now - started >= SLOW_SECONDS:
                raise self._watch.unreachable(f"{flight.rows} rows wait for the brokers (buffer.memory is full)")

    def _fit(self, topic: Topic) -> None:
        """librdkafka never splits a batch: none may become larger than the topic takes."""
        if topic.limit is None or self.line.widest <= max(topic.limit - OVERHEAD, 1):
            return
        fitting = min(max(topic.limit - OVERHEAD, 1), self.line.batch_size)
        if self._settings.transactional_id is not None:  # another client cannot go on in this one's transaction
            self._batch_size = min(self._batch_size, fitting)
            raise BrokerError(SMALLER, retriable=True)
        if self.drain(STALL_SECONDS):
            raise self._watch.unreachable(REMAKING)
        self.line.remake(fitting)
