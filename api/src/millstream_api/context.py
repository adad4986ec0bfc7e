"""What the runtime gives a plugin: waiting and stopping, offsets, partitions. Callable from any thread."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from millstream_api.records import Place, SinkRecord, TopicPartition

__all__ = ["ConnectorContext", "Context", "SinkContext", "SourceContext", "SourceOffsets", "Transaction"]


class Context(Protocol):
    """What every connector and task can ask of the runtime. Methods may be called from any thread."""

    def wait(self, seconds: float) -> bool:
        """Wait at most this long; true as soon as it is time to stop, False when the time is over.

        The one way to wait, and to learn of the end: `wait(0)` asks without waiting. True after `fail`, too.
        """

    def fail(self, error: Exception) -> None:
        """Fail the connector or task with this error, from a plugin's own thread; wakes a waiting task.

        The first error counts. Whatever its kind, it is not retried. Source: ConnectorContext.raiseError.
        """

    def progress(self, done: int, total: int | None = None, unit: str = "records", of: str = "") -> None:
        """Tell how far a long piece of work is: shown in status, metrics and log.

        done, total:  counts of `unit`, from 0; total None: unknown.
        unit:         a noun in the plural.
        of:           what it is done for, such as a table's name.
        """


class SourceOffsets(Protocol):
    """Where a source goes on: the offsets committed last. Callable from any thread.

    Source: OffsetStorageReader.java.
    """

    def offset(self, partition: Place) -> Place | None:
        """Give the last committed offset of a source partition; None if there is none.

        Partitions are the same when they are equal as JSON, whatever the order of their keys. The offset
        is what was returned with the record, after a way through JSON, see `Place`. Raises DataError for what no
        `Place` may hold. A store that does not answer is waited for, until the time to stop in is over: then it raises
        a MillstreamError that is no RetriableError. Either fails who lets it pass. Source: OffsetStorageReader.offset.
        """

    def offsets(self, partitions: Iterable[Place]) -> Sequence[Place | None]:
        """Give the offset of each partition, in the order asked for: one round trip for all.

        Raises as `offset` does. Source: OffsetStorageReader.offsets.
        """


class ConnectorContext(Context, SourceOffsets, Protocol):
    """A connector's. Not the task's: a task may sit on another machine.

    Source: ConnectorContext.java, SourceConnectorContext.java.
    """

    def request_reconfiguration(self) -> None:
        """Have `task_configs` asked again, and tasks restarted if its answer changed. Returns at once.

        Without effect on a connector that is not started. Source: ConnectorContext.requestTaskReconfiguration.
        """


class Transaction(Protocol):
    """Cuts a source's output into transactions, with `transaction.boundary=connector`.

    Calls take effect once `poll` has returned and its records are sent. Asking for both in one poll
    fails the task. Source: TransactionContext.java.
    """

    def commit(self) -> None:
        """Commit behind the last record of this poll. Finer cuts: `SourceBatch.boundary`.

        Source: TransactionContext.commitTransaction.
        """

    def abort(self) -> None:
        """Drop the records returned since the last commit, this poll's included.

        Their offsets are committed all the same, as in Java: after a restart the task goes on behind
        them. A task that wants them again has to read them again itself.
        Source: TransactionContext.abortTransaction.
        """


class SourceContext(Context, SourceOffsets, Protocol):
    """A source task's. Source: SourceTaskContext.java."""

    @property
    def transaction(self) -> Transaction | None:
        """Cuts transactions; None unless `transaction.boundary=connector`, and always on Kafka, which has none here.

        Source: SourceTaskContext.transactionContext.
        """


class SinkContext(Context, Protocol):
    """A sink task's. Source: SinkTaskContext.java."""

    @property
    def report(self) -> Callable[[SinkRecord, Exception], None] | None:
        """Hands over a record that cannot be written, and why, instead of failing the task.

        None when nobody would hear of it: neither `errors.log.enable` nor a dead letter queue. Raises
        MillstreamError with `errors.tolerance=none`: let it pass, the task is to fail. Offsets are not
        committed before what was handed over is stored. Source: KIP-610, ErrantRecordReporter.java.
        """

    def assignment(self) -> frozenset[TopicPartition]:
        """Give the partitions this task reads now. Source: SinkTaskContext.assignment."""

    def pause(self, *partitions: TopicPartition) -> None:
        """Have no records of these partitions delivered until `resume`, from the next poll of the log on.

        `put` goes on, with empty batches if all are paused. A partition that is taken away is no longer paused.
        Raises IllegalStateError, a MillstreamError, for one that is not assigned. Source: SinkTaskContext.pause.
        """

    def resume(self, *partitions: TopicPartition) -> None:
        """Have records of these partitions delivered again. Raises as `pause` does. Source: SinkTaskContext.resume."""

    def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Read on from these offsets, before the next `put`; they count as committed from then on.

        offsets:  the next one to read of each partition, from 0.

        A partition that is not assigned then fails the task. Source: SinkTaskContext.offset.
        """

    def request_commit(self) -> None:
        """Commit offsets after this `put` instead of waiting for the interval, `offset.flush.interval.ms`.

        Source: SinkTaskContext.requestCommit.
        """

    def retry_in(self, seconds: float) -> None:
        """Say when `put` comes next at the latest, once; with RetriableError: with the same batch.

        Without it a `put` that raised RetriableError comes again at the next commit, at the latest after
        `offset.flush.interval.ms`. Source: SinkTaskContext.timeout, in milliseconds there.
        """
