"""What the herder asks for: connectors, tasks and probes, each in a child. Nothing here waits for plugin code."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal

from millstream.host.channel import Event, RunConnector, RunProbe, RunTask, Settings
from millstream.identity import TargetState, TaskId

OnEvent = Callable[[Event], None]
"""Called on the worker's one reader thread, in the order in which a child said things; must not block."""


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """What the children of this worker are made with.

    settings:     the worker's properties as written (`${…}` unresolved: children resolve them).
    isolation:    where plugin code runs; `thread` cannot kill.
    start:        how processes come about; `template` needs Linux, None chooses.
    graceful_ms:  task.shutdown.graceful.timeout.ms.   connector_start_ms: connector.start.timeout.ms.
    poll_warn_ms: a poll longer than this is told once, with the child's stack.
    memory_limit: bytes for all children's queues; None: see `budget.py`.
    """

    settings: Settings
    epoch: int = 0
    isolation: Literal["process", "thread"] = "process"
    start: Literal["template", "spawn"] | None = None
    graceful_ms: int = 5_000
    connector_start_ms: int = 60_000
    poll_warn_ms: int = 60_000
    memory_limit: int | None = None
    task_memory_max_bytes: int = 0
    disabled: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ChildView:
    """One connector, task or probe as `describe` shows it.

    kind:    connector | task | probe | template.   name: connector's name, `X-0`, or the question.
    pid:     0 in thread isolation, and for a connector that rests.
    metrics: the last snapshot, Java's attribute names.
    """

    kind: str
    name: str
    state: str
    pid: int
    metrics: Mapping[str, float]
    abandoned: bool = False


class Worker:
    """The parent half. Every method may be called from any thread, and returns at once."""

    def __init__(self, setup: WorkerSetup) -> None:
        self._setup = setup

    def start(self) -> None:
        """Start the reader thread and the bare template."""
        raise NotImplementedError

    def start_connector(self, spec: RunConnector, on_event: OnEvent) -> None:
        """Run a connector; `on_event` hears RUNNING, PAUSED, STOPPED, FAILED, UNASSIGNED."""
        raise NotImplementedError

    def stop_connector(self, name: str, timeout: float = 5.0) -> "Future[None]":
        """Stop it; done when it is gone, killed after `timeout` seconds (§5.6)."""
        raise NotImplementedError

    def start_task(self, spec: RunTask, on_event: OnEvent) -> None:
        """Run a task; `on_event` hears RUNNING, PAUSED, FAILED, UNASSIGNED, and what the task tells."""
        raise NotImplementedError

    def stop_tasks(self, ids: Iterable[TaskId], timeout: float | None = None) -> "Future[None]":
        """Stop these tasks; done when all are gone. `timeout` seconds for all together, by default the graceful one."""
        raise NotImplementedError

    def set_target(self, connector: str, target: TargetState) -> None:
        """Pause, resume or stop the connector and every task of it that runs here."""
        raise NotImplementedError

    def task_configs(self, connector: str, max_tasks: int, timeout: float = 60.0) -> "Future[list[dict[str, str]]]":
        """Ask the connector for its tasks' raw settings, complete as the config topic holds them (§2.8)."""
        raise NotImplementedError

    def probe(self, request: RunProbe, timeout: float = 90.0) -> "Future[Any]":
        """Ask a question about a plugin in a child of its own, killed after `timeout` seconds."""
        raise NotImplementedError

    def set_levels(self, levels: Mapping[str, int]) -> None:
        """Set log levels in running children and in those to come; 0 takes a level back."""
        raise NotImplementedError

    def describe(self) -> Sequence[ChildView]:
        """Give what runs now, from an immutable snapshot."""
        raise NotImplementedError

    def close(self, timeout: float | None = None) -> None:
        """Stop everything, wait at most the graceful time-out, kill the rest, end the templates."""
        raise NotImplementedError
