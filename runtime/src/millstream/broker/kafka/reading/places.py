"""Where a consumer is in its partitions, and which of them rest."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException
from confluent_kafka import TopicPartition as At

from millstream.broker.kafka.client.failures import explained
from millstream.broker.kafka.client.peer import Peer
from millstream_api.records import TopicPartition

if TYPE_CHECKING:
    from confluent_kafka import Consumer


class Places:
    """Positions are kept here: librdkafka's own begin with the first row.

    of:       where the next row of each assigned partition will be.
    paused:   those that give nothing.
    noting:   a rebalance is under way: positions and pauses are noted. The assignment that follows carries those of
              partitions that come with it; `catch_up` behind it applies those of partitions that stay.
    jumped:   partitions that were sought inside a poll: which of its rows are of before is not known.
    piecewise: partitions come and go one by one (cooperative), else all at once (eager, or without a group).
    """

    def __init__(self, client: "Consumer", piecewise: bool, peer: Peer) -> None:
        self.of: dict[TopicPartition, int] = {}
        self.paused: set[TopicPartition] = set()
        self.noting = False
        self.jumped: set[TopicPartition] = set()
        self._client = client
        self._piecewise = piecewise
        self._peer = peer
        self._dropped: set[TopicPartition] = set()
        self._moved: set[TopicPartition] = set()  # noted, and not applied yet
        self._turned: set[TopicPartition] = set()  # paused or resumed
        self._resting: set[TopicPartition] = set()  # as librdkafka has it, which goes on with it over a revocation

    def give(self, partitions: Iterable[TopicPartition]) -> None:
        """Have librdkafka read these new ones, from where they are noted to be."""
        new = list(partitions) if self._piecewise else list(self.of)
        if awake := self._resting.difference(self.paused).intersection(new):
            self._resume(awake)
        if self._piecewise:
            _steer(self._peer, lambda: self._client.incremental_assign(_ats(self.of, new)))
        else:
            _steer(self._peer, lambda: self._client.assign(_ats(self.of, self.of)))
        for noted in (self._moved, self._turned, self.jumped):
            noted.difference_update(new)
        if rest := self.paused.intersection(new):
            self._pause(rest)

    def take(self, partitions: Iterable[TopicPartition]) -> None:
        """These are no longer read."""
        gone = list(partitions)
        for partition in gone:
            self.of.pop(partition, None)
            self.paused.discard(partition)
            self._dropped.discard(partition)
            self._moved.discard(partition)
            self._turned.discard(partition)
        if self._piecewise:
            _steer(self._peer, lambda: self._client.incremental_unassign([At(*partition) for partition in gone]))
        else:
            _steer(self._peer, self._client.unassign)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        if partition not in self.of:
            raise KeyError(partition)
        self.of[partition] = offset
        self._moved.add(partition)
        if self.noting:
            self.jumped.add(partition)
        else:
            self.catch_up()

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        mine = [partition for partition in partitions if partition in self.of]
        self.paused.update(mine)
        self._turned.update(mine)
        if not self.noting:
            self.catch_up()

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        mine = [partition for partition in partitions if partition in self.paused]
        self.paused.difference_update(mine)
        self._turned.update(mine)
        self._moved.update(self._dropped.intersection(mine))
        if not self.noting:
            self.catch_up()

    def catch_up(self) -> None:
        """Have librdkafka do what was noted. What it raises is due again at the next call."""
        if self._turned:
            self._turned.intersection_update(self.of)
            if pause := self._turned & self.paused:
                self._pause(pause)
            if resume := self._turned - self.paused:
                self._resume(resume)
            self._turned.clear()
        if self._moved:
            self._moved.intersection_update(self.of)
        while self._moved:
            self._move(next(iter(self._moved)))

    def renewed(self) -> None:
        """Another client reads: it knows of nothing, and what it is not given yet is not begun."""
        self._resting.clear()
        for noted in (self.paused, self.jumped, self._dropped, self._moved, self._turned):
            noted.intersection_update(self.of)

    def read_again(self, partitions: Iterable[TopicPartition]) -> None:
        """Rows that librdkafka gave are not given on: `catch_up` goes back to where these partitions are."""
        self._moved.update(partition for partition in partitions if partition in self.of)

    def dropped(self, partition: TopicPartition) -> None:
        """Rows that were under way when their partition was paused were not given: they are read again."""
        self._dropped.add(partition)

    def _pause(self, partitions: Collection[TopicPartition]) -> None:
        self._resting.update(partitions)
        _steer(self._peer, lambda: self._client.pause(_ats(self.of, partitions)))

    def _resume(self, partitions: Collection[TopicPartition]) -> None:
        _steer(self._peer, lambda: self._client.resume([At(*partition) for partition in partitions]))
        self._resting.difference_update(partitions)

    def _move(self, partition: TopicPartition) -> None:
        try:
            self._client.seek(_ats(self.of, [partition])[0])
        except KafkaException:  # not yet being read: it is given anew, with its position
            if self._piecewise:
                _steer(self._peer, lambda: self._client.incremental_unassign([At(*partition)]))
            self.give([partition])
        self._dropped.discard(partition)
        self._moved.discard(partition)


def _ats(of: Mapping[TopicPartition, int], partitions: Iterable[TopicPartition]) -> list[At]:
    return [At(each.topic, each.partition, of[each]) for each in partitions if each in of]


def _steer(peer: Peer, step: Callable[[], None]) -> None:
    try:
        step()
    except KafkaException as error:
        raise explained(error, "steering the consumer", peer) from error
