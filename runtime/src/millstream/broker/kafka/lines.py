"""librdkafka's own log lines: as ours, a lasting trouble once in a while, and what a consumer has to hear of."""

import logging
import re
from collections.abc import Callable

from millstream.lifecycle import Clock, SystemClock

AGAIN_SECONDS = 30.0
VARYING = re.compile(r"\d+")
ANOTHER = re.compile(r"Topic (\S+) changed id from (\S+) to (\S+)$")
NO_ID = "A" * 22  # of brokers that give topics none


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


class Listening:
    """The logger of a client that logs its debug lines, too: they go no further.

    changed: hears of a topic that is another one in the same name than before. librdkafka tells of it in a debug line
    alone, ahead of the first row of the new one (`rd_kafka_topic_metadata_update`), and reads on where it was.
    """

    def __init__(self, changed: Callable[[str], None]) -> None:
        self._changed = changed

    def log(self, level: int, sentence: str, *parts: str) -> None:
        if level > logging.DEBUG:
            librdkafka.log(level, sentence, *parts)
        elif (found := ANOTHER.search(parts[-1])) is not None and NO_ID not in found.groups():
            self._changed(found[1])
