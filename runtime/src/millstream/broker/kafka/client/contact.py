"""The first answer to a client whose brokers nobody has talked to yet: it comes in time, or the client is given up."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException

from millstream.broker.kafka.client.failures import Watch
from millstream.broker.kafka.client.forgotten import introduce
from millstream.broker.kafka.client.making import API_MS, Making
from millstream.broker.kafka.client.peer import Peer
from millstream.broker.ports import ConsumerSettings, ProducerSettings
from millstream.errors import BrokerError
from millstream.lifecycle import Clock, StopToken, spawn
from millstream.settings.client import Client

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

STEP_SECONDS = 1.0  # of the first try: what is wrong is told between two
LEAST_SECONDS = 0.01
AGAIN_SECONDS = 1.0  # until brokers that answer are asked again for addresses that can be reached
TOPIC = "?"  # no topic can have that name, so that none is made; without one brokers would tell of all that they have
LIMITS = {"producer": "max.block.ms", "consumer": "default.api.timeout.ms"}


@dataclass(frozen=True, slots=True)
class Patience:
    """setting: the one that says how long."""

    seconds: float
    setting: str


def expect_contact(
    making: Making, settings: ConsumerSettings | ProducerSettings, watch: Watch, clock: Clock, closed: StopToken
) -> Callable[[], object]:
    """The worker's own brokers have answered when it started; others may be nowhere, and nobody would know.

    Makes what asks them, and gives what starts it, once there is a client to be told."""
    peer = watch.peer
    if not peer.apart:
        return lambda: None
    client: Client = "producer" if isinstance(settings, ProducerSettings) else "consumer"
    java = making.settings(client, settings.overrides)
    limit = LIMITS[client]
    patience = Patience(int(java.get(limit, API_MS)) / 1000, peer.setting(limit))
    name = f"{settings.client_id}-first"
    probe = making.admin({**making.admin_of(client, settings.overrides), "client.id": name}, watch)
    return lambda: spawn(name, lambda stop: await_contact(probe, watch, patience, clock, stop), stop=closed)


def await_contact(probe: "AdminClient", watch: Watch, patience: Patience, clock: Clock, stop: StopToken) -> None:
    """Ask with a client of its own, until there is an answer: the other one is used on its task's thread alone."""
    astray = ""
    for seconds in steps(patience.seconds, clock):
        if stop.is_set or watch.met:
            return
        try:
            found = probe.list_topics(TOPIC, timeout=seconds)
        except KafkaException:
            probe.poll(0)  # what is wrong is told there, and to the other client, too
            astray = ""
            introduce(probe, watch.peer.servers)
        else:
            astray = watch.told(found.brokers, seconds)
            if not astray:
                return
            stop.wait(min(seconds, AGAIN_SECONDS))
    watch.give_up(_unreachable(watch.peer, patience, astray) if astray else unanswered(watch, patience))


def steps(seconds: float, clock: Clock, longest: float = math.inf) -> Iterator[float]:
    """How long each try may take, one at least, until `seconds` are over: each twice as long as the one before, as
    brokers may be far away."""
    deadline = clock.monotonic() + seconds
    step = STEP_SECONDS
    while True:
        left = deadline - clock.monotonic()
        yield max(min(left, step), LEAST_SECONDS)
        if left <= 0:
            return
        step = min(2 * step, longest)


def unanswered(watch: Watch, patience: Patience) -> BrokerError:
    peer = watch.peer
    return BrokerError(
        f"{peer} did not answer within {patience.seconds:g} s ({patience.setting}): {watch.problem}. Check "
        f"{peer.setting('bootstrap.servers')} and {peer.setting('security.protocol')}, and that its brokers run; then "
        "restart the task"
    )


def _unreachable(peer: Peer, patience: Patience, astray: str) -> BrokerError:
    within = f"within {patience.seconds:g} s ({patience.setting})"
    return BrokerError(f"brokers of {peer} could not be reached {within}: {astray}; then restart the task")
