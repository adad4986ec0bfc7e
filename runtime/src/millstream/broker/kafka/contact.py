"""The first answer to a client whose brokers nobody has talked to yet: it comes in time, or the client is given up."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException

from millstream.broker.kafka.failures import Watch
from millstream.broker.kafka.making import API_MS, Making
from millstream.broker.ports import ConsumerSettings, ProducerSettings
from millstream.errors import BrokerError
from millstream.lifecycle import Clock, StopToken, spawn
from millstream.settings.client import Client

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

STEP_SECONDS = 1.0
LIMITS = {"producer": "max.block.ms", "consumer": "default.api.timeout.ms"}


@dataclass(frozen=True, slots=True)
class Patience:
    """setting: the one that says how long."""

    seconds: float
    setting: str


def expect_contact(
    making: Making, settings: ConsumerSettings | ProducerSettings, watch: Watch, clock: Clock, closed: StopToken
) -> None:
    """The worker's own brokers have answered when it started; others may be nowhere, and nobody would know."""
    peer = watch.peer
    if not peer.apart:
        return
    client: Client = "producer" if isinstance(settings, ProducerSettings) else "consumer"
    java = making.settings(client, settings.overrides)
    limit = LIMITS[client]
    patience = Patience(int(java.get(limit, API_MS)) / 1000, peer.setting(limit))
    name = f"{settings.client_id}-first"
    probe = making.admin({**making.admin_of(client, settings.overrides), "client.id": name}, watch)
    spawn(name, lambda stop: await_contact(probe, watch, patience, clock, stop), stop=closed)


def await_contact(probe: "AdminClient", watch: Watch, patience: Patience, clock: Clock, stop: StopToken) -> None:
    """Ask with a client of its own, until there is an answer: the other one is used on its task's thread alone."""
    deadline = clock.monotonic() + patience.seconds
    while not stop.is_set and not watch.met:
        left = deadline - clock.monotonic()
        try:
            probe.list_topics(timeout=max(min(left, STEP_SECONDS), 0.01))
        except KafkaException:
            probe.poll(0)  # what is wrong is told there, and to the other client, too
            if left <= 0:
                watch.give_up(unanswered(watch, patience))
                return
        else:
            watch.met = True


def unanswered(watch: Watch, patience: Patience) -> BrokerError:
    peer = watch.peer
    return BrokerError(
        f"{peer} did not answer within {patience.seconds:g} s ({patience.setting}): {watch.problem}. Check "
        f"{peer.setting('bootstrap.servers')} and {peer.setting('security.protocol')}, and that its brokers run; then "
        "restart the task"
    )
