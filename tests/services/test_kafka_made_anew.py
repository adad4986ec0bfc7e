"""A topic that is deleted and made anew in the same name: positions are told from the former's, every row is read."""

import re
from collections.abc import Callable
from itertools import product

import pytest
from confluent_kafka import Consumer as Reader
from confluent_kafka import TopicCollection
from confluent_kafka import TopicPartition as At
from confluent_kafka.admin import AdminClient
from running import until

from millstream.broker.connect import open_broker
from millstream.broker.kafka.reading import silent
from millstream.broker.ports import (
    AdminSettings,
    Broker,
    ConsumerSettings,
    Outgoing,
    ProducerSettings,
    RebalanceListener,
)
from millstream_api.records import TopicPartition
from services.abreast import abreast
from services.kafka import Kafka
from services.reading import (
    BY_NAME,
    COOPERATIVE,
    EAGER,
    NEW_PROTOCOL,
    WAIT_S,
    Member,
    filled,
    new_topic,
)

pytestmark = pytest.mark.usefixtures("patient")
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
