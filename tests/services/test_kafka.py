"""The broker lets in who should come in, over each listener, and nobody else; and it comes back."""

import uuid
from collections.abc import Mapping
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient
from running import until

from services.kafka import MECHANISMS, Kafka

WAYS = [
    ("PLAINTEXT", "PLAIN"),
    ("SSL", "PLAIN"),
    ("PROXIED", "PLAIN"),
    *(("SASL_PLAINTEXT", mechanism) for mechanism in MECHANISMS),
    *(("SASL_SSL", mechanism) for mechanism in MECHANISMS),
]
WAIT_S = 60.0


def new_topic() -> str:
    return f"topic-{uuid.uuid4().hex[:8]}"


def produce(settings: Mapping[str, str], topic: str, value: bytes) -> KafkaError | None:
    """Send one record; the error of its delivery."""
    answers: list[KafkaError | None] = []
    producer = Producer({**settings, "message.timeout.ms": 45_000})
    producer.produce(topic, value, on_delivery=lambda error, message: answers.append(error))
    assert producer.flush(WAIT_S) == 0
    return answers[0]


def consume(settings: Mapping[str, str], topic: str) -> bytes | None:
    """The first record of a topic."""
    consumer = Consumer({**settings, "group.id": topic, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    try:
        return until(lambda: records(consumer), "a record", WAIT_S)[0].value()
    finally:
        consumer.close()


def records(consumer: Consumer) -> list[Message]:
    """At most one; a notice, such as of a coordinator that comes, is none."""
    return [message for message in consumer.consume(1, 1.0) if message.error() is None]


@pytest.mark.parametrize(("listener", "mechanism"), WAYS)
def test_a_record_goes_in_and_out_by_each_listener(kafka: Kafka, listener: str, mechanism: str) -> None:
    settings, topic = kafka.client(listener, mechanism), new_topic()
    assert produce(settings, topic, b"a record") is None
    assert consume(settings, topic) == b"a record"


@pytest.mark.parametrize(("listener", "mechanism"), [way for way in WAYS if way[0].startswith("SASL")])
def test_a_wrong_password_is_refused(kafka: Kafka, listener: str, mechanism: str) -> None:
    settings = kafka.client(listener, mechanism) | {"sasl.password": "wrong"}
    errors: list[KafkaError] = []
    client = AdminClient(dict[str, Any](settings, error_cb=errors.append))
    until(lambda: (client.poll(0.1), errors)[1], "an error", WAIT_S)
    assert {error.code() for error in errors} <= {KafkaError._AUTHENTICATION, KafkaError._ALL_BROKERS_DOWN}
    with pytest.raises(KafkaException):
        client.list_topics(timeout=0.2)


def test_a_server_whose_ca_is_not_trusted_is_refused(kafka: Kafka) -> None:
    client = AdminClient(kafka.client("SSL") | {"ssl.ca.location": str(kafka.keys.other_ca)})
    with pytest.raises(KafkaException):
        client.list_topics(timeout=1)


def test_a_client_certificate_says_who_comes(kafka: Kafka) -> None:
    topic = new_topic()
    assert produce(kafka.client("SSL") | kafka.certificate(), topic, b"a record") is None
    error = produce(kafka.client("SSL") | kafka.certificate("stranger"), topic, b"another")
    assert error is not None
    assert error.code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError._UNKNOWN_TOPIC)


def test_a_user_without_rights_is_let_in_and_may_not_write(kafka: Kafka) -> None:
    topic = new_topic()
    assert produce(kafka.client(), topic, b"made by one who may") is None
    error = produce(kafka.client("SASL_PLAINTEXT", "SCRAM-SHA-512", "eve"), topic, b"x")
    assert error is not None
    assert error.code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError._UNKNOWN_TOPIC)
