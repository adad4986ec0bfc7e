"""A compacted topic read to its end and followed (KafkaBasedLog.java), and rows written to it."""

import logging
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from millstream.broker.complaint import Complaint
from millstream.broker.ports import Admin, Consumer, Delivered, NewTopic, Outgoing, Producer, TopicDescription
from millstream.errors import BrokerError, ConfigError, ConflictError, WorkerError
from millstream.lifecycle import LONGEST_WAIT, Clock, Spawned, StopToken, spawn
from millstream_api.records import TopicPartition

log = logging.getLogger(__name__)

POLL_ROWS = 2_000
POLL_SECONDS = 1.0
READ_SECONDS = 30.0
RETRY_SECONDS = 1.0
CLOSE_SECONDS = 5.0


class LogRow(NamedTuple):
    """value None: a tombstone."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True)
class InternalTopic:
    """setting: the worker key that names the topic, for errors; purpose: what is lost if it is not compacted."""

    topic: NewTopic
    setting: str
    purpose: str


def ensure_topic(admin: Admin, wanted: InternalTopic) -> TopicDescription:
    """Create the topic, compacted, or check the one that exists. Raises ConfigError, or BrokerError if it cannot."""
    new = wanted.topic
    config = {**new.config, "cleanup.policy": "compact"}
    error = admin.create_topics([NewTopic(new.name, new.partitions, new.replication, config)]).get(new.name)
    if error is not None and not isinstance(error, ConflictError):
        raise error
    found = admin.topics([new.name]).get(new.name)
    if found is None:
        raise BrokerError(f"topic {new.name!r} was created and is not there yet", retriable=True)
    if found.cleanup_policy != "compact":
        raise ConfigError(
            {
                wanted.setting: f"Topic '{new.name}' supplied via the '{wanted.setting}' property is required to have "
                f"'cleanup.policy=compact' to guarantee consistency and durability of {wanted.purpose}, but found the "
                f"topic currently has 'cleanup.policy={found.cleanup_policy}'. Continuing would likely result in "
                f"eventually losing {wanted.purpose} and problems restarting this Connect cluster in the future. "
                f"Change the '{wanted.setting}' property in the Connect worker configurations to use a topic with "
                "'cleanup.policy=compact'."
            }
        )
    return found


class TopicLog:
    """apply: called with each row in partition order, on the thread that reads: the caller's, or the follower's.

    It must not call `read_to_end`. Any thread may call that, and `close`; one at a time uses the consumer.
    """

    def __init__(self, consumer: Consumer, topic: str, clock: Clock, apply: Callable[[LogRow], None]) -> None:
        self.topic = topic
        self._consumer = consumer
        self._clock = clock
        self._apply = apply
        self._complaint = Complaint(clock, log, f"topic {topic!r} can be read again")
        self._reading = threading.Lock()  # whoever has it uses the consumer
        self._changed = threading.Condition()
        self._waiting = 0  # callers who want the end, and come before the follower; under the condition
        self._follower: Spawned | None = None
        self._partitions: list[TopicPartition] = []

    @property
    def following(self) -> bool:
        """What is written is read without being asked for."""
        return self._follower is not None and self._follower.is_alive

    def start(self, partitions: int, follow: bool = False, over: StopToken | None = None) -> None:
        """Read everything there is, then, if asked, go on reading on a thread of its own.   over: see `read_to_end`."""
        self._partitions = [TopicPartition(self.topic, partition) for partition in range(partitions)]
        self._consumer.assign(dict.fromkeys(self._partitions, "beginning"))
        self.read_to_end(over=over)
        if follow:
            self._follower = spawn(f"log-{self.topic}", self._follow)

    def read_to_end(self, timeout: float = READ_SECONDS, over: StopToken | None = None) -> bool:
        """Return once every row that was there at the call has been applied. WorkerError after `timeout` seconds.

        over: given, it goes on until that is set, which gives false; that it has not come to the end in time is said.
        """
        deadline = self._clock.monotonic() + timeout
        with self._first(LONGEST_WAIT if over else timeout):
            ends = self._consumer.end_offsets(self._partitions)
            while any(self._consumer.position(partition) < end for partition, end in ends.items()):
                left = deadline - self._clock.monotonic()
                if over is not None and over.is_set:
                    return False
                if left <= 0 and over is None:
                    raise self._late(timeout)
                if left <= 0:
                    log.warning("Topic %r is still being read to its end after %g s; it goes on", self.topic, timeout)
                    deadline = left = math.inf
                self._read(min(left, POLL_SECONDS))
        return True

    @contextmanager
    def _first(self, timeout: float) -> Iterator[None]:
        """Have the consumer before the follower has it again."""
        with self._changed:
            self._waiting += 1
        self._consumer.wakeup()
        mine = False
        try:
            mine = self._reading.acquire(timeout=max(timeout, 0.0))
            if not mine:
                raise self._late(timeout)
            yield
        finally:
            if mine:
                self._reading.release()
            with self._changed:
                self._waiting -= 1
                self._changed.notify_all()

    def _late(self, timeout: float) -> WorkerError:
        return WorkerError(f"Timed out after {timeout:g} s reading topic {self.topic!r} to its end")

    def _read(self, timeout: float) -> None:
        for incoming in self._consumer.poll(POLL_ROWS, timeout):
            keys: Sequence[bytes | None] = incoming.keys or [None] * len(incoming.values)
            for offset, key, value in zip(incoming.offsets, keys, incoming.values, strict=True):
                row = LogRow(incoming.partition, offset, key, value)
                try:
                    self._apply(row)
                except Exception:  # the rows behind it have been fetched, and would never be applied
                    log.exception("The record at %s-%d, offset %d, is passed over", self.topic, row.partition, offset)

    def _stopped(self, stop: StopToken) -> bool:
        """Wait until nobody is to come first, and say whether it is time to stop."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting or stop.is_set)
        return stop.is_set

    def _follow(self, stop: StopToken) -> None:
        while not self._stopped(stop):
            with self._reading:
                try:
                    self._read(POLL_SECONDS)
                except BrokerError as error:
                    failure: BrokerError | None = error
                else:
                    failure = None
            if failure is None:
                self._complaint.mended()
            else:
                self._complaint.failed(f"Reading topic {self.topic!r} failed; it is tried again: {failure}")
                stop.wait(RETRY_SECONDS)

    def close(self) -> None:
        """The consumer is closed by whoever has it: never beside a call of it."""
        if self._follower is not None:
            self._follower.stop.set()
            with self._changed:
                self._changed.notify_all()
            self._consumer.wakeup()
            self._follower.join(CLOSE_SECONDS)
        if not self._reading.acquire(timeout=CLOSE_SECONDS):
            log.warning("Topic %r is still being read after %g s; its consumer stays open", self.topic, CLOSE_SECONDS)
            return
        try:
            self._consumer.close()
        finally:
            self._reading.release()


@dataclass(slots=True)
class _Outcome:
    answers: list[Delivered] = field(default_factory=list)


def write_rows(producer: Producer, topic: str, rows: Sequence[tuple[bytes, bytes | None]], timeout: float) -> None:
    """Write rows, all or none where the producer has transactions; durable on return. Raises what hindered it."""
    outcome = _Outcome()
    batch = Outgoing(topic, [value for _, value in rows], [key for key, _ in rows])
    if producer.transactional:
        producer.begin()
        try:
            producer.send(batch, outcome.answers.append)
            _raise_failures(outcome)
            producer.commit()
        except BaseException:
            producer.abort()
            raise
    else:
        producer.send(batch, outcome.answers.append)
        left = producer.flush(timeout)
        if left:
            raise WorkerError(
                f"Timed out after {timeout:g} s writing {len(rows)} rows to topic {topic!r}; {left} are out"
            )
        _raise_failures(outcome)
    producer.durable()


def _raise_failures(outcome: _Outcome) -> None:
    for answer in outcome.answers:
        for error in answer.failures.values():
            raise error
