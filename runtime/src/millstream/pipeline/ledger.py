"""Where each row of a slice comes from, written before the chain sees it."""

import json
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import Protocol

from millstream_api import Place


class Ledger(Protocol):
    """Source partition and source offset of each row, in poll order."""

    def place(self, row: int) -> tuple[Place | None, Place | None]:
        """(source partition, source offset) of a row. May call the plugin's `offset_at`."""
        ...

    def split(self, rows: Sequence[int]) -> Sequence[tuple[Place | None, Sequence[int]]]:
        """Ascending rows by source partition, in the order in which the partitions first appear.

        Partitions that are equal as JSON are one. A slice of one source partition gives `rows` itself, once.
        """
        ...


class BatchLedger:
    """Rows of one source batch: rows `first`, `first` + 1, … of the batch are rows 0, 1, … here."""

    __slots__ = ("_first", "_offset_at", "_partition")

    def __init__(self, partition: Place | None, offset_at: Callable[[int], Place | None], first: int) -> None:
        self._partition = partition
        self._offset_at = offset_at
        self._first = first

    def place(self, row: int) -> tuple[Place | None, Place | None]:
        return self._partition, self._offset_at(self._first + row)

    def split(self, rows: Sequence[int]) -> Sequence[tuple[Place | None, Sequence[int]]]:
        return [(self._partition, rows)] if len(rows) else []


class RowLedger:
    """Rows with a place each."""

    __slots__ = ("_offsets", "_partitions")

    def __init__(self, partitions: Sequence[Place | None], offsets: Sequence[Place | None]) -> None:
        self._partitions = partitions
        self._offsets = offsets

    def place(self, row: int) -> tuple[Place | None, Place | None]:
        return self._partitions[row], self._offsets[row]

    def split(self, rows: Sequence[int]) -> Sequence[tuple[Place | None, Sequence[int]]]:
        return split([self._partitions[row] for row in rows], rows)


class JoinedLedger:
    """Several ledgers one behind the other; `starts[i]` is the first row of `parts[i]`."""

    __slots__ = ("_parts", "_starts")

    def __init__(self, parts: Sequence[Ledger], starts: Sequence[int]) -> None:
        self._parts = parts
        self._starts = starts

    def place(self, row: int) -> tuple[Place | None, Place | None]:
        at = bisect_right(self._starts, row) - 1
        return self._parts[at].place(row - self._starts[at])

    def split(self, rows: Sequence[int]) -> Sequence[tuple[Place | None, Sequence[int]]]:
        places: list[Place | None] = []
        for at, part in enumerate(self._parts):
            first = self._starts[at]
            stop = self._starts[at + 1] if at + 1 < len(self._starts) else None
            own = rows[bisect_left(rows, first) : len(rows) if stop is None else bisect_left(rows, stop)]
            owner: dict[int, Place | None] = {}
            for place, members in part.split([row - first for row in own]):
                owner.update(dict.fromkeys(members, place))
            places.extend(owner[row - first] for row in own)
        return split(places, rows)


def split(places: Sequence[Place | None], rows: Sequence[int]) -> Sequence[tuple[Place | None, Sequence[int]]]:
    """Rows by partition, where `places[i]` is the partition of `rows[i]`."""
    if not len(rows):
        return []
    identities = list(map(id, places))
    if identities.count(identities[0]) == len(identities):
        return [(places[0], rows)]
    names: dict[int, str] = {}
    found: dict[str, tuple[Place | None, list[int]]] = {}
    for place, identity, row in zip(places, identities, rows, strict=True):
        name = names.get(identity)
        if name is None:
            name = names[identity] = spelling(place)
        entry = found.get(name)
        if entry is None:
            entry = found[name] = (place, [])
        entry[1].append(row)
    return list(found.values())


def spelling(place: Place | None) -> str:
    """One text for partitions that are equal as JSON, whatever the order of their keys."""
    return json.dumps(place, sort_keys=True, default=repr)
