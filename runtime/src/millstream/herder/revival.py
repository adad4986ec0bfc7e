"""When what was ended from outside is started again.

A task of the Java worker cannot be killed alone: its process ends, and its supervisor starts that again. Here the
worker is the supervisor of its children. Only what somebody else ended comes back by itself (SIGKILL, as by a person or
for want of memory, SIGTERM, the death of its template); a failure of its own stays FAILED, as Java's does.
"""

from dataclasses import dataclass

from millstream.lifecycle import Clock
from millstream.storage.statuses import Subject

FIRST_S, MOST_S = 2.0, 60.0
TRIES = 6
#: what ran so long is well: the next time counts as the first
WELL_S = 600.0


@dataclass(slots=True)
class _Past:
    times: int
    last_s: float


class Revivals:
    """Counts how often each connector and task was ended from outside. Used by the herder's thread alone."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._past: dict[Subject, _Past] = {}

    def wait_s(self, subject: Subject) -> float | None:
        """It was ended just now: after how many seconds it is to be started again; None: too often, it stays FAILED."""
        now = self._clock.monotonic()
        past = self._past.get(subject)
        times = 1 if past is None or now - past.last_s > WELL_S else past.times + 1
        self._past[subject] = _Past(times, now)
        return None if times > TRIES else min(FIRST_S * 2 ** (times - 1), MOST_S)

    def forget(self, subject: Subject) -> None:
        """It is no more."""
        self._past.pop(subject, None)
