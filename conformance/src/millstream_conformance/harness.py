"""A deterministic worker in one thread, over millstream_api alone: enough to see what a plugin does.

`tests/conformance/` of the repository runs each scenario through this and through the real runtime and compares the
records, so that the two cannot drift.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from millstream_api import (
    Origin,
    Place,
    RecordBatch,
    Schema,
    SinkBatch,
    SinkConnector,
    SinkTask,
    SourceBatch,
    SourceConnector,
    SourceRecord,
    SourceTask,
    TopicPartition,
)
from millstream_conformance.contexts import HarnessContext, SinkHarnessContext, SourceHarnessContext, spelled

#: polls without a record after which a source is taken to have no more
QUIET_POLLS = 3


def load(target: str) -> type[Any]:
    """The class of `module:Class`."""
    module, _, name = target.partition(":")
    found: type[Any] = getattr(import_module(module), name)
    return found


def task_settings(connector: type[Any], settings: Mapping[str, str], max_tasks: int = 1) -> list[dict[str, str]]:
    """The settings each task gets: the connector's, and over them the task's own."""
    made = connector(connector.config_class.parse(settings), SourceHarnessContext())
    made.start()
    try:
        return [{**settings, **own} for own in made.task_configs(max_tasks)]
    finally:
        made.stop()


def make_task(connector: type[Any], settings: Mapping[str, str], context: HarnessContext) -> Any:
    task_class = connector.task_class
    config_class = task_class.config_class or connector.config_class
    return task_class(config_class.parse(settings), context)


def rows_of(polled: Sequence[SourceRecord | SourceBatch]) -> Iterator[SourceRecord]:
    """The rows of a poll as records, whatever form they came in."""
    for item in polled:
        if isinstance(item, SourceRecord):
            yield item
            continue
        for row, value in enumerate(item.values):
            yield SourceRecord(
                item.topic,
                value,
                item.source_partition,
                item.offset_at(row),
                item.value_schema,
                None if item.keys is None else item.keys[row],
                item.key_schema,
                None if item.partitions is None else item.partitions[row],
                None if item.timestamps is None else item.timestamps[row],
                () if item.headers is None else item.headers[row],
            )


def collect(
    connector: type[SourceConnector[Any]], settings: Mapping[str, str], stored: Mapping[str, Place], most: int
) -> list[SourceRecord]:
    """Run every task from these offsets until it is quiet or `most` records are there, and stop it."""
    records: list[SourceRecord] = []
    for each in task_settings(connector, settings):
        context = SourceHarnessContext(stored)
        task: SourceTask[Any] = make_task(connector, each, context)
        task.start()
        try:
            quiet = 0
            while quiet < QUIET_POLLS and len(records) < most:
                before = len(records)
                records.extend(rows_of(task.poll()))
                quiet = 0 if len(records) > before else quiet + 1
        finally:
            context.stop()
            task.stop()
    return records


def offsets_after(records: Iterable[SourceRecord]) -> dict[str, Place]:
    """What would be committed once these records were acknowledged."""
    return {
        spelled(record.source_partition): record.source_offset
        for record in records
        if record.source_partition is not None and record.source_offset is not None
    }


def sink_batch(
    partition: TopicPartition, base: int, values: Sequence[Any], keys: Sequence[Any] | None, schema: Schema | None
) -> SinkBatch:
    """Rows of one partition from offset `base` on, as `put` gets them."""
    origins = [Origin(partition.topic, partition.partition, base + row, "CreateTime") for row in range(len(values))]
    columns = RecordBatch(
        partition.topic,
        schema,
        values,
        None,
        keys,
        [partition.partition] * len(values),
        [1_700_000_000_000 + base + row for row in range(len(values))],
        origins=origins,
    )
    return SinkBatch([columns] if values else [], origins)


class RunningSink:
    """A sink task with one partition, opened; `put` and `commit` as the worker would, `stop` as it would end."""

    def __init__(self, connector: type[SinkConnector[Any]], settings: Mapping[str, str], topic: str) -> None:
        self.partition = TopicPartition(topic, 0)
        partitions = frozenset({self.partition})
        self.context = SinkHarnessContext(partitions)
        first = task_settings(connector, settings)[0]
        self.task: SinkTask[Any] = make_task(connector, first, self.context)
        self.task.start()
        self.task.open(partitions)
        self.position = 0

    def put(self, values: Sequence[Any], keys: Sequence[Any] | None = None, schema: Schema | None = None) -> SinkBatch:
        batch = sink_batch(self.partition, self.position, values, keys, schema)
        self.task.put(batch)
        self.position += len(values)
        return batch

    def commit(self) -> Mapping[TopicPartition, int]:
        return self.task.pre_commit({self.partition: self.position})

    def stop(self) -> None:
        self.task.pre_commit({self.partition: self.position})
        self.task.close(frozenset({self.partition}))
        self.context.stop()
        self.task.stop()
