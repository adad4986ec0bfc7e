"""How the rows of a batch lie in one blob: columns, each as an array of lengths and the joined bytes.

Layout: one byte format, one byte flags, then the columns present, in the order values, keys, timestamps, headers.
A column of bytes: n little-endian uint32 lengths (0xFFFFFFFF is null), then the bytes. Timestamps: n int64. Headers:
n uint32 counts, then a column of names and a column of values over all headers. The row count is beside the blob.
"""

import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from typing import Any

from millstream.broker.ports import Column, HeaderRow
from millstream.errors import BrokerError

FORMAT = 1
KEYS, TIMESTAMPS, HEADERS = 1, 2, 4
NULL = 0xFFFFFFFF
SWAP = sys.byteorder == "big"


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one batch. timestamps None: every row has that of the batch."""

    values: Column
    keys: Column | None = None
    timestamps: Sequence[int] | None = None
    headers: Sequence[HeaderRow] | None = None


def encode(rows: Rows) -> bytes:
    """Give the blob of at least one row."""
    flags = 0
    parts: list[bytes] = []
    _put_column(parts, rows.values)
    if rows.keys is not None:
        flags |= KEYS
        _put_column(parts, rows.keys)
    if rows.timestamps is not None:
        flags |= TIMESTAMPS
        parts.append(_raw(array("q", rows.timestamps)))
    if rows.headers is not None:
        flags |= HEADERS
        _put_headers(parts, rows.headers)
    return b"".join((bytes((FORMAT, flags)), *parts))


def decode(blob: bytes, count: int) -> Rows:
    """Give the rows back. Raises BrokerError when the blob cannot be such a batch."""
    if len(blob) < 2 or blob[0] != FORMAT:
        raise BrokerError(
            f"a batch of {count} rows is not readable: its format is {blob[:1]!r}, this version knows {FORMAT}"
        )
    flags, at = blob[1], 2
    keys = timestamps = headers = None
    try:
        values, at = _take_column(blob, at, count)
        if flags & KEYS:
            keys, at = _take_column(blob, at, count)
        if flags & TIMESTAMPS:
            timestamps, at = _take_array("q", blob, at, count)
        if flags & HEADERS:
            headers, at = _take_headers(blob, at, count)
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise BrokerError(f"a batch of {count} rows is not readable: {error}") from error
    if at != len(blob):
        raise BrokerError(f"a batch of {count} rows is not readable: it has {len(blob)} bytes, its columns take {at}")
    return Rows(values, keys, timestamps, headers)


def lengths(column: Column) -> "array[int]":
    """Bytes in each row, NULL for a null."""
    try:
        return array("I", map(len, column))  # type: ignore[arg-type]  # a null raises, and takes the slower way
    except TypeError:
        return array("I", [NULL if row is None else len(row) for row in column])


def _put_column(parts: list[bytes], column: Column) -> None:
    parts.append(_raw(lengths(column)))
    try:
        parts.append(b"".join(column))  # type: ignore[arg-type]  # as above
    except TypeError:
        parts.append(b"".join([row for row in column if row is not None]))


def _take_column(blob: bytes, at: int, count: int) -> tuple[list[bytes | None], int]:
    sizes, at = _take_array("I", blob, at, count)
    nulls = [row for row, size in enumerate(sizes) if size == NULL] if NULL in sizes else ()
    for row in nulls:
        sizes[row] = 0
    ends = list(accumulate(sizes, initial=at))
    if ends[-1] > len(blob):
        raise ValueError(f"a column would end at byte {ends[-1]}, and it has {len(blob)}")
    rows: list[bytes | None] = [blob[start:end] for start, end in pairwise(ends)]
    for row in nulls:
        rows[row] = None
    return rows, ends[-1]


def _take_array(code: Any, blob: bytes, at: int, count: int) -> tuple["array[int]", int]:
    numbers: array[int] = array(code)
    end = at + count * numbers.itemsize
    if end > len(blob):
        raise ValueError(f"a column would end at byte {end}, and it has {len(blob)}")
    numbers.frombytes(blob[at:end])
    if SWAP:
        numbers.byteswap()
    return numbers, end


def _put_headers(parts: list[bytes], headers: Sequence[HeaderRow]) -> None:
    flat = list(chain.from_iterable(headers))
    parts.append(_raw(array("I", map(len, headers))))
    _put_column(parts, [name.encode() for name, _ in flat])
    _put_column(parts, [value for _, value in flat])


def _take_headers(blob: bytes, at: int, count: int) -> tuple[list[HeaderRow], int]:
    counts, at = _take_array("I", blob, at, count)
    total = sum(counts)
    names, at = _take_column(blob, at, total)
    values, at = _take_column(blob, at, total)
    pairs = [((name or b"").decode(), value) for name, value in zip(names, values, strict=True)]
    ends = list(accumulate(counts, initial=0))
    return [tuple(pairs[start:end]) for start, end in pairwise(ends)], at


def _raw(numbers: "array[int]") -> bytes:
    if SWAP:
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()
