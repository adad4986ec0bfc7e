"""What the records of the config topic mean (spec §3.2, KafkaConfigBackingStore.java): a pure reader."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from millstream.identity import TargetState, TaskId
from millstream.storage.java_json import loads
from millstream.storage.topic_log import LogRow

log = logging.getLogger(__name__)

Settings = Mapping[str, str | None]

TARGET, CONNECTOR, TASK, COMMIT = "target-state-", "connector-", "task-", "commit-"
RESTART, FENCING, SESSION_KEY, LOGGER = "restart-connector-", "tasks-fencing-", "session-key", "logger-cluster-"


@dataclass(frozen=True, slots=True)
class ConnectorChanged:
    name: str


@dataclass(frozen=True, slots=True)
class ConnectorRemoved:
    name: str


@dataclass(frozen=True, slots=True)
class TasksChanged:
    """tasks: those whose configs took effect; empty when the set was incomplete."""

    name: str
    tasks: tuple[TaskId, ...]


@dataclass(frozen=True, slots=True)
class TargetChanged:
    name: str


@dataclass(frozen=True, slots=True)
class SessionKey:
    """key: base64. created: ms since 1970."""

    key: str
    algorithm: str
    created: int


@dataclass(frozen=True, slots=True)
class RestartRequest:
    name: str
    include_tasks: bool
    only_failed: bool


@dataclass(frozen=True, slots=True)
class LoggerLevel:
    namespace: str
    level: str


Event = ConnectorChanged | ConnectorRemoved | TasksChanged | TargetChanged | SessionKey | RestartRequest | LoggerLevel


@dataclass(slots=True)
class ConfigState:
    """Everything the topic says. offset: of the record after the last one understood, -1 before the first."""

    offset: int = -1
    session_key: SessionKey | None = None
    connectors: dict[str, Settings] = field(default_factory=dict)
    targets: dict[str, TargetState] = field(default_factory=dict)
    tasks: dict[TaskId, Settings] = field(default_factory=dict)
    task_counts: dict[str, int] = field(default_factory=dict)
    fenced_counts: dict[str, int] = field(default_factory=dict)  # of the tasks-fencing records
    generations: dict[str, int] = field(default_factory=dict)
    applied: dict[str, Settings] = field(default_factory=dict)  # the connector's config its tasks were made from
    inconsistent: set[str] = field(default_factory=set)
    pending_fencing: set[str] = field(default_factory=set)
    deferred: dict[str, dict[int, Settings]] = field(default_factory=dict)

    def tasks_of(self, name: str) -> list[TaskId]:
        """In order; none while the set is incomplete."""
        if name in self.inconsistent:
            return []
        return [TaskId(name, number) for number in range(self.task_counts.get(name, 0))]

    def copy(self) -> "ConfigState":
        """A snapshot: later records do not change it."""
        return ConfigState(
            self.offset,
            self.session_key,
            dict(self.connectors),
            dict(self.targets),
            dict(self.tasks),
            dict(self.task_counts),
            dict(self.fenced_counts),
            dict(self.generations),
            dict(self.applied),
            set(self.inconsistent),
            set(self.pending_fencing),
            {name: dict(tasks) for name, tasks in self.deferred.items()},
        )


def read(state: ConfigState, row: LogRow, started: bool) -> list[Event]:
    """Apply one record and give what listeners are to hear. started: the first read to the end is behind us; before
    it nobody hears anything, and restart requests and logger levels, which live but once, are passed over."""
    key = (row.key or b"").decode(errors="replace")
    try:
        value = None if row.value is None else loads(row.value)
    except ValueError:
        log.error("Ignoring the record %r at offset %d of the config topic: it is not JSON", key, row.offset)
        return []
    state.offset = row.offset + 1
    for prefix, reader in _READERS:
        if key.startswith(prefix):
            events = list(reader(state, key.removeprefix(prefix), value))
            return events if started else []
    log.error("Ignoring the record %r at offset %d of the config topic: unknown kind of key", key, row.offset)
    return []


def _target(state: ConfigState, name: str, value: Any) -> Iterator[Event]:
    before = state.targets.get(name)
    if value is None:
        state.targets.pop(name, None)
        if name in state.connectors:
            state.targets[name] = TargetState.STARTED
        return
    newest = value.get("state.v2") if isinstance(value, dict) else None
    text = newest if isinstance(newest, str) else value.get("state") if isinstance(value, dict) else None
    if not isinstance(text, str) or text not in TargetState.__members__:
        log.error(
            "Ignoring the target state of connector %r: %r is none of %s",
            name,
            text,
            ", ".join(TargetState.__members__),
        )
        return
    state.targets[name] = TargetState[text]
    if state.targets[name] is not before and name in state.connectors:
        yield TargetChanged(name)


def _connector(state: ConfigState, name: str, value: Any) -> Iterator[Event]:
    if value is None:
        forget(state, name)
        yield ConnectorRemoved(name)
        return
    settings = _properties(value)
    if settings is None:
        log.error("Ignoring the config of connector %r: it has no 'properties'", name)
        return
    state.connectors[name] = settings
    state.targets.setdefault(name, TargetState.STARTED)
    yield ConnectorChanged(name)


def forget(state: ConfigState, name: str) -> None:
    """What a connector's tombstone removes: not its target state, task-count record, generation or flags."""
    for known in (state.connectors, state.task_counts, state.deferred, state.applied):
        known.pop(name, None)
    for task in [task for task in state.tasks if task.connector == name]:
        del state.tasks[task]


def _task(state: ConfigState, name: str, value: Any) -> Iterator[Event]:
    try:
        task = TaskId.parse(name)
    except ValueError:
        log.error("Ignoring the task config %r: its key does not end in -<number>", name)
        return
    settings = _properties(value)
    if settings is None:
        log.error("Ignoring the config of task %s: it has no 'properties'", task)
        return
    state.deferred.setdefault(task.connector, {})[task.task] = settings
    yield from ()


def _commit(state: ConfigState, name: str, value: Any) -> Iterator[Event]:
    if name not in state.connectors:
        forget(state, name)  # deleted, and its tombstone compacted away
        return
    count = value.get("tasks") if isinstance(value, dict) else None
    if not isinstance(count, int) or isinstance(count, bool):
        log.error("Ignoring the commit of the tasks of connector %r: it has no whole number 'tasks'", name)
        return
    deferred = state.deferred.pop(name, None)
    applied: tuple[TaskId, ...] = ()
    if set(range(count)) <= (deferred or {}).keys():
        if deferred is not None:
            applied = tuple(TaskId(name, number) for number in sorted(deferred))
            state.tasks.update({TaskId(name, number): settings for number, settings in deferred.items()})
            state.generations[name] = state.generations.get(name, -1) + 1
        state.inconsistent.discard(name)
        state.applied[name] = state.connectors[name]
    else:
        log.debug("The task configs of connector %r are incomplete: %d were committed", name, count)
        state.inconsistent.add(name)
    state.task_counts[name] = count
    state.pending_fencing.add(name)
    yield TasksChanged(name, applied)


def _restart(state: ConfigState, name: str, value: Any) -> Iterator[Event]:
    if isinstance(value, dict):
        yield RestartRequest(name, value.get("include-tasks") is True, value.get("only-failed") is True)


def _fencing(state: ConfigState, name: str, value: Any) -> Iterator[Event]:
    count = value.get("task-count") if isinstance(value, dict) else None
    if not isinstance(count, int) or isinstance(count, bool):
        log.error("Ignoring the task count of connector %r: it has no whole number 'task-count'", name)
        return
    state.fenced_counts[name] = count
    state.pending_fencing.discard(name)
    yield from ()


def _session_key(state: ConfigState, rest: str, value: Any) -> Iterator[Event]:
    if rest or not isinstance(value, dict):
        return
    key, algorithm, created = value.get("key"), value.get("algorithm"), value.get("creation-timestamp")
    if isinstance(key, str) and isinstance(algorithm, str) and isinstance(created, int):
        state.session_key = SessionKey(key, algorithm, created)
        yield state.session_key
    else:
        log.error("Ignoring a session key: it lacks one of key, algorithm, creation-timestamp")


def _logger(state: ConfigState, namespace: str, value: Any) -> Iterator[Event]:
    level = value.get("level") if isinstance(value, dict) else None
    if isinstance(level, str):
        yield LoggerLevel(namespace, level)


def _properties(value: Any) -> Settings | None:
    found = value.get("properties") if isinstance(value, dict) else None
    if not isinstance(found, dict):
        return None
    return {name: text if text is None or isinstance(text, str) else str(text) for name, text in found.items()}


Reader = Callable[[ConfigState, str, Any], Iterator[Event]]
_READERS: tuple[tuple[str, Reader], ...] = (
    (TARGET, _target),
    (CONNECTOR, _connector),
    (TASK, _task),
    (COMMIT, _commit),
    (RESTART, _restart),
    (FENCING, _fencing),
    (SESSION_KEY, _session_key),
    (LOGGER, _logger),
)
