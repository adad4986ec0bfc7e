"""The lifecycle of a task as a table (spec/runtime.md §5.2)."""

from collections.abc import Callable
from enum import Enum

from millstream.identity import State
from millstream.task.counting import TaskMetrics
from millstream.task.events import StateChanged, Tell


class Happening(Enum):
    """What can happen to a task."""

    HELD = "its target was PAUSED before it started"
    STARTED = "its own start has returned"
    PAUSED = "its target became PAUSED"
    RESUMED = "its target became STARTED again"
    FAILED = "something raised, and it was not asked to stop"
    STOPPED = "it ended because it was asked to, or raised after it was"


NEXT: dict[tuple[State, Happening], State] = {
    (State.UNASSIGNED, Happening.HELD): State.PAUSED,
    (State.UNASSIGNED, Happening.STARTED): State.RUNNING,
    (State.PAUSED, Happening.STARTED): State.RUNNING,
    (State.RUNNING, Happening.PAUSED): State.PAUSED,
    (State.PAUSED, Happening.RESUMED): State.RUNNING,
    (State.UNASSIGNED, Happening.FAILED): State.FAILED,
    (State.RUNNING, Happening.FAILED): State.FAILED,
    (State.PAUSED, Happening.FAILED): State.FAILED,
    (State.UNASSIGNED, Happening.STOPPED): State.UNASSIGNED,
    (State.RUNNING, Happening.STOPPED): State.UNASSIGNED,
    (State.PAUSED, Happening.STOPPED): State.UNASSIGNED,
}
"""What is not here cannot happen: `Lifecycle.happen` raises KeyError, a bug in a loop. FAILED and a told UNASSIGNED are
last; a restarted task is a new one. RESTARTING and DESTROYED are the herder's to write."""


class Lifecycle:
    """The state of one task: moves by `NEXT`, is told and measured at each move."""

    def __init__(self, tell: Tell, metrics: TaskMetrics, muted: Callable[[], bool]) -> None:
        self.state = State.UNASSIGNED
        self._tell = tell
        self._metrics = metrics
        self._muted = muted

    def happen(self, happening: Happening, trace: str | None = None) -> None:
        self.state = NEXT[self.state, happening]
        self._metrics.in_state(self.state)
        if not self._muted():  # a cancelled task writes no status any more (§5.6)
            self._tell(StateChanged(self.state, trace))
