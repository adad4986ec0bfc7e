"""The status topic (spec §3.4, KafkaStatusBackingStore.java): states of connectors and tasks, topics they use."""

import logging
import threading
from dataclasses import dataclass
from typing import Any

from millstream.broker.complaint import Complaint
from millstream.broker.ports import Consumer, Producer
from millstream.errors import BrokerError, WorkerError
from millstream.identity import State, Status, TaskId
from millstream.lifecycle import Clock
from millstream.storage.java_json import dump_bytes, loads
from millstream.storage.topic_log import LogRow, TopicLog, write_rows

log = logging.getLogger(__name__)

CONNECTOR, TASK, TOPIC = "status-connector-", "status-task-", "status-topic-"
BETWEEN = ":connector-"
WRITE_SECONDS = 30.0

Subject = str | TaskId
"""A connector's name, or a task."""


@dataclass(frozen=True, slots=True)
class TopicStatus:
    """A topic that a connector uses; discovered: ms since 1970, by that task."""

    topic: str
    connector: str
    task: int
    discovered: int


@dataclass(frozen=True, slots=True)
class _Pending:
    """A write that the broker could not take yet. safe: as of `put_safe`."""

    value: bytes | None
    status: Status | None
    safe: bool


class StatusCache:
    """What the topic says. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._statuses: dict[Subject, Status] = {}
        self._topics: dict[str, dict[str, TopicStatus]] = {}

    def get(self, subject: Subject) -> Status | None:
        with self._lock:
            return self._statuses.get(subject)

    def all(self) -> dict[Subject, Status]:
        """Every status known, by connector name or task."""
        with self._lock:
            return dict(self._statuses)

    def topics(self, connector: str) -> list[TopicStatus]:
        with self._lock:
            return list(self._topics.get(connector, {}).values())

    def _is_safe(self, subject: Subject, status: Status) -> bool:
        stored = self.get(subject)
        return stored is None or stored.worker_id == status.worker_id or stored.generation <= status.generation

    def _apply(self, row: LogRow) -> None:
        key = (row.key or b"").decode(errors="replace")
        try:
            value = None if row.value is None else loads(row.value)
        except ValueError:
            log.error("Ignoring the status %r at offset %d: it is not JSON", key, row.offset)
            return
        subject = _subject(key)
        with self._lock:
            if subject is not None:
                self._apply_status(subject, value)
            elif key.startswith(TOPIC):
                self._apply_topic(key, value)
            else:
                log.warning("Ignoring the record %r of the status topic: unknown kind of key", key)

    def _apply_status(self, subject: Subject, value: Any) -> None:
        if value is None:
            self._statuses.pop(subject, None)
            if isinstance(subject, str):
                for task in [one for one in self._statuses if isinstance(one, TaskId) and one.connector == subject]:
                    del self._statuses[task]
            return
        status = _status(value)
        if status is None:
            log.error("Ignoring the status of %s: it is not readable", subject)
            return
        stored = self._statuses.get(subject)
        stale = isinstance(subject, TaskId) and status.state is State.UNASSIGNED and stored is not None
        if stale and stored and stored.state is State.RUNNING and stored.generation >= status.generation:
            return
        self._statuses[subject] = status

    def _apply_topic(self, key: str, value: Any) -> None:
        topic, colon, connector = key.removeprefix(TOPIC).partition(BETWEEN)
        if not colon or not topic or not connector or ":" in topic:
            log.warning("Ignoring the record %r of the status topic: it names no topic and connector", key)
            return
        if value is None:
            self._topics.get(connector, {}).pop(topic, None)
            return
        found = value.get("topic") if isinstance(value, dict) else None
        numbers = [found.get(name, 0) for name in ("task", "discoverTimestamp")] if isinstance(found, dict) else []
        if not numbers or not all(isinstance(number, int) for number in numbers):
            log.warning(
                "Ignoring the record %r of the status topic: it has no 'topic' with whole numbers 'task' and "
                "'discoverTimestamp'",
                key,
            )
            return
        self._topics.setdefault(connector, {})[topic] = TopicStatus(topic, connector, *numbers)


class StatusStore(StatusCache):
    """Any thread. What the broker cannot take now (a full disk), or not in time, is kept, newest per key, and written
    by `retry`."""

    def __init__(self, clients: tuple[Producer, Consumer], topic: str, clock: Clock) -> None:
        super().__init__()
        self._producer, consumer = clients
        self._topic = topic
        self._log = TopicLog(consumer, topic, clock, self._apply)
        self._complaint = Complaint(clock, log, "states can be written again")
        self._writing = threading.Lock()
        self._pending: dict[str, _Pending] = {}
        self._generation = 0

    def start(self, partitions: int, follow: bool = False) -> None:
        self._log.start(partitions, follow)

    def refresh(self) -> None:
        self._log.read_to_end()

    def put(self, subject: Subject, status: Status) -> None:
        """Write, whatever is stored."""
        self._generation = max(self._generation, status.generation)
        self._write(_key(subject), _Pending(_value(status), status, safe=False))

    def put_safe(self, subject: Subject, status: Status) -> None:
        """Write unless another worker of a later generation has spoken: for UNASSIGNED and FAILED."""
        self._generation = max(self._generation, status.generation)
        if self._is_safe(subject, status):
            self._write(_key(subject), _Pending(_value(status), status, safe=True))

    def delete(self, subject: Subject) -> None:
        """Write DESTROYED; a connector's tasks go with it once that is read."""
        self._write(_key(subject), _Pending(None, None, safe=False))

    def put_topic(self, status: TopicStatus) -> None:
        value = {"name": status.topic, "connector": status.connector, "task": status.task}
        document = {"topic": {**value, "discoverTimestamp": status.discovered}}
        self._write(_topic_key(status.topic, status.connector), _Pending(dump_bytes(document), None, safe=False))

    def delete_topic(self, topic: str, connector: str) -> None:
        self._write(_topic_key(topic, connector), _Pending(None, None, safe=False))

    def retry(self) -> int:
        """Write what could not be written; how many are still waiting. A status of an older generation than this
        worker's newest, or one that is no longer safe, is dropped."""
        with self._lock:
            waiting = dict(self._pending)
        for key, pending in waiting.items():
            if self._outdated(key, pending):
                with self._lock:
                    self._pending.pop(key, None)
            elif not self._try(key, pending):
                break
        with self._lock:
            return len(self._pending)

    def _outdated(self, key: str, pending: _Pending) -> bool:
        status = pending.status
        if status is None:
            return False
        subject = _subject(key)
        unsafe = pending.safe and subject is not None and not self._is_safe(subject, status)
        return status.generation != self._generation or unsafe

    def _write(self, key: str, pending: _Pending) -> None:
        with self._lock:
            self._pending[key] = pending
        self._try(key, pending)

    def _try(self, key: str, pending: _Pending) -> bool:
        try:
            with self._writing:
                write_rows(self._producer, self._topic, [(key.encode(), pending.value)], WRITE_SECONDS)
                if not self._log.following:
                    self._log.read_to_end()
        except (BrokerError, WorkerError) as error:  # the latter: it took too long
            if isinstance(error, WorkerError) or error.retriable:
                self._complaint.failed(f"could not write the status {key!r}; it is written later: {error}")
                return False
            log.error("Could not write the status %r: %s", key, error)
        else:
            self._complaint.mended()
        with self._lock:
            if self._pending.get(key) is pending:
                del self._pending[key]
        return True

    def close(self) -> None:
        self._log.close()
        self._producer.close(WRITE_SECONDS)


def _key(subject: Subject) -> str:
    return f"{CONNECTOR}{subject}" if isinstance(subject, str) else f"{TASK}{subject}"


def _topic_key(topic: str, connector: str) -> str:
    return f"{TOPIC}{topic}{BETWEEN}{connector}"


def _subject(key: str) -> Subject | None:
    if key.startswith(CONNECTOR):
        return key.removeprefix(CONNECTOR)
    if key.startswith(TASK):
        try:
            return TaskId.parse(key.removeprefix(TASK))
        except ValueError:
            return None
    return None


def _value(status: Status) -> bytes:
    return dump_bytes(
        {
            "state": status.state.value,
            "trace": status.trace,
            "worker_id": status.worker_id,
            "generation": status.generation,
            "version": status.version,
        }
    )


def _status(value: Any) -> Status | None:
    state = value.get("state") if isinstance(value, dict) else None
    if not isinstance(state, str) or state not in State.__members__:
        return None
    generation = value.get("generation", 0)
    trace, version = (text if isinstance(text, str) else None for text in (value.get("trace"), value.get("version")))
    worker_id = str(value.get("worker_id", ""))
    return Status(State[state], worker_id, trace, generation if isinstance(generation, int) else 0, version)
