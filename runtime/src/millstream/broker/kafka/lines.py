"""librdkafka's own log lines: as ours, and a lasting trouble once in a while instead of with every attempt."""

import logging
import re

from millstream.lifecycle import Clock, SystemClock

AGAIN_SECONDS = 30.0
VARYING = re.compile(r"\d+")


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
