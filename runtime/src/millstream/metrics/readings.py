"""From what children and herder tell to readings: which value belongs to which group of which connector or task."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from millstream.identity import State, TaskId
from millstream.lifecycle import Clock
from millstream.metrics import names
from millstream.metrics.snapshot import Reading, Value
from millstream.metrics.windows import Window

COUNTED_STATES = (State.RUNNING, State.PAUSED, State.FAILED, State.UNASSIGNED, State.DESTROYED, State.RESTARTING)
TASK_GROUPS = (names.TASK, names.SOURCE_TASK, names.SINK_TASK, names.TASK_ERROR)


def task_readings(task: TaskId, state: State, values: Mapping[str, Value]) -> list[Reading]:
    """Sort the values that a task told last, by metric name, into its groups; `status` is there in any case.

    A name that is in no group of `metrics.names` is left out: it comes from a child of another version.
    """
    tags = {"connector": task.connector, "task": str(task.task)}
    groups: dict[str, dict[str, Value]] = {names.TASK: {"status": state.value.lower()}}
    for name, value in values.items():
        group = next((group for group in TASK_GROUPS if (group, name) in names.METRICS), None)
        if group is not None and name != "status":
            groups.setdefault(group, {})[name] = value
    return [Reading(group, tags, of) for group, of in groups.items()]


def connector_reading(name: str, state: State, kind: str, class_name: str, version: str) -> Reading:
    """Give group `connector-metrics`; `version` is `undefined` when nobody knows."""
    values: dict[str, Value] = {
        "status": state.value.lower(),
        "connector-type": kind,
        "connector-class": class_name,
        "connector-version": version,
    }
    return Reading(names.CONNECTOR, {"connector": name}, values)


@dataclass(frozen=True, slots=True)
class Measuring:
    """How metrics are taken: by which clock, `metrics.sample.window.ms`, `metrics.num.samples`."""

    clock: Clock
    window_ms: int = 30_000
    samples: int = 2

    def window(self) -> Window:
        return Window(self.window_ms / 1000, self.samples)


class Startups:
    """Attempts to start one sort of thing, `connector` or `task`, and how they ended."""

    def __init__(self, sort: str, measuring: Measuring) -> None:
        self._sort = sort
        self._clock = measuring.clock
        self._recent = measuring.window()
        self.succeeded = 0
        self.failed = 0

    def ended(self, success: bool) -> None:
        """One more start has ended."""
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
    """Group `connect-worker-metrics`. Used on one thread."""

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
