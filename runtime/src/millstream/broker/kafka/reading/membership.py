"""A consumer's subscription: how partitions come and go."""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException
from confluent_kafka import TopicPartition as At

from millstream.broker.kafka.client.failures import explained
from millstream.broker.kafka.reading.places import Places
from millstream.broker.kafka.reading.questions import Questions
from millstream.broker.kafka.reading.search import Search
from millstream.broker.ports import RebalanceListener
from millstream.errors import BrokerError, UnknownTopicError
from millstream.lifecycle import Clock
from millstream.settings.client import NOWHERE
from millstream_api.records import TopicPartition

if TYPE_CHECKING:
    from confluent_kafka import Consumer

log = logging.getLogger(__name__)

SAY_AGAIN_SECONDS = 30.0
MAX_AGE_MS = 300_000


class Membership:
    """Used on the consumer's thread; librdkafka calls `_assigned` and `_gone` inside its poll and close.

    java: the consumer's settings in Java's names.   absent: hears of a topic that is not there, or not in full.
    """

    def __init__(
        self,
        client: "Consumer",
        places: Places,
        questions: Questions,
        java: Mapping[str, str],
        absent: Callable[[str], None],
    ) -> None:
        self._absent = absent
        self._client = client
        self._places = places
        self._questions = questions
        self._java = java
        self._failure: BaseException | None = None
        self._listener: RebalanceListener | None = None
        self._search: Search | None = None
        self._coming: list[TopicPartition] = []  # assigned, and not begun for want of their positions

    @property
    def subscribed(self) -> bool:
        return self._listener is not None

    def subscribe(
        self, topics: Sequence[str] | None, pattern: re.Pattern[str] | None, listener: RebalanceListener, clock: Clock
    ) -> None:
        self._listener = listener
        if pattern is None:
            self._subscribe(list(topics or ()))
            return
        max_age = int(self._java.get("metadata.max.age.ms", MAX_AGE_MS)) / 1000
        internal = self._java.get("exclude.internal.topics", "true").lower() == "false"
        self._search = Search(pattern, max_age, internal, self._questions.peer, clock)

    def follow(self) -> None:
        """What is due before a poll. Raises what kept partitions from being begun."""
        if self._search is not None:
            self._search.look(self._client, self._subscribe)
        if self._coming:
            self._begin()
        self.raise_remembered()
        self._places.jumped.clear()
        self._places.catch_up()

    def raise_remembered(self) -> None:
        """Raise behind the poll what a rebalance in it came up with: it must not pass through librdkafka."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def begin_anew(self, partitions: Sequence[TopicPartition]) -> None:
        """Their topic is another one in the same name: its former partitions went, and its own came."""

        def start() -> None:
            self._places.resume(partitions)
            for partition in partitions:
                self._places.seek(partition, 0)

        listener = self._listener
        if listener is not None:
            self._noting(lambda: listener.revoked(partitions))
        self._noting(start)
        if listener is not None:
            self._noting(lambda: listener.assigned(partitions))
        self._remember(self._places.catch_up)

    def closed(self) -> None:
        """The client is closed; what it did not revoke is told now."""
        mine, self._places.of = list(self._places.of), {}
        if mine and self._listener is not None:
            self._listener.revoked(mine)

    def _subscribe(self, topics: list[str]) -> None:
        listener = self._listener
        assert listener is not None
        try:
            if topics:
                self._client.subscribe(
                    topics,
                    on_assign=self._assigned,
                    on_revoke=lambda _, ats: self._gone(ats, listener.revoked),
                    on_lost=lambda _, ats: self._gone(ats, listener.lost),
                )
            else:
                self._client.unsubscribe()
        except KafkaException as error:
            raise explained(error, f"subscribing to {', '.join(topics)}", self._questions.peer) from error

    def _assigned(self, client: "Consumer", ats: list[At]) -> None:
        self._coming += [TopicPartition(at.topic, at.partition) for at in ats]
        self._noting(lambda: self._places.give(()))  # librdkafka is told that the assignment was heard
        self._begin()
        self._remember(self._places.catch_up)

    def _begin(self) -> None:
        """Find out where the new partitions begin, tell them, read them. What fails is tried again at the next poll."""

        def step() -> None:
            reset = self._java.get("auto.offset.reset", "earliest")
            begun = starts_of_present(self._questions, self._coming, reset, self._absent)
            self._coming = [partition for partition in self._coming if partition not in begun]
            if self._coming and not begun:
                return
            self._places.of |= begun
            assert self._listener is not None
            try:
                self._listener.assigned(list(begun))
            finally:
                self._places.give(begun)

        self._noting(step)

    def _gone(self, ats: list[At], tell: Callable[[Sequence[TopicPartition]], None]) -> None:
        partitions = [TopicPartition(at.topic, at.partition) for at in ats]
        self._coming = [partition for partition in self._coming if partition not in partitions]
        mine = [partition for partition in partitions if partition in self._places.of]
        if mine:
            self._noting(lambda: tell(mine))
        self._questions.ids.went(partitions)
        self._noting(lambda: self._places.take(partitions))
        self._remember(self._places.catch_up)

    def _noting(self, step: Callable[[], None]) -> None:
        self._places.noting = True
        self._remember(step)
        self._places.noting = False

    def _remember(self, step: Callable[[], None]) -> None:
        try:
            step()
        except BaseException as error:  # noqa: BLE001 - raised behind the poll
            self._failure = self._failure or error


def starts(questions: Questions, partitions: Sequence[TopicPartition], reset: str) -> dict[TopicPartition, int]:
    """Committed positions; where there is none, what `auto.offset.reset` says."""
    found = questions.dealt_out(partitions)
    for partition in partitions:
        if questions.ids.may_be_former(partition):
            questions.ids.came(partition, None)
            found[partition], _ = questions.bounds(partition)
        elif partition not in found:
            if reset.lower() == "none":
                raise BrokerError(f"{partition.topic}-{partition.partition}: no position is committed, and {NOWHERE}")
            first, end = questions.bounds(partition)
            found[partition] = end if reset.lower() == "latest" else first
    return {partition: found[partition] for partition in partitions}


def starts_of_present(
    questions: Questions, coming: Sequence[TopicPartition], reset: str, absent: Callable[[str], None]
) -> dict[TopicPartition, int]:
    """The same without those of topics that are not there, which no other topic waits for.   absent: hears of each.

    Such a one was dealt out by a member that does not know; it rebalances once it does.
    """
    try:
        return starts(questions, coming, reset)
    except UnknownTopicError:
        topics = sorted({partition.topic for partition in coming})
        if len(topics) == 1:
            absent(topics[0])
            return {}
    found: dict[TopicPartition, int] = {}
    for topic in topics:
        of_topic = [partition for partition in coming if partition.topic == topic]
        found |= starts_of_present(questions, of_topic, reset, absent)
    return found
