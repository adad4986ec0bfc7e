"""Rows that are out, and that no broker takes in: librdkafka tries again in silence what is refused for now."""

import logging

from millstream.broker.complaint import Complaint
from millstream.broker.kafka.client.failures import Watch
from millstream.broker.kafka.writing.flight import Flight, topics_of
from millstream.lifecycle import Clock

log = logging.getLogger(__name__)

LONG_SECONDS = 30.0


class Stalled:
    """Says so while it lasts. That brokers cannot be reached is said by the watch."""

    def __init__(self, watch: Watch, clock: Clock) -> None:
        self._watch = watch
        self._clock = clock
        self._held = 0
        self._since = clock.monotonic()
        self._complaint = Complaint(clock, log, "rows are taken in again")

    def look(self, held: int, flight: Flight, landed: bool) -> None:
        """held: how many messages are out; fewer than before: some were taken in.   landed: what was out is over: as
        many may be out since."""
        now = self._clock.monotonic()
        moves = landed or held < self._held or not held
        if moves:
            self._complaint.mended()
        if moves or not self._held or self._watch.away:
            self._since = now
        self._held = held
        if now - self._since >= LONG_SECONDS:
            topics = ", ".join(map(repr, topics_of(flight)))
            self._complaint.failed(
                f"{flight.rows} rows for {topics} wait, and for {now - self._since:.0f} s "
                "the brokers have taken none of them in, though they can be reached: see whether the partitions have "
                "leaders, and as many replicas in sync as min.insync.replicas asks for (kafka-topics.sh --describe). "
                "Nothing is skipped; they are sent until they are taken"
            )
