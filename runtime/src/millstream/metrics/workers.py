"""What the worker counts: starts of connectors and tasks, and what runs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from millstream.identity import State
from millstream.metrics import names
from millstream.metrics.snapshot import Reading, Value
from millstream.metrics.tasks import Measuring

COUNTED_STATES = (State.RUNNING, State.PAUSED, State.FAILED, State.UNASSIGNED, State.DESTROYED, State.RESTARTING)


@dataclass(frozen=True, slots=True)
class ConnectorInfo:
    """What `connector-metrics` says about a connector; `version` is `undefined` when nobody knows."""

    name: str
    kind: str
    class_name: str
    version: str
    state: State

    def reading(self) -> Reading:
        values: dict[str, Value] = {
            "status": self.state.value.lower(),
            "connector-type": self.kind,
            "connector-class": self.class_name,
            "connector-version": self.version,
        }
        return Reading(names.CONNECTOR, {"connector": self.name}, values)


class Startups:
    """Attempts to start one sort of thing, and how they ended."""

    def __init__(self, sort: str, measuring: Measuring) -> None:
        self._sort = sort
        self._clock = measuring.clock
        self._recent = measuring.window()
        self.succeeded = 0
        self.failed = 0

    def ended(self, success: bool) -> None:
        if success:
            self.succeeded += 1
        else:
            self.failed += 1
        self._recent.record(1.0 if success else 0.0, self._clock.monotonic())

    def values(self) -> dict[str, Value]:
        share = self._recent.average(self._clock.monotonic())
        known = share == share
        return {
            f"{self._sort}-startup-attempts-total": self.succeeded + self.failed,
            f"{self._sort}-startup-success-total": self.succeeded,
            f"{self._sort}-startup-failure-total": self.failed,
            f"{self._sort}-startup-success-percentage": share if known else 0.0,
            f"{self._sort}-startup-failure-percentage": 1.0 - share if known else 0.0,
        }


class WorkerMetrics:
    """Group `connect-worker-metrics`."""

    def __init__(self, measuring: Measuring) -> None:
        self.connectors = Startups("connector", measuring)
        self.tasks = Startups("task", measuring)

    def readings(self, connectors: int, tasks: Mapping[str, Iterable[State]]) -> list[Reading]:
        """Give the worker's values, and one reading for each connector that has tasks here.

        connectors: how many run on this worker.
        tasks:      the states of the tasks on this worker, by connector.
        """
        states = {name: list(of) for name, of in tasks.items()}
        values: dict[str, Value] = {
            "connector-count": connectors,
            "task-count": sum(map(len, states.values())),
            **self.connectors.values(),
            **self.tasks.values(),
        }
        return [Reading(names.WORKER, {}, values), *(_of_connector(name, of) for name, of in states.items() if of)]


def _of_connector(connector: str, states: list[State]) -> Reading:
    values: dict[str, Value] = {"connector-total-task-count": len(states)}
    for state in COUNTED_STATES:
        values[f"connector-{state.value.lower()}-task-count"] = states.count(state)
    return Reading(names.WORKER, {"connector": connector}, values)
