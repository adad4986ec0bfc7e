"""Events become counters, log lines and, later, dead letters (spec/runtime.md §6.3, §6.5, §6.6)."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from millstream.pipeline.tolerance import Event
from millstream_api import SourceRecord


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
    headers: Sequence[tuple[str, bytes | None]]


Original = SourceRecord | Consumed


class Reporter(Protocol):
    """Hears of every row that ended failed."""

    def report(self, event: Event, original: Original) -> Future[Any] | None:
        """Called in row order on the task's thread (TASK_PUT: on any). `event.error` is set.

        Gives what has to be done before offsets are committed, if anything is left to do."""
        ...


class Reporting:
    """Counts events and tells the reporters."""

    def __init__(self, reporters: Sequence[Reporter] = ()) -> None:
        self.counters = Counters()
        self.reporters = tuple(reporters)
