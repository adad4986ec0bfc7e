"""What the runtime needs of the log that records live in; embedded and Kafka's client implement it.

Every object is used by one thread at a time, save `Consumer.wakeup`, which any thread may call. No object crosses a
fork: what a child needs it opens itself, from the same `bootstrap.servers`.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from millstream_api.records import Origin, TopicPartition

Column = Sequence[bytes | None]
HeaderRow = Sequence[tuple[str, bytes | None]]
Start = int | Literal["beginning", "end"]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Rows for one topic, in order; columns of equal length, None where a column is absent in every row.

    partitions: None in a row leaves the choice to the partitioner: murmur2 of the key, one partition for
                all keyless rows.
    timestamps: ms since 1970; None in a row, or no column, is stamped with the clock.
    """

    topic: str
    values: Column
    keys: Column | None = None
    partitions: Sequence[int | None] | None = None
    timestamps: Sequence[int | None] | None = None
    headers: Sequence[HeaderRow] | None = None


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of one Outgoing, told once.

    failures: row -> why it was refused (BrokerError); every other row is written, in a transaction: with its commit.
    origins:  where each row is, None for a refused one, offset -1 where it is not known; only when the producer was
              made with `report_each`. In a transaction it may be called after the commit alone; before, it raises
              IllegalStateError.
    """

    failures: Mapping[int, Exception] = field(default_factory=dict)
    origins: Callable[[], Sequence[Origin | None]] | None = None


@dataclass(frozen=True, slots=True)
class Incoming:
    """Rows of one topic partition in ascending offset order (offsets may have gaps); columns of equal length, of which
    timestamps may be `Deferred`."""

    topic: str
    partition: int
    offsets: Sequence[int]
    values: Column
    timestamps: Sequence[int]
    keys: Column | None = None
    headers: Sequence[HeaderRow] | None = None
    timestamp_type: str = "CreateTime"


@dataclass(frozen=True, slots=True)
class TopicDescription:
    """config: what was set for this topic, defaults left out."""

    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)

    @property
    def cleanup_policy(self) -> str:
        return self.config.get("cleanup.policy", "delete")


@dataclass(frozen=True, slots=True)
class NewTopic:
    """A topic to create; -1 partitions or replicas: the broker's default.

    asked_for: the settings that say so, with their values, for whoever reads why it could not be made.
    """

    name: str
    partitions: int = -1
    replication: int = -1
    config: Mapping[str, str] = field(default_factory=dict)
    asked_for: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class ProducerSettings:
    """report_each:      `Delivered.origins` is wanted.
    create_topics:    an unknown topic is made on first use; else its rows fail with UnknownTopicError.
    epoch:            `Ownership.epoch` of the worker this producer writes for; None is never fenced (command line).
    transactional_id: exactly-once on Kafka; None: begin/commit/abort are not offered there.
    overrides:        client settings, Java's keys, on top of the broker's own.
    queue_bytes:      what may be out at most, where `buffer.memory` does not say; 0: Java's default.
    """

    client_id: str
    report_each: bool = False
    create_topics: bool = True
    epoch: int | None = None
    transactional_id: str | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)
    queue_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ConsumerSettings:
    """group:  None reads without a group: `assign` only, no commits.
    reset:  where to start without a committed position, or when it points outside the log; `none` fails then.
    share:  (n, of): which member of the group this is, where the worker deals partitions out itself (embedded);
            Kafka's group protocol ignores it.
    epoch: as a producer's; commits of a fenced consumer raise FencedError.
    queue_bytes: what may be fetched ahead; 0: the client's default.
    """

    client_id: str
    group: str | None = None
    reset: Literal["earliest", "latest", "none"] = "earliest"
    share: tuple[int, int] = (0, 1)
    epoch: int | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)
    queue_bytes: int = 0


@dataclass(frozen=True, slots=True)
class SinkGroup:
    """A group that a sink reads with, for retention. Neither topics nor pattern: what it reads is not known, and the
    log goes by what it has read so far."""

    group: str
    topics: Collection[str] = ()
    pattern: re.Pattern[str] | None = None


@dataclass(frozen=True, slots=True)
class AdminSettings:
    client_id: str
    overrides: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RebalanceListener:
    """Called inside `poll` and `close`. Assigned: what is new. Revoked: before it goes, positions may still
    be committed. Lost: gone already, nothing may be committed. What one raises comes out of that `poll`."""

    assigned: Callable[[Collection[TopicPartition]], None]
    revoked: Callable[[Collection[TopicPartition]], None]
    lost: Callable[[Collection[TopicPartition]], None]


class Producer(Protocol):
    """Writes rows. Any method may raise FencedError (stop at once), and BrokerError with `retriable`: nothing is lost
    or written then, the same call may be made again after a pause, for ever (a full disk). Inside a transaction `abort`
    comes first, and all of it is sent again."""

    @property
    def transactional(self) -> bool:
        """Whether begin, commit and abort may be called."""
        ...

    def begin(self) -> None:
        """Open a transaction: what is sent until `commit` becomes visible with it, whole or not at all."""
        ...

    def send(self, batch: Outgoing, done: Callable[[Delivered], None]) -> None:
        """Hand rows over; after a retriable error none of them was taken. `done` is called exactly once, on a thread
        that is inside send, poll, flush, commit, abort or close: with the refused rows, which in a transaction do not
        hinder the others. A refusal is about its row, or is not `skippable`. Embedded tells it in `send` while a
        transaction is open, since then the commit decides. After `abort` an untold `done` gets every row as failed."""
        ...

    def poll(self) -> None:
        """Serve callbacks without waiting for more; outside a transaction embedded writes what was sent."""
        ...

    def commit(self) -> None:
        """End the transaction: after it everything sent is visible. On a retriable error call it again, or `abort`."""
        ...

    def abort(self) -> None:
        """End the transaction: nothing sent in it will ever be seen."""
        ...

    def flush(self, timeout: float) -> int:
        """Wait at most `timeout` seconds for everything sent outside transactions; gives the rows still out."""
        ...

    def durable(self) -> None:
        """Return once everything acknowledged to this producer survives a power failure."""
        ...

    def partitions(self, topic: str) -> int:
        """How many partitions the topic has, 0 when there is no such topic."""
        ...

    def warm(self, topics: Iterable[str]) -> None:
        """Do beforehand what the first record of each topic would have to wait for. Creates nothing."""
        ...

    def close(self, timeout: float) -> None:
        """Flush for at most `timeout` seconds, then let go; an open transaction is aborted. May be called twice."""
        ...


class Consumer(Protocol):
    """Reads rows; without a group those of committed transactions alone. In a Kafka group `isolation.level` decides,
    as Java's."""

    def subscribe(
        self, topics: Sequence[str] | None, pattern: re.Pattern[str] | None, listener: RebalanceListener
    ) -> None:
        """Take this member's share of the topics, or of all whose whole name matches; missing ones are waited for."""
        ...

    def assign(self, positions: Mapping[TopicPartition, Start]) -> None:
        """Read exactly these partitions from these positions, without rebalances."""
        ...

    def poll(self, max_rows: int, timeout: float) -> Sequence[Incoming]:
        """At most `max_rows` rows, waiting at most `timeout` seconds for the first."""
        ...

    def assignment(self) -> frozenset[TopicPartition]: ...

    def position(self, partition: TopicPartition) -> int:
        """Offset of the next row `poll` gives. KeyError if it is not assigned."""
        ...

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """The next `poll` reads from `offset`. KeyError if it is not assigned."""
        ...

    def pause(self, partitions: Iterable[TopicPartition]) -> None: ...

    def resume(self, partitions: Iterable[TopicPartition]) -> None: ...

    def commit(
        self, offsets: Mapping[TopicPartition, int], done: Callable[[Exception | None], None] | None = None
    ) -> None:
        """Commit without waiting; `done` comes once, inside commit, poll or close."""
        ...

    def commit_now(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit and return once it is durable."""
        ...

    def committed(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Committed positions of the group; a partition without one is left out."""
        ...

    def end_offsets(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Offset the next row of each partition will get, from the log, not from memory."""
        ...

    def reshare(self, member: int, members: int) -> None:
        """Take another share of the subscribed partitions from the next `poll` on. Kafka ignores it. Any thread."""
        ...

    def wakeup(self) -> None:
        """The `poll` under way, or else the next one, returns at once with what it has."""
        ...

    def close(self) -> None:
        """Revoke the assignment, let go. May be called twice."""
        ...


class Admin(Protocol):
    def names(self) -> Collection[str]:
        """The topics there are, as far as they may be seen; cheaper than `topics`."""
        ...

    def topics(self, names: Collection[str] | None = None) -> Mapping[str, TopicDescription]:
        """All there are, or those of these names. Their settings are left out where this user may not know them."""
        ...

    def create_topics(self, topics: Iterable[NewTopic]) -> Mapping[str, Exception | None]:
        """Per name what hindered it: ConflictError if it exists."""
        ...

    def beginning_offsets(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]: ...

    def end_offsets(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Offset the next row of each partition will get; UnknownTopicError names the first that does not exist."""
        ...

    def group_offsets(self, group: str) -> Mapping[TopicPartition, int]:
        """Empty for an unknown group."""
        ...

    def alter_group_offsets(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """All or none; BrokerError for a negative offset, UnknownTopicError for an unknown topic or partition."""
        ...

    def delete_group_offsets(self, group: str, partitions: Iterable[TopicPartition]) -> None: ...

    def delete_group(self, group: str) -> None:
        """Nothing happens if there is none."""
        ...

    def cluster_id(self) -> str: ...

    def close(self) -> None: ...


class Ownership(Protocol):
    """One worker's claim on a log; `epoch` goes to every producer that writes for it."""

    @property
    def epoch(self) -> int: ...

    def release(self) -> None: ...


class Broker(Protocol):
    @property
    def bootstrap(self) -> str:
        """The `bootstrap.servers` it was made from."""
        ...

    @property
    def shared(self) -> bool:
        """False when it lives in this process alone (`sqlite::memory:`), so that tasks must be threads."""
        ...

    @property
    def cluster_id(self) -> str: ...

    @property
    def client_threads(self) -> int:
        """How many threads of its own a client has, once `check` has returned; 0: none."""
        ...

    def check(self) -> None:
        """Return when it can be worked with. Raises BrokerError or ConfigError that says what is wrong: on Kafka within
        `default.api.timeout.ms`. Logs the settings that are not followed as they are written."""
        ...

    def own(self) -> Ownership:
        """Claim the log for a worker's life. On the embedded log: exclusive, and fences all earlier epochs.
        BrokerError "in use by pid N" when another has it. Kafka: epoch 0, no claim."""
        ...

    def producer(self, settings: ProducerSettings) -> Producer: ...

    def consumer(self, settings: ConsumerSettings) -> Consumer: ...

    def admin(self, settings: AdminSettings) -> Admin: ...

    def retain(self, sinks: Collection[SinkGroup]) -> int:
        """Remove what retention lets go, and give the number of batches; called every so often by the owner.
        `sinks`: of the sinks that exist, running or not: nothing one of them has not committed is removed. Kafka: 0."""
        ...

    def close(self) -> None: ...
