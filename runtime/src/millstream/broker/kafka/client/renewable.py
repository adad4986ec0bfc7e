"""A librdkafka consumer in whose place another is put.

librdkafka follows no leader of an earlier epoch than the one that it knows, and does not forget that when a topic gets
another id (rd_kafka_toppar_leader_update, 2.16): a topic made anew, whose epochs begin anew, too, is not read by who
has seen a later one, such as behind any restart of a broker; nor written to, where its leader is another broker. Java's
clients forget epochs with the id. Another client has seen none.
"""

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from millstream_api.records import TopicPartition

if TYPE_CHECKING:
    from confluent_kafka import Consumer


class Unled:
    """Topics that were made anew, and whose leaders are not followed."""

    def __init__(self) -> None:
        self.topics: set[str] = set()
        self._anew: set[str] = set()
        self._led: set[TopicPartition] = set()  # of those, which gave rows since

    def made_anew(self, topic: str) -> None:
        self._anew.add(topic)
        self._led = {partition for partition in self._led if partition.topic != topic}

    def gave(self, partition: TopicPartition) -> None:
        """Rows of it came: its leader is followed."""
        if partition.topic in self._anew:
            self._led.add(partition)

    def silent(self, partition: TopicPartition) -> None:
        """Nothing comes of it, though it has something."""
        if partition not in self._led:
            self.outdated(partition.topic)

    def outdated(self, topic: str) -> None:
        """Its leader is passed over, as librdkafka says, or may be.

        It may be of any topic: brokers may be behind, or slow; it comes again."""
        if topic in self._anew:
            self.topics.add(topic)

    def are_among(self, partitions: Collection[TopicPartition]) -> bool:
        """Before a partition of theirs is dealt out, nothing is missed: who goes in the midst of joining a group cannot
        leave it, and would be waited for until its session is over."""
        return not self.topics.isdisjoint(partition.topic for partition in partitions)

    def __str__(self) -> str:
        """What is wrong, for the log."""
        named = ", ".join(map(repr, sorted(self.topics)))
        return (
            f"{named}: deleted and made anew; this client knows later leaders of the former and waits for them for ever"
        )

    def renewed(self) -> None:
        self.topics.clear()
        self._anew.clear()
        self._led.clear()


class Renewable:
    """The consumer; `renew` after `close`: it has the subscription of the one before."""

    def __init__(self, make: "Callable[[], Consumer]") -> None:
        self._make = make
        self._subscription: tuple[Sequence[str], dict[str, Any]] | None = None
        self.inner = make()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def subscribe(self, topics: Sequence[str], **hear: Any) -> None:
        self.inner.subscribe(list(topics), **hear)
        self._subscription = topics, hear

    def unsubscribe(self) -> None:
        self.inner.unsubscribe()
        self._subscription = None

    def renew(self) -> None:
        self.inner = self._make()
        if self._subscription is not None:
            topics, hear = self._subscription
            self.subscribe(topics, **hear)
