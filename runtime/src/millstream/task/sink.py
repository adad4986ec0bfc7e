"""The loop of a sink task (spec/runtime.md §5.4)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from re import Pattern
from typing import Any

from millstream.broker.ports import Consumer
from millstream.identity import TaskId
from millstream.lifecycle import Clock
from millstream.pipeline.poll import SinkPipeline
from millstream.task.control import Control
from millstream.task.events import Tell
from millstream.task.failpoints import FailPoint, nothing
from millstream_api import SinkContext, SinkTask


@dataclass(frozen=True, slots=True)
class SinkSettings:
    """Worker and connector settings that the loop itself reads. Exactly one of `topics` and `pattern` is given.

    offset_flush_interval_ms:  60,000 on Kafka as in Java, 1,000 on the embedded log (the host decides).
    max_poll_rows:             at most so many rows a `put` (`max.poll.records`).
    """

    topics: Sequence[str] | None = None
    pattern: Pattern[str] | None = None
    offset_flush_interval_ms: int = 60_000
    offset_flush_timeout_ms: int = 5_000
    max_poll_rows: int = 500
    metrics_interval_ms: int = 1_000


@dataclass(frozen=True, slots=True)
class SinkParts:
    """All a sink task is made of.

    plugin:  makes the plugin's task around the context the loop gives it; called on the task's thread.
    """

    id: TaskId
    plugin: Callable[[SinkContext], SinkTask[Any]]
    pipeline: SinkPipeline
    consumer: Consumer
    control: Control
    tell: Tell
    clock: Clock
    settings: SinkSettings = field(default_factory=SinkSettings)
    failpoint: FailPoint = nothing


class SinkTaskLoop:
    """Runs one sink task on the calling thread until it is stopped or fails: `SinkTaskLoop(parts).run()`.

    `run` returns when everything is closed; failures are told as `StateChanged(FAILED, trace)`.
    """

    def __init__(self, parts: SinkParts) -> None:
        self._parts = parts
