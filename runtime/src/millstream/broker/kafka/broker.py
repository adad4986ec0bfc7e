"""A Kafka cluster behind the ports."""

import logging
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException

from millstream.broker.kafka.admin import KafkaAdmin
from millstream.broker.kafka.client.contact import AGAIN_SECONDS, TOPIC, expect_contact, steps
from millstream.broker.kafka.client.failures import Watch
from millstream.broker.kafka.client.forgotten import introduce
from millstream.broker.kafka.client.making import Making, check_resolvable
from millstream.broker.kafka.client.peer import Peer
from millstream.broker.kafka.reading.consumer import KafkaConsumer
from millstream.broker.kafka.writing.producer import KafkaProducer
from millstream.broker.kafka.writing.topics import ABSENT_SECONDS, Topics, Waiting, remedy
from millstream.broker.ports import AdminSettings, ConsumerSettings, ProducerSettings, SinkGroup
from millstream.errors import BrokerError
from millstream.lifecycle import StopToken, SystemClock

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

log = logging.getLogger(__name__)

SAY_SECONDS = 5.0
MAX_AGE_MS = 300_000
LIMIT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class NoClaim:
    """Kafka needs no claim: groups and transactional ids fence."""

    epoch: int = 0

    def release(self) -> None:
        """There is nothing to let go."""


class KafkaBroker:
    """settings: the worker's as text; its `producer.*`, `consumer.*`, `admin.*` reach the clients made here."""

    def __init__(self, bootstrap: str, settings: Mapping[str, str]) -> None:
        self.bootstrap = bootstrap
        self.shared = True
        self._making = Making(bootstrap, settings)
        self._remedy = remedy(settings)
        self._clock = SystemClock()
        self._lock = threading.Lock()
        self._admins: dict[tuple[tuple[str, str], ...], tuple[AdminClient, Watch]] = {}
        self._cluster_id: str | None = None
        self._closed = StopToken()
        self._brokers = 1

    @property
    def cluster_id(self) -> str:
        """Asked once. Raises BrokerError when the brokers cannot be reached, or refuse, within
        `default.api.timeout.ms`."""
        if self._cluster_id is None:
            self._cluster_id = self._reach()
        return self._cluster_id

    @property
    def client_threads(self) -> int:
        """librdkafka has one for each address that it knows, bootstrap's and the brokers' own, and one for them all."""
        return 1 + len(self.bootstrap.split(",")) + self._brokers

    def own(self) -> NoClaim:
        return NoClaim()

    def producer(self, settings: ProducerSettings) -> KafkaProducer:
        java = self._making.settings("producer", settings.overrides)
        watch = Watch(
            settings.client_id,
            _resolved(self._making.peer("producer", settings.overrides), self.bootstrap),
            self._clock,
        )
        max_age = int(java.get("metadata.max.age.ms", MAX_AGE_MS)) / 1000
        absent = int(java["max.block.ms"]) / 1000 if "max.block.ms" in java else ABSENT_SECONDS
        waiting = Waiting(max_age, absent, self._remedy)
        topics = Topics(watch, self._clock, lambda topic: self._limit(settings, topic), waiting)
        expect = expect_contact(self._making, settings, watch, self._clock, self._closed)
        producer = KafkaProducer(self._making, settings, topics, watch, self._clock)
        expect()
        return producer

    def consumer(self, settings: ConsumerSettings) -> KafkaConsumer:
        peer = self._making.peer("consumer", settings.overrides, settings.group or "")
        watch = Watch(settings.client_id, _resolved(peer, self.bootstrap), self._clock)
        expect = expect_contact(self._making, settings, watch, self._clock, self._closed)
        consumer = KafkaConsumer(self._making, settings, watch, self._clock)
        expect()
        return consumer

    def admin(self, settings: AdminSettings) -> KafkaAdmin:
        peer = _resolved(self._making.peer("admin", settings.overrides), self.bootstrap)
        java = self._making.settings("admin", settings.overrides)
        renew = partial(self._shared_admin, settings.client_id, java, peer)
        return KafkaAdmin(*renew(), self._making.api_seconds("admin", settings.overrides), self._clock, renew)

    def retain(self, sinks: Collection[SinkGroup]) -> int:
        """Retention is the brokers' business."""
        return 0

    def check(self) -> None:
        self._making.tell()
        check_resolvable(self.bootstrap)
        self._cluster_id = self._reach()

    def close(self) -> None:
        self._closed.set()
        with self._lock:
            self._admins.clear()

    def _shared_admin(self, client_id: str, java: dict[str, str], peer: Peer) -> "tuple[AdminClient, Watch]":
        """One client for equal settings, each having threads and connections of its own; another in place of one that
        was refused for good."""
        key = tuple(sorted(java.items()))
        with self._lock:
            if key not in self._admins or self._admins[key][1].hopeless:
                watch = Watch(client_id, peer)
                self._admins[key] = (self._making.admin({"client.id": client_id, **java}, watch), watch)
            return self._admins[key]

    def _limit(self, settings: ProducerSettings, topic: str) -> int | None:
        """A topic's max.message.bytes, asked with the producer's own rights."""
        java = self._making.admin_of("producer", settings.overrides)
        peer = self._making.peer("producer", settings.overrides)
        client, watch = self._shared_admin(f"{settings.client_id}-admin", java, peer)
        return KafkaAdmin(client, watch, LIMIT_SECONDS, self._clock).limit(topic)

    def _reach(self) -> str:
        peer = self._making.peer("admin", {})
        client, watch = self._shared_admin("millstream", self._making.settings("admin", {}), peer)
        seconds = self._making.api_seconds("admin", {})
        said, who, why = self._clock.monotonic(), str(peer), ""
        for step in steps(seconds, self._clock, SAY_SECONDS):
            try:
                found = client.list_topics(TOPIC, timeout=step)
            except KafkaException:
                client.poll(0)  # what is wrong is told there
                who, why = str(peer), watch.problem
                introduce(client, peer.servers)
            else:
                self._brokers = max(len(found.brokers), 1)
                who, why = f"brokers of {peer}", watch.told(found.brokers, step)
                if not why:
                    return found.cluster_id or ""
                self._closed.wait(min(step, AGAIN_SECONDS))
            watch.check()
            now = self._clock.monotonic()
            if now - said >= SAY_SECONDS:
                said = now
                log.warning("%s cannot be reached yet: %s", who, why)
        raise BrokerError(
            "Failed to connect to and describe Kafka cluster. Check worker's broker connection and security "
            f"properties. {who} could not be reached within {seconds:g} s "
            f"({peer.setting('default.api.timeout.ms')}): {why}"
        )


def _resolved(peer: Peer, bootstrap: str) -> Peer:
    """Raises ConfigError when it has another address than `bootstrap`, and that cannot be one."""
    if peer.servers != bootstrap:
        check_resolvable(peer.servers, peer.setting("bootstrap.servers"))
    return peer
