"""Rows of one partition, read from the log in short queries whose cursors are closed before anybody sees the rows."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from millstream.broker.embedded.appending import headers_from
from millstream.broker.embedded.batches import decode
from millstream.broker.embedded.catalog import Topic, next_offset
from millstream.broker.embedded.schema import LAST, SLOT_BITS
from millstream.broker.ports import Incoming

MOST_BATCHES = 4
SMALL_BYTES = 64 << 10  # more than four batches are read while they have not even this size together
MOST_KEYED_ROWS = 2_000
AHEAD_ROWS = 2_000  # so many are read at once where a poll asks for fewer: four slices of a source


@dataclass(frozen=True, slots=True)
class Fetched:
    """position: where to read on; skipped: rows between the position asked for and the oldest there is."""

    incoming: Sequence[Incoming]
    position: int
    skipped: int = 0


def fetch(topic: Topic, partition: int, position: int, max_rows: int) -> Fetched | None:
    """Some rows from `position` on, none at the end; None when it lies beyond the end."""
    slot = topic.slots[partition]
    with topic.store.reading() as connection:
        if topic.compacted:
            return _fetch_keyed(connection, (topic, partition), position, max_rows)
        found = _batches(connection, slot, position, max_rows)
        if not found:
            end = next_offset(connection, slot)
            if position < end:  # looked for again: rows may have been committed between the two statements
                found = _batches(connection, slot, position, max_rows)
            if not found:
                return None if position > end else Fetched((), end, end - position)
    first = found[0][0] & LAST
    incoming = [_incoming(topic.name, partition, batch, position) for batch in found]
    last_id, count, *_ = found[-1]
    return Fetched(incoming, (last_id & LAST) + count, max(first - position, 0))


def oldest(connection: sqlite3.Connection, slot: int, compacted: bool) -> int:
    """Offset of the oldest row of a partition; its end when there is none.

    The end is read first: a row committed between the two statements is found by the second one. The other way round
    the end would lie behind it, and whoever begins to read there would never see it.
    """
    end = next_offset(connection, slot)
    if compacted:
        (found,) = connection.execute("select min(offset) from row where slot = ?", (slot,)).fetchone()
    else:
        span = (slot << SLOT_BITS, (slot << SLOT_BITS) | LAST)
        (found,) = connection.execute("select min(id) from batch where id between ? and ?", span).fetchone()
    return end if found is None else int(found) & LAST


def _batches(
    connection: sqlite3.Connection, slot: int, position: int, max_rows: int
) -> list[tuple[int, int, int, bytes]]:
    """(id, rows, timestamp, blob) of the batch that holds `position` and of those after it."""
    low, at = slot << SLOT_BITS, (slot << SLOT_BITS) + min(position, LAST)
    (first,) = connection.execute("select max(id) from batch where id between ? and ?", (low, at)).fetchone()
    cursor = connection.execute(
        "select id, n, ts, data from batch where id between ? and ? and (id & ?) + n > ? order by id",
        (at if first is None else first, low | LAST, LAST, position),
    )
    found: list[tuple[int, int, int, bytes]] = []
    size = rows = 0
    try:
        for batch in cursor:
            found.append(batch)
            size += len(batch[3])
            rows += batch[1]
            if rows >= max_rows or (len(found) >= MOST_BATCHES and size >= SMALL_BYTES):
                break
    finally:
        cursor.close()
    return found


def _incoming(name: str, partition: int, batch: tuple[int, int, int, bytes], position: int) -> Incoming:
    number, count, timestamp, blob = batch
    base = number & LAST
    rows = decode(blob, count)
    stamps = rows.timestamps if rows.timestamps is not None else [timestamp] * count
    incoming = Incoming(name, partition, range(base, base + count), rows.values, stamps, rows.keys, rows.headers)
    return cut(incoming, position - base, count) if position > base else incoming


def cut(incoming: Incoming, start: int, stop: int) -> Incoming:
    """The rows from `start` to before `stop`, by their number."""
    part = slice(start, stop)
    return Incoming(
        incoming.topic,
        incoming.partition,
        incoming.offsets[part],
        incoming.values[part],
        incoming.timestamps[part],
        None if incoming.keys is None else incoming.keys[part],
        None if incoming.headers is None else incoming.headers[part],
        incoming.timestamp_type,
    )


def _fetch_keyed(
    connection: sqlite3.Connection, place: tuple[Topic, int], position: int, max_rows: int
) -> Fetched | None:
    topic, partition = place
    slot = topic.slots[partition]
    end = next_offset(connection, slot)
    if position > end:
        return None
    limit = min(max_rows, MOST_KEYED_ROWS)
    rows = connection.execute(
        "select offset, key, ts, value, headers from row where slot = ? and offset >= ? and offset < ? "
        "order by offset limit ?",
        (slot, position, end, limit),
    ).fetchall()
    if not rows:
        return Fetched((), end)
    offsets, keys, stamps, values, texts = zip(*rows, strict=True)
    headers = [headers_from(text) for text in texts] if any(texts) else None
    incoming = Incoming(topic.name, partition, offsets, values, stamps, keys, headers)
    return Fetched([incoming], end if len(rows) < limit else offsets[-1] + 1)
