"""Events become counters, log lines and, with a reporter for it, dead letters (spec/runtime.md §6.3, §6.5, §6.6)."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from millstream.pipeline.tolerance import Event
from millstream_api import Place, SourceRecord

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Counters:
    """task-error-metrics (§11.6), since the task started."""

    failures: int = 0
    errors: int = 0
    skipped: int = 0
    retries: int = 0
    logged: int = 0
    last_error_ms: int = 0

    def values(self) -> Mapping[str, float]:
        """By Java's attribute names."""
        return {
            "total-record-failures": self.failures,
            "total-record-errors": self.errors,
            "total-records-skipped": self.skipped,
            "total-retries": self.retries,
            "total-errors-logged": self.logged,
            # none is written: errors.deadletterqueue.topic.name is refused
            "deadletterqueue-produce-requests": 0,
            "deadletterqueue-produce-failures": 0,
            "last-error-timestamp": self.last_error_ms,
        }


@dataclass(frozen=True, slots=True)
class Consumed:
    """A record as the consumer gave it. offset None: a plugin reported a record that was never consumed."""

    topic: str
    partition: int | None
    offset: int | None
    timestamp: int | None
    timestamp_type: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


Original = SourceRecord | Consumed


class Reporter(Protocol):
    """Hears of every row that ended failed."""

    def report(self, event: Event, original: Original) -> Future[Any] | None:
        """Called in row order on the task's thread (TASK_PUT: on any). `event.error` is set.

        Gives what has to be done before offsets are committed, if anything is left to do."""
        ...


class Reporting:
    """Counts events and tells the reporters, in row order."""

    def __init__(self, reporters: Sequence[Reporter] = (), counters: Counters | None = None) -> None:
        self.counters = counters if counters is not None else Counters()
        self.reporters = tuple(reporters)
        self._lock = threading.Lock()  # a sink may report from a thread of its own

    def tell(self, events: Sequence[Event], original: Callable[[int], Original]) -> Sequence[Future[Any]]:
        """Take the events of a slice; `original(row)` is asked for failed rows only."""
        if not events:
            return ()
        with self._lock:
            pending: list[Future[Any]] = []
            for event in events:
                self._count(event)
                if event.error is not None and self.reporters:
                    found = original(event.row)
                    futures = (reporter.report(event, found) for reporter in self.reporters)
                    pending.extend(future for future in futures if future is not None)
            return pending

    def _count(self, event: Event) -> None:
        counters = self.counters
        counters.failures += event.failures
        counters.retries += event.retries
        counters.skipped += event.skipped
        if event.error is not None:
            counters.errors += 1
            counters.last_error_ms = event.at_ms


class LogReporter:
    """`errors.log.enable`: one ERROR line for each failed record.

    include_messages: `errors.log.include.messages`: with the record, its contents among it.
    """

    def __init__(self, task: str, include_messages: bool, counters: Counters) -> None:
        self._task = task
        self._include_messages = include_messages
        self._counters = counters

    def report(self, event: Event, original: Original) -> None:
        text = f"Error encountered in task {self._task}. Executing stage '{event.site.stage.value}'"
        text += f" with class '{event.site.class_name}'"
        log.error("%s%s.", text, self._where(original) if self._include_messages else "", exc_info=event.error)
        self._counters.logged += 1

    @staticmethod
    def _where(original: Original) -> str:
        if isinstance(original, SourceRecord):
            return f", where source record is = {spelled(original)}"
        stamp = f", timestamp={original.timestamp}, timestampType={original.timestamp_type}"
        where = f"topic='{original.topic}', partition={_java(original.partition)}, offset={_java(original.offset)}"
        return f", where consumed record is {{{where}{'' if original.timestamp is None else stamp}}}"


def spelled(record: SourceRecord) -> str:
    """A source record as SourceRecord.toString of Java spells it; structs and other values as Python does."""
    headers = ", ".join(f"ConnectHeader(key={name}, value={_java(value)})" for name, value, _ in record.headers)
    fields = (
        ("topic", f"'{record.topic}'"),
        ("kafkaPartition", _java(record.partition)),
        ("key", _java(record.key)),
        ("keySchema", _java(record.key_schema)),
        ("value", _java(record.value)),
        ("valueSchema", _java(record.value_schema)),
        ("timestamp", _java(record.timestamp)),
        ("headers", f"ConnectHeaders(headers={headers})"),
    )
    body = ", ".join(f"{name}={text}" for name, text in fields)
    places = f"sourcePartition={_place(record.source_partition)}, sourceOffset={_place(record.source_offset)}"
    return f"SourceRecord{{{places}}} ConnectRecord{{{body}}}"


def _place(place: Place | None) -> str:
    if place is None:
        return "null"
    return "{" + ", ".join(f"{name}={_java(value)}" for name, value in place.items()) + "}"


def _java(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
