"""Rows that waited for a partition which is gone: their topic was deleted, and made anew with fewer."""

import logging
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError

from millstream.broker.kafka.flight import Pending
from millstream.broker.kafka.handing import Hand
from millstream.broker.kafka.topics import Topics
from millstream.errors import UnknownTopicError

if TYPE_CHECKING:
    from confluent_kafka import Producer

log = logging.getLogger(__name__)

#: rd_kafka_toppar_destroy_final and rd_kafka_msg_partitioner, librdkafka 2.16
GONE = frozenset({KafkaError._DESTROY, KafkaError._UNKNOWN_PARTITION})


class Astray:
    """They go to the partitions that are there, once nothing else is out. Not in a transaction: that is aborted.

    Each is noted as failed until it is sent again, so that an equal row of its batch is taken for another.
    """

    def __init__(self, hand: Hand, topics: Topics, transactional: bool) -> None:
        self.rows: list[tuple[Pending, int]] = []
        self._hand = hand
        self._topics = topics
        self._transactional = transactional

    def takes(self, pending: Pending, row: int, code: int) -> bool:
        """Whether this row was refused for its partition alone, which nobody had named: then it is kept here."""
        named = pending.batch.partitions
        if code not in GONE or self._transactional or (named is not None and named[row] is not None):
            return False
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
        topics = sorted({pending.batch.topic for pending, _ in self.rows})
        log.warning(
            "%d rows waited for partitions that topic %s no longer has: it was deleted and made anew. They go to those "
            "it has now; what it had is gone",
            *(len(self.rows), ", ".join(map(repr, topics))),
        )
        rows, self.rows = self.rows, []
        for pending, row in rows:
            pending.loosen(row)
        self._hand.again(client, rows)
