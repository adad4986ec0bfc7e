"""Rows are read once and in order, whatever is paused, sought, revoked or lost meanwhile."""

import re
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

import pytest
from confluent_kafka import Consumer as Reader
from confluent_kafka import TopicCollection
from confluent_kafka import TopicPartition as At
from confluent_kafka.admin import AdminClient
from running import until

from millstream.broker.connect import open_broker
from millstream.broker.kafka import membership, silent
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
from services.abreast import abreast
from services.kafka import Kafka

pytestmark = pytest.mark.usefixtures("patient")
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


@pytest.fixture
def joining(broker: Broker, topic: str) -> Iterator[Callable[..., Member]]:
    with members_of(broker, topic) as joining:
        yield joining


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


@PROTOCOLS
def test_a_pause_under_load_gives_nothing_and_loses_nothing(
    broker: Broker, topic: str, joining: Callable[..., Member], protocol: dict[str, str]
) -> None:
    filled(broker, topic, 2)
    member = joining(protocol)
    first, second = TopicPartition(topic, 0), TopicPartition(topic, 1)
    until(lambda: member.poll(700) and len(member.mine) == 2, "rows", WAIT_S)
    for number in range(30):
        one = (first, second)[number % 2]
        member.consumer.pause([one])
        before = len(member.read.get(one, ()))
        for _ in range(3):
            member.poll(300, 0.02)
        assert len(member.read.get(one, ())) == before
        member.consumer.resume([one])
        member.poll(300)
    until(lambda: member.poll() == 0 and sum(map(len, member.read.values())) >= 2 * COUNT, "all rows", WAIT_S)
    assert member.read == {first: list(range(COUNT)), second: list(range(COUNT))}


@PROTOCOLS
def test_a_seek_under_load_is_where_reading_goes_on(
    broker: Broker, topic: str, joining: Callable[..., Member], protocol: dict[str, str]
) -> None:
    filled(broker, topic)
    member, partition = joining(protocol), TopicPartition(topic, 0)
    until(lambda: member.poll(700), "rows", WAIT_S)
    for offset in (0, 5_000, 10, 19_990, 700):
        member.consumer.seek(partition, offset)
        assert member.consumer.position(partition) == offset
        member.read.clear()
        until(lambda: member.poll(500), "rows", WAIT_S)
        found = member.read[partition]
        assert found == list(range(offset, offset + len(found)))


@PROTOCOLS
def test_seeks_and_pauses_while_partitions_come_hold_from_the_first_row(
    broker: Broker, topic: str, joining: Callable[..., Member], protocol: dict[str, str]
) -> None:
    filled(broker, topic, 2, 1_000)
    member = joining(protocol)
    first, second = TopicPartition(topic, 0), TopicPartition(topic, 1)

    def arranged(partitions: Collection[TopicPartition]) -> None:
        if first in partitions:
            member.consumer.seek(first, 990)
        if second in partitions:
            member.consumer.pause([second])

    member.on_assigned = arranged
    until(lambda: (member.poll(), member.mine == {first, second} and len(member.read.get(first, ())) >= 10)[1],
          "rows", WAIT_S)  # fmt: skip
    for _ in range(5):  # and no more
        member.poll()
    assert member.read == {first: list(range(990, 1_000))}
    member.consumer.resume([second])
    until(lambda: member.poll() == 0 and len(member.read.get(second, ())) == 1_000, "the other rows", WAIT_S)
    assert member.read[second] == list(range(1_000))


@PROTOCOLS
def test_a_partition_that_goes_while_it_is_paused_is_read_when_it_comes_back(
    broker: Broker, topic: str, joining: Callable[..., Member], protocol: dict[str, str]
) -> None:
    """librdkafka goes on with a pause over a revocation."""
    filled(broker, topic, 2, 1_000)
    one = joining(protocol)
    until(lambda: one.poll(100) and len(one.mine) == 2, "the first member", WAIT_S)
    one.consumer.pause(one.mine)
    two = joining(protocol)
    until(lambda: (one.poll(5), two.poll(5), len(one.mine) == len(two.mine) == 1)[2], "each to have one", WAIT_S)
    two.consumer.close()
    until(lambda: (one.poll(5), len(one.mine) == 2)[1], "both to be back", WAIT_S)
    one.consumer.resume(one.mine)  # those that never went
    until(lambda: (one.poll(), {each: rows[-1] for each, rows in one.read.items()})[1] == dict.fromkeys(one.mine, 999),
          "every row of both", WAIT_S)  # fmt: skip


def test_a_seek_while_another_partition_comes_holds_for_one_that_stays(
    broker: Broker, topic: str, joining: Callable[..., Member]
) -> None:
    filled(broker, topic, 2)
    one, two = joining(COOPERATIVE), joining(COOPERATIVE)
    until(lambda: (one.poll(5), two.poll(5), len(one.mine) == len(two.mine) == 1)[2], "each to have one", WAIT_S)
    (kept,) = one.mine
    (coming,) = two.mine
    two.consumer.close()

    def sought(partitions: Collection[TopicPartition]) -> None:
        if coming in partitions:
            one.read.pop(kept, None)
            one.consumer.seek(kept, 19_000)

    one.on_assigned = sought
    until(lambda: (one.poll(5), len(one.mine) == 2)[1], "the other to come", WAIT_S)
    until(lambda: (one.poll(), one.read.get(kept, [0])[-1] == COUNT - 1 and coming in one.read)[1], "all", WAIT_S)
    assert one.read[kept] == list(range(19_000, COUNT))


@PROTOCOLS
def test_members_come_and_go_and_no_row_is_passed_over(
    broker: Broker, topic: str, joining: Callable[..., Member], protocol: dict[str, str]
) -> None:
    filled(broker, topic, 3, 3_000)
    one = joining(protocol)
    until(lambda: one.poll(100) and len(one.mine) == 3, "the first member", WAIT_S)
    two = joining(protocol)
    until(lambda: (one.poll(50), two.poll(50), one.mine and two.mine)[2], "both to have partitions", WAIT_S)
    assert not one.mine & two.mine
    two.consumer.close()
    assert two.mine == set()
    until(lambda: one.poll() == 0 and len(one.mine) == 3 and whole(one, two, topic), "every row", WAIT_S)
    assert one.lost == two.lost == []


def test_rows_that_came_with_a_rebalance_that_failed_are_read_again(
    broker: Broker, topic: str, joining: Callable[..., Member]
) -> None:
    filled(broker, topic, 2)
    one, failures = joining(COOPERATIVE), [BrokerError("away", retriable=True)]
    until(lambda: one.poll(100) and len(one.mine) == 2, "the first member", WAIT_S)
    two = joining(COOPERATIVE)
    until(lambda: (one.poll(5), two.poll(5), one.mine and two.mine)[2], "both to have a partition", WAIT_S)

    def failing(partitions: Collection[TopicPartition]) -> None:
        if failures:
            raise failures.pop()

    one.on_assigned = failing
    (kept,) = one.mine
    two.consumer.close()
    with pytest.raises(BrokerError, match="away"):
        until(lambda: one.poll(5) is None, "the rebalance to fail", WAIT_S)
    until(lambda: one.poll() and len(one.read[kept]) == COUNT, "every row", WAIT_S)
    assert one.read[kept] == list(range(COUNT))


def whole(one: Member, two: Member, topic: str) -> bool:
    for number in range(3):
        partition = TopicPartition(topic, number)
        rows = set(one.read.get(partition, ())) | set(two.read.get(partition, ()))
        if rows != set(range(3_000)):
            return False
        assert one.read[partition] == sorted(set(one.read[partition]))
    return True


def test_a_member_that_does_not_poll_loses_its_partitions_and_comes_back(broker: Broker) -> None:
    def case(protocol: str) -> None:
        topic = new_topic()
        filled(broker, topic, 1, 1_000)
        with members_of(broker, topic) as joining:
            outlived(joining, BY_NAME[protocol], TopicPartition(topic, 0))

    def outlived(joining: Callable[..., Member], protocol: dict[str, str], partition: TopicPartition) -> None:
        slow = joining({**protocol, "max.poll.interval.ms": "6000", "session.timeout.ms": "6000"})
        until(lambda: slow.poll(100), "rows", WAIT_S)
        slow.consumer.commit_now({partition: slow.consumer.position(partition)})
        other = joining(protocol)
        until(lambda: other.poll(1), "the other member to have got the partition", WAIT_S)
        answers: list[Exception | None] = []
        slow.consumer.commit({partition: 900}, answers.append)
        until(lambda: (slow.poll(), answers)[1], "the late commit to be answered", WAIT_S)
        assert isinstance(answers[0], BrokerError)
        assert slow.lost == [partition]
        assert slow.mine == set()
        assert other.read[partition][0] == len(slow.read[partition])
        other.consumer.close()
        until(lambda: slow.poll() and slow.mine == {partition}, "the slow one to come back", WAIT_S)

    abreast(case, "eager", "cooperative")


def test_without_a_committed_position_and_with_no_reset_it_is_an_error(
    broker: Broker, topic: str, joining: Callable[..., Member]
) -> None:
    filled(broker, topic, 1, 1)
    member = joining({"auto.offset.reset": "none"})

    def failed() -> str:
        try:
            member.poll()
        except BrokerError as error:
            return str(error)
        return ""

    assert "set consumer.override.auto.offset.reset to earliest or latest" in until(failed, "an error", WAIT_S)


def test_a_committed_position_that_is_gone_from_the_log_is_an_error_where_no_reset_is_set(
    kafka: Kafka, broker: Broker, topic: str, joining: Callable[..., Member]
) -> None:
    filled(broker, topic, 1, 100)
    admin = broker.admin(AdminSettings("test"))
    admin.alter_group_offsets(f"group-{topic}", {TopicPartition(topic, 0): 10})
    client, gone = AdminClient(kafka.client()), At(topic, 0, 50)
    client.delete_records([gone])[gone].result(WAIT_S)
    until(lambda: admin.beginning_offsets([TopicPartition(topic, 0)]) == {TopicPartition(topic, 0): 50}, "it", WAIT_S)
    member = joining({"auto.offset.reset": "none"})

    def failed() -> str:
        try:
            member.poll()
        except BrokerError as error:
            assert not error.retriable  # noqa: PT017 - said once, whatever else is asked
            return str(error)
        return ""

    said = until(failed, "an error", WAIT_S)
    assert "auto.offset.reset is none" in said
    assert "set consumer.override.auto.offset.reset to earliest or latest" in said
    assert member.read == {}


def test_a_pattern_looks_for_topics_as_often_as_it_is_told(broker: Broker, topic: str) -> None:
    member = Member(broker, f"group-{topic}", {"metadata.max.age.ms": "300"})
    listener = RebalanceListener(member._assigned, member._revoked, member._lost)
    member.consumer.subscribe(None, re.compile(f"{topic}-[ab]"), listener)
    for name in (f"{topic}-a", f"x{topic}-a", f"{topic}-ab", f"{topic}-b"):
        filled(broker, name, 1, 10)
        if name in (f"{topic}-a", f"{topic}-b"):
            at = TopicPartition(name, 0)
            until(lambda at=at: member.poll() and len(member.read.get(at, ())) == 10, name, WAIT_S)  # type: ignore[misc]
    assert {partition.topic for partition in member.mine} == {f"{topic}-a", f"{topic}-b"}
    member.consumer.close()


def test_a_topic_that_is_not_there_is_waited_for_and_named(
    broker: Broker, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    member = Member(broker, f"group-{topic}", {"allow.auto.create.topics": "false"}).subscribe(topic)
    until(lambda: member.poll() or f"topic {topic!r} does not exist; it is waited for" in caplog.text, "it", WAIT_S)
    assert topic not in broker.admin(AdminSettings("test")).names()
    filled(broker, topic, 1, 5)
    member.consumer.close()
    again = Member(broker, f"group-{topic}", {}).subscribe(topic)
    until(lambda: again.poll(), "its rows", WAIT_S)
    again.consumer.close()


def test_a_topic_that_vanishes_while_it_is_dealt_out_keeps_no_other_waiting(
    kafka: Kafka, broker: Broker, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, client = f"{topic}-gone", AdminClient(kafka.client())
    for name in (topic, gone):
        filled(broker, name, 1, 10)
    find = membership.starts

    def find_late(*given: Any) -> dict[TopicPartition, int]:
        if gone in broker.admin(AdminSettings("test")).names():
            client.delete_topics([gone])[gone].result(WAIT_S)
            until(lambda: gone not in broker.admin(AdminSettings("test")).names(), "it to go", WAIT_S)
        return find(*given)

    monkeypatch.setattr(membership, "starts", find_late)
    member, at = Member(broker, f"group-{topic}", EAGER), TopicPartition(topic, 0)
    listener = RebalanceListener(member._assigned, member._revoked, member._lost)
    member.consumer.subscribe(None, re.compile(f"{topic}.*"), listener)
    until(lambda: member.poll() and len(member.read.get(at, ())) == 10, "its rows", WAIT_S)
    member.consumer.close()


ANOTHERS = "what another consumer keeps there"


def test_positions_have_the_id_of_their_topic_as_its_administrators_see_it(
    kafka: Kafka, broker: Broker, topic: str, joining: Callable[..., Member]
) -> None:
    """Both ids are heard from debug lines of librdkafka, so that this is of the installed one."""
    filled(broker, topic, 1, 10)
    member, first = joining(), TopicPartition(topic, 0)
    until(lambda: member.poll() == 0 and len(member.read.get(first, ())) == 10, "every row", WAIT_S)
    member.consumer.commit_now({first: 10})
    client = AdminClient(kafka.client())
    found = client.describe_topics(TopicCollection([topic]))[topic].result(WAIT_S)
    topic_id = str(found.topic_id).replace("+", "-").replace("/", "_")  # as Java's tools show it
    assert committed(kafka, topic) == (10, f"cluster.id={cluster_of(broker)} topic.id={topic_id}")
    member.consumer.close()
    again = joining()
    filled_more(broker, topic, 3)
    until(lambda: again.poll() == 0 and len(again.read.get(first, ())) == 3, "what came since", WAIT_S)


def cluster_of(broker: Broker) -> str:
    admin = broker.admin(AdminSettings("test"))
    return admin.cluster_id()


def committed(kafka: Kafka, topic: str, *set_to: At) -> tuple[int, str]:
    """The group's position in the first partition, and what is kept with it; set before, by who is no member."""
    client = Reader({**kafka.client(), "group.id": f"group-{topic}"})
    if set_to:
        client.commit(offsets=list(set_to), asynchronous=False)
    (found,) = client.committed([At(topic, 0)], WAIT_S)
    client.close()
    return found.offset, found.metadata


@pytest.mark.parametrize(
    ("protocol", "whose"),
    [
        *((protocol, "the former topic") for protocol in (EAGER, COOPERATIVE, NEW_PROTOCOL)),
        *((COOPERATIVE, whose) for whose in ("nobody", "another consumer", "another cluster")),
    ],
    ids=["eager", "cooperative", "new protocol", "nobody's", "another consumer's", "another cluster's"],
)
def test_a_position_of_the_former_topic_that_outlives_its_reader_is_not_gone_on_from_and_any_other_is(
    kafka: Kafka, broker: Broker, topic: str, protocol: dict[str, str], whose: str, joining: Callable[..., Member]
) -> None:
    """As when a reader commits between the creation of the new topic and the news of it, and is killed at once."""
    filled(broker, topic, 2, 1_000)
    first, second = TopicPartition(topic, 0), TopicPartition(topic, 1)
    member = joining({**protocol, **FRESH})
    until(lambda: member.poll() == 0 and sum(map(len, member.read.values())) == 2_000, "the former rows", WAIT_S)
    member.consumer.commit_now({first: 1_000, second: 1_000})
    member.consumer.close()
    _, written = committed(kafka, topic)
    made_anew(kafka, broker, topic)
    until(lambda: committed(kafka, topic)[0] < 0, "the brokers to forget the positions of the former one", WAIT_S)
    metadata = {
        "the former topic": written,
        "nobody": "",
        "another consumer": ANOTHERS,
        "another cluster": written.replace("cluster.id=", "cluster.id=x"),
    }[whose]
    assert committed(kafka, topic, At(topic, 0, 1_000, metadata)) == (1_000, metadata)
    again = joining({**protocol, **FRESH})
    start = 0 if whose == "the former topic" else 1_000
    wanted = {first: list(range(start, MORE)), second: list(range(MORE))}
    until(lambda: again.poll() == 0 and sum(map(len, again.read.values())) >= 2 * MORE - start, "the rows", WAIT_S)
    assert again.read == wanted
    again.consumer.commit_now({first: MORE, second: MORE})
    assert committed(kafka, topic)[0] == MORE


def filled_more(broker: Broker, topic: str, count: int) -> None:
    producer = broker.producer(ProducerSettings("test"))
    producer.send(Outgoing(topic, [b"%d" % number for number in range(count)]), lambda delivered: None)
    assert producer.flush(WAIT_S) == 0
    producer.close(WAIT_S)


MORE = 3_000
SOON_OVER = {"session.timeout.ms": "6000"}
FRESH_WRITER = {"metadata.max.age.ms": "1000"}
FRESH = {"metadata.max.age.ms": "1000", "allow.auto.create.topics": "false"}


def made_anew(kafka: Kafka, broker: Broker, topic: str) -> None:
    """Deleted and made at once again with as many partitions: longer than it was read, when its reader looks."""
    client = AdminClient(kafka.client())
    client.delete_topics([topic])[topic].result(WAIT_S)
    until(lambda: topic not in broker.admin(AdminSettings("test")).names(), "it to go", WAIT_S)
    filled(broker, topic, 2, MORE)


def test_a_reader_hears_that_a_topic_is_another_one_before_its_first_row(
    kafka: Kafka, broker: Broker, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It hears that from a debug line of librdkafka, so that this is of the installed one."""
    filled(broker, topic, 2, 1_000)
    consumer = broker.consumer(ConsumerSettings("reader", None))
    places = [TopicPartition(topic, partition) for partition in range(2)]
    consumer.assign(dict.fromkeys(places, 0))
    read: dict[TopicPartition, list[int]] = {place: [] for place in places}

    def poll() -> list[int]:
        for incoming in consumer.poll(500, 0.1):
            read[TopicPartition(incoming.topic, incoming.partition)] += [int(value or b"") for value in incoming.values]
        return [len(rows) for rows in read.values()]

    until(lambda: poll() == [1_000] * 2, "the former rows", WAIT_S)
    made_anew(kafka, broker, topic)
    until(lambda: poll() == [1_000 + MORE] * 2, "every row of the new one", WAIT_S)
    assert read == {place: [*range(1_000), *range(MORE)] for place in places}
    assert [consumer.position(place) for place in places] == [MORE] * 2
    for place in places:
        said = f"{topic}-{place.partition} goes on at offset 0, and had been read up to 1000: the topic was deleted"
        assert said in caplog.text
    consumer.close()


@pytest.mark.timeout(300)
def test_a_topic_made_anew_behind_a_restart_of_its_broker_is_read_and_written_by_clients_that_knew_the_former(
    own_kafka: Callable[..., Kafka], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its leader's epoch is an earlier one, which librdkafka passes over, and says so in a debug line alone: this is of
    the installed one. A consumer sees that nothing comes. Of three readers hardly each sees that there is no topic in
    between, and forgets the epoch."""
    monkeypatch.setattr(silent, "LOOK_SECONDS", 1.0)
    kafka = own_kafka()
    broker = open_broker(kafka.address())
    topics = {name: new_topic() for name in BY_NAME}
    for topic in topics.values():
        filled(broker, topic, 2, 1_000)
    members = {
        topic: Member(broker, f"group-{topic}", {**BY_NAME[name], **FRESH, **SOON_OVER}).subscribe(topic)
        for name, topic in topics.items()
    }
    producer = broker.producer(ProducerSettings("writer", overrides=FRESH_WRITER))

    def written() -> None:
        for topic in members:
            producer.send(Outgoing(topic, [b"-1"] * 2, None, [0, 1]), lambda delivered: None)
        assert producer.flush(WAIT_S) == 0

    def read(count: int) -> bool:
        """So many rows of each partition of each topic, and what was written behind them, perhaps twice."""
        for member in members.values():
            member.poll()
        found = [rows for member in members.values() for rows in member.read.values()]
        return len(found) == 2 * len(members) and all(
            rows[:count] == [*range(count)] and set(rows[count:]) == {-1} for rows in found
        )

    kafka.restart()
    written()
    until(lambda: read(1_000), "the former rows", 2 * WAIT_S)
    for topic, member in members.items():
        member.read.clear()
        made_anew(kafka, broker, topic)
    written()
    until(lambda: read(MORE), "every row of the new ones", 2 * WAIT_S)
    producer.close(WAIT_S)
    for member in members.values():
        member.consumer.close()
    broker.close()


def test_of_a_topic_that_was_made_anew_longer_than_it_was_read_no_row_is_passed_over(
    kafka: Kafka, broker: Broker
) -> None:
    def case(tried: tuple[str, str]) -> None:
        protocol, way = tried
        topic = new_topic()
        filled(broker, topic, 2, 1_000)
        member = Member(broker, f"group-{topic}", {**BY_NAME[protocol], **FRESH})
        listener, names = RebalanceListener(member._assigned, member._revoked, member._lost), way == "by name"
        member.consumer.subscribe([topic] if names else None, None if names else re.compile(topic), listener)
        try:
            read_through(member, topic)
        finally:
            member.consumer.close()
        every = {TopicPartition(topic, partition): MORE for partition in range(2)}
        assert broker.admin(AdminSettings("test")).group_offsets(f"group-{topic}") == every

    def read_through(member: Member, topic: str) -> None:
        first, second = TopicPartition(topic, 0), TopicPartition(topic, 1)
        until(lambda: member.poll() == 0 and sum(map(len, member.read.values())) == 2_000, "the former rows", WAIT_S)
        member.consumer.commit_now({first: 1_000, second: 1_000})
        member.consumer.pause([second])
        member.read.clear()
        made_anew(kafka, broker, topic)

        def every_row() -> bool:
            member.poll()
            return {place: len(set(rows)) for place, rows in member.read.items()} == {first: MORE, second: MORE}

        until(every_row, "every row of the new one", WAIT_S)
        for rows in member.read.values():
            assert rows[0] == 0
            assert sorted(set(rows)) == list(range(MORE))
        assert {place: member.consumer.position(place) for place in member.mine} == {first: MORE, second: MORE}
        committed = broker.admin(AdminSettings("test")).group_offsets(f"group-{topic}")
        assert all(offset <= MORE for offset in committed.values())

    abreast(case, *product(BY_NAME, ("by name", "by pattern")))
