"""Rows as columns, one group for each topic and pair of schemas; every row keeps its number in the slice."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, repeat
from typing import Any

from millstream.pipeline.promises import check_topics
from millstream_api import Origin, Record, RecordBatch

Make = Callable[[RecordBatch], Iterable[Record]]


def cells(batch: RecordBatch) -> tuple[Iterable[Any], ...]:
    """What `Record` is made of, row by row, in the order of its arguments."""
    return (
        repeat(batch.topic, len(batch)),
        batch.values,
        repeat(batch.value_schema),
        repeat(None) if batch.keys is None else batch.keys,
        repeat(batch.key_schema),
        repeat(None) if batch.partitions is None else batch.partitions,
        repeat(None) if batch.timestamps is None else batch.timestamps,
        repeat(()) if batch.headers is None else batch.headers,
    )


def plain_records(batch: RecordBatch) -> Iterable[Record]:
    """The rows of a batch one by one."""
    return map(Record, *cells(batch))


def grouped(
    records: Sequence[Record], rows: Sequence[int], origins: Sequence[Origin] | None = None
) -> list[RecordBatch]:
    """Columns of records in row order; no Python call a row when all share topic and schemas."""
    if not records:
        return []
    topics = [record.topic for record in records]
    value_schemas = [record.value_schema for record in records]
    key_schemas = [record.key_schema for record in records]
    if _uniform(topics) and _uniform(value_schemas) and _uniform(key_schemas):
        return [_columns(records, rows, origins)]
    found: dict[Any, list[int]] = {}
    try:
        for at, name in enumerate(zip(topics, map(id, key_schemas), map(id, value_schemas), strict=True)):
            found.setdefault(name, []).append(at)
    except TypeError:  # no name of a topic, such as a dict
        check_topics(topics)
        raise
    return [
        _columns(list(map(records.__getitem__, at)), list(map(rows.__getitem__, at)), origins) for at in found.values()
    ]


def _uniform(column: list[Any]) -> bool:
    return column.count(column[0]) == len(column)


def _columns(records: Sequence[Record], rows: Sequence[int], origins: Sequence[Origin] | None) -> RecordBatch:
    first = records[0]
    headers = [record.headers for record in records]
    return RecordBatch(
        first.topic,
        first.value_schema,
        [record.value for record in records],
        first.key_schema,
        _unless_empty([record.key for record in records]),
        _unless_empty([record.partition for record in records]),
        _unless_empty([record.timestamp for record in records]),
        headers if any(headers) else None,
        rows,
        origins,
    )


def _unless_empty(column: list[Any]) -> list[Any] | None:
    # the first value nearly always decides; counting None may call a foreign __eq__
    return None if column[0] is None and column.count(None) == len(column) else column


def merged(groups: Sequence[RecordBatch]) -> list[RecordBatch]:
    """The same rows with one group for each topic and pair of schemas."""
    if len(groups) < 2:
        return list(groups)
    found: dict[Any, list[RecordBatch]] = {}
    try:
        for group in groups:
            found.setdefault((group.topic, id(group.key_schema), id(group.value_schema)), []).append(group)
    except TypeError:
        check_topics(group.topic for group in groups)
        raise
    return [joined(alike) for alike in found.values()]


def joined(groups: Sequence[RecordBatch]) -> RecordBatch:
    """One batch of all rows in row order, with topic and schemas of the first."""
    first = groups[0]
    if len(groups) == 1:
        return first
    rows: Sequence[int] = list(chain.from_iterable(group.rows for group in groups))
    order: Sequence[int] | None = sorted(range(len(rows)), key=rows.__getitem__)
    if order == list(range(len(rows))):
        order = None

    def column(name: str, empty: Any = None) -> list[Any] | None:
        parts = [getattr(group, name) for group in groups]
        if all(part is None for part in parts):
            return None
        filled = (
            repeat(empty, len(group)) if part is None else part for group, part in zip(groups, parts, strict=True)
        )
        whole = list(chain.from_iterable(filled))
        return whole if order is None else list(map(whole.__getitem__, order))

    return RecordBatch(
        first.topic,
        first.value_schema,
        column("values") or [],
        first.key_schema,
        column("keys"),
        column("partitions"),
        column("timestamps"),
        column("headers", ()),
        rows if order is None else list(map(rows.__getitem__, order)),
        first.origins,
    )


def below(group: RecordBatch, limit: int) -> RecordBatch:
    """The rows with a number less than `limit`."""
    if not len(group) or group.rows[-1] < limit:
        return group
    return group.take(range(bisect_left(group.rows, limit)))


def numbered(group: RecordBatch, rows: Sequence[int], origins: Sequence[Origin] | None = None) -> RecordBatch:
    """The same columns under other row numbers."""
    return RecordBatch(
        group.topic,
        group.value_schema,
        group.values,
        group.key_schema,
        group.keys,
        group.partitions,
        group.timestamps,
        group.headers,
        rows,
        origins,
    )


class Flow:
    """The rows of a slice between two stages, as columns or as records, whichever the next stage wants.

    make: turns columns into the kind of record that transformations see.
    """

    __slots__ = ("_groups", "_records", "_rows", "make", "origins")

    def __init__(self, make: Make, origins: Sequence[Origin] | None = None) -> None:
        self.make = make
        self.origins = origins
        self._groups: list[RecordBatch] | None = None
        self._rows: Sequence[int] = ()
        self._records: Sequence[Record] | None = None

    def of_groups(self, groups: Iterable[RecordBatch]) -> "Flow":
        """The same kind of flow with these rows."""
        flow = Flow(self.make, self.origins)
        flow._groups = merged([group for group in groups if len(group)])
        return flow

    def of_records(self, rows: Sequence[int], records: Sequence[Record]) -> "Flow":
        """The same kind of flow with these rows, ascending."""
        flow = Flow(self.make, self.origins)
        flow._rows, flow._records = rows, records
        return flow

    def groups(self) -> list[RecordBatch]:
        if self._groups is None:
            self._groups = grouped(self._records or (), self._rows, self.origins)
        return self._groups

    def lined(self) -> tuple[Sequence[int], Sequence[Record]]:
        """Row numbers, ascending, and their records."""
        if self._records is None:
            self._rows, self._records = self._lined(self._groups or [])
        return self._rows, self._records

    def _lined(self, groups: list[RecordBatch]) -> tuple[Sequence[int], Sequence[Record]]:
        if len(groups) == 1:
            return groups[0].rows, list(self.make(groups[0]))
        pairs: dict[int, Record] = {}
        for group in groups:
            pairs.update(zip(group.rows, self.make(group), strict=True))
        rows = sorted(pairs)
        return rows, list(map(pairs.__getitem__, rows))

    def below(self, limit: int) -> "Flow":
        """The rows with a number less than `limit`."""
        if self._records is not None:
            if not len(self._rows) or self._rows[-1] < limit:
                return self
            at = bisect_left(self._rows, limit)
            return self.of_records(self._rows[:at], self._records[:at])
        groups = self._groups or []
        if all(group.rows[-1] < limit for group in groups):
            return self
        return self.of_groups(below(group, limit) for group in groups)

    def __bool__(self) -> bool:
        return bool(self._groups if self._records is None else self._records)
