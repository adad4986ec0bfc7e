"""What the tests of the embedded log share: rows written to it and read from it."""

from contextlib import closing

from millstream.broker.embedded.log import EmbeddedBroker, open_embedded
from millstream.broker.ports import (
    ConsumerSettings,
    Delivered,
    Outgoing,
    ProducerSettings,
    RebalanceListener,
)
from millstream_api.records import TopicPartition

T0 = TopicPartition("t", 0)
NOBODY = RebalanceListener(lambda _: None, lambda _: None, lambda _: None)


def ignore(delivered: Delivered) -> None:
    assert not delivered.failures


def open_and_read(path: str) -> list[bytes | None]:
    with closing(open_embedded(f"sqlite:{path}")) as broker:
        return read(broker)


def write(broker: EmbeddedBroker, values: list[bytes], epoch: int | None = None, topic: str = "t") -> None:
    producer = broker.producer(ProducerSettings("p", epoch=epoch))
    try:
        producer.begin()
        producer.send(Outgoing(topic, values), ignore)
        producer.commit()
    finally:
        producer.close(1)


def read(broker: EmbeddedBroker, start: int = 0) -> list[bytes | None]:
    consumer = broker.consumer(ConsumerSettings("c"))
    consumer.assign({T0: start})
    found: list[bytes | None] = []
    while polled := consumer.poll(1000, 0):
        found.extend(value for incoming in polled for value in incoming.values)
    consumer.close()
    return found
