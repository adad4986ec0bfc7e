"""librdkafka's own log lines: as ours, a lasting trouble once in a while, and what a consumer has to hear of."""

import logging
import re
from typing import Protocol

from millstream.broker.kafka.client.renewable import Unled
from millstream.lifecycle import Clock, SystemClock

AGAIN_SECONDS = 30.0
NO_ID = "A" * 22  # of brokers that give topics none, and in librdkafka before it has heard of one
VARYING = re.compile(r"\d+")
ANOTHER = re.compile(r"Topic (\S+) changed id from (\S+) to (\S+)$")
OUTDATED = re.compile(r"(\S+) \[\d+\]: ignoring outdated metadata update with leader epoch ")
CONNECTION = "FAIL"
CLUSTER = re.compile(r"ClusterId: (\S+), ControllerId: ")


class Seldom(logging.Filter):
    """Lets a line pass that differs from all of the last 30 seconds by more than its numbers."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._passed: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now, line = self._clock.monotonic(), VARYING.sub("#", record.getMessage())
        if now - self._passed.get(line, -AGAIN_SECONDS) < AGAIN_SECONDS:
            return False
        self._passed = {known: at for known, at in self._passed.items() if now - at < AGAIN_SECONDS} | {line: now}
        return True


librdkafka = logging.getLogger("millstream.librdkafka")
librdkafka.addFilter(Seldom(SystemClock()))


class Ids(Protocol):
    """Who keeps which topic a name stands for, and in which cluster."""

    cluster: str

    def heard(self, topic: str, before: str, now: str) -> None: ...


class Listening:
    """The logger of a client that logs its debug lines, too: they go no further.

    librdkafka tells in such lines alone that a topic is another one in the same name, ahead of the first row of it
    (`rd_kafka_topic_metadata_update`), and reads on where it was; and, to producers here, that it passes a leader over
    (`rd_kafka_toppar_leader_update`).

    unled: hears of both.   ids: a consumer's; hear which topic a name stands for, also at first, and of its cluster,
    which is told with all metadata (`rd_kafka_parse_Metadata`).
    """

    def __init__(self, unled: Unled, ids: Ids | None = None) -> None:
        self._unled = unled
        self._ids = ids

    def log(self, level: int, sentence: str, *parts: str) -> None:
        if level > logging.DEBUG:
            known = parts[0] == CONNECTION  # what lasts of it is an error of ours, see `Outage`
            librdkafka.log(min(level, logging.WARNING) if known else level, sentence, *parts)
        elif (found := ANOTHER.search(parts[-1])) is not None:
            if found[2] != NO_ID:
                self._unled.made_anew(found[1])
            if self._ids is not None:
                self._ids.heard(found[1], found[2], found[3])
        elif (found := OUTDATED.search(parts[-1])) is not None:
            self._unled.outdated(found[1])
        elif self._ids is not None and (found := CLUSTER.search(parts[-1])) is not None:
            self._ids.cluster = found[1]
