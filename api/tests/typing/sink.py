"""A sink in both forms: records one by one, and columns."""

from collections.abc import Mapping
from pathlib import Path

from millstream_api import (
    Config,
    DataError,
    RetriableError,
    Secret,
    SinkBatch,
    SinkConnector,
    SinkTask,
    TopicPartition,
    key,
    non_empty,
)


class PrintConfig(Config):
    prefix: str = key("", doc="Put before each line.")
    password: Secret | None = key(None, doc="Not printed.")
    columns: list[str] = key([], doc="What to print.")
    file: str = key(doc="Where to print.", valid=non_empty())


class PrintTask(SinkTask[PrintConfig]):
    def start(self) -> None:
        self.printed: dict[TopicPartition, int] = {}
        self.lines: list[str] = []

    def put(self, batch: SinkBatch) -> None:
        for record in batch:
            if record.value is None:
                if self.context.report is not None:
                    self.context.report(record, DataError("a tombstone cannot be printed"))
                continue
            self.lines.append(f"{self.config.prefix}{record.value}\n")
            at = record.origin
            self.printed[TopicPartition(at.topic, at.partition)] = at.offset + 1
        for group in batch.groups:
            if len(group.values) > 1000:
                self.context.pause(*self.context.assignment())
                raise RetriableError("the printer is busy")

    def pre_commit(self, offsets: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
        with Path(self.config.file).open("a") as file:
            file.writelines(self.lines)
        self.lines = []
        return {partition: offset for partition, offset in self.printed.items() if partition in offsets}


class PrintSink(SinkConnector[PrintConfig]):
    config_class = PrintConfig
    task_class = PrintTask
