"""Rows written to a real broker, and read back."""

import time

from millstream.broker.ports import (
    Admin,
    AdminSettings,
    Broker,
    ConsumerSettings,
    Delivered,
    Incoming,
    NewTopic,
    Outgoing,
    Producer,
    ProducerSettings,
)
from millstream_api.records import TopicPartition

WAIT_S = 60.0
SMALL, LARGE = 100, 5_000
#: what is handed over leaves with the flush, all together however slow the machine is: of two batches of a round the
#: second would be there before the rows of the first, when those are sent again (docs/reference/deviations.md)
TOGETHER = {"linger_ms": "10000"}


def made(broker: Broker, name: str, partitions: int = 1, **config: str) -> None:
    settings = {key.replace("_", "."): text for key, text in config.items()}
    assert admin_of(broker).create_topics([NewTopic(name, partitions, -1, settings)]) == {name: None}


def admin_of(broker: Broker) -> Admin:
    return broker.admin(AdminSettings("test"))


def producer_of(broker: Broker, **overrides: str) -> Producer:
    settings = {key.replace("_", "."): text for key, text in overrides.items()}
    return broker.producer(ProducerSettings("test", overrides=settings))


def sent(producer: Producer, *batches: Outgoing) -> list[Delivered]:
    """All of them, and what became of each."""
    told: dict[int, Delivered] = {}
    for number, batch in enumerate(batches):
        producer.send(batch, lambda delivered, number=number: told.setdefault(number, delivered))  # type: ignore[misc]
    assert producer.flush(WAIT_S) == 0
    producer.close(WAIT_S)
    return [told[number] for number in range(len(batches))]


def read(broker: Broker, topic: str, partitions: int = 1) -> list[Incoming]:
    """Every row there is now."""
    every = [TopicPartition(topic, number) for number in range(partitions)]
    ends = admin_of(broker).end_offsets(every)
    consumer = broker.consumer(ConsumerSettings("test"))
    consumer.assign(dict.fromkeys(every, "beginning"))
    found: list[Incoming] = []
    deadline = time.monotonic() + WAIT_S
    while any(consumer.position(partition) < end for partition, end in ends.items()):
        assert time.monotonic() < deadline
        found.extend(consumer.poll(1000, 0.5))
    consumer.close()
    return found


def values(found: list[Incoming]) -> list[bytes | None]:
    return [value for rows in found for value in rows.values]


def numbered(count: int) -> list[bytes | None]:
    return [b"%06d" % number + b"x" * SMALL for number in range(count)]
