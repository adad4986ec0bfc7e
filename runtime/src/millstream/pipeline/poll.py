"""From a poll to what the producer sends, from what the consumer read to a put: one slice at a time (design §5)."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal

from millstream.broker.ports import Incoming, Outgoing
from millstream.pipeline.chain import Chain
from millstream.pipeline.conversion import Converters
from millstream.pipeline.ledger import Ledger
from millstream.pipeline.reporting import Reporting
from millstream.pipeline.tolerance import Handling
from millstream_api import SinkBatch, SinkRecord, SourceBatch, SourceRecord, TopicPartition

SLICE_ROWS = 500
SLICE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Routed:
    """Rows for one topic: `batch`'s row i is row `rows[i]` of the slice; ascending."""

    batch: Outgoing
    rows: Sequence[int]


@dataclass(slots=True)
class SourceSlice:
    """Part of a poll, through all stages.

    rows:      how many polled records it holds, 0 to 500. Those in no `outgoing` were dropped: filtered or skipped.
    outgoing:  one entry a topic, rows in order. Only rows before the failing one are in it.
    ledger:    where each row comes from, dropped ones included.
    boundary:  what to do with the transaction behind the last row (`transaction.boundary=connector`).
    failure:   why the task has to fail once `outgoing` has been sent; no slice follows.
    """

    rows: int
    outgoing: Sequence[Routed]
    ledger: Ledger
    boundary: Literal["commit", "abort"] | None
    failure: Exception | None

    def record(self, row: int) -> SourceRecord:
        """The record as polled, for `commit_record`."""
        raise NotImplementedError


class SourcePipeline:
    """The chain and the conversion of one source task. Pure of I/O; on the task's thread."""

    def __init__(self, chain: Chain, converters: Converters, handling: Handling, reporting: Reporting) -> None: ...

    def slices(self, polled: Sequence[SourceRecord | SourceBatch]) -> Iterator[SourceSlice]:
        """Cut what was polled into slices; each passes all stages before the next one starts (lazily)."""
        raise NotImplementedError

    def refused(self, slice_: SourceSlice, row: int, error: Exception) -> None:
        """Report a row that the broker refused under tolerance `all` (stage KAFKA_PRODUCE); the row is done then.

        With tolerance `none` nothing is reported, the loop fails the task itself (WorkerSourceTask.java)."""
        raise NotImplementedError

    def close(self) -> None:
        """Close converters, transformations, predicates; each error is logged."""


@dataclass(frozen=True, slots=True)
class SinkPoll:
    """What a put gets.

    batch:      rows that survived; empty when none did.
    read:       rows consumed, dropped ones included.
    positions:  last consumed offset + 1 of each partition in the poll, dropped rows included.
    failure:    why the task has to fail; then `batch` is empty and must not be put.
    topics:     consumed topics (before any transformation), for the active topics.
    """

    batch: SinkBatch
    read: int
    positions: Mapping[TopicPartition, int]
    failure: Exception | None
    topics: Sequence[str]


class SinkPipeline:
    """The conversion and the chain of one sink task. Pure of I/O; on the task's thread."""

    def __init__(self, chain: Chain, converters: Converters, handling: Handling, reporting: Reporting) -> None: ...

    def batch(self, incoming: Sequence[Incoming]) -> SinkPoll:
        """Decode and transform what was consumed, in the order given. Raises nothing: see `SinkPoll.failure`."""
        raise NotImplementedError

    @property
    def reports(self) -> bool:
        """Whether anybody hears of an errant record; without, a task gets no reporter (§6.5)."""
        raise NotImplementedError

    def errant(self, record: SinkRecord, error: Exception) -> Sequence[Future[Any]]:
        """Report a record that the plugin could not write (stage TASK_PUT), with what was consumed for it.

        Gives what is still to be awaited before the next commit (a dead-letter queue's writes).
        Raises MillstreamError `Tolerance exceeded in error handler` with tolerance `none`. From any thread.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Close converters, transformations, predicates; each error is logged."""
