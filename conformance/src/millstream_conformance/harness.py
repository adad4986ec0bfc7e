"""A deterministic worker in one thread, over millstream_api alone: enough to see what a plugin does.

`tests/conformance/` of the repository runs each scenario through this and through the real runtime and compares the
records, so that the two cannot drift.
"""

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from millstream_api import (
    Origin,
    Place,
    RecordBatch,
    Schema,
    SinkBatch,
    SinkConnector,
    SinkRecord,
    SinkTask,
    SourceBatch,
    SourceConnector,
    SourceRecord,
    SourceTask,
    TopicPartition,
)

#: polls without a record after which a source is taken to have no more
QUIET_POLLS = 3


def load(target: str) -> type[Any]:
    """The class of `module:Class`."""
    module, _, name = target.partition(":")
    found: type[Any] = getattr(import_module(module), name)
    return found


class HarnessContext:
    """The context of connectors and tasks. Time stands still: `wait` returns at once, unless `blocking`."""

    transaction = None

    def __init__(self, stored: Mapping[str, Place] | None = None, blocking: bool = False) -> None:
        self.stored = dict(stored or {})
        self.failure: Exception | None = None
        self.reported: list[tuple[SinkRecord, Exception]] = []
        self._blocking = blocking
        self._stop = threading.Event()
        self._assigned: frozenset[TopicPartition] = frozenset()

    def wait(self, seconds: float) -> bool:
        return self._stop.wait(seconds if self._blocking else 0)

    def stop(self) -> None:
        self._stop.set()

    def fail(self, error: Exception) -> None:
        self.failure = error
        self._stop.set()

    def progress(self, done: int, total: int | None = None, unit: str = "records", of: str = "") -> None:
        """Nobody looks."""

    def offset(self, partition: Place) -> Place | None:
        return self.offsets([partition])[0]

    def offsets(self, partitions: Iterable[Place]) -> Sequence[Place | None]:
        return [self.stored.get(spelled(partition)) for partition in partitions]


class SourceHarnessContext(HarnessContext):
    def request_reconfiguration(self) -> None:
        """A harness run is too short for it."""


class SinkHarnessContext(HarnessContext):
    def __init__(self, partitions: frozenset[TopicPartition]) -> None:
        super().__init__()
        self._assigned = partitions
        self.sought: dict[TopicPartition, int] = {}

    @property
    def report(self) -> Callable[[SinkRecord, Exception], None] | None:
        return lambda record, error: self.reported.append((record, error))

    def assignment(self) -> frozenset[TopicPartition]:
        return self._assigned

    def pause(self, *partitions: TopicPartition) -> None:
        """Batches are handed over by the test, whatever is paused."""

    def resume(self, *partitions: TopicPartition) -> None:
        """As `pause`."""

    def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.sought.update(offsets)

    def request_commit(self) -> None:
        """The test commits when it wants to."""

    def retry_in(self, seconds: float) -> None:
        """The test puts again at once."""


def spelled(place: Place) -> str:
    """A source partition as a key: its JSON, names sorted. Raises TypeError or ValueError if it is not JSON-clean."""
    return json.dumps(place, sort_keys=True, allow_nan=False)


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
