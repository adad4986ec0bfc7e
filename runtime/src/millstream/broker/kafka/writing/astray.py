"""Rows that waited for a partition which is gone: their topic was deleted, and made anew."""

import logging
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError

from millstream.broker.kafka.writing.flight import Pending
from millstream.broker.kafka.writing.handing import Hand
from millstream.broker.kafka.writing.topics import Topics
from millstream.errors import UnknownTopicError
from millstream.lifecycle import Clock

if TYPE_CHECKING:
    from confluent_kafka import Producer

log = logging.getLogger(__name__)

APART_SECONDS = 60.0
PURGED = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})
#: rd_kafka_toppar_destroy_final and rd_kafka_msg_partitioner, librdkafka 2.16
GONE = frozenset({KafkaError._DESTROY, KafkaError._UNKNOWN_PARTITION})


class Astray:
    """They go to the partitions that are there, once nothing else is out. Not in a transaction: that is aborted.

    Each is noted as failed until it is sent again, so that an equal row of its batch is taken for another.
    """

    def __init__(self, hand: Hand, topics: Topics, transactional: bool, clock: Clock) -> None:
        self.rows: list[tuple[Pending, int]] = []
        self._hand = hand
        self._topics = topics
        self._transactional = transactional
        self._clock = clock
        self._lost: set[str] = set()  # topics of rows whose partition is gone
        self._said: dict[str, float] = {}  # when rows of a topic came astray last

    def takes(self, pending: Pending, row: int, code: int) -> bool:
        """Whether this row is to go again: then it is kept here.

        It was refused for its partition alone, which nobody had named, or its client was let go.
        """
        if self._transactional or (code not in PURGED and (code not in GONE or _named(pending, row))):
            return False
        if code in GONE:
            self._lost.add(pending.batch.topic)
        self.rows.append((pending, row))
        self._topics.forget(pending.batch.topic)
        return True

    def at_once(self, pending: Pending, start: int) -> int:
        """Keep those from row `start` on that librdkafka did not even take; gives how many."""
        code = KafkaError._UNKNOWN_PARTITION
        failures = pending.failures.items()
        refused = [row for row, error in failures if row >= start and isinstance(error, UnknownTopicError)]
        return sum(self.takes(pending, row, code) for row in refused)

    def scatter(self, client: "Producer") -> None:
        for topic in sorted(self._lost):
            self._say(topic)
        self._lost.clear()
        rows, self.rows = self.rows, []
        for pending, row in rows:
            if not _named(pending, row):
                pending.loosen(row)
        self._hand.again(client, rows)

    def _say(self, topic: str) -> None:
        """Once: what waits was given its partition at several times, and comes astray as often."""
        now, said = self._clock.monotonic(), self._said.get(topic)
        self._said[topic] = now
        if said is None or now - said >= APART_SECONDS:
            log.warning(
                "topic %r was deleted, and perhaps made anew: rows that waited for partitions of the former one go to "
                "those that it has now; what it had is gone",
                topic,
            )


def _named(pending: Pending, row: int) -> bool:
    """Whether its partition was asked for."""
    named = pending.batch.partitions
    return named is not None and named[row] is not None
