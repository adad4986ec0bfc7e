"""From a poll to what the producer sends, from what the consumer read to a put: one slice at a time (design §5)."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal

from millstream.broker.ports import Incoming
from millstream.pipeline.chain import Chain
from millstream.pipeline.conversion import Converters, Routed, SinkConversion, SourceConversion
from millstream.pipeline.grouping import Flow
from millstream.pipeline.ledger import Ledger
from millstream.pipeline.reading import consumed_by, number_anew, positions, raw_groups, sink_records
from millstream.pipeline.reporting import Reporting
from millstream.pipeline.slicing import Cut, cuts
from millstream.pipeline.tolerance import Event, Handling, Journal, Site, Stage, exceeded
from millstream_api import RecordBatch, SinkBatch, SinkRecord, SourceBatch, SourceRecord, TopicPartition

__all__ = ["Routed", "SinkPipeline", "SinkPoll", "SourcePipeline", "SourceSlice"]

log = logging.getLogger(__name__)

PRODUCE = Site(Stage.KAFKA_PRODUCE, "org.apache.kafka.connect.runtime.WorkerSourceTask")
PUT = Site(Stage.TASK_PUT, "org.apache.kafka.connect.sink.SinkTask")


@dataclass(slots=True)
class SourceSlice:
    """Part of a poll, through all stages.

    rows:      how many polled records it holds, 0 to 500. Those in no `outgoing` were dropped: filtered or skipped.
    outgoing:  one entry a topic, rows in order. Only rows before the failing one are in it.
    ledger:    where each row comes from, dropped ones included.
    boundary:  what to do with the transaction behind the last row (`transaction.boundary=connector`).
    failure:   why the task has to fail once `outgoing` has been sent; no slice follows.
    failed_row: the row it failed at.
    """

    rows: int
    outgoing: Sequence[Routed]
    ledger: Ledger
    boundary: Literal["commit", "abort"] | None
    failure: Exception | None
    failed_row: int | None
    polled: Callable[[int], SourceRecord] = field(repr=False)

    def record(self, row: int) -> SourceRecord:
        """The record as polled, for `commit_record`."""
        return self.polled(row)


class SourcePipeline:
    """The chain and the conversion of one source task. Pure of I/O; on the task's thread."""

    def __init__(self, chain: Chain, converters: Converters, handling: Handling, reporting: Reporting) -> None:
        self._chain = chain
        self._converters = converters
        self._conversion = SourceConversion(converters)
        self._handling = handling
        self._reporting = reporting

    def slices(self, polled: Sequence[SourceRecord | SourceBatch]) -> Iterator[SourceSlice]:
        """Cut what was polled into slices; each passes all stages before the next one starts (lazily).

        Raises PluginError for a poll that is neither records nor batches."""
        for cut in cuts(polled):
            done = self._through(cut)
            yield done
            if done.failure is not None:
                break

    def _through(self, cut: Cut) -> SourceSlice:
        rows, ledger = cut.rows, cut.ledger()
        journal = Journal(self._handling, rows)
        outgoing: Sequence[Routed] = ()
        if rows:
            flow = self._chain.run(cut.flow(), journal)
            outgoing = self._conversion.run(flow.groups(), journal)
            self._reporting.tell(journal.events, cut.record)
        if journal.failed_row is not None:
            partition, offset = ledger.place(journal.failed_row)
            journal.locate(f"the record with source partition {partition!r}, source offset {offset!r}")
        boundary = cut.boundary if journal.failure is None else None
        return SourceSlice(rows, outgoing, ledger, boundary, journal.failure, journal.failed_row, cut.record)

    def refused(self, slice_: SourceSlice, row: int, error: Exception) -> None:
        """Report a row that the broker refused under tolerance `all` (stage KAFKA_PRODUCE); the row is done then.

        With tolerance `none` nothing is reported, the loop fails the task itself (WorkerSourceTask.java)."""
        if self._handling.tolerance.all:
            event = Event(row, PRODUCE, 1, 0, error, False, self._handling.clock.now_ms())
            self._reporting.tell([event], slice_.record)

    def close(self) -> None:
        """Close converters, transformations, predicates; each error is logged."""
        close_all(self._chain, self._converters)


@dataclass(frozen=True, slots=True)
class SinkPoll:
    """What a put gets.

    batch:      rows that survived; empty when none did.
    read:       rows consumed, dropped ones included.
    positions:  last consumed offset + 1 of each partition in the poll, dropped rows included.
    failure:    why the task has to fail; then `batch` is empty and must not be put.
    failed_row: the row of the poll it failed at, in the order consumed.
    topics:     consumed topics (before any transformation), for the active topics.
    """

    batch: SinkBatch
    read: int
    positions: Mapping[TopicPartition, int]
    failure: Exception | None
    failed_row: int | None
    topics: Sequence[str]


class SinkPipeline:
    """The conversion and the chain of one sink task. Pure of I/O; on the task's thread."""

    def __init__(self, chain: Chain, converters: Converters, handling: Handling, reporting: Reporting) -> None:
        self._chain = chain
        self._converters = converters
        self._conversion = SinkConversion(converters, defer=not chain.links)
        self._handling = handling
        self._reporting = reporting

    def batch(self, incoming: Sequence[Incoming]) -> SinkPoll:
        """Decode and transform what was consumed, in the order given; failures are in `SinkPoll.failure`."""
        raw, origins = raw_groups(incoming)
        rows = len(origins)
        journal = Journal(self._handling, rows)
        groups: Sequence[RecordBatch] = self._conversion.run(raw, journal) if rows else []
        if self._chain.links and groups:
            seen = SinkBatch(groups, origins)
            flow = Flow(sink_records(seen), origins).of_groups(groups)
            groups = self._chain.run(flow, journal).groups()
        self._reporting.tell(journal.events, origins.consumed)
        if journal.failed_row is not None:
            at = origins[journal.failed_row]
            journal.locate(f"the record at {at.topic}-{at.partition}, offset {at.offset}")
        batch = SinkBatch([], ()) if journal.failure is not None else number_anew(groups, origins)
        topics = list(dict.fromkeys(some.topic for some in incoming))
        return SinkPoll(batch, rows, positions(incoming), journal.failure, journal.failed_row, topics)

    @property
    def reporter(self) -> Callable[[SinkRecord, Exception], None] | None:
        """The `report` of a task's context; None when nobody would hear of an errant record (§6.5)."""
        return self._report if self._reporting.reporters else None

    def _report(self, record: SinkRecord, error: Exception) -> None:
        self.errant(record, error)

    def errant(self, record: SinkRecord, error: Exception) -> Sequence[Future[Any]]:
        """Report a record that the plugin could not write (stage TASK_PUT), with what was consumed for it.

        Gives what is still to be awaited before the next commit (a dead-letter queue's writes).
        Raises MillstreamError `Tolerance exceeded in error handler` with tolerance `none`. From any thread.
        """
        event = Event(0, PUT, 1, 0, error, False, self._handling.clock.now_ms())
        pending = self._reporting.tell([event], lambda _: consumed_by(record, self._converters))
        if not self._handling.tolerance.all:
            raise exceeded(error)
        return pending

    def close(self) -> None:
        """Close converters, transformations, predicates; each error is logged."""
        close_all(self._chain, self._converters)


def close_all(chain: Chain, converters: Converters) -> None:
    for plugin in (*chain.plugins, converters.key, converters.value, converters.header):
        try:
            plugin.close()
        except Exception:
            log.warning("closing %s failed", type(plugin).__qualname__, exc_info=True)
