"""Members of a group on Kafka, what they read, and topics for that."""

import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

import pytest

from millstream.broker.ports import (
    AdminSettings,
    Broker,
    Consumer,
    ConsumerSettings,
    NewTopic,
    Outgoing,
    ProducerSettings,
    RebalanceListener,
)
from millstream.errors import BrokerError
from millstream_api.records import TopicPartition

COUNT = 20_000
WAIT_S = 60.0
ALERT = {"heartbeat.interval.ms": "300"}  # soon hears of others that come and go
EAGER = {**ALERT, "partition.assignment.strategy": "org.apache.kafka.clients.consumer.RangeAssignor"}
COOPERATIVE = {**ALERT, "partition.assignment.strategy": "org.apache.kafka.clients.consumer.CooperativeStickyAssignor"}
NEW_PROTOCOL = {"group.protocol": "consumer"}
BY_NAME = {"eager": EAGER, "cooperative": COOPERATIVE, "new protocol": NEW_PROTOCOL}
PROTOCOLS = pytest.mark.parametrize("protocol", BY_NAME.values(), ids=BY_NAME.keys())


def new_topic() -> str:
    return f"read-{uuid.uuid4().hex[:8]}"


def filled(broker: Broker, topic: str, partitions: int = 1, count: int = COUNT) -> None:
    """Row n of a partition is the number n."""
    admin = broker.admin(AdminSettings("test"))
    assert admin.create_topics([NewTopic(topic, partitions)]) == {topic: None}
    producer = broker.producer(ProducerSettings("test"))
    rows: list[bytes | None] = [b"%d" % number for number in range(count)]
    for partition in range(partitions):
        for at in range(0, count, 1000):
            some = rows[at : at + 1000]
            producer.send(Outgoing(topic, some, None, [partition] * len(some)), lambda delivered: None)
    assert producer.flush(WAIT_S) == 0
    producer.close(WAIT_S)


class Member:
    """A consumer of a group, what it was told and what it has read."""

    def __init__(self, broker: Broker, group: str, overrides: dict[str, str]) -> None:
        self.consumer: Consumer = broker.consumer(ConsumerSettings("member", group, overrides=overrides))
        self.mine: set[TopicPartition] = set()
        self.lost: list[TopicPartition] = []
        self.read: dict[TopicPartition, list[int]] = {}
        self.on_assigned: Callable[[Collection[TopicPartition]], None] = lambda partitions: None

    def subscribe(self, topic: str) -> "Member":
        self.consumer.subscribe([topic], None, RebalanceListener(self._assigned, self._revoked, self._lost))
        return self

    def poll(self, rows: int = 500, seconds: float = 0.1) -> int:
        count = 0
        for incoming in self.consumer.poll(rows, seconds):
            partition = TopicPartition(incoming.topic, incoming.partition)
            assert partition in self.mine
            self.read.setdefault(partition, []).extend(int(value or b"") for value in incoming.values)
            assert self.consumer.position(partition) == incoming.offsets[-1] + 1
            count += len(incoming.values)
        return count

    def _assigned(self, partitions: Collection[TopicPartition]) -> None:
        self.mine.update(partitions)
        self.on_assigned(partitions)

    def _revoked(self, partitions: Collection[TopicPartition]) -> None:
        try:
            self.consumer.commit_now({partition: self.consumer.position(partition) for partition in partitions})
        except BrokerError:  # a revocation that came too late to be heard: the brokers take nothing from it any more
            self.lost.extend(partitions)
        self.mine.difference_update(partitions)

    def _lost(self, partitions: Collection[TopicPartition]) -> None:
        self.lost.extend(partitions)
        self.mine.difference_update(partitions)


@contextmanager
def members_of(broker: Broker, topic: str) -> Iterator[Callable[..., Member]]:
    """Gives what has one more member of a group read the topic; all are closed in the end."""
    members: list[Member] = []

    def join(overrides: dict[str, str] | None = None) -> Member:
        member = Member(broker, f"group-{topic}", overrides or {})
        members.append(member)
        return member.subscribe(topic)

    try:
        yield join
    finally:
        for member in members:
            member.consumer.close()
