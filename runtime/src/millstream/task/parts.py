"""What the host gives a task loop, and the settings the loops read themselves."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from millstream.broker.ports import Admin, Consumer, NewTopic, Producer
from millstream.identity import TaskId
from millstream.lifecycle import Clock
from millstream.metrics.readings import Measuring
from millstream.pipeline.poll import SinkPipeline, SourcePipeline
from millstream.task.control import Control
from millstream.task.events import Tell
from millstream.task.failpoints import FailPoint, nothing
from millstream.task.offsets import OffsetReader, OffsetRows, OffsetWriter
from millstream_api import SinkContext, SinkTask, SourceContext, SourceTask

METRICS_INTERVAL_MS = 1_000


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """Worker and connector settings that the loop itself reads.

    tolerate_failures:  `errors.tolerance=all`: a record the broker refuses is reported and skipped.
    boundary:           `transaction.boundary`; only with `SourceParts.rows`.
    boundary_interval_ms: of `boundary` interval; None: offset_flush_interval_ms.
    overlapped:         with `boundary` poll, commit on a second thread while the next polls are read (`overlapped.py`).
    own_offsets_topic:  records to it are refused in a transaction (§7.5).
    own_topics:         the worker's others, which records of a source would spoil; refused so, too.
    """

    offset_flush_interval_ms: int = 60_000
    offset_flush_timeout_ms: int = 5_000
    tolerate_failures: bool = False
    boundary: Literal["poll", "interval", "connector"] = "poll"
    boundary_interval_ms: int | None = None
    overlapped: bool = False
    own_offsets_topic: str = ""
    own_topics: Collection[str] = ()
    metrics_interval_ms: int = METRICS_INTERVAL_MS


@dataclass(frozen=True, slots=True)
class SourceParts:
    """All a source task is made of. Exactly one of `rows` (transactions) and `writer` (at least once) is given.

    plugin:    makes the plugin's task around the context the loop gives it; called on the task's thread.
    pipeline:  closed by the loop, as producer and admin are.
    producer:  made with `report_each` when the plugin's task overrides `commit_record`.
    new_topic: how a missing topic is to be made (KIP-158); None: the broker makes it on first use.
    measuring: windows of the metrics; None: Kafka's defaults.
    errors:    the pipeline's counters of §11.6, told along with the loop's.
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
    new_topic: Callable[[str], NewTopic] | None = None
    settings: SourceSettings = field(default_factory=SourceSettings)
    measuring: Measuring | None = None
    errors: Callable[[], Mapping[str, float]] = dict
    failpoint: FailPoint = nothing

    def __post_init__(self) -> None:
        if (self.rows is None) == (self.writer is None):
            raise ValueError("a source task needs either `rows` (transactions) or `writer` (at least once)")


@dataclass(frozen=True, slots=True)
class SinkSettings:
    """Worker and connector settings that the loop itself reads. Exactly one of `topics` and `pattern` is given.

    offset_flush_interval_ms:  60,000 on Kafka as in Java, 1,000 on the embedded log (the host decides).
    max_poll_rows:             at most so many rows a `put` (`max.poll.records`).
    """

    topics: Sequence[str] | None = None
    pattern: re.Pattern[str] | None = None
    offset_flush_interval_ms: int = 60_000
    offset_flush_timeout_ms: int = 5_000
    max_poll_rows: int = 500
    metrics_interval_ms: int = METRICS_INTERVAL_MS


@dataclass(frozen=True, slots=True)
class SinkParts:
    """All a sink task is made of.

    plugin:    makes the plugin's task around the context the loop gives it; called on the task's thread.
    pipeline:  closed by the loop, as the consumer is.
    measuring, errors: as in `SourceParts`.
    """

    id: TaskId
    plugin: Callable[[SinkContext], SinkTask[Any]]
    pipeline: SinkPipeline
    consumer: Consumer
    control: Control
    tell: Tell
    clock: Clock
    settings: SinkSettings = field(default_factory=SinkSettings)
    measuring: Measuring | None = None
    errors: Callable[[], Mapping[str, float]] = dict
    failpoint: FailPoint = nothing
