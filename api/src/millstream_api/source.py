"""Connectors and tasks that bring data in."""

from collections.abc import Sequence
from typing import Any, ClassVar

from millstream_api.config import C
from millstream_api.connector import Connector, Support, Task
from millstream_api.context import SourceContext
from millstream_api.records import Origin, Place, SourceBatch, SourceRecord

__all__ = ["SourceConnector", "SourceTask"]


class SourceTask(Task[C]):
    """Reads from the outside. Override `poll`, mostly `start`, sometimes more. Source: SourceTask.java."""

    def __init__(self, config: C, context: SourceContext) -> None:
        self.config = config
        self.context = context

    def poll(self) -> Sequence[SourceRecord | SourceBatch]:
        """Give what is there now, in order; `[]`: nothing yet, ask again.

        May block; wait with `context.wait`, and return `[]` when that is true. Raises RetriableError
        while the outside is away: it is called again after a pause. Whatever else it raises fails the
        task. What was returned is not changed afterwards.

        Called in a loop by the task's thread, not while the task is paused. Source: SourceTask.poll,
        where null is what `[]` is here.
        """
        raise NotImplementedError(f"{type(self).__name__} must override poll")

    def commit(self, durable: Sequence[tuple[Place | None, Place | None]]) -> None:
        """Tell upstream what is now safe.

        durable:  the last safe (source partition, source offset) of each partition that moved on since the
                  last call; records up to there are on disk and their offsets committed.

        On the task's thread, every `offset.flush.interval.ms`, after each transaction with exactly-once,
        and at the end. What it raises is logged, and the task goes on. Source: SourceTask.commit.
        """

    def commit_record(self, record: SourceRecord, written: Origin | None) -> None:
        """Called once a record in the order polled, when it is written.

        record:   as `poll` returned it, before transformations.
        written:  topic, partition and offset it has now (-1: not known); None: it was dropped, by a transformation,
                  because an error of it was tolerated, or with its transaction by `context.transaction.abort`.

        On the task's thread, between polls. What it raises is logged. Overriding it costs a report a
        record. Source: SourceTask.commitRecord, which is called on the producer's thread.
        """


class SourceConnector(Connector[C]):
    """Decides what source tasks read.

    task_class:  what does the reading.

    Source: SourceConnector.java.
    """

    task_class: ClassVar[type[SourceTask[Any]]]

    def exactly_once(self) -> Support | None:
        """Say whether each record is written once with these settings; None: not known.

        Asked when `exactly.once.support=required`, in validation, without `start`; all but SUPPORTED is an error
        then, and what it raises is told as one. Source: KIP-618; SourceConnector.exactlyOnceSupport.
        """
        return None

    def transaction_boundaries(self) -> Support | None:
        """Say whether its tasks can cut transactions (`transaction.boundary=connector`); None: not known.

        Asked when that is set, in validation, without `start`; all but SUPPORTED is an error then, and what it raises
        is told as one. Source: KIP-618; SourceConnector.canDefineTransactionBoundaries.
        """
        return Support.UNSUPPORTED
