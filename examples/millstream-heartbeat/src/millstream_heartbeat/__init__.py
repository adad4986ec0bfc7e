"""A source that writes a counter to one topic, so that an idle pipeline is seen to be alive."""

from collections.abc import Iterable, Sequence

from millstream_api import Config, PluginRef, SourceConnector, SourceRecord, SourceTask, at_least, hookimpl, key


class HeartbeatConfig(Config):
    topic: str = key(doc="Topic to write to.")
    interval_ms: int = key(1000, doc="Pause between two beats, in milliseconds.", valid=at_least(1))


class HeartbeatTask(SourceTask[HeartbeatConfig]):
    def start(self) -> None:
        self.partition = {"topic": self.config.topic}
        resumed = self.context.offset(self.partition)
        self.count = int(resumed["count"]) if resumed else 0

    def poll(self) -> Sequence[SourceRecord]:
        if self.context.wait(self.config.interval_ms / 1000):  # true once the worker asks us to stop
            return []
        self.count += 1
        return [SourceRecord(self.config.topic, self.count, self.partition, {"count": self.count})]


class HeartbeatSource(SourceConnector[HeartbeatConfig]):
    config_class = HeartbeatConfig
    task_class = HeartbeatTask


@hookimpl
def register_sources() -> Iterable[PluginRef]:
    yield PluginRef("millstream_heartbeat:HeartbeatSource")
