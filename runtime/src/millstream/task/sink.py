"""The loop of a sink task (spec/runtime.md §5.4)."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from millstream.broker.complaint import Complaint
from millstream.broker.ports import Incoming, RebalanceListener
from millstream.errors import BrokerError, IllegalStateError, MillstreamError, RetriableError
from millstream.identity import TargetState
from millstream.metrics.readings import Measuring
from millstream.task.context import SinkTaskContext, SinkWishes
from millstream.task.counting import SinkTaskMetrics
from millstream.task.errants import Errants
from millstream.task.events import TopicSeen
from millstream.task.living import live, quietly
from millstream.task.partitions import Partitions
from millstream.task.parts import SinkParts, SinkSettings
from millstream.task.positions import Outside, Positions
from millstream.task.states import Happening, Lifecycle
from millstream.task.telling import Telling
from millstream_api import Origin, RecordBatch, SinkBatch, SinkTask, TopicPartition

__all__ = ["SinkParts", "SinkSettings", "SinkTaskLoop"]

log = logging.getLogger(__name__)

POLL_RETRY_SECONDS = 0.1


class SinkTaskLoop:
    """Runs one sink task on the calling thread until it is stopped or fails: `SinkTaskLoop(parts).run()`.

    `run` returns when everything is closed; failures are told as `StateChanged(FAILED, trace)`.
    """

    def __init__(self, parts: SinkParts) -> None:
        self._parts = parts
        self._metrics = SinkTaskMetrics(parts.measuring or Measuring(parts.clock))
        self._lifecycle = Lifecycle(parts.tell, self._metrics, lambda: parts.control.cancelled)
        interval = parts.settings.metrics_interval_ms
        self._telling = Telling(parts.tell, parts.clock, interval, self._metrics, parts.errors)
        self._turns: SinkTurns | None = None

    def run(self) -> None:
        live(self, self._parts.control, self._lifecycle)
        self._telling.now()

    def begin(self) -> None:
        parts = self._parts
        errants = Errants(parts.pipeline)
        context = SinkTaskContext(parts.control, parts.tell, errants.report if parts.pipeline.reporter else None)
        task = parts.plugin(context)
        self._turns = SinkTurns(parts, task, Sides(SinkWishes(context), errants, self._metrics))
        parts.control.interruptible(parts.consumer.wakeup, task.cancel)
        self._turns.subscribe()
        task.start()
        self._turns.started()

    def turn(self) -> None:
        assert self._turns is not None
        self._turns.follow_target(self._lifecycle)
        self._turns.turn()
        self._telling.when_due()

    def finish(self, failure: BaseException | None) -> BaseException | None:
        """Commit and close what is assigned; the first failure is the one that counts."""
        if self._turns is None:
            return failure
        try:
            self._turns.partitions.close_all()
        except BaseException as error:  # noqa: BLE001 - the plugin's pre_commit and close
            return failure or error
        return failure

    def close(self) -> None:
        self._parts.control.interruptible(None, None)
        if self._turns is not None:
            quietly("close the partitions of a cancelled task", self._turns.partitions.abandon)
            quietly("stop the plugin's task", self._turns.task.stop)
        quietly("close the consumer", self._parts.consumer.close)
        quietly("close the pipeline", self._parts.pipeline.close)


@dataclass(frozen=True, slots=True)
class Sides:
    """What a started sink task has on its sides."""

    wishes: SinkWishes
    errants: Errants
    metrics: SinkTaskMetrics


class SinkTurns:
    """The iterations of a started sink task."""

    def __init__(self, parts: SinkParts, task: SinkTask[Any], sides: "Sides") -> None:
        self.task = task
        self._parts = parts
        self._wishes = sides.wishes
        self._metrics = sides.metrics
        cancelled = lambda: parts.control.cancelled  # noqa: E731 - one word for it
        outside = Outside(task, parts.consumer, parts.clock, sides.metrics, sides.errants, cancelled, parts.failpoint)
        self._positions = Positions(outside)
        self.partitions = Partitions(outside, self._positions, sides.wishes, self._drop_rows)
        self._topics: set[str] = set()
        self._batch: SinkBatch | None = None  # put asked for it again
        self._read_to: dict[TopicPartition, int] = {}
        self._next_commit = 0.0
        self._complaint = Complaint(parts.clock, log, "put succeeded now")
        self._reading = Complaint(parts.clock, log, "the log is read again")
        self._active = 0

    def subscribe(self) -> None:
        listener = RebalanceListener(self.partitions.assigned, self.partitions.revoked, self.partitions.lost)
        self._parts.consumer.subscribe(self._parts.settings.topics, self._parts.settings.pattern, listener)

    def started(self) -> None:
        self._next_commit = self._parts.clock.monotonic() + self._parts.settings.offset_flush_interval_ms / 1000

    def follow_target(self, lifecycle: Lifecycle) -> None:
        """Pause or resume once when the target has changed; a pause also commits."""
        held = self._parts.control.target is TargetState.PAUSED
        if held != self.partitions.held:
            self.partitions.held = held
            self.partitions.align()
            if held:
                self._next_commit = 0.0
            lifecycle.happen(Happening.PAUSED if held else Happening.RESUMED)

    def turn(self) -> None:
        settings, monotonic = self._parts.settings, self._parts.clock.monotonic
        now = monotonic()
        if not self._positions.committing and (self._wishes.take_commit_request() or now >= self._next_commit):
            if not self._positions.commit():
                # the rows that wait lie behind those to be read again: put first, they would commit over them
                self._batch, self._read_to, self.partitions.redelivering = None, {}, False
            self._next_commit = now + settings.offset_flush_interval_ms / 1000
        self._positions.expire(settings.offset_flush_timeout_ms)
        self.partitions.rewind()
        self.partitions.align()
        timeout = max(self._next_commit - now, 0.0)
        retry = self._wishes.take_retry()
        incoming = self._poll(timeout if retry is None or retry <= 0 else min(timeout, retry))
        self.partitions.raise_remembered()
        self._take(incoming)
        self._put()
        if incoming or self._positions.active != self._active:
            self._active = self._positions.active
            self._metrics.active(self._active)

    def _poll(self, timeout: float) -> Sequence[Incoming]:
        try:
            polled = self._parts.consumer.poll(self._parts.settings.max_poll_rows, timeout)
        except BrokerError as error:
            if not error.retriable:
                raise
            self._reading.failed(f"Reading from the log failed and is tried again until it succeeds: {error}")
            self._parts.control.wait(POLL_RETRY_SECONDS)
            return ()
        self._reading.mended()
        return polled

    def _take(self, incoming: Sequence[Incoming]) -> None:
        """Convert what was read. Nothing was read while a batch waits: all partitions are paused then."""
        if self._batch is not None:
            if incoming:
                raise IllegalStateError("the log gave rows of paused partitions while a batch waits to be put again")
            return
        for rows in incoming:
            partition = TopicPartition(rows.topic, rows.partition)
            if rows.offsets[0] < self._positions.current.get(partition, 0):  # its topic was made anew
                self._positions.sought(partition, rows.offsets[0])
        poll = self._parts.pipeline.batch(incoming)
        for topic in poll.topics:
            if topic not in self._topics:
                self._topics.add(topic)
                self._parts.tell(TopicSeen(topic))
        if poll.read:
            self._metrics.read(poll.read)
        if poll.failure is not None:
            raise poll.failure
        self._batch, self._read_to = poll.batch, dict(poll.positions)

    def _put(self) -> None:
        assert self._batch is not None
        rows, started = len(self._batch), self._parts.clock.monotonic()
        self._parts.failpoint("sink.put.before")
        try:
            self.task.put(self._batch)
        except RetriableError as error:
            self._complaint.failed(f"put failed and is tried again with the same {rows} rows: {error}")
            self.partitions.redelivering = True
            return
        except Exception as error:
            raise MillstreamError("Exiting WorkerSinkTask due to unrecoverable exception.") from error
        self._parts.failpoint("sink.put.after")
        self._complaint.mended()
        if rows:
            self._metrics.put(rows, (self._parts.clock.monotonic() - started) * 1000)
        self._positions.given(self._read_to)
        self._batch, self._read_to, self.partitions.redelivering = None, {}, False

    def _drop_rows(self, removed: frozenset[TopicPartition]) -> None:
        """Partitions went while their rows wait to be put again: whoever has them now reads them again."""
        if self._batch is not None:
            self._batch = without(self._batch, removed)
            self._read_to = {tp: offset for tp, offset in self._read_to.items() if tp not in removed}


def without(batch: SinkBatch, removed: frozenset[TopicPartition]) -> SinkBatch:
    """The rows of a batch that are not of `removed` partitions, numbered anew from 0."""
    kept = [row for row, origin in enumerate(batch.origins) if (origin.topic, origin.partition) not in removed]
    number = {row: at for at, row in enumerate(kept)}
    origins = [batch.origins[row] for row in kept]
    groups = []
    for group in batch.groups:
        short = group.take([i for i, row in enumerate(group.rows) if row in number])
        if len(short):
            groups.append(_renumbered(short, [number[row] for row in short.rows], origins))
    return SinkBatch(groups, origins, batch.records)


def _renumbered(group: RecordBatch, rows: Sequence[int], origins: Sequence[Origin]) -> RecordBatch:
    columns = (group.values, group.key_schema, group.keys, group.partitions, group.timestamps, group.headers)
    return RecordBatch(group.topic, group.value_schema, *columns, rows=rows, origins=origins)
