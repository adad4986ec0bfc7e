"""Where a standalone worker keeps what it knows.

On the embedded log: a cluster's topics, in the log's own files. On Kafka as Java's: source offsets in a file, all else
in memory, where it is gone with the worker.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from millstream.broker.connect import open_broker
from millstream.broker.ports import (
    Admin,
    AdminSettings,
    Broker,
    Consumer,
    ConsumerSettings,
    NewTopic,
    Outgoing,
    Producer,
    ProducerSettings,
)
from millstream.errors import BrokerError
from millstream.herder.requests import Place
from millstream.lifecycle import Clock
from millstream.settings.topic import CONFIGS, OFFSETS, STATUSES
from millstream.storage.config_state import Event
from millstream.storage.configs import ConfigStore, ConfigTopic
from millstream.storage.offsets import OffsetStore, open_offsets
from millstream.storage.statuses import StatusStore
from millstream.storage.topic_log import InternalTopic, ensure_topic

#: config of a topic that is kept in the second file, so that REST never waits for records
ASIDE = {"millstream.file": "meta"}
WRITE_S = 30.0


@dataclass(frozen=True, slots=True)
class Stores:
    """Used by the herder's thread alone; `close` once."""

    configs: ConfigStore
    statuses: StatusStore
    offsets: "SourceOffsets"
    admin: Admin
    memory: Broker | None = None

    @property
    def remote(self) -> bool:
        """Whether `admin` asks brokers, who may take their time; its methods may be called from any thread then."""
        return self.memory is not None

    def close(self) -> None:
        self.configs.close()
        self.statuses.close()
        self.offsets.close()
        self.admin.close()
        if self.memory is not None:
            self.memory.close()


class SourceOffsets(Protocol):
    """Source offsets, as an operator reads and moves them."""

    def of(self, connector: str) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]: ...

    def write(self, connector: str, offsets: list[tuple[Place | None, Place | None]]) -> None:
        """Store these offsets, all or none, on disk when it returns. Raises MillstreamError."""
        ...

    def close(self) -> None: ...


def open_stores(
    broker: Broker, epoch: int, clock: Clock, hear: Callable[[Event], None], offsets: str = OFFSETS
) -> Stores:
    """Make the topics that are missing, and read all to their ends.   offsets: name of the topic of source offsets."""
    admin = broker.admin(AdminSettings("millstream-admin"))
    configs, statuses = _open_own(broker, admin, epoch, clock, hear)
    store = open_offsets(broker, admin, offsets, "millstream-offsets", clock)
    producer = broker.producer(ProducerSettings("millstream-offsets", epoch=epoch))
    return Stores(configs, statuses, Offsets(store, producer), admin)


def open_stores_beside(broker: Broker, offsets: "SourceOffsets", clock: Clock, hear: Callable[[Event], None]) -> Stores:
    """Configs and statuses in memory; `offsets` are kept by whoever gives them; groups are the brokers'."""
    memory = open_broker(f"sqlite::memory:{uuid.uuid4()}")
    own = memory.admin(AdminSettings("millstream-admin"))
    configs, statuses = _open_own(memory, own, memory.own().epoch, clock, hear)
    return Stores(configs, statuses, offsets, broker.admin(AdminSettings("millstream-admin")), memory)


def _open_own(
    broker: Broker, admin: Admin, epoch: int, clock: Clock, hear: Callable[[Event], None]
) -> tuple[ConfigStore, StatusStore]:
    """Connector configs and statuses, in topics of their own."""
    for name, setting, purpose in (
        (CONFIGS, "config.storage.topic", "connector configurations"),
        (STATUSES, "status.storage.topic", "connector and task statuses"),
    ):
        ensure_topic(admin, InternalTopic(NewTopic(name, 1, config=ASIDE), setting, purpose))

    def clients(name: str) -> tuple[Producer, Consumer]:
        producer = broker.producer(ProducerSettings(f"millstream-{name}", epoch=epoch))
        return producer, broker.consumer(ConsumerSettings(f"millstream-{name}"))

    configs = ConfigStore(clients("configs"), ConfigTopic(CONFIGS, True), clock, hear)
    configs.start()
    statuses = StatusStore(clients("statuses"), STATUSES, clock)
    statuses.start(1)
    return configs, statuses


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
                first = failures[0]
                raise BrokerError(f"the offsets of connector {connector!r} were refused: {first}") from first
            self._producer.commit()
        except BaseException:
            self._producer.abort()
            raise
        self._producer.durable()

    def close(self) -> None:
        self._store.close()
        self._producer.close(WRITE_S)
