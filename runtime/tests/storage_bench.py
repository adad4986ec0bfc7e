"""A log in memory with the topics of a worker, for the tests of its stores."""

import uuid
from collections.abc import Callable

from millstream.broker.embedded.log import EmbeddedBroker, open_embedded
from millstream.broker.ports import (
    AdminSettings,
    Consumer,
    ConsumerSettings,
    NewTopic,
    Outgoing,
    Producer,
    ProducerSettings,
)
from millstream.lifecycle import SystemClock
from millstream.storage.config_state import Event
from millstream.storage.configs import ConfigStore, ConfigTopic
from millstream.storage.offsets import OffsetStore
from millstream.storage.statuses import StatusStore
from millstream.storage.topic_log import TopicLog

CLOCK = SystemClock()


class Log:
    """A log in memory with the three topics, and clients that are closed with it."""

    def __init__(self) -> None:
        self.broker: EmbeddedBroker = open_embedded(f"sqlite::memory:{uuid.uuid4()}")
        self.admin = self.broker.admin(AdminSettings("a"))
        self.closing: list[Callable[[], None]] = [self.broker.close, self.admin.close]
        for name, partitions in (("offsets", 25), ("configs", 1), ("statuses", 5)):
            self.admin.create_topics([NewTopic(name, partitions, -1, {"cleanup.policy": "compact"})])

    def clients(self) -> tuple[Producer, Consumer]:
        return self.broker.producer(ProducerSettings("p")), self.broker.consumer(ConsumerSettings("c"))

    def write(self, topic: str, *rows: tuple[str, str | None]) -> None:
        producer, consumer = self.clients()
        consumer.close()
        values = [None if value is None else value.encode() for _, value in rows]
        producer.send(Outgoing(topic, values, [key.encode() for key, _ in rows]), lambda told: None)
        producer.close(1)

    def stored(self, topic: str) -> dict[str, str | None]:
        producer, consumer = self.clients()
        found: dict[str, str | None] = {}

        def apply(row: object) -> None:
            key, value = row.key.decode(), row.value  # type: ignore[attr-defined]
            found[key] = None if value is None else value.decode()

        log = TopicLog(consumer, topic, CLOCK, apply)
        log.start(producer.partitions(topic))
        log.close()
        producer.close(1)
        return found

    def offsets(self) -> OffsetStore:
        producer, consumer = self.clients()
        producer.close(1)
        store = OffsetStore(consumer, "offsets", CLOCK)
        self.closing.append(store.close)
        store.start(25)
        return store

    def configs(self, whole: bool = False, follow: bool = False) -> tuple[ConfigStore, list[Event]]:
        events: list[Event] = []
        store = ConfigStore(self.clients(), ConfigTopic("configs", whole), CLOCK, events.append)
        self.closing.append(store.close)
        store.start(follow)
        return store, events

    def statuses(self) -> StatusStore:
        store = StatusStore(self.clients(), "statuses", CLOCK)
        self.closing.append(store.close)
        store.start(5)
        return store

    def close(self) -> None:
        for close in reversed(self.closing):
            close()


def commit(log: Log, batch: Outgoing) -> None:
    producer, consumer = log.clients()
    consumer.close()
    producer.begin()
    producer.send(batch, lambda told: None)
    producer.commit()
    producer.close(1)
