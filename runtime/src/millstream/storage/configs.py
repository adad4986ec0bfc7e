"""The config topic, written and followed: connectors, task configs, target states (spec §3.2)."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from millstream.broker.ports import Consumer, Producer
from millstream.errors import FencedError, MillstreamError, WorkerError
from millstream.identity import TargetState, TaskId
from millstream.lifecycle import Clock
from millstream.storage import config_state
from millstream.storage.config_state import ConfigState, Event, SessionKey, Settings
from millstream.storage.java_json import dump_bytes
from millstream.storage.topic_log import LogRow, TopicLog, write_rows

WRITE_SECONDS = 30.0
Rows = Sequence[tuple[bytes, bytes | None]]


@dataclass(frozen=True, slots=True)
class ConfigTopic:
    """whole_task_sets: task configs and their commit go in one transaction. So on the embedded log, where a new task
    config replaces the old one at once, a crash between the two would leave a set that nobody committed."""

    name: str
    whole_task_sets: bool = False


class ConfigWriter:
    """Writing methods raise WorkerError with Java's sentence; the cause says what hindered it."""

    def __init__(self, producer: Producer, topic: ConfigTopic, log: TopicLog) -> None:
        self._producer = producer
        self._topic = topic
        self._log = log

    def put_connector(self, name: str, settings: Settings, target: TargetState | None = None) -> None:
        rows = [] if target is None else [_target_row(name, target)]
        rows.append((f"connector-{name}".encode(), dump_bytes({"properties": settings})))
        with _told("Error writing connector configuration to Kafka"):
            self._write(rows)

    def remove_connector(self, name: str) -> None:
        with _told("Error removing connector configuration from Kafka"):
            self._write([(f"connector-{name}".encode(), None), (f"target-state-{name}".encode(), None)])

    def put_task_configs(self, name: str, configs: Sequence[Settings]) -> None:
        """The configs of tasks 0, 1, …; they take effect together."""
        rows = [(f"task-{name}-{n}".encode(), dump_bytes({"properties": c})) for n, c in enumerate(configs)]
        commit = (f"commit-{name}".encode(), dump_bytes({"tasks": len(configs)}))
        with _told("Error writing task configurations to Kafka"):
            self._log.read_to_end(WRITE_SECONDS)
            if self._topic.whole_task_sets:
                self._write([*rows, commit])
                return
            if rows:
                self._write(rows)
            self._write([commit])

    def put_target_state(self, name: str, target: TargetState) -> None:
        with _told("Error writing target state to Kafka"):
            self._write([_target_row(name, target)], read_back=not self._log.following)

    def put_task_count(self, name: str, count: int) -> None:
        """How many producers of the connector's tasks were fenced (KIP-618)."""
        with _told("Error writing task count record to Kafka"):
            self._write([(f"tasks-fencing-{name}".encode(), dump_bytes({"task-count": count}))])

    def put_session_key(self, key: SessionKey) -> None:
        value = {"key": key.key, "algorithm": key.algorithm, "creation-timestamp": key.created}
        with _told("Error writing session key to Kafka"):
            self._write([(b"session-key", dump_bytes(value))])

    def put_restart(self, name: str, include_tasks: bool, only_failed: bool) -> None:
        value = {"include-tasks": include_tasks, "only-failed": only_failed}
        with _told("Error writing restart request to Kafka"):
            self._write([(f"restart-connector-{name}".encode(), dump_bytes(value))])

    def put_logger_level(self, namespace: str, level: str) -> None:
        with _told("Error writing logger level to Kafka"):
            row = (f"logger-cluster-{namespace}".encode(), dump_bytes({"level": level}))
            self._write([row], read_back=not self._log.following)

    def _write(self, rows: Rows, read_back: bool = True) -> None:
        write_rows(self._producer, self._topic.name, rows, WRITE_SECONDS)
        if read_back:
            self._log.read_to_end(WRITE_SECONDS)


class ConfigStore(ConfigWriter):
    """listener: hears each event on the thread that read the record; it must not call the store's writing methods.
    Methods: any thread, one that writes at a time.
    """

    def __init__(
        self, clients: tuple[Producer, Consumer], topic: ConfigTopic, clock: Clock, listener: Callable[[Event], None]
    ) -> None:
        producer, consumer = clients
        super().__init__(producer, topic, TopicLog(consumer, topic.name, clock, self._apply))
        self._listener = listener
        self._state = ConfigState()
        self._lock = threading.Lock()
        self._started = False

    def start(self, follow: bool = False) -> None:
        """Read the topic to its end; nobody hears of what is there already."""
        self._log.start(1, follow)
        self._started = True

    def refresh(self, timeout: float = WRITE_SECONDS) -> None:
        """Read to the end. Raises WorkerError after `timeout` seconds."""
        self._log.read_to_end(timeout)

    def snapshot(self) -> ConfigState:
        with self._lock:
            return self._state.copy()

    def _apply(self, row: LogRow) -> None:
        with self._lock:
            events = config_state.read(self._state, row, self._started)
        for event in events:
            self._listener(event)

    def close(self) -> None:
        self._log.close()
        self._producer.close(WRITE_SECONDS)


def task_configs_changed(
    state: ConfigState, name: str, configs: Sequence[Settings], resolve: Callable[[Settings], Settings]
) -> bool:
    """Whether new raw task configs must be published: another number, another config, or the connector's own config,
    resolved, is not the one its tasks were made from (AbstractHerder.taskConfigsChanged)."""
    if state.task_counts.get(name) != len(configs):
        return True
    if any(state.tasks.get(TaskId(name, n)) != dict(config) for n, config in enumerate(configs)):
        return True
    applied, current = state.applied.get(name), state.connectors.get(name)
    if applied is None or current is None:
        return applied is not current
    return resolve(applied) != resolve(current)


def _target_row(name: str, target: TargetState) -> tuple[bytes, bytes]:
    old = "STARTED" if target is TargetState.STARTED else "PAUSED"  # workers before 3.5 know no STOPPED
    return f"target-state-{name}".encode(), dump_bytes({"state": old, "state.v2": target.value})


@contextmanager
def _told(sentence: str) -> Iterator[None]:
    try:
        yield
    except FencedError:
        raise
    except MillstreamError as error:
        raise WorkerError(f"{sentence}: {error}") from error
