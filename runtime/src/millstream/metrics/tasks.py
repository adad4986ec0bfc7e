"""What a task counts about itself: once a batch, a poll or a commit, never once a record.

One thread records; `readings` may be called from another and is then at most one batch old.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from millstream.identity import State, TaskId
from millstream.lifecycle import Clock
from millstream.metrics import names
from millstream.metrics.snapshot import Reading, Value
from millstream.metrics.windows import Shares, Window


@dataclass(frozen=True, slots=True)
class Measuring:
    """How metrics are taken: `metrics.sample.window.ms`, `metrics.num.samples`, and by which clock."""

    clock: Clock
    window_ms: int = 30_000
    samples: int = 2

    def window(self) -> Window:
        return Window(self.window_ms / 1000, self.samples)


class Counted:
    """A total and its rate."""

    __slots__ = ("total", "window")

    def __init__(self, measuring: Measuring) -> None:
        self.total = 0
        self.window = measuring.window()

    def add(self, count: int, now: float) -> None:
        self.total += count
        self.window.record(count, now)

    def values(self, name: str, now: float) -> dict[str, Value]:
        return {f"{name}-rate": self.window.rate(now), f"{name}-total": self.total}


class TaskMetrics:
    """Group `connector-task-metrics`: what every task has."""

    def __init__(self, task: TaskId, measuring: Measuring, state: State = State.UNASSIGNED) -> None:
        self.tags: Mapping[str, str] = {"connector": task.connector, "task": str(task.task)}
        self._clock = measuring.clock
        self._states = Shares(state.value.lower(), measuring.clock.monotonic())
        self._commit_ms = measuring.window()
        self._commit_ok = measuring.window()
        self._sizes = measuring.window()
        self.errors = ErrorCounts()

    def in_state(self, state: State) -> None:
        self._states.change(state.value.lower(), self._clock.monotonic())

    def batch(self, rows: int) -> None:
        """A batch was polled (source) or given to `put` (sink)."""
        self._sizes.record(rows, self._clock.monotonic())

    def committed(self, duration_ms: float, succeeded: bool) -> None:
        """A commit of offsets has ended, `duration_ms` after it was begun."""
        now = self._clock.monotonic()
        self._commit_ms.record(duration_ms, now)
        self._commit_ok.record(1.0 if succeeded else 0.0, now)

    def failed(self, now_ms: int) -> None:
        """An error was met; the other counts of errors are in `errors`."""
        self.errors.last_error_timestamp = now_ms

    def readings(self) -> list[Reading]:
        now = self._clock.monotonic()
        succeeded = self._commit_ok.average(now)
        values: dict[str, Value] = {
            "status": self._states.state,
            "running-ratio": self._states.share("running", now),
            "pause-ratio": self._states.share("paused", now),
            "offset-commit-max-time-ms": self._commit_ms.highest(now),
            "offset-commit-avg-time-ms": self._commit_ms.average(now),
            "offset-commit-success-percentage": 0.0 if succeeded != succeeded else succeeded,
            "offset-commit-failure-percentage": 0.0 if succeeded != succeeded else 1.0 - succeeded,
            "batch-size-max": self._sizes.highest(now),
            "batch-size-avg": self._sizes.average(now),
        }
        return [Reading(names.TASK, self.tags, values), Reading(names.TASK_ERROR, self.tags, self.errors.values())]


@dataclass(slots=True)
class ErrorCounts:
    """Group `task-error-metrics`, counted from the events of a slice after its last stage (spec §6.6)."""

    total_record_failures: int = 0
    total_record_errors: int = 0
    total_records_skipped: int = 0
    total_retries: int = 0
    total_errors_logged: int = 0
    deadletterqueue_produce_requests: int = 0
    deadletterqueue_produce_failures: int = 0
    last_error_timestamp: int = field(default=0)

    def values(self) -> dict[str, Value]:
        return {name.replace("_", "-"): getattr(self, name) for name in self.__slots__}


class SourceTaskMetrics(TaskMetrics):
    """Adds group `source-task-metrics`."""

    def __init__(self, task: TaskId, measuring: Measuring, state: State = State.UNASSIGNED) -> None:
        super().__init__(task, measuring, state)
        self._polled = Counted(measuring)
        self._written = Counted(measuring)
        self._poll_ms = measuring.window()
        self._active = measuring.window()
        self._active_now = 0
        self._transactions: Window | None = None
        self._measuring = measuring

    def polled(self, rows: int, duration_ms: float) -> None:
        """`poll` has returned; an empty poll counts for its duration only."""
        now = self._clock.monotonic()
        self._poll_ms.record(duration_ms, now)
        if rows:
            self._polled.add(rows, now)
            self.batch(rows)
            self._set_active(self._active_now + rows, now)

    def written(self, rows: int, skipped: int = 0) -> None:
        """`rows` were acknowledged; `skipped` were dropped by a transformation or for an error."""
        now = self._clock.monotonic()
        if rows:
            self._written.add(rows, now)
        self._set_active(max(0, self._active_now - rows - skipped), now)

    def transaction(self, rows: int) -> None:
        """A transaction of `rows` records was committed; without any call its metrics are absent, as in Java."""
        if self._transactions is None:
            self._transactions = self._measuring.window()
        self._transactions.record(rows, self._clock.monotonic())

    def _set_active(self, count: int, now: float) -> None:
        self._active_now = count
        self._active.record(count, now)

    def readings(self) -> list[Reading]:
        now = self._clock.monotonic()
        values: dict[str, Value] = {
            **self._polled.values("source-record-poll", now),
            **self._written.values("source-record-write", now),
            "poll-batch-max-time-ms": self._poll_ms.highest(now),
            "poll-batch-avg-time-ms": self._poll_ms.average(now),
            "source-record-active-count": self._active_now,
            "source-record-active-count-max": self._active.highest(now),
            "source-record-active-count-avg": self._active.average(now),
        }
        if self._transactions is not None:
            values["transaction-size-min"] = self._transactions.lowest(now)
            values["transaction-size-max"] = self._transactions.highest(now)
            values["transaction-size-avg"] = self._transactions.average(now)
        return [*super().readings(), Reading(names.SOURCE_TASK, self.tags, values)]


class SinkTaskMetrics(TaskMetrics):
    """Adds group `sink-task-metrics`."""

    def __init__(self, task: TaskId, measuring: Measuring, state: State = State.UNASSIGNED) -> None:
        super().__init__(task, measuring, state)
        self._read = Counted(measuring)
        self._sent = Counted(measuring)
        self._completed = Counted(measuring)
        self._skipped = Counted(measuring)
        self._put_ms = measuring.window()
        self._active = measuring.window()
        self._active_now = 0
        self.partition_count = 0
        self.offset_commit_seq_no = 0

    def read(self, rows: int) -> None:
        """`rows` were consumed, before transformations."""
        self._read.add(rows, self._clock.monotonic())

    def put(self, rows: int, duration_ms: float) -> None:
        """`put` has returned for `rows` records."""
        now = self._clock.monotonic()
        self._put_ms.record(duration_ms, now)
        self._sent.add(rows, now)
        self.batch(rows)

    def active(self, rows: int) -> None:
        """`rows` are consumed and not committed: over all partitions, consumed less committed offset, never below 0."""
        self._active_now = rows
        self._active.record(rows, self._clock.monotonic())

    def commit_completed(self, sequence: int, late: bool = False) -> None:
        """Commit number `sequence` succeeded; `late`: a newer one had been begun, so that it counts as skipped."""
        now = self._clock.monotonic()
        (self._skipped if late else self._completed).add(1, now)
        if not late:
            self.offset_commit_seq_no = sequence

    def readings(self) -> list[Reading]:
        now = self._clock.monotonic()
        values: dict[str, Value] = {
            **self._read.values("sink-record-read", now),
            **self._sent.values("sink-record-send", now),
            "partition-count": self.partition_count,
            "offset-commit-seq-no": self.offset_commit_seq_no,
            **self._completed.values("offset-commit-completion", now),
            **self._skipped.values("offset-commit-skip", now),
            "put-batch-max-time-ms": self._put_ms.highest(now),
            "put-batch-avg-time-ms": self._put_ms.average(now),
            "sink-record-active-count": self._active_now,
            "sink-record-active-count-max": self._active.highest(now),
            "sink-record-active-count-avg": self._active.average(now),
        }
        return [*super().readings(), Reading(names.SINK_TASK, self.tags, values)]
