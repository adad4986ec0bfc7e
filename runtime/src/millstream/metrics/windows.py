"""Values over the last while: rate, average, maximum, minimum. Source: SampledStat.java, Rate.java, Kafka 4.3."""

import math
from dataclasses import dataclass

NAN = math.nan


@dataclass(slots=True)
class Sample:
    """What was recorded within one window."""

    started: float
    total: float = 0.0
    count: int = 0
    highest: float = -math.inf
    lowest: float = math.inf


class Window:
    """The last `samples` windows of `seconds` each. Recorded into once a batch, never once a record.

    Moments are monotonic seconds. One thread records; another may read, and sees a value at most one batch old.
    """

    __slots__ = ("_kept", "_samples", "_seconds", "_wanted")

    def __init__(self, seconds: float = 30.0, samples: int = 2) -> None:
        self._seconds = max(seconds, 0.001)
        self._wanted = max(samples, 1)
        self._kept = self._wanted * self._seconds
        self._samples: list[Sample] = []

    def record(self, value: float, now: float) -> None:
        samples = self._samples
        if not samples or now - samples[-1].started >= self._seconds or samples[0].started <= now - self._kept:
            samples = self._renewed(now)
        sample = samples[-1]
        sample.total += value
        sample.count += 1
        if value > sample.highest:
            sample.highest = value
        if value < sample.lowest:
            sample.lowest = value

    def rate(self, now: float) -> float:
        """Give the sum per second; a young window counts as a full one, so that the first batch is no spike."""
        samples = self._live(now)
        if not samples:
            return 0.0
        elapsed = now - samples[0].started
        full = int(elapsed / self._seconds)
        if full < self._wanted - 1:
            elapsed += (self._wanted - 1 - full) * self._seconds
        return sum(sample.total for sample in samples) / max(elapsed, self._seconds)

    def average(self, now: float) -> float:
        """Give the mean of the recorded values, NaN without any."""
        samples = self._live(now)
        count = sum(sample.count for sample in samples)
        return sum(sample.total for sample in samples) / count if count else NAN

    def highest(self, now: float) -> float:
        """Give the largest recorded value, NaN without any."""
        return max((sample.highest for sample in self._live(now) if sample.count), default=NAN)

    def lowest(self, now: float) -> float:
        """Give the smallest recorded value, NaN without any."""
        return min((sample.lowest for sample in self._live(now) if sample.count), default=NAN)

    def _live(self, now: float) -> list[Sample]:
        horizon = now - self._kept
        return [sample for sample in self._samples if sample.started > horizon]

    def _renewed(self, now: float) -> list[Sample]:
        """Forget what is too old, begin a new window when the last is over."""
        samples = self._live(now)
        if not samples or now - samples[-1].started >= self._seconds:
            samples = [*samples, Sample(now)][-self._wanted :]
        self._samples = samples
        return samples


class Shares:
    """Which share of its time something has spent in each state since it began. Source: StateTracker.java."""

    __slots__ = ("_since", "_spent", "_started", "_state")

    def __init__(self, state: str, now: float) -> None:
        self._spent: dict[str, float] = {}
        self._started = self._since = now
        self._state = state

    @property
    def state(self) -> str:
        return self._state

    def change(self, state: str, now: float) -> None:
        self._spent[self._state] = self._spent.get(self._state, 0.0) + now - self._since
        self._state, self._since = state, now

    def share(self, state: str, now: float) -> float:
        """Give the fraction 0 to 1 of the time so far; 0 at the first moment."""
        whole = now - self._started
        if whole <= 0:
            return 0.0
        spent = self._spent.get(state, 0.0) + (now - self._since if state == self._state else 0.0)
        return spent / whole
