"""When a task's metrics are told: at an interval while it turns, and a last time when it ends."""

from collections.abc import Callable, Mapping

from millstream.lifecycle import Clock
from millstream.task.counting import TaskMetrics
from millstream.task.events import Counted, Tell


class Telling:
    """Tells `metrics`, and `errors` over them, as `Counted`."""

    def __init__(
        self,
        tell: Tell,
        clock: Clock,
        interval_ms: int,
        metrics: TaskMetrics,
        errors: Callable[[], Mapping[str, float]],
    ) -> None:
        self._tell = tell
        self._clock = clock
        self._interval = interval_ms / 1000
        self._metrics = metrics
        self._errors = errors
        self._due = 0.0

    def when_due(self) -> None:
        now = self._clock.monotonic()
        if now >= self._due:
            self._due = now + self._interval
            self.now()

    def now(self) -> None:
        self._tell(Counted({**self._metrics.values(), **self._errors()}))
