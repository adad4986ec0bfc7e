"""Connectors with as many tasks as `tasks.max`, that do what files in a folder say, for benchmarks with many tasks.

The folder `control` holds: `flow`, or `flow-NAME` for one connector, its text is rows a second and task, 0: as many as
go; `stall`: puts wait until it is gone; `fail-NAME`: tasks of connector NAME raise.
"""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from millstream_api import (
    Config,
    PluginRef,
    Settings,
    SinkBatch,
    SinkConnector,
    SinkTask,
    SourceConnector,
    SourceRecord,
    SourceTask,
    hookimpl,
    key,
)

ROWS = 500


class ManyConfig(Config):
    control: str = key(doc="The folder that says what to do.")
    topic: str = key("", doc="Topic to write to.")
    bytes: int = key(100, doc="Bytes of a record.")
    called: str = key("", doc="The connector's name.")
    number: int = key(0, doc="Number of a task.", internal=True)

    def said(self, name: str) -> str | None:
        try:
            return Path(self.control, name).read_text()
        except FileNotFoundError:
            return None

    def obey(self) -> None:
        if self.said(f"fail-{self.called}") is not None:
            raise RuntimeError("told to fail")


class ManySourceTask(SourceTask[ManyConfig]):
    def start(self) -> None:
        self.partition = {"connector": self.config.called, "task": self.config.number}
        resumed = self.context.offset(self.partition)
        self.count = int(resumed["n"]) if resumed else 0
        self.payload = "x" * self.config.bytes
        self.due = time.monotonic()

    def poll(self) -> Sequence[SourceRecord]:
        self.config.obey()
        flow = self.config.said("flow")
        if flow is None:
            flow = self.config.said(f"flow-{self.config.called}")
        if flow is None:
            self.context.wait(1.0)
            self.due = time.monotonic()
            return []
        rate = float(flow or 0)
        if rate:
            self.due = max(self.due + 0.5, time.monotonic() - 1.0)
            if self.context.wait(self.due - time.monotonic()):
                return []
        rows = int(rate / 2) if rate else ROWS
        first, self.count = self.count, self.count + rows
        topic, partition, payload = self.config.topic, self.partition, self.payload
        return [SourceRecord(topic, payload, partition, {"n": first + row + 1}) for row in range(rows)]


class ManySource(SourceConnector[ManyConfig]):
    config_class = ManyConfig
    task_class = ManySourceTask

    def task_configs(self, max_tasks: int) -> Sequence[Settings]:
        return [{"number": str(number)} for number in range(max_tasks)]


class ManySinkTask(SinkTask[ManyConfig]):
    def put(self, batch: SinkBatch) -> None:
        self.config.obey()
        while self.config.said("stall") is not None and not self.context.wait(0.5):
            pass
        for _ in batch:
            pass


class ManySink(SinkConnector[ManyConfig]):
    config_class = ManyConfig
    task_class = ManySinkTask

    def task_configs(self, max_tasks: int) -> Sequence[Settings]:
        return [{"number": str(number)} for number in range(max_tasks)]


@hookimpl
def register_sources() -> Iterable[PluginRef]:
    yield PluginRef("millstream_many:ManySource")


@hookimpl
def register_sinks() -> Iterable[PluginRef]:
    yield PluginRef("millstream_many:ManySink")
