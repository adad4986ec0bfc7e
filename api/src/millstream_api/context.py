"""What the runtime gives a plugin: waiting and stopping, offsets, partitions. Callable from any thread."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from millstream_api.records import Place, SinkRecord, TopicPartition

__all__ = ["ConnectorContext", "Context", "SinkContext", "SourceContext", "SourceOffsets", "Transaction"]


class Context(Protocol):
    """What every connector and task can ask of the runtime. Methods may be called from any thread."""

    def wait(self, seconds: float) -> bool:
        """Wait at most this long; true as soon as it is time to stop. The one way to wait."""

    def fail(self, error: Exception) -> None:
        """Fail the connector or task with this error, from a plugin's own thread; wakes a waiting task."""

    def progress(self, done: int, total: int | None = None, unit: str = "records", of: str = "") -> None:
        """Tell how far a long piece of work is: shown in status, metrics and log.

        done, total:  counts of `unit`; total None: unknown.
        of:           what it is done for, such as a table's name.
        """


class SourceOffsets(Protocol):
    """Where a source goes on: the offsets committed before this start."""

    def offset(self, partition: Place) -> Place | None:
        """Give the last committed offset of a source partition; None if there is none.

        Raises RetriableError if the store does not answer in time.
        """

    def offsets(self, partitions: Iterable[Place]) -> Sequence[Place | None]:
        """Give the offset of each partition, in the order asked for: one round trip for all."""


class ConnectorContext(Context, SourceOffsets, Protocol):
    """A connector's. Not the task's: a task may sit on another machine."""

    def request_reconfiguration(self) -> None:
        """Have `task_configs` asked again, and tasks restarted if its answer changed."""


class Transaction(Protocol):
    """Cuts a source's output into transactions, with `transaction.boundary=connector`."""

    def commit(self) -> None:
        """Commit behind the last record of this poll. Finer cuts: `SourceBatch.boundary`."""

    def abort(self) -> None:
        """Drop what was returned since the last commit, this poll included; its offsets stay uncommitted."""


class SourceContext(Context, SourceOffsets, Protocol):
    """A source task's.

    transaction:  None unless `transaction.boundary=connector`.
    """

    @property
    def transaction(self) -> Transaction | None:
        """Cuts transactions; None unless `transaction.boundary=connector`."""


class SinkContext(Context, Protocol):
    """A sink task's."""

    @property
    def report(self) -> Callable[[SinkRecord, Exception], None] | None:
        """Hands over a record that cannot be written, and why, instead of failing the task.

        None when nobody would hear of it (no log, no dead letter queue, or tolerance `none`).
        """

    def assignment(self) -> frozenset[TopicPartition]:
        """Give the partitions this task reads now."""

    def pause(self, *partitions: TopicPartition) -> None:
        """Have no records of these partitions delivered until `resume`."""

    def resume(self, *partitions: TopicPartition) -> None:
        """Have records of these partitions delivered again."""

    def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Go on from these offsets with the next `put`; partitions must be assigned."""

    def request_commit(self) -> None:
        """Commit offsets after this `put` instead of waiting for the interval."""

    def retry_in(self, seconds: float) -> None:
        """Say when `put` comes next at the latest; with RetriableError: with the same batch."""
