"""What a producer knows of its topics: how many partitions, how large a record may be."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException

from millstream.broker.kafka.failures import UNKNOWN, Watch, explained
from millstream.errors import BrokerError, UnknownTopicError
from millstream.lifecycle import Clock, StopToken

if TYPE_CHECKING:
    from confluent_kafka import Producer

LOOK_SECONDS = 5.0
CREATION_SECONDS = 10.0
AGAIN_SECONDS = 0.05
COMING = frozenset({KafkaError.LEADER_NOT_AVAILABLE, *UNKNOWN})
REMEDY = (
    "the brokers did not make it (auto.create.topics.enable); create it, or let the connector: "
    "topic.creation.default.partitions and topic.creation.default.replication.factor"
)


@dataclass(slots=True)
class Topic:
    """limit: its max.message.bytes, None when it may not be known.   until: monotonic seconds."""

    partitions: int
    limit: int | None
    until: float


class Topics:
    """limit: asks the brokers for a topic's max.message.bytes; may raise BrokerError."""

    def __init__(self, watch: Watch, clock: Clock, limit: Callable[[str], int | None], max_age: float) -> None:
        self._watch = watch
        self._clock = clock
        self._limit = limit
        self._max_age = max_age
        self._known: dict[str, Topic] = {}
        self._rest = StopToken()  # never set: to wait on

    def find(self, client: "Producer", name: str, create: bool) -> Topic | None:
        """None: there is none, and it may not be made. Raises a retriable BrokerError while no broker answers."""
        known = self._known.get(name)
        if known is not None and self._clock.monotonic() < known.until:
            return known
        deadline = self._clock.monotonic() + CREATION_SECONDS
        while True:
            try:
                count = self._count(client, name)
            except BrokerError as error:
                if known is None or not error.retriable:
                    raise
                known.until = self._clock.monotonic() + LOOK_SECONDS
                return known
            if count:
                found = Topic(count, self._limit(name), self._clock.monotonic() + self._max_age)
                self._known[name] = found
                return found
            if not create:
                return None
            if self._clock.monotonic() >= deadline:
                raise UnknownTopicError(f"topic {name!r} does not exist, and {REMEDY}")
            self._rest.wait(AGAIN_SECONDS)

    def forget(self, name: str) -> None:
        self._known.pop(name, None)

    def _count(self, client: "Producer", name: str) -> int:
        """How many partitions it has now, 0 for none (yet)."""
        try:
            found = client.list_topics(name, timeout=LOOK_SECONDS).topics[name]
        except KafkaException as error:
            client.poll(0)  # what is wrong is told there
            self._watch.check()
            raise self._watch.unreachable(f"looking for topic {name!r}") from error
        if found.error is None:
            return len(found.partitions)
        if found.error.code() in COMING:
            return 0
        if found.error.code() == KafkaError.TOPIC_EXCEPTION:
            raise BrokerError(f"{name!r} is no legal name of a topic: 1 to 249 characters of a-z A-Z 0-9 . _ -")
        raise explained(found.error, f"looking for topic {name!r}")
