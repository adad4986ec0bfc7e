"""Where a standalone worker on the embedded log keeps what it knows: a cluster's topics, in the log's own files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from millstream.broker.ports import (
    Admin,
    AdminSettings,
    Broker,
    ConsumerSettings,
    NewTopic,
    Outgoing,
    Producer,
    ProducerSettings,
)
from millstream.errors import BrokerError
from millstream.herder.requests import Place
from millstream.lifecycle import Clock
from millstream.storage.config_state import Event
from millstream.storage.configs import ConfigStore, ConfigTopic
from millstream.storage.offsets import TOPIC, OffsetStore, open_offsets
from millstream.storage.statuses import StatusStore
from millstream.storage.topic_log import InternalTopic, ensure_topic

CONFIGS, STATUSES = "connect-configs", "connect-status"
#: config of a topic that is kept in the second file, so that REST never waits for records
ASIDE = {"millstream.file": "meta"}
WRITE_S = 30.0


@dataclass(frozen=True, slots=True)
class Stores:
    """Used by the herder's thread alone; `close` once."""

    configs: ConfigStore
    statuses: StatusStore
    offsets: "Offsets"
    admin: Admin

    def close(self) -> None:
        self.configs.close()
        self.statuses.close()
        self.offsets.close()
        self.admin.close()


def open_stores(
    broker: Broker, epoch: int, clock: Clock, hear: Callable[[Event], None], offsets: str = TOPIC
) -> Stores:
    """Make the topics that are missing, and read all to their ends.   offsets: name of the topic of source offsets."""
    admin = broker.admin(AdminSettings("millstream-admin"))
    wanted = (
        InternalTopic(NewTopic(CONFIGS, 1, config=ASIDE), "config.storage.topic", "connector configurations"),
        InternalTopic(NewTopic(STATUSES, 1, config=ASIDE), "status.storage.topic", "connector and task statuses"),
    )
    partitions = {each.topic.name: ensure_topic(admin, each).partitions for each in wanted}

    def producer(name: str) -> Producer:
        return broker.producer(ProducerSettings(f"millstream-{name}", epoch=epoch))

    def reader(name: str) -> ConsumerSettings:
        return ConsumerSettings(f"millstream-{name}")

    configs = ConfigStore(
        (producer("configs"), broker.consumer(reader("configs"))), ConfigTopic(CONFIGS, True), clock, hear
    )
    configs.start()
    statuses = StatusStore((producer("statuses"), broker.consumer(reader("statuses"))), STATUSES, clock)
    statuses.start(partitions[STATUSES])
    store = open_offsets(broker, admin, offsets, "millstream-offsets", clock)
    return Stores(configs, statuses, Offsets(store, producer("offsets")), admin)


class Offsets:
    """Source offsets, as an operator reads and moves them."""

    def __init__(self, store: OffsetStore, producer: Producer) -> None:
        self._store = store
        self._producer = producer

    def of(self, connector: str) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        return [(partition, offset) for partition, offset in self._store.all(connector) if offset is not None]

    def write(self, connector: str, offsets: list[tuple[Place | None, Place | None]]) -> None:
        """Store these offsets, all or none, on disk when it returns. Raises BrokerError."""
        rows: Outgoing = self._store.rows(connector, offsets)
        failures: list[Exception] = []
        self._producer.begin()
        try:
            self._producer.send(rows, lambda delivered: failures.extend(delivered.failures.values()))
            if failures:
                raise BrokerError(f"the offsets of connector {connector!r} were refused: {failures[0]}") from failures[
                    0
                ]
            self._producer.commit()
        except BaseException:
            self._producer.abort()
            raise
        self._producer.durable()

    def close(self) -> None:
        self._store.close()
        self._producer.close(WRITE_S)
