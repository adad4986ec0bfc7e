"""Connectors and tasks that bring data in."""

from collections.abc import Sequence
from typing import Any, ClassVar

from millstream_api.config import C
from millstream_api.connector import Connector, Support, Task
from millstream_api.context import SourceContext
from millstream_api.records import Origin, Place, SourceBatch, SourceRecord

__all__ = ["SourceConnector", "SourceTask"]


class SourceTask(Task[C]):
    """Reads from the outside. Override `poll`, mostly `start`, sometimes more."""

    def __init__(self, config: C, context: SourceContext) -> None:
        self.config = config
        self.context = context

    def poll(self) -> Sequence[SourceRecord | SourceBatch]:
        """Give what is there now, in order; `[]`: nothing yet, ask again.

        May block; wait with `context.wait`, and return `[]` when that is true. Raises RetriableError
        while the outside is away; whatever else it raises fails the task. What was returned is not
        changed afterwards.
        """
        raise NotImplementedError(f"{type(self).__name__} must override poll")

    def commit(self, durable: Sequence[tuple[Place | None, Place | None]]) -> None:
        """Tell upstream what is now safe.

        durable:  the last safe (source partition, source offset) of each partition that moved on since the
                  last call; records up to there are on disk and their offsets committed.
        """

    def commit_record(self, record: SourceRecord, written: Origin | None) -> None:
        """Called once a record in the order polled, when it is written; None: it was dropped.

        On the task's thread, between polls. Overriding it costs a report a record.
        """


class SourceConnector(Connector[C]):
    """Decides what source tasks read.

    task_class:  what does the reading.
    """

    task_class: ClassVar[type[SourceTask[Any]]]

    def exactly_once(self) -> Support | None:
        """Say whether each record is written once with these settings; None: not known."""
        return None

    def transaction_boundaries(self) -> Support | None:
        """Say whether its tasks can cut transactions (`transaction.boundary=connector`); None: not known."""
        return Support.UNSUPPORTED
