"""What a producer knows of its topics: how many partitions, how large a record may be."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException

from millstream.broker.kafka.client.failures import UNKNOWN, Watch, explained
from millstream.broker.kafka.client.forgotten import introduce
from millstream.errors import BrokerError, UnknownTopicError
from millstream.lifecycle import Clock, StopToken

if TYPE_CHECKING:
    from confluent_kafka import Producer

LOOK_SECONDS = 5.0
ABSENT_SECONDS = 10.0  # where max.block.ms does not say
STEP_SECONDS = 1.0
AGAIN_SECONDS = 0.05
MISSING = "the brokers did not make it (auto.create.topics.enable); create it, or let the connector: "
SETTINGS = "topic.creation.default.partitions and topic.creation.default.replication.factor"
FIRST = ", after topic.creation.enable=true in the worker, which is false"


def remedy(worker: Mapping[str, str]) -> str:
    """What to do about a topic that is missing. worker: its settings."""
    enabled = worker.get("topic.creation.enable", "true").strip().lower() == "true"
    return f"{MISSING}{SETTINGS}{'' if enabled else FIRST}"


@dataclass(frozen=True, slots=True)
class Waiting:
    """max_age, absent: seconds until a topic is looked at again, and for how long one that is not there is waited for.

    remedy: what is said of one that does not come.
    """

    max_age: float
    absent: float = ABSENT_SECONDS
    remedy: str = f"{MISSING}{SETTINGS}"


@dataclass(slots=True)
class Topic:
    """limit: its max.message.bytes, None when it may not be known.   until: monotonic seconds."""

    partitions: int
    limit: int | None
    until: float


class Topics:
    """limit: asks the brokers for a topic's max.message.bytes; may raise BrokerError."""

    def __init__(self, watch: Watch, clock: Clock, limit: Callable[[str], int | None], waiting: Waiting) -> None:
        self._watch = watch
        self._clock = clock
        self._limit = limit
        self._waiting = waiting
        self._known: dict[str, Topic] = {}
        self._missed: dict[str, float] = {}  # since when the brokers have said that it is not there
        self._rest = StopToken()  # never set: to wait on

    def find(self, client: "Producer", name: str, create: bool) -> Topic | None:
        """None: there is none, and it may not be made.

        Raises a retriable BrokerError while no broker answers, or the topic may still come; UnknownTopicError when it
        has not come in time.
        """
        known = self._known.get(name)
        if known is not None and self._clock.monotonic() < known.until:
            return known
        deadline = self._clock.monotonic() + STEP_SECONDS
        while True:
            try:
                count = self._count(client, name)
            except BrokerError as error:
                self._missed.pop(name, None)
                if known is None or not error.retriable:
                    raise
                known.until = self._clock.monotonic() + LOOK_SECONDS
                return known
            if count:
                found = Topic(count, self._limit(name), self._clock.monotonic() + self._waiting.max_age)
                self._known[name] = found
                self._missed.pop(name, None)
                return found
            if count == 0 and not create:
                return None
            self._wait(name, count is None, deadline)

    def forget(self, name: str) -> None:
        self._known.pop(name, None)

    def gone(self, name: str, said: UnknownTopicError) -> UnknownTopicError:
        """The failure of rows for it, once it was there.   said: what librdkafka says."""
        self.forget(name)
        return UnknownTopicError(
            f"{said}, and {self._waiting.remedy}; then restart the task, which makes it when it may"
        )

    def _wait(self, name: str, coming: bool, deadline: float) -> None:
        """A little while. coming: it has been made, and has no leader yet."""
        now = self._clock.monotonic()
        if coming:
            self._missed.pop(name, None)
        elif now - self._missed.setdefault(name, now) >= self._waiting.absent:
            del self._missed[name]  # whoever asks again waits again
            raise UnknownTopicError(
                f"topic {name!r} does not exist, also after {self._waiting.absent:g} s (max.block.ms), and "
                f"{self._waiting.remedy}"
            )
        if now >= deadline:
            lacks = "has no leader yet" if coming else "does not exist yet"
            raise BrokerError(f"topic {name!r} {lacks}, and is waited for", retriable=True)
        self._rest.wait(AGAIN_SECONDS)

    def _count(self, client: "Producer", name: str) -> int | None:
        """How many partitions it has now, 0 for none; None: it has just been made."""
        try:
            answer = client.list_topics(name, timeout=LOOK_SECONDS)
        except KafkaException as error:
            client.poll(0)  # what is wrong is told there
            self._watch.check()
            introduce(client, self._watch.peer.servers)
            raise self._watch.unreachable(f"looking for topic {name!r}") from error
        self._watch.told(answer.brokers, LOOK_SECONDS)
        found = answer.topics[name]
        if found.error is None:
            return len(found.partitions)
        if found.error.code() in UNKNOWN:
            return 0
        if found.error.code() == KafkaError.LEADER_NOT_AVAILABLE:
            return None
        if found.error.code() == KafkaError.TOPIC_EXCEPTION:
            raise BrokerError(
                f"{name!r} is no legal name of a topic: 1 to 249 characters of a-z A-Z 0-9 . _ -", skippable=True
            )
        raise explained(found.error, f"looking for topic {name!r}", self._watch.peer, name)
