"""The loop of a source task (spec/runtime.md §5.3, §7.5)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from millstream.broker.ports import Admin, Producer
from millstream.identity import TaskId
from millstream.lifecycle import Clock
from millstream.pipeline.poll import SourcePipeline
from millstream.task.control import Control
from millstream.task.events import Tell
from millstream.task.failpoints import FailPoint, nothing
from millstream.task.offsets import OffsetReader, OffsetRows, OffsetWriter
from millstream_api import SourceContext, SourceTask


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """Worker and connector settings that the loop itself reads.

    tolerate_failures:  `errors.tolerance=all`: a record the broker refuses is reported and skipped.
    boundary:           `transaction.boundary`; only with `SourceParts.rows`.
    own_offsets_topic:  records to it are refused in a transaction (§7.5).
    report_each:        the producer was made with `report_each`: the plugin overrides `commit_record`.
    """

    offset_flush_interval_ms: int = 60_000
    offset_flush_timeout_ms: int = 5_000
    tolerate_failures: bool = False
    boundary: Literal["poll", "interval", "connector"] = "poll"
    boundary_interval_ms: int | None = None
    own_offsets_topic: str = ""
    metrics_interval_ms: int = 1_000


@dataclass(frozen=True, slots=True)
class SourceParts:
    """All a source task is made of. Exactly one of `rows` (transactions) and `writer` (at least once) is given.

    plugin:  makes the plugin's task around the context the loop gives it; called on the task's thread.
    warm:    topics whose first record should not wait (`Producer.warm`), if known.
    """

    id: TaskId
    plugin: Callable[[SourceContext], SourceTask[Any]]
    pipeline: SourcePipeline
    producer: Producer
    admin: Admin
    reader: OffsetReader
    control: Control
    tell: Tell
    clock: Clock
    rows: OffsetRows | None = None
    writer: OffsetWriter | None = None
    settings: SourceSettings = field(default_factory=SourceSettings)
    failpoint: FailPoint = nothing


class SourceTaskLoop:
    """Runs one source task on the calling thread until it is stopped or fails: `SourceTaskLoop(parts).run()`.

    `run` returns when everything is closed; it raises nothing an author or operator could meet: failures are told as
    `StateChanged(FAILED, trace)`.
    """

    def __init__(self, parts: SourceParts) -> None:
        self._parts = parts
