"""A deterministic worker in one thread, over millstream_api alone: enough to see what a plugin does.

`tests/conformance/` of the repository runs each scenario through this and through the real runtime and compares the
records, so that the two cannot drift.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

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
from millstream_conformance.calling import Timed, called
from millstream_conformance.contexts import HarnessContext, SinkHarnessContext, SourceHarnessContext, spelled

#: polls without a record after which a source is taken to have no more
QUIET_POLLS = 3
NO_TASK = "have the fixture that makes the outside put there what a task is made for, such as an empty file"


def load(target: str) -> type[Any]:
    """The class of `module:Class`. Raises ImportError or AttributeError when there is none."""
    module, _, name = target.partition(":")
    try:
        with called(f"the import of {module}"):
            loaded = import_module(module)
    except SystemExit as error:
        raise ImportError(f"{target}: its module ends the process on import: SystemExit({error.code!r})") from error
    found = getattr(loaded, name, None)
    if not isinstance(found, type):
        own = sorted(each for each, value in vars(loaded).items() if getattr(value, "__module__", "") == module)
        raise AttributeError(f"the module {module!r} has no class {name!r}; it has {', '.join(own) or 'none'}")
    return found


def task_settings(connector: type[Any], settings: Mapping[str, str], max_tasks: int = 1) -> list[dict[str, str]]:
    """The settings each task gets: the connector's, and over them the task's own. Fails the test when there is none."""
    made = Timed(make_connector(connector, settings), "connector")
    made.start()
    try:
        configs = [{**settings, **own} for own in made.task_configs(max_tasks)]
    finally:
        made.stop()
    assert configs, f"task_configs({max_tasks}) gave no task, and the kit tests one: {NO_TASK}"
    return configs


def make_connector(
    connector: type[Any], settings: Mapping[str, str], context: SourceHarnessContext | None = None
) -> Any:
    """A connector that is not started."""
    return connector(connector.config_class.parse(settings), context or SourceHarnessContext())


def make_task(connector: type[Any], settings: Mapping[str, str], context: HarnessContext) -> Any:
    """A task that is not started; each call of it has its time."""
    task_class = connector.task_class
    config_class = task_class.config_class or connector.config_class
    return Timed(task_class(config_class.parse(settings), context), "task")


def rows_of(polled: Sequence[SourceRecord | SourceBatch]) -> Iterator[SourceRecord]:
    """The rows of a poll as records, whatever form they came in. Fails the test for what no poll may give."""
    given: object = polled
    promise = "it must give a list of SourceRecord and SourceBatch objects, [] for nothing yet"
    assert isinstance(given, Sequence), f"poll gave a {type(given).__name__}; {promise}"
    for item in polled:
        if isinstance(item, SourceRecord):
            yield item
            continue
        assert isinstance(item, SourceBatch), f"poll gave a list with a {type(item).__name__}; {promise}"
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


def told(record: SourceRecord) -> tuple[Any, ...]:
    """All that a record says, to be compared and copied."""
    headers = [(header.name, header.value, header.schema) for header in record.headers]
    return (
        record.topic,
        record.partition,
        (record.key_schema, record.key),
        (record.value_schema, record.value),
        headers,
        record.source_partition,
        record.source_offset,
    )


class RunningSource:
    """One source task, with its complete settings; polled and told as the worker would, ended as it would end."""

    def __init__(
        self,
        connector: type[SourceConnector[Any]],
        settings: Mapping[str, str],
        stored: Mapping[str, Place] | None = None,
        blocking: bool = False,
    ) -> None:
        self.context = SourceHarnessContext(stored, blocking)
        self.task: SourceTask[Any] = make_task(connector, settings, self.context)
        self._hears_of_records = connector.task_class.commit_record is not SourceTask.commit_record
        self._partition_rows: dict[tuple[str, int], int] = {}

    def start(self) -> None:
        self.task.start()

    def poll(self) -> Sequence[SourceRecord | SourceBatch]:
        """Poll, and tell the task that all of it is written and committed."""
        polled = self.task.poll()
        self.acknowledge(list(rows_of(polled)))
        return polled

    def acknowledge(self, records: Sequence[SourceRecord]) -> None:
        """`commit_record` once a record in the order polled, then `commit` with the last offset of each partition."""
        if not records:
            return
        if self._hears_of_records:
            for record in records:
                at = (record.topic, record.partition or 0)
                offset = self._partition_rows.get(at, 0)
                self._partition_rows[at] = offset + 1
                self.task.commit_record(record, Origin(*at, offset, "CreateTime"))
        last = {
            spelled(record.source_partition): (record.source_partition, record.source_offset)
            for record in records
            if record.source_partition is not None
        }
        self.task.commit(list(last.values()))

    def stop(self) -> None:
        self.context.stop()
        self.task.stop()


def collect(
    connector: type[SourceConnector[Any]],
    settings: Mapping[str, str],
    stored: Mapping[str, Place],
    most: int,
    max_tasks: int = 1,
) -> list[SourceRecord]:
    """Run each task from these offsets until it is quiet or `most` records are there, and stop it."""
    records: list[SourceRecord] = []
    for each in task_settings(connector, settings, max_tasks):
        source = RunningSource(connector, each, stored)
        source.start()
        try:
            quiet = 0
            while quiet < QUIET_POLLS and len(records) < most:
                before = len(records)
                records.extend(rows_of(source.poll()))
                quiet = 0 if len(records) > before else quiet + 1
        finally:
            source.stop()
    return records


def offsets_after(records: Iterable[SourceRecord]) -> dict[str, Place]:
    """What a worker would give back once these records were acknowledged: offsets as they come out of JSON."""
    return {
        spelled(record.source_partition): json.loads(spelled(record.source_offset))
        for record in records
        if record.source_partition is not None and record.source_offset is not None
    }


class Row(NamedTuple):
    """A row for a sink. partition: its number; key_schema: rows with another one are in another group of the batch."""

    value: Any
    key: Any = None
    partition: int = 0
    key_schema: Schema | None = None


def sink_batch(rows: Sequence[Row], origins: Sequence[Origin], schema: Schema | None) -> SinkBatch:
    """Rows of one topic as `put` gets them, with their key schemas as groups that may alternate."""
    groups: dict[Schema | None, list[int]] = {}
    for number, row in enumerate(rows):
        groups.setdefault(row.key_schema, []).append(number)
    return SinkBatch([_columns(key_schema, at, rows, origins, schema) for key_schema, at in groups.items()], origins)


def _columns(
    key_schema: Schema | None, at: Sequence[int], rows: Sequence[Row], origins: Sequence[Origin], schema: Schema | None
) -> RecordBatch:
    keys = [rows[number].key for number in at]
    return RecordBatch(
        origins[0].topic,
        schema,
        [rows[number].value for number in at],
        key_schema,
        None if all(key is None for key in keys) else keys,
        [origins[number].partition for number in at],
        [1_700_000_000_000 + origins[number].offset for number in at],
        rows=at,
        origins=origins,
    )


class RunningSink:
    """A sink task with one partition, opened; `put` and `commit` as the worker would, `stop` as it would end.

    reports: whether somebody hears of records that cannot be written.   task: its number, and its partition's.
    """

    def __init__(
        self,
        connector: type[SinkConnector[Any]],
        settings: Mapping[str, str],
        topic: str,
        reports: bool = True,
        task: int = 0,
    ) -> None:
        self.partition = TopicPartition(topic, task)
        self.positions: dict[TopicPartition, int] = {}
        self.context = SinkHarnessContext(frozenset({self.partition}), reports)
        own = task_settings(connector, settings, task + 1)[-1]
        self.task: SinkTask[Any] = make_task(connector, own, self.context)
        self.task.start()
        self.open(task)

    @property
    def position(self) -> int:
        """The offset behind what was put of the first partition."""
        return self.positions[self.partition]

    def open(self, number: int) -> TopicPartition:
        """Give the task one partition more."""
        partition = TopicPartition(self.partition.topic, number)
        self.positions[partition] = 0
        self.context.assign(frozenset(self.positions))
        self.task.open(frozenset({partition}))
        return partition

    def close(self, partition: TopicPartition) -> Mapping[TopicPartition, int]:
        """Take a partition away, as a rebalance does; what the last `pre_commit` for it gave."""
        committed = self._committed({partition: self.positions[partition]})
        self.task.close(frozenset({partition}))
        del self.positions[partition]
        self.context.assign(frozenset(self.positions))
        return committed

    def batch(
        self, values: Sequence[Any], keys: Sequence[Any] | None = None, schema: Schema | None = None
    ) -> SinkBatch:
        """The next rows of the first partition, before they are put."""
        keyed = [None] * len(values) if keys is None else keys
        return self._batch([Row(*both, self.partition.partition) for both in zip(values, keyed, strict=True)], schema)

    def put(self, values: Sequence[Any], keys: Sequence[Any] | None = None, schema: Schema | None = None) -> SinkBatch:
        batch = self.batch(values, keys, schema)
        self.hand_over(batch)
        return batch

    def put_rows(self, rows: Sequence[Row], schema: Schema | None = None) -> SinkBatch:
        """Put a batch of rows of any partitions that are open."""
        batch = self._batch(rows, schema)
        self.hand_over(batch)
        return batch

    def hand_over(self, batch: SinkBatch) -> None:
        """Put a batch, and count its rows as put when that succeeds."""
        self.task.put(batch)
        for origin in batch.origins:
            self.positions[TopicPartition(origin.topic, origin.partition)] = origin.offset + 1

    def _batch(self, rows: Sequence[Row], schema: Schema | None) -> SinkBatch:
        following = dict(self.positions)
        origins = []
        for row in rows:
            partition = TopicPartition(self.partition.topic, row.partition)
            origins.append(Origin(*partition, following[partition], "CreateTime"))
            following[partition] += 1
        return sink_batch(rows, origins, schema)

    def commit(self) -> Mapping[TopicPartition, int]:
        return self._committed(dict(self.positions))

    def _committed(self, positions: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
        answer: object = self.task.pre_commit(positions)
        promise = (
            "it must give a mapping of partition to offset: those it was given (`return offsets`), or fewer, or {}"
        )
        assert isinstance(answer, Mapping), f"pre_commit gave a {type(answer).__name__}; {promise}"
        return answer

    def stop(self) -> None:
        self.task.pre_commit(dict(self.positions))
        self.task.close(frozenset(self.positions))
        self.context.stop()
        self.task.stop()
