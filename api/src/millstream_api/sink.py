"""Connectors and tasks that take data out."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from millstream_api.config import C, Settings
from millstream_api.connector import Connector, Task
from millstream_api.context import SinkContext
from millstream_api.records import SinkBatch, TopicPartition

__all__ = ["SinkConnector", "SinkTask"]


class SinkTask(Task[C]):
    """Writes to the outside. Override `put`, mostly `start`, and `pre_commit` if `put` only collects.

    Source: SinkTask.java.
    """

    def __init__(self, config: C, context: SinkContext) -> None:
        self.config = config
        self.context = context

    def open(self, partitions: frozenset[TopicPartition]) -> None:
        """Called when partitions were assigned, before their first records, on the task's thread.

        partitions:  the new ones only; all are `context.assignment()`.

        After `start`, and again whenever some come. What it raises fails the task, RetriableError too.
        Source: SinkTask.open.
        """

    def put(self, batch: SinkBatch) -> None:
        """Write a batch; it comes empty too, so that time passes.

        Raises RetriableError to get the same batch again later (see `context.retry_in`); whatever else it
        raises fails the task. Records of one partition come in the order of their offsets; those since the
        last commit may come again after a restart. Source: SinkTask.put.
        """
        raise NotImplementedError(f"{type(self).__name__} must override put")

    def pre_commit(self, offsets: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
        """Make durable what was put, and give the offsets that may be committed; Java's flush is this, too.

        offsets:  the next offset to read of each partition, behind everything put.

        Every `offset.flush.interval.ms` and after `context.request_commit`, for all partitions; before `close`, for
        those that go. A partition left out is not committed. Nothing given may be ahead of what is durable. When it
        raises, RetriableError too, nothing is committed, and rows since the last commit are read again.
        Source: SinkTask.preCommit, SinkTask.flush.
        """
        return offsets

    def close(self, partitions: frozenset[TopicPartition]) -> None:
        """Called when partitions are taken away, after their last `pre_commit`, and before `stop`.

        Without a `pre_commit` when they are lost, or the task's time to stop is over: others may have them. What it
        raises fails the task, unless that is ending. Source: SinkTask.close.
        """


class SinkConnector(Connector[C]):
    """Decides what sink tasks write; all tasks share the topics.

    task_class:  what does the writing.

    Source: SinkConnector.java.
    """

    task_class: ClassVar[type[SinkTask[Any]]]

    def task_configs(self, max_tasks: int) -> Sequence[Settings]:
        """Give the same settings to as many tasks as allowed: `tasks.max`. See `Connector.task_configs` for what
        happens when it raises. Source: Connector.taskConfigs.
        """
        return [{} for _ in range(max_tasks)]
