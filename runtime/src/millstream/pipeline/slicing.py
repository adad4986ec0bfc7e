"""A poll cut into slices of at most 500 rows or 256 KiB, each row with its number and its place."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Literal

from millstream.errors import PluginError
from millstream.pipeline.grouping import Flow, numbered, plain_records
from millstream.pipeline.ledger import BatchLedger, JoinedLedger, Ledger, RowLedger
from millstream_api import RecordBatch, SourceBatch, SourceRecord

SLICE_ROWS = 500
SLICE_BYTES = 256 * 1024  # what a slice costs beside its rows is then a quarter at 1 KB a row; caches hold it still

_PLAIN = Flow(plain_records)

POLLED = (SourceRecord, SourceBatch)
Boundary = Literal["commit", "abort"]


@dataclass(slots=True)
class Piece:
    """Rows that lie next to each other in the poll: source records, or part of one source batch from row `first`."""

    rows: int
    size: int
    records: Sequence[SourceRecord] = ()
    batch: SourceBatch | None = None
    first: int = 0

    def ledger(self) -> Ledger:
        if self.batch is not None:
            return BatchLedger(self.batch.source_partition, self.batch.offset_at, self.first)
        partitions = [record.source_partition for record in self.records]
        return RowLedger(partitions, [record.source_offset for record in self.records])

    def flow(self, start: int) -> Flow:
        """Its rows, numbered from `start`."""
        rows = range(start, start + self.rows)
        if self.batch is None:
            return _PLAIN.of_records(rows, self.records)
        return _PLAIN.of_groups([columns(self.batch, self.first, rows)])

    def record(self, at: int) -> SourceRecord:
        if self.batch is None:
            return self.records[at]
        batch, row = self.batch, self.first + at
        return SourceRecord(
            batch.topic,
            batch.values[row],
            batch.source_partition,
            batch.offset_at(row),
            batch.value_schema,
            None if batch.keys is None else batch.keys[row],
            batch.key_schema,
            None if batch.partitions is None else batch.partitions[row],
            None if batch.timestamps is None else batch.timestamps[row],
            () if batch.headers is None else batch.headers[row],
        )


def columns(batch: SourceBatch, first: int, rows: range) -> RecordBatch:
    """Rows of a source batch without their places, under new numbers; the whole of it without a copy."""
    if len(rows) == len(batch):
        return numbered(batch, rows)
    at = slice(first, first + len(rows))
    return RecordBatch(
        batch.topic,
        batch.value_schema,
        batch.values[at],
        batch.key_schema,
        None if batch.keys is None else batch.keys[at],
        None if batch.partitions is None else batch.partitions[at],
        None if batch.timestamps is None else batch.timestamps[at],
        None if batch.headers is None else batch.headers[at],
        rows,
    )


@dataclass(slots=True)
class Cut:
    """One slice before its stages."""

    pieces: list[Piece] = field(default_factory=list)
    boundary: Boundary | None = None

    @property
    def rows(self) -> int:
        return sum(piece.rows for piece in self.pieces)

    def starts(self) -> list[int]:
        """The first row of each piece."""
        return [0, *accumulate(piece.rows for piece in self.pieces)][:-1]

    def ledger(self) -> Ledger:
        if len(self.pieces) == 1:
            return self.pieces[0].ledger()
        return JoinedLedger([piece.ledger() for piece in self.pieces], self.starts())

    def flow(self) -> Flow:
        if len(self.pieces) == 1:
            return self.pieces[0].flow(0)
        flows = [piece.flow(start) for piece, start in zip(self.pieces, self.starts(), strict=True)]
        return _PLAIN.of_groups(group for flow in flows for group in flow.groups())

    def record(self, row: int) -> SourceRecord:
        """The record as polled."""
        starts = self.starts()
        at = bisect_right(starts, row) - 1
        return self.pieces[at].record(row - starts[at])


def cuts(polled: Sequence[SourceRecord | SourceBatch]) -> Iterator[Cut]:
    """Slices in poll order. A batch's boundary ends its slice, which may then be empty.

    Raises PluginError for what is neither record nor batch.
    """
    cut, size = Cut(), 0
    for piece, boundary in pieces(polled):
        if cut.pieces and (cut.rows + piece.rows > SLICE_ROWS or size + piece.size > SLICE_BYTES):
            yield cut
            cut, size = Cut(), 0
        if piece.rows:
            cut.pieces.append(piece)
            size += piece.size
        if boundary is not None:
            cut.boundary = boundary
            yield cut
            cut, size = Cut(), 0
    if cut.pieces:
        yield cut


def pieces(polled: Sequence[SourceRecord | SourceBatch]) -> Iterator[tuple[Piece, Boundary | None]]:
    """Runs of records and parts of batches, none larger than a slice; with the boundary behind each."""
    kinds = set(map(type, polled))
    for kind in kinds:
        if not issubclass(kind, POLLED):
            raise PluginError(
                f"poll gave {kind.__name__!r} among its records; it must give SourceRecord and SourceBatch objects"
            )
    if not any(issubclass(kind, SourceBatch) for kind in kinds):
        yield from _runs(polled)  # type: ignore[arg-type]  # its types were looked at above
        return
    run: list[SourceRecord] = []
    for item in polled:
        if isinstance(item, SourceRecord):
            run.append(item)
            continue
        yield from _runs(run)
        run = []
        yield from _parts(item)
    yield from _runs(run)


def _runs(records: Sequence[SourceRecord]) -> Iterator[tuple[Piece, None]]:
    if not len(records):
        return
    for start, stop, size in spans([record.value for record in records]):
        some = records if stop - start == len(records) else records[start:stop]
        yield Piece(stop - start, size, records=some), None


def _parts(batch: SourceBatch) -> Iterator[tuple[Piece, Boundary | None]]:
    check_lengths(batch)
    if not len(batch):
        if batch.boundary is not None:
            yield Piece(0, 0), batch.boundary
        return
    for start, stop, size in spans(batch.values):
        yield Piece(stop - start, size, batch=batch, first=start), batch.boundary if stop == len(batch) else None


def check_lengths(batch: SourceBatch) -> None:
    """Raise PluginError unless all columns are as long as `values`, and what goes with them can be used."""
    offset_at: object = batch.offset_at  # a plugin that nobody type-checked may have given anything
    if not callable(offset_at):
        what = f"poll gave a batch for topic {batch.topic!r} whose offset_at is a {type(offset_at).__name__}"
        raise PluginError(f"{what}; it must be a function that gives the source offset after the row at an index")
    if batch.boundary not in (None, "commit", "abort"):
        raise PluginError(
            f"poll gave a batch for topic {batch.topic!r} with the boundary {batch.boundary!r}; it can be 'commit', "
            "'abort' or None"
        )
    for name in ("keys", "partitions", "timestamps", "headers"):
        column = getattr(batch, name)
        if column is not None and len(column) != len(batch.values):
            raise PluginError(
                f"poll gave a batch for topic {batch.topic!r} of {len(batch.values)} values and {len(column)} {name}; "
                "columns are equally long, or None"
            )


def spans(values: Sequence[Any]) -> Iterator[tuple[int, int, int]]:
    """(start, stop, bytes) of slices of a column; only text and bytes have a size, everything else counts as 0."""
    start, rows = 0, len(values)
    sized = isinstance(values[0], (str, bytes))
    while start < rows:
        stop = min(start + SLICE_ROWS, rows)
        size = 0
        if sized:
            stop, size = _fit(values if stop - start == rows else values[start:stop], start)
        yield start, stop, size
        start = stop


def _fit(window: Sequence[Any], start: int) -> tuple[int, int]:
    try:
        size = sum(map(len, window))
        if size <= SLICE_BYTES:
            return start + len(window), size
        sizes = list(accumulate(map(len, window)))
    except TypeError:  # text and nulls, or more, in one column
        return start + len(window), 0
    rows = max(1, bisect_right(sizes, SLICE_BYTES))
    return start + rows, sizes[rows - 1]
