"""`topics.regex`: Java's full match over what the brokers tell; librdkafka's own search is another."""

import logging
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException

from millstream.broker.complaint import Complaint
from millstream.broker.kafka.client.failures import explained
from millstream.broker.kafka.client.peer import Peer
from millstream.lifecycle import Clock

if TYPE_CHECKING:
    from confluent_kafka import Consumer

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
FAILED_SECONDS = 1.0


class Search:
    """max_age: seconds between two looks (`metadata.max.age.ms`), at most one while nothing matches.

    internal: topics of the brokers' own are looked at, too (`exclude.internal.topics=false`).
    """

    def __init__(self, pattern: re.Pattern[str], max_age: float, internal: bool, peer: Peer, clock: Clock) -> None:
        self._pattern = pattern
        self._max_age = max_age
        self._internal = internal
        self._peer = peer
        self._clock = clock
        self._found: frozenset[str] = frozenset()
        self._next = clock.monotonic()
        self._doing = f"looking for topics that match {pattern.pattern!r}"
        self._complaint = Complaint(clock, log, f"topics that match {pattern.pattern!r} can be looked for again")

    def look(self, client: "Consumer", subscribe: Callable[[list[str]], None]) -> None:
        """When it is due, see which topics match now, and subscribe if they are others."""
        if self._clock.monotonic() < self._next:
            return
        try:
            known = client.list_topics(timeout=LOOK_SECONDS).topics
        except KafkaException as error:
            self._next = self._clock.monotonic() + FAILED_SECONDS
            self._complaint.failed(f"{explained(error, self._doing, self._peer)}. It is tried again until they answer")
            return
        self._complaint.mended()
        names = (name for name in known if self._internal or not name.startswith("__"))
        found = frozenset(name for name in names if self._pattern.fullmatch(name))
        self._next = self._clock.monotonic() + (self._max_age if found else min(self._max_age, FAILED_SECONDS))
        if found != self._found:
            self._found = found
            log.info("%d topics match %r", len(found), self._pattern.pattern)
            subscribe(sorted(found))
