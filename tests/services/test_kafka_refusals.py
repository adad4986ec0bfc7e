"""Rows that a real broker refuses: how they are found, and that the others are written."""

import time
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka.admin import AclOperation, AdminClient, ResourceType
from running import until

from millstream.broker.connect import open_broker
from millstream.broker.ports import Broker, Delivered, Outgoing, ProducerSettings
from millstream.errors import BrokerError, RecordTooLargeError
from services import rights
from services.kafka import Kafka
from services.producing import LARGE, TOGETHER, WAIT_S, made, numbered, producer_of, read, sent, values

pytestmark = pytest.mark.usefixtures("patient")
Granting = Callable[..., None]


@pytest.fixture
def granted(kafka: Kafka) -> Iterator[Granting]:
    """Gives rights on a topic to eve, who has none else, until the end of the test."""
    admin, given = AdminClient(kafka.client()), []

    def grant(topic: str, *operations: AclOperation) -> None:
        rights.granted(admin, "eve", ResourceType.TOPIC, topic, operations)
        given.append(topic)

    yield grant
    for topic in given:
        rights.withdrawn(admin, ResourceType.TOPIC, topic)


def opened_by_eve(kafka: Kafka) -> Broker:
    eve = kafka.java_client("SASL_PLAINTEXT", user="eve")
    return open_broker(eve["bootstrap.servers"], {f"producer.{name}": text for name, text in eve.items()})


@pytest.mark.parametrize("at", [0, 250, 499], ids=["first", "in the middle", "last"])
def test_a_row_larger_than_its_topic_takes_is_refused_alone(broker: Broker, topic: str, at: int) -> None:
    made(broker, topic, max_message_bytes="2000")
    rows = numbered(500)
    rows[at] = b"y" * LARGE
    (told,) = sent(producer_of(broker), Outgoing(topic, rows))
    assert list(told.failures) == [at]
    assert isinstance(told.failures[at], RecordTooLargeError)
    assert f"{LARGE} bytes for topic '{topic}'" in str(told.failures[at])
    assert values(read(broker, topic)) == rows[:at] + rows[at + 1 :]


def test_a_row_that_only_compression_makes_small_enough_is_taken(broker: Broker, topic: str) -> None:
    made(broker, topic, max_message_bytes="2000")
    rows: list[bytes | None] = [b"a", b"y" * LARGE, b"b"]
    (told,) = sent(producer_of(broker, compression_type="gzip"), Outgoing(topic, rows))
    assert told.failures == {}
    assert values(read(broker, topic)) == rows


def test_a_row_larger_than_a_request_may_be_names_the_setting(broker: Broker, topic: str) -> None:
    made(broker, topic)
    rows: list[bytes | None] = [b"a", b"y" * LARGE, b"b"]
    (told,) = sent(producer_of(broker, max_request_size="2000"), Outgoing(topic, rows))
    assert list(told.failures) == [1]
    assert "producer.max.request.size" in str(told.failures[1])
    assert values(read(broker, topic)) == [b"a", b"b"]


def test_an_unknown_limit_is_found_out_by_sending_each_row_of_a_refused_batch_alone(
    kafka: Kafka, topic: str, granted: Granting
) -> None:
    """A user who may not read the topic's settings: the brokers refuse a whole batch for one large row in it."""
    plain = open_broker(kafka.address())
    made(plain, topic, max_message_bytes="2000")
    granted(topic, AclOperation.WRITE, AclOperation.DESCRIBE)
    broker = opened_by_eve(kafka)
    rows = numbered(60)
    rows[27] = b"y" * LARGE
    told = sent(producer_of(broker, **TOGETHER), Outgoing(topic, rows), Outgoing(topic, [b"later"]))
    assert [list(one.failures) for one in told] == [[27], []]
    assert isinstance(told[0].failures[27], RecordTooLargeError)
    assert values(read(plain, topic)) == [*rows[:27], *rows[28:], b"later"]
    broker.close()
    plain.close()


HOUR_MS = 3_600_000


def with_one_at_fault(topic: str, fault: str) -> Outgoing:
    """500 rows; the topic does not take the 77th."""
    if fault == "too old":
        now = int(time.time() * 1000)
        return Outgoing(topic, numbered(500), timestamps=[now - 2 * HOUR_MS * (row == 77) for row in range(500)])
    return Outgoing(topic, numbered(500), [None if row == 77 else b"k" for row in range(500)], partitions=[0] * 500)


FAULTS = pytest.mark.parametrize(
    ("fault", "config"),
    [
        ("too old", {"message_timestamp_before_max_ms": str(HOUR_MS)}),
        ("no key in a compacted topic", {"cleanup_policy": "compact"}),
    ],
    ids=["timestamp", "record"],
)


@FAULTS
def test_a_row_that_its_topic_does_not_take_is_left_out_alone_although_brokers_refuse_its_batch(
    broker: Broker, topic: str, fault: str, config: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    made(broker, topic, **config)
    producer = producer_of(broker, **TOGETHER)
    told = sent(producer, with_one_at_fault(topic, fault), Outgoing(topic, [b"later"], [b"k"]))
    assert [list(one.failures) for one in told] == [[77], []]
    error = told[0].failures[77]
    assert isinstance(error, BrokerError)
    assert error.skippable
    rows = numbered(500)
    assert values(read(broker, topic)) == [*rows[:77], *rows[78:], b"later"]
    assert "held a row that the topic does not take; each is sent again, alone" in caplog.text


@FAULTS
def test_in_a_transaction_no_row_is_left_out_for_another_of_its_batch(
    broker: Broker, topic: str, fault: str, config: dict[str, str]
) -> None:
    made(broker, topic, **config)
    producer = broker.producer(ProducerSettings("test", transactional_id=topic))
    told: list[Delivered] = []
    producer.begin()
    producer.send(with_one_at_fault(topic, fault), told.append)
    with pytest.raises(BrokerError):
        producer.commit()
    producer.abort()
    producer.close(WAIT_S)
    assert set(told[0].failures) >= set(range(77, 500))
    assert not any(isinstance(error, BrokerError) and error.skippable for error in told[0].failures.values())
    assert "another of its batch" in str(told[0].failures[77])
    assert values(read(broker, topic)) == []


def test_batches_become_smaller_until_a_topic_of_unknown_limit_takes_them(
    kafka: Kafka, topic: str, granted: Granting, caplog: pytest.LogCaptureFixture
) -> None:
    plain = open_broker(kafka.address())
    made(plain, topic, max_message_bytes="20000")
    granted(topic, AclOperation.WRITE, AclOperation.DESCRIBE)
    broker = opened_by_eve(kafka)
    producer, told = producer_of(broker, batch_size="100000"), []
    for _ in range(12):
        producer.send(Outgoing(topic, numbered(500)), told.append)
        assert producer.flush(WAIT_S) == 0
    producer.close(WAIT_S)
    assert [one.failures for one in told] == [{}] * 12
    assert 1 <= caplog.text.count("each is sent again, alone") <= 3  # 53,000, 26,500, 13,250
    assert sorted(values(read(plain, topic))) == sorted(numbered(500) * 12)  # type: ignore[type-var]  # none is null
    broker.close()
    plain.close()


def test_a_missing_right_is_named_for_each_row(kafka: Kafka, topic: str, granted: Granting) -> None:
    plain = open_broker(kafka.address())
    made(plain, topic)
    granted(topic, AclOperation.DESCRIBE)
    broker = opened_by_eve(kafka)
    producer = producer_of(broker, enable_idempotence="false")
    (told,) = sent(producer, Outgoing(topic, [b"a", b"b"]))
    assert sorted(told.failures) == [0, 1]
    assert (
        f"kafka-acls.sh --add --allow-principal User:eve --operation Write --operation Describe --topic {topic}"
        in str(told.failures[0])
    )
    broker.close()
    plain.close()


def test_a_missing_right_to_write_idempotently_names_the_setting_that_does_without(kafka: Kafka, topic: str) -> None:
    broker = opened_by_eve(kafka)
    producer = producer_of(broker)

    def refused() -> str:
        try:
            producer.poll()
        except BrokerError as error:
            return str(error)
        return ""

    said = until(refused, "the producer to hear that it may not", WAIT_S)
    assert "--operation IdempotentWrite" in said
    assert "producer.enable.idempotence=false" in said
    producer.close(0.1)
    broker.close()
