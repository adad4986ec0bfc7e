"""What of a consumer's positions is in a topic that is no longer there, or is another one in the same name now."""

from collections.abc import Collection, Iterable, Mapping

from millstream.lifecycle import Clock
from millstream_api.records import TopicPartition

GONE_SECONDS = 60.0


class Gone:
    """Topics of which the brokers said that they are not there: made anew, theirs are other rows.

    A position in the former one, committed for the one that has its name now, would pass over as many rows of that. So
    none is, until its partition is dealt out again, or begins anew; nor for more than a minute, since a broker that has
    just learnt of a topic says the same.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}
        self._sure: dict[str, float] = {}
        self.anew: set[str] = set()  # which certainly are: those that wait for it to be heard
        self.begun: set[TopicPartition] = set()  # dealt out since then, or gone back: read in what is there now

    def made_anew(self, topic: str) -> None:
        """It is another one in the same name now."""
        self.anew.add(topic)
        self._not_begun(topic)
        self._sure[topic] = self._until[topic] = self._clock.monotonic() + GONE_SECONDS

    def noticed(self, topic: str) -> None:
        """Brokers said so. Just behind the news that it was made anew they say it of partitions that it has no more."""
        now = self._clock.monotonic()
        if self._sure.get(topic, now) <= now:
            self._until[topic] = now + GONE_SECONDS
            self._not_begun(topic)

    def dealt_out(self, partitions: Collection[TopicPartition], of: Iterable[TopicPartition]) -> set[str]:
        """Gives their topics of which none is left that goes on where it was in the former one.   of: all there are."""
        self.begun.update(partition for partition in partitions if self.has(partition.topic))
        kept = {partition.topic for partition in set(of).difference(self.begun, partitions)}
        return {partition.topic for partition in partitions} - kept

    def went_back(self, partition: TopicPartition, of: Iterable[TopicPartition]) -> None:
        """It goes on in what is there now; the others of its topic may have to yet.   of: all there are."""
        if self.has(partition.topic):
            self.begun.add(partition)
            if self.begun.issuperset(each for each in of if each.topic == partition.topic):
                self.over([partition.topic])

    def over(self, topics: Iterable[str]) -> None:
        for topic in topics:
            self._until.pop(topic, None)
            self.anew.discard(topic)
            self._not_begun(topic)

    def has(self, topic: str) -> bool:
        return self._until.get(topic, 0.0) > self._clock.monotonic()

    def left(self, offsets: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
        """What may be committed."""
        if not self._until:
            return offsets
        return {at: offset for at, offset in offsets.items() if at in self.begun or not self.has(at.topic)}

    def _not_begun(self, topic: str) -> None:
        self.begun = {partition for partition in self.begun if partition.topic != topic}
