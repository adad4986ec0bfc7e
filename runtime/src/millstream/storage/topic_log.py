"""A compacted topic read to its end and followed (KafkaBasedLog.java), and rows written to it."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from millstream.broker.ports import Admin, Consumer, Delivered, NewTopic, Outgoing, Producer, TopicDescription
from millstream.errors import BrokerError, ConfigError, ConflictError, WorkerError
from millstream.lifecycle import Clock, Spawned, StopToken, spawn
from millstream_api.records import TopicPartition

log = logging.getLogger(__name__)

POLL_ROWS = 2_000
POLL_SECONDS = 1.0
READ_SECONDS = 30.0


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
    found = admin.topics().get(new.name)
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
    """apply: called with each row in partition order, on the thread that reads: the caller's, or the follower's."""

    def __init__(self, consumer: Consumer, topic: str, clock: Clock, apply: Callable[[LogRow], None]) -> None:
        self.topic = topic
        self._consumer = consumer
        self._clock = clock
        self._apply = apply
        self._lock = threading.Lock()
        self._waiting = 0
        self._follower: Spawned | None = None
        self._partitions: list[TopicPartition] = []

    @property
    def following(self) -> bool:
        return self._follower is not None

    def start(self, partitions: int, follow: bool = False) -> None:
        """Read everything there is, then, if asked, go on reading on a thread of its own."""
        self._partitions = [TopicPartition(self.topic, partition) for partition in range(partitions)]
        self._consumer.assign(dict.fromkeys(self._partitions, "beginning"))
        self.read_to_end()
        if follow:
            self._follower = spawn(f"log-{self.topic}", self._follow)

    def read_to_end(self, timeout: float = READ_SECONDS) -> None:
        """Return once every row that was there at the call has been applied. WorkerError after `timeout` seconds."""
        deadline = self._clock.monotonic() + timeout
        self._waiting += 1
        self._consumer.wakeup()
        with self._lock:
            self._waiting -= 1
            ends = self._consumer.end_offsets(self._partitions)
            while any(self._consumer.position(partition) < end for partition, end in ends.items()):
                left = deadline - self._clock.monotonic()
                if left <= 0:
                    raise WorkerError(f"Timed out after {timeout:g} s reading topic {self.topic!r} to its end")
                self._read(min(left, POLL_SECONDS))

    def _read(self, timeout: float) -> None:
        for incoming in self._consumer.poll(POLL_ROWS, timeout):
            keys: Sequence[bytes | None] = incoming.keys or [None] * len(incoming.values)
            for offset, key, value in zip(incoming.offsets, keys, incoming.values, strict=True):
                self._apply(LogRow(incoming.partition, offset, key, value))

    def _follow(self, stop: StopToken) -> None:
        while not stop.is_set:
            while self._waiting and not stop.is_set:
                stop.wait(0.001)  # whoever waits for the end comes first
            with self._lock:
                try:
                    self._read(POLL_SECONDS)
                except BrokerError as error:
                    log.error("Reading topic %r failed; it is tried again: %s", self.topic, error)
                    stop.wait(1.0)

    def close(self) -> None:
        if self._follower is not None:
            self._follower.stop.set()
            self._consumer.wakeup()
            self._follower.join(5.0)
        self._consumer.close()


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
