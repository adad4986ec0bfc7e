"""How often a failure that lasts is said: by whoever goes on in spite of it, never by who raised it."""

import logging

from millstream.lifecycle import Clock

REPEAT_SECONDS = 30.0


class Complaint:
    """Says a lasting failure once, and again every 30 seconds, and once when it is over."""

    def __init__(self, clock: Clock, log: logging.Logger, over: str) -> None:
        self._clock = clock
        self._log = log
        self._over = over
        self._said: float | None = None

    def failed(self, sentence: str) -> None:
        now = self._clock.monotonic()
        if self._said is None or now - self._said >= REPEAT_SECONDS:
            self._said = now
            self._log.error("%s", sentence)

    def mended(self) -> None:
        if self._said is not None:
            self._said = None
            self._log.info("%s", self._over)
