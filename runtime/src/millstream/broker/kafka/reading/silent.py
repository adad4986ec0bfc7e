"""Partitions that give no rows though they have some: they are read again from where they are.

librdkafka may leave a partition alone when its broker has been away, while others of that broker go on: seen once
with 2.16.1, not over after two minutes, and never again in sixty restarts, so that why is not known. What would fit:
it waits for an answer about the epoch of the partition's leader, which was lost with the connection, and asks again
with the next metadata, five minutes later. To seek ends that. What makes a partition silent is not asked for: rows
that nobody reads would be a loss.
"""

import logging
from typing import TYPE_CHECKING

from confluent_kafka import OFFSET_END, KafkaException
from confluent_kafka import TopicPartition as At

from millstream.broker.kafka.client.renewable import Unled
from millstream.broker.kafka.reading.places import Places
from millstream.lifecycle import Clock
from millstream_api.records import TopicPartition

if TYPE_CHECKING:
    from confluent_kafka import Consumer

log = logging.getLogger(__name__)

LOOK_SECONDS = 15.0
ANSWER_SECONDS = 1.0


class Silence:
    """Looks now and then whether partitions that gave nothing since the last look have rows: one question for all.

    A position may stay behind the end for ever, where nothing but the marks of transactions is left. So a partition is
    read again when it is behind for the second time, and then after twice as long each time; the log hears of it when
    the end moved on meanwhile. One of a topic that was made anew, and of which nothing came since, is left to another
    client then.
    """

    def __init__(self, client: "Consumer", places: Places, clock: Clock, unled: Unled) -> None:
        self._client = client
        self._unled = unled
        self._places = places
        self._clock = clock
        self._next = clock.monotonic() + LOOK_SECONDS
        self._gave: set[TopicPartition] = set()  # since the last look
        self._behind: dict[TopicPartition, tuple[int, int]] = {}  # at how many looks in a row, and the end at the first

    def gave(self, partition: TopicPartition, first: int) -> None:
        """Rows of it came.   first: the offset of the first of them."""
        self._gave.add(partition)
        self._unled.gave(partition)
        looks, end = self._behind.pop(partition, (0, 0))
        if looks > 1 and first < end:  # else it has come since
            log.warning(
                "%s-%d had given no rows for %d s, though there were some, and gives them since it was read again",
                *(partition.topic, partition.partition, looks * LOOK_SECONDS),
            )

    def look(self) -> None:
        """To be called when all that was fetched has been given."""
        if self._clock.monotonic() < self._next:
            return
        self._next = self._clock.monotonic() + LOOK_SECONDS
        quiet = self._places.of.keys() - self._places.paused - self._gave
        self._gave.clear()
        ends = self._of_those_behind(quiet) if quiet else {}
        before, self._behind = self._behind, {}
        for partition, end in ends.items():
            looks, first = before.get(partition, (0, end))
            self._behind[partition] = looks + 1, first
        stuck = sorted(partition for partition, (looks, _) in self._behind.items() if _due(looks))
        if stuck:
            moved = any(ends[partition] > self._behind[partition][1] for partition in stuck)
            log.log(
                logging.INFO if moved else logging.DEBUG,
                "%s: nothing comes, and there is something behind their positions, be it marks of transactions alone: "
                "they are read again",
                ", ".join(f"{topic}-{partition}" for topic, partition in stuck),
            )
            self._places.read_again(stuck)
            for partition in stuck:
                self._unled.silent(partition)  # to seek does not help there

    def _of_those_behind(self, quiet: set[TopicPartition]) -> dict[TopicPartition, int]:
        """They have rows behind their positions; where they end. None, if the brokers do not answer: they may be
        away."""
        try:
            found = self._client.offsets_for_times([At(*each, OFFSET_END) for each in quiet], ANSWER_SECONDS)
        except KafkaException as error:
            log.debug("where partitions end that give nothing: %s", error)
            return {}
        ends = {TopicPartition(at.topic, at.partition): at.offset for at in found if at.error is None}
        return {partition: end for partition, end in ends.items() if end > self._places.of[partition]}


def _due(looks: int) -> bool:
    """At the second, the fourth, the eighth …"""
    return looks > 1 and looks & (looks - 1) == 0
