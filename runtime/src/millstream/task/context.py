"""What a plugin's task is given: the contexts of `millstream_api`, over a control and the broker's clients.

Their methods may be called from any thread; what has to happen on the task's thread is noted here and taken by the
loop at its next step.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

from millstream.errors import IllegalStateError
from millstream.task.control import Control
from millstream.task.events import Progressed, Tell
from millstream.task.offsets import OffsetReader
from millstream_api import Place, SinkRecord, TopicPartition


class TaskContext:
    """The part that sources and sinks share."""

    def __init__(self, control: Control, tell: Tell) -> None:
        self._control = control
        self._tell = tell
        self._thread = threading.get_ident()
        self._before_waiting: Callable[[], None] | None = None

    def wait(self, seconds: float) -> bool:
        """Wait at most `seconds`; true when it is time to stop."""
        if self._before_waiting is not None and threading.get_ident() == self._thread:
            self._before_waiting()
        return self._control.wait(seconds)

    def fail(self, error: Exception) -> None:
        """Fail the task from a thread of the plugin's own; ends `wait` and calls the task's `cancel`."""
        self._control.fail(error)

    def progress(self, done: int, total: int | None = None, unit: str = "records", of: str = "") -> None:
        """Say how far the task is; shown in the status, the metrics and the log."""
        self._tell(Progressed(done, total, unit, of))


class TransactionRequests:
    """`context.transaction`: what the plugin asked for since the last boundary (`transaction.boundary=connector`)."""

    def __init__(self) -> None:
        self._commit = False
        self._abort = False

    def commit(self) -> None:
        """Commit behind the poll that is under way."""
        self._commit = True

    def abort(self) -> None:
        """Throw away what this transaction holds, behind the poll that is under way."""
        self._abort = True

    def take(self) -> str | None:
        """`commit`, `abort` or None, once. Raises IllegalStateError when the plugin asked for both."""
        commit, abort = self._commit, self._abort
        if commit:  # one that comes this moment stays for the next poll
            self._commit = False
        if abort:
            self._abort = False
        if commit and abort:
            raise IllegalStateError(
                "the task asked to commit and to abort the same transaction; call one of context.transaction.commit() "
                "and context.transaction.abort() for a poll"
            )
        return "commit" if commit else "abort" if abort else None

    @property
    def pending(self) -> bool:
        return self._commit or self._abort


class SourceTaskContext(TaskContext):
    """`SourceContext` of the API."""

    def __init__(self, control: Control, tell: Tell, reader: OffsetReader, bounded: bool) -> None:
        super().__init__(control, tell)
        self._reader = reader
        self.requests = TransactionRequests()
        self.transaction = self.requests if bounded else None

    def offset(self, partition: Place) -> Place | None:
        """The stored offset of one source partition, None when there is none."""
        return self.offsets([partition])[0]

    def offsets(self, partitions: Iterable[Place]) -> Sequence[Place | None]:
        """The stored offsets in the order asked; one round trip for all."""
        asked = list(partitions)
        return self._reader.offsets(asked) if asked else []

    def tend_before_waiting(self, tend: Callable[[], None]) -> None:
        """Have `tend` called on the task's thread before each `wait`: what is due must not wait for the plugin."""
        self._before_waiting = tend


class SinkTaskContext(TaskContext):
    """`SinkContext` of the API. `report` is None when nobody would hear of it."""

    def __init__(self, control: Control, tell: Tell, report: Callable[[SinkRecord, Exception], None] | None) -> None:
        super().__init__(control, tell)
        self.report = report
        self._paused: set[TopicPartition] = set()
        self._lock = threading.Lock()
        self._assigned: frozenset[TopicPartition] = frozenset()
        self._seeks: dict[TopicPartition, int] = {}
        self._retry_in: float | None = None
        self._commit_asked = False

    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions this task reads now."""
        return self._assigned

    def pause(self, *partitions: TopicPartition) -> None:
        """Read no more of these, from the next poll on, until `resume`.

        Raises IllegalStateError for one that is not assigned."""
        self._steering(True, partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        """Read these again, from the next poll on. Raises IllegalStateError for one that is not assigned."""
        self._steering(False, partitions)

    def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Read on from these offsets, before the next poll; they count as committed from then on."""
        with self._lock:
            self._seeks.update(offsets)

    def request_commit(self) -> None:
        """Ask for a commit before the next poll instead of at the interval."""
        self._commit_asked = True

    def retry_in(self, seconds: float) -> None:
        """When `put` comes next at the latest; with a RetriableError: with the same batch."""
        with self._lock:
            self._retry_in = seconds

    def _steering(self, pause: bool, partitions: Sequence[TopicPartition]) -> None:
        strangers = sorted(set(partitions) - self._assigned)
        if strangers:
            named = ", ".join(f"{topic}-{partition}" for topic, partition in strangers)
            raise IllegalStateError(
                f"{'pause' if pause else 'resume'} names partitions that are not assigned to this task: {named}; "
                "context.assignment() has those that are"
            )
        with self._lock:
            if pause:
                self._paused.update(partitions)
            else:
                self._paused.difference_update(partitions)


class SinkWishes:
    """The loop's side of a `SinkTaskContext`: takes what was asked, keeps the assignment."""

    def __init__(self, context: SinkTaskContext) -> None:
        self._context = context

    def assigned(self, partitions: frozenset[TopicPartition]) -> None:
        context = self._context
        context._assigned = partitions
        with context._lock:
            context._paused &= partitions

    def paused(self) -> frozenset[TopicPartition]:
        if not self._context._paused:  # nearly always, and asked before each poll
            return frozenset()
        with self._context._lock:
            return frozenset(self._context._paused)

    def take_seeks(self) -> dict[TopicPartition, int]:
        if not self._context._seeks:  # as above; what comes this moment is taken before the next poll
            return {}
        with self._context._lock:
            seeks, self._context._seeks = self._context._seeks, {}
        return seeks

    def take_retry(self) -> float | None:
        if self._context._retry_in is None:  # as above
            return None
        with self._context._lock:
            retry, self._context._retry_in = self._context._retry_in, None
        return retry

    def take_commit_request(self) -> bool:
        if not self._context._commit_asked:  # as above
            return False
        self._context._commit_asked = False
        return True
