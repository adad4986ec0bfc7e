"""What a task counts about itself (§11.3-11.5): once a batch, a poll or a commit, never once a record.

The values are under Java's attribute names. One thread records and reads.
"""

from millstream.identity import State
from millstream.metrics.readings import Measuring
from millstream.metrics.snapshot import Value
from millstream.metrics.windows import Shares, Window


class Total:
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
    """What every task has."""

    def __init__(self, measuring: Measuring) -> None:
        self._clock = measuring.clock
        self._states = Shares(State.UNASSIGNED.value.lower(), measuring.clock.monotonic())
        self._commit_ms = measuring.window()
        self._commit_ok = measuring.window()
        self._sizes = measuring.window()

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

    def values(self) -> dict[str, Value]:
        now = self._clock.monotonic()
        succeeded = self._commit_ok.average(now)
        return {
            "running-ratio": self._states.share("running", now),
            "pause-ratio": self._states.share("paused", now),
            "offset-commit-max-time-ms": self._commit_ms.highest(now),
            "offset-commit-avg-time-ms": self._commit_ms.average(now),
            "offset-commit-success-percentage": 0.0 if succeeded != succeeded else succeeded,
            "offset-commit-failure-percentage": 0.0 if succeeded != succeeded else 1.0 - succeeded,
            "batch-size-max": self._sizes.highest(now),
            "batch-size-avg": self._sizes.average(now),
        }


class SourceTaskMetrics(TaskMetrics):
    """Adds the metrics of a source task."""

    def __init__(self, measuring: Measuring) -> None:
        super().__init__(measuring)
        self._polled = Total(measuring)
        self._written = Total(measuring)
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

    def values(self) -> dict[str, Value]:
        now = self._clock.monotonic()
        values: dict[str, Value] = {
            **super().values(),
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
        return values


class SinkTaskMetrics(TaskMetrics):
    """Adds the metrics of a sink task."""

    def __init__(self, measuring: Measuring) -> None:
        super().__init__(measuring)
        self._read = Total(measuring)
        self._sent = Total(measuring)
        self._completed = Total(measuring)
        self._skipped = Total(measuring)
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
        self._sizes.record(rows, now)

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

    def values(self) -> dict[str, Value]:
        now = self._clock.monotonic()
        return {
            **super().values(),
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
