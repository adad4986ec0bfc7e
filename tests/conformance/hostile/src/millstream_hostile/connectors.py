"""A source and a sink that do one deed at one place, and a transformation that changes what it is given."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from millstream_api import (
    Config,
    Place,
    Problem,
    RecordBatch,
    Settings,
    SinkBatch,
    SinkConnector,
    SinkTask,
    SourceConnector,
    SourceRecord,
    SourceTask,
    TopicPartition,
    Transformation,
    key,
    one_of,
)
from millstream_api.records import R
from millstream_hostile.deeds import DEEDS

PLACES = (
    *("none", "connector.start", "connector.task_configs", "connector.monitor", "connector.probe", "connector.stop"),
    *("connector.alter_offsets", "task.start", "task.poll", "task.put", "task.pre_commit", "task.stop"),
)
OFFSETS = {"clean": 1, "set": {1, 2}, "nan": float("nan"), "object": object(), "bytes": b"\xff", "huge": 2**70}


class HostileConfig(Config):
    """deed at place, once `after` polls or puts have passed."""

    topic: str = key("hostile", doc="Topic to write to.")
    deed: str = key("sleep", doc="What to do.", valid=one_of(*DEEDS))
    place: str = key("none", doc="Where to do it.", valid=one_of(*PLACES))
    after: int = key(0, doc="How many polls or puts to behave first.")
    offset: str = key("clean", doc="What kind of value stands in the offsets.", valid=one_of(*OFFSETS))

    def do(self, place: str) -> None:
        if self.place == place:
            DEEDS[self.deed]()


class HostileSourceTask(SourceTask[HostileConfig]):
    """Makes a record every 10 ms."""

    polls = 0
    former: Any = None

    def start(self) -> None:
        self.config.do("task.start")

    def poll(self) -> Sequence[SourceRecord]:
        if self.context.wait(0.01):
            return []
        self.polls += 1
        if self.polls == self.config.after + 1:
            self.config.do("task.poll")
        offset = {"n": self.polls if self.config.offset == "clean" else OFFSETS[self.config.offset]}
        if self.former is not None:  # what was handed over is the worker's
            self.former[0].source_offset.clear()
            self.former.clear()
        polled = [SourceRecord(self.config.topic, f"record {self.polls}", {"hostile": True}, offset)]
        if self.config.deed == "change_batch" and self.config.place == "task.poll":
            self.former = polled
        return polled

    def stop(self) -> None:
        self.config.do("task.stop")


class _Deeds:
    config: HostileConfig

    def start(self) -> None:
        self.config.do("connector.start")

    def monitor(self) -> None:
        self.config.do("connector.monitor")

    def task_configs(self, max_tasks: int) -> Sequence[Settings]:
        self.config.do("connector.task_configs")
        return [{}]

    def probe(self) -> Iterable[Problem]:
        self.config.do("connector.probe")
        return ()

    def alter_offsets(self, offsets: Sequence[tuple[Place, Place | None]]) -> bool:
        self.config.do("connector.alter_offsets")
        return False

    def stop(self) -> None:
        self.config.do("connector.stop")


class HostileSource(_Deeds, SourceConnector[HostileConfig]):
    """See `deeds`."""

    config_class = HostileConfig
    task_class = HostileSourceTask


class HostileSinkTask(SinkTask[HostileConfig]):
    """Takes everything and keeps nothing."""

    puts = 0

    def start(self) -> None:
        self.config.do("task.start")

    def put(self, batch: SinkBatch) -> None:
        self.puts += 1
        if self.puts == self.config.after + 1:
            self.config.do("task.put")
        if self.config.deed == "change_batch" and self.config.place == "task.put":
            for group in batch.groups:
                values: Any = group.values
                values[:] = ["changed"] * len(values)

    def pre_commit(self, offsets: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
        self.config.do("task.pre_commit")
        return offsets

    def stop(self) -> None:
        self.config.do("task.stop")


class HostileSink(_Deeds, SinkConnector[HostileConfig]):
    """See `deeds`."""

    config_class = HostileConfig
    task_class = HostileSinkTask


class ChangesItsBatch(Transformation[Config]):
    """Breaks the promise of a batch form: writes into the values it was given."""

    def apply(self, record: R) -> R:
        return record

    def apply_batch(self, batch: RecordBatch) -> Sequence[RecordBatch]:
        values: Any = batch.values
        for value in values:
            if isinstance(value, dict):
                value["changed"] = True
        return [batch]
