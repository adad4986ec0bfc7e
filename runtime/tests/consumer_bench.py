"""A Kafka consumer whose librdkafka is one in memory, which fails, and moves partitions, when it is told to."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from confluent_kafka import OFFSET_END, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as At

from millstream.broker.kafka.client.failures import Watch
from millstream.broker.kafka.client.lines import Listening
from millstream.broker.kafka.client.making import Making
from millstream.broker.kafka.client.peer import Peer
from millstream.broker.kafka.reading.consumer import KafkaConsumer
from millstream.broker.ports import ConsumerSettings, RebalanceListener
from millstream.lifecycle import ManualClock
from millstream_api.records import TopicPartition

FIRST, SECOND = TopicPartition("t", 0), TopicPartition("t", 1)
COUNT = 20
AWAY = KafkaError(KafkaError._TRANSPORT, "the broker is away")


def at_of(partition: TopicPartition) -> At:
    return At(partition.topic, partition.partition)


def refused(ats: Iterable[At], error: KafkaError) -> list[Any]:
    """Only librdkafka can make such a one."""
    return [SimpleNamespace(topic=at.topic, partition=at.partition, offset=at.offset, error=error) for at in ats]


@dataclass
class Client:
    """A librdkafka consumer in memory, with COUNT rows in each partition, which gives one row of each in turn.

    As librdkafka's, a pause outlives a revocation. steps: what happens inside the next calls: before the first row.
    """

    settings: Mapping[str, Any]
    lines: Listening
    at: dict[TopicPartition, int] = field(default_factory=dict)
    paused: set[TopicPartition] = field(default_factory=set)
    silent: set[TopicPartition] = field(default_factory=set)  # left alone until they are sought
    hear: dict[str, Callable[..., None]] = field(default_factory=dict)
    inside: list[Callable[[list[Message]], None]] = field(default_factory=list)
    asked: list[tuple[list[At], bool]] = field(default_factory=list)
    committed_at: dict[TopicPartition, int] = field(default_factory=dict)
    committed_with: dict[TopicPartition, str] = field(default_factory=dict)  # metadata
    refusing: KafkaError | None = None
    answering: KafkaError | None = None  # of each partition
    ends: int | KafkaError = COUNT  # what it says when it is asked
    absent: set[str] = field(default_factory=set)  # topics
    looked: list[list[tuple[str, int]]] = field(default_factory=list)  # for which ends it was asked

    def subscribe(self, topics: Sequence[str], **hear: Callable[..., None]) -> None:
        self.hear = hear

    def consume(self, rows: int, seconds: float) -> list[Message]:
        found: list[Message] = []
        while len(found) < rows:
            ready = [p for p, offset in self.at.items() if p not in self.paused | self.silent and offset < COUNT]
            if not ready:
                break
            for partition in ready[: rows - len(found)]:
                offset = self.at[partition]
                self.at[partition] = offset + 1
                found.append(Message(topic=partition.topic, partition=partition.partition, value=b"%d" % offset,
                                     offset=offset, timestamp=(1, offset)))  # fmt: skip
        if self.inside:
            self.inside.pop(0)(found)
        return found

    def poll(self, seconds: float) -> Message | None:
        return next(iter(self.consume(1, seconds)), None)

    def assign(self, ats: Iterable[At]) -> None:
        self.at = {TopicPartition(at.topic, at.partition): at.offset for at in ats}

    def unassign(self) -> None:
        self.at = {}

    def incremental_assign(self, ats: Iterable[At]) -> None:
        self.at |= {TopicPartition(at.topic, at.partition): at.offset for at in ats}

    def incremental_unassign(self, ats: Iterable[At]) -> None:
        for at in ats:
            self.at.pop(TopicPartition(at.topic, at.partition))

    def seek(self, at: At) -> None:
        partition = TopicPartition(at.topic, at.partition)
        if partition not in self.at:
            raise KafkaException(KafkaError(KafkaError._STATE, "not assigned"))
        self.at[partition] = at.offset
        self.silent.discard(partition)

    def pause(self, ats: Iterable[At]) -> None:
        self.paused.update(TopicPartition(at.topic, at.partition) for at in ats)

    def resume(self, ats: Iterable[At]) -> None:
        self.paused.difference_update(TopicPartition(at.topic, at.partition) for at in ats)

    def committed(self, ats: Sequence[At], seconds: float) -> list[At]:
        places = [TopicPartition(at.topic, at.partition) for at in ats]
        return [At(*place, self.committed_at.get(place, -1001), self.committed_with.get(place, "")) for place in places]

    def get_watermark_offsets(self, at: At, seconds: float, cached: bool) -> tuple[int, int]:
        if at.topic in self.absent:
            raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, "unknown"))
        return 0, COUNT

    def offsets_for_times(self, ats: Sequence[At], seconds: float) -> list[At]:
        self.looked.append(sorted((at.topic, at.partition) for at in ats))
        if isinstance(self.ends, KafkaError):
            raise KafkaException(self.ends)
        return [At(at.topic, at.partition, self.ends) for at in ats if at.offset == OFFSET_END]

    def commit(self, offsets: list[At], asynchronous: bool) -> list[At] | None:
        self.asked.append((offsets, asynchronous))
        if self.refusing is not None and not asynchronous:
            raise KafkaException(self.refusing)
        if asynchronous:
            return None
        return offsets if self.answering is None else refused(offsets, self.answering)

    def close(self) -> None:
        self.at = {}

    def answer(self, number: int, error: KafkaError | None = None, of_each: KafkaError | None = None) -> None:
        """The answer to the commit that was asked for as the `number`-th.   of_each: of each of its partitions."""
        asked = self.asked[number][0]
        self.settings["on_commit"](error, asked if of_each is None else refused(asked, of_each))

    def rebalance(self, kind: str, *partitions: TopicPartition) -> None:
        self.hear[f"on_{kind}"](self, [at_of(partition) for partition in partitions])


class Faking(Making):
    def __init__(self) -> None:
        super().__init__("127.0.0.1:1", {})
        self.made: list[Client] = []

    def consumer(self, java: Mapping[str, str], more: Mapping[str, Any], watch: Watch, lines: Listening) -> Any:
        self.made.append(Client(more, lines))
        return self.made[-1]


class Member:
    """A consumer of a group, what it has read, and what is done when partitions come or go."""

    def __init__(
        self, strategy: str = "CooperativeStickyAssignor", peer: Peer | str = "127.0.0.1:1", **overrides: str
    ) -> None:
        making = Faking()
        named = {name.replace("_", "."): text for name, text in overrides.items()}
        settings = ConsumerSettings("c", "g", overrides={"partition.assignment.strategy": strategy, **named})
        self.consumer = KafkaConsumer(making, settings, Watch("c", peer), ManualClock())
        self.made = making.made
        self.client = making.made[0]
        self.read: dict[TopicPartition, list[int]] = {}
        self.on_assigned: Callable[[Collection[TopicPartition]], None] = lambda partitions: None
        self.on_revoked: Callable[[Collection[TopicPartition]], None] = lambda partitions: None
        listener = RebalanceListener(
            lambda partitions: self.on_assigned(partitions), lambda partitions: self.on_revoked(partitions), print
        )
        self.consumer.subscribe(["t"], None, listener)

    def poll(self, rows: int = 4) -> None:
        for incoming in self.consumer.poll(rows, 0):
            partition = TopicPartition(incoming.topic, incoming.partition)
            self.read.setdefault(partition, []).extend(incoming.offsets)

    def poll_all(self) -> None:
        for _ in range(COUNT):
            self.poll()


def raising(error: KafkaError) -> Callable[[list[Message]], None]:
    def step(messages: list[Message]) -> None:
        raise KafkaException(error)

    return step


def without_group() -> tuple[KafkaConsumer, Client, ManualClock]:
    making, clock = Faking(), ManualClock()
    consumer = KafkaConsumer(making, ConsumerSettings("c"), Watch("c", "127.0.0.1:1"), clock)
    consumer.assign({FIRST: 0})
    return consumer, making.made[0], clock


def stand_still(member: Member, seconds: float) -> None:
    clock: Any = member.consumer._clock
    clock.advance(seconds)
