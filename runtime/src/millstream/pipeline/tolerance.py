"""What becomes of a row whose operation failed: retry, skip, or the end of the task (spec/runtime.md §6.2)."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

from millstream.errors import MillstreamError, RetriableError
from millstream.lifecycle import Clock

T = TypeVar("T")

FIRST_DELAY_MS = 300


class Stage(Enum):
    """Where an operation on a record failed; the values are Connect's, in logs and dead-letter headers."""

    TRANSFORMATION = "TRANSFORMATION"
    KEY_CONVERTER = "KEY_CONVERTER"
    VALUE_CONVERTER = "VALUE_CONVERTER"
    HEADER_CONVERTER = "HEADER_CONVERTER"
    KAFKA_PRODUCE = "KAFKA_PRODUCE"
    TASK_PUT = "TASK_PUT"


@dataclass(frozen=True, slots=True)
class Site:
    """An operation of the pipeline: its stage and the class that does it, by the name operators know."""

    stage: Stage
    class_name: str


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to one row at one site, told once, when the operation on it has ended.

    failures: failed attempts, the last one included.
    retries:  attempts after the first.
    error:    what ended it; None when a retry succeeded.
    skipped:  the row goes no further and the task goes on.
    at_ms:    when, milliseconds since 1970.
    """

    row: int
    site: Site
    failures: int
    retries: int
    error: Exception | None
    skipped: bool
    at_ms: int


@dataclass(frozen=True, slots=True)
class Tolerance:
    """`errors.*` of a connector. retry_timeout_ms: -1 without end, 0 no retry."""

    all: bool = False
    retry_timeout_ms: int = 0
    retry_delay_max_ms: int = 60_000

    def delay_ms(self, attempt: int, choose: Callable[[int], int]) -> int:
        """Milliseconds to wait after failed attempt number `attempt` (1 = the first).

        choose: a random number of [0, its argument), for delays beyond the largest allowed one.
        """
        delay = FIRST_DELAY_MS << min(attempt - 1, 40)
        if delay <= self.retry_delay_max_ms:
            return delay
        return choose(self.retry_delay_max_ms) if self.retry_delay_max_ms > 0 else 0


@dataclass(frozen=True, slots=True)
class Handling:
    """How a task meets failures.

    wait:   sleeps so many seconds; true when it is time to stop, which ends the retries.
    choose: a random number of [0, its argument).
    """

    tolerance: Tolerance
    clock: Clock
    wait: Callable[[float], bool]
    choose: Callable[[int], int] = field(default=random.randrange)


class Lost(Enum):
    """What `Journal.settle` gives for a row that goes no further."""

    LOST = "lost"


LOST = Lost.LOST


class Journal:
    """The failures of one slice.

    limit:   the first row that does not count any more: the lowest one that ended the task, else the number of rows.
    failure: why the task has to end at row `limit`.
    """

    __slots__ = ("_handling", "_noted", "failure", "limit")

    def __init__(self, handling: Handling, rows: int) -> None:
        self._handling = handling
        self._noted: list[Event] = []
        self.limit = rows
        self.failure: Exception | None = None

    @property
    def events(self) -> list[Event]:
        """In row order, within a row as they happened; those behind the row that ended the task are left out."""
        if not self._noted:
            return []
        return sorted((event for event in self._noted if event.row <= self.limit), key=lambda event: event.row)

    @property
    def failed_row(self) -> int | None:
        """The row that ended the task."""
        return None if self.failure is None else self.limit

    def cut(self, row: int, failure: Exception) -> None:
        """End the task at this row, whatever is tolerated."""
        if row < self.limit:
            self.limit = row
            self.failure = failure

    def locate(self, where: str) -> None:
        """Add to the failure where its row is, and at which stage: Connect's own words do not say."""
        if self.failure is None:
            return
        sites = [event.site for event in self._noted if event.row == self.limit and event.error is not None]
        stage = f", stage {sites[-1].stage.value} with {sites[-1].class_name}" if sites else ""
        skip = (
            ", or skip such records with errors.tolerance=all" if sites else ""
        )  # else it fails whatever is tolerated
        self.failure.add_note(f"{where}{stage}; mend the record or the settings and restart the task{skip}")

    def settle(self, row: int, site: Site, error: Exception, again: Callable[[], T]) -> T | Lost:
        """Say what becomes of a row whose first attempt raised `error`.

        Retries with `again` while it is a RetriableError and time is left; gives its result, or LOST.
        A row whose retries are exhausted is skipped under either tolerance (RetryWithToleranceOperator.java).
        """
        failures, retries = 1, 0
        deadline = self._deadline()
        while isinstance(error, RetriableError):
            remaining = deadline - self._handling.clock.monotonic()
            stopping = remaining > 0 and self._back_off(failures, remaining)
            retries += remaining > 0
            if stopping or remaining <= 0:
                self._note(Event(row, site, failures, retries, error, True, self._now_ms()))
                return LOST
            try:
                result = again()
            except Exception as next_error:  # noqa: BLE001 - plugin code; what it raises is the record's failure
                error = next_error
                failures += 1
            else:
                self._note(Event(row, site, failures, retries, None, False, self._now_ms()))
                return result
        tolerated = self._handling.tolerance.all
        self._note(Event(row, site, failures, retries, error, tolerated, self._now_ms()))
        if not tolerated:
            self.cut(row, exceeded(error))
        return LOST

    def _deadline(self) -> float:
        timeout_ms = self._handling.tolerance.retry_timeout_ms
        return self._handling.clock.monotonic() + timeout_ms / 1000 if timeout_ms >= 0 else math.inf

    def _back_off(self, attempt: int, remaining: float) -> bool:
        delay_ms = self._handling.tolerance.delay_ms(attempt, self._handling.choose)
        return self._handling.wait(min(delay_ms / 1000, remaining))

    def _now_ms(self) -> int:
        return self._handling.clock.now_ms()

    def _note(self, event: Event) -> None:
        self._noted.append(event)


def exceeded(error: Exception) -> MillstreamError:
    """The failure of a task that tolerates none, in Connect's words, with its cause."""
    failure = MillstreamError("Tolerance exceeded in error handler")
    failure.__cause__ = error
    return failure
