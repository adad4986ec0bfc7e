"""Names of connectors and tasks, and the states they are in."""

from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple, NewType

ConnectorName = NewType("ConnectorName", str)


class TaskId(NamedTuple):
    """One task of a connector; as text `<connector>-<task>`, the form of logs and client ids."""

    connector: str
    task: int

    def __str__(self) -> str:
        return f"{self.connector}-{self.task}"

    @classmethod
    def parse(cls, text: str) -> "TaskId":
        """Read `<connector>-<task>`; the connector's name may hold hyphens. Raises ValueError."""
        connector, hyphen, number = text.rpartition("-")
        if not hyphen or not connector or not number.isascii() or not number.isdigit():
            raise ValueError(f"{text!r} is not the name of a task: expected <connector>-<number>, such as 'orders-0'")
        return cls(connector, int(number))


class TargetState(Enum):
    """What the operator wants a connector to do."""

    STARTED = "STARTED"
    PAUSED = "PAUSED"
    STOPPED = "STOPPED"


class State(Enum):
    """What a connector or task does. STOPPED is a connector's only; DESTROYED is never shown by REST."""

    UNASSIGNED = "UNASSIGNED"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    FAILED = "FAILED"
    DESTROYED = "DESTROYED"
    RESTARTING = "RESTARTING"
    STOPPED = "STOPPED"


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a connector or task, as the status topic holds it.

    trace:      text of `errors.trace_of`, with FAILED.
    worker_id:  host:port of the advertised URL of the worker that says so.
    generation: of the group when it was written; a lower one never overwrites a higher one of another worker.
    version:    of the plugin, when it is known.
    """

    state: State
    worker_id: str
    trace: str | None = None
    generation: int = 0
    version: str | None = None

    def to(self, state: State, trace: str | None = None) -> "Status":
        """Give the same place in another state."""
        return replace(self, state=state, trace=trace)
