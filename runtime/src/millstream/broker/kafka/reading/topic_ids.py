"""Which topic a position is in: brokers give each one an id, and one that is made anew in the same name another.

A position is committed for a name. One in the former topic may come to the brokers when the new one is there and its
reader has not heard of it; after a crash at that moment nobody would know. So positions are committed with the id of
their topic, and that of their cluster, as they may be copied to another: in the metadata that Kafka keeps with each.
"""

import re
from collections.abc import Collection

from millstream.broker.kafka.client.lines import NO_ID
from millstream.broker.kafka.client.renewable import Unled
from millstream.broker.kafka.reading.gone import Gone
from millstream_api.records import TopicPartition

WRITTEN = re.compile(r"cluster\.id=(\S+) topic\.id=(\S+)")
URL_SAFE = str.maketrans("+/", "-_")  # as Java writes ids


class TopicIds:
    """cluster: its id, "" before it is known.

    doubtful: partitions whose position is in another topic than the one that is known by their name, or that is not
              known yet: the next news, or their first row, tells which is right.
    unsaid:   partitions of whose position nothing says which topic it is in, until they are read.
    unled:    topics that only another client can read.
    """

    def __init__(self, gone: Gone) -> None:
        self.cluster = ""
        self.doubtful: set[TopicPartition] = set()
        self.unsaid: set[TopicPartition] = set()
        self.unled = Unled()
        self._gone = gone
        self._known: dict[str, str] = {}
        self._of: dict[str, dict[TopicPartition, str]] = {}  # by topic: the id of the one that each position is in

    def heard(self, topic: str, before: str, now: str) -> None:
        """librdkafka has learnt of an id, ahead of the first row of the topic that has it."""
        if now == NO_ID:
            return
        now = self._known[topic] = now.translate(URL_SAFE)
        mine = self._of.get(topic, {})
        fine = {now} if before != NO_ID else {now, ""}
        former = {partition for partition, of in mine.items() if of not in fine}
        self.settle(list(mine))
        if former or before != NO_ID:
            self._made_anew(topic, former)

    def came(self, partition: TopicPartition, metadata: str | None) -> None:
        """It was dealt out.   metadata: what its position was committed with, if there is one."""
        self.went([partition])
        found = WRITTEN.fullmatch(metadata or "")
        of = found[2] if found is not None and found[1] == self.cluster else ""
        self._of.setdefault(partition.topic, {})[partition] = of
        if not of:
            self.unsaid.add(partition)
        elif not self.stands(partition):
            self.doubtful.add(partition)

    def went(self, partitions: Collection[TopicPartition]) -> None:
        for partition in partitions:
            mine = self._of.get(partition.topic, {})
            mine.pop(partition, None)
            if not mine:
                self._of.pop(partition.topic, None)
        self.doubtful.difference_update(partitions)
        self.unsaid.difference_update(partitions)

    def stands(self, partition: TopicPartition) -> bool:
        """Whether its position is known to be in the topic that there is."""
        of = self._of.get(partition.topic, {}).get(partition, "")
        return of != "" and of == self._known.get(partition.topic)

    def may_be_former(self, partition: TopicPartition) -> bool:
        """Whether its topic was made anew, and nothing says that its position is in the new one."""
        return self._gone.has(partition.topic) and not self.stands(partition)

    def read(self, partitions: Collection[tuple[str | None, int | None]]) -> None:
        """Rows came, which are fetched by the id that is known."""
        came = {partition for partition in self.doubtful if partition in partitions}
        former: dict[str, set[TopicPartition]] = {}
        for partition in came:
            if partition.topic in self._known:
                former.setdefault(partition.topic, set()).add(partition)
        self.settle(came)
        for topic, some in former.items():
            self._made_anew(topic, some)

    def settle(self, partitions: Collection[TopicPartition]) -> None:
        """From here on their positions are in the topic that is known."""
        for partition in partitions:
            self._of[partition.topic][partition] = self._known.get(partition.topic, "")
        self.doubtful.difference_update(partitions)
        self.unsaid.difference_update(partitions)

    def written(self, partition: TopicPartition) -> str:
        """What its position is committed with."""
        of = self._of.get(partition.topic, {}).get(partition, "")
        return f"cluster.id={self.cluster} topic.id={of}" if of and self.cluster else ""

    def _made_anew(self, topic: str, former: set[TopicPartition]) -> None:
        self._gone.made_anew(topic)
        self._gone.begun.update(self._of.get(topic, {}).keys() - former)
