"""Pieces appended to the tables of one file, within one SQLite transaction."""

import json
import sqlite3
from collections.abc import Sequence

from millstream.broker.embedded.batches import Rows
from millstream.broker.embedded.schema import SLOT_BITS
from millstream.broker.embedded.writing import Piece


class Appender:
    """Appends pieces within one SQLite transaction; each partition's end is read and written once."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._ends: dict[int, tuple[int, int]] = {}  # slot -> (next offset, bytes)
        self.size = 0

    def append(self, slot: int, piece: Piece) -> int:
        """Give the offset of the piece's first row."""
        end = self._ends.get(slot)
        if end is None:
            end = self._connection.execute("select next, bytes from part where slot = ?", (slot,)).fetchone()
            assert end is not None
        base, size = end
        offset = base
        for count, blob in piece.blobs:
            self._connection.execute(
                "insert into batch values(?, ?, ?, ?, ?)",
                ((slot << SLOT_BITS) + offset, count, piece.timestamp, len(blob), blob),
            )
            offset += count
            size += len(blob)
            self.size += len(blob)
        if not piece.blobs:
            offset += self._put_rows(slot, offset, piece)
        self._ends[slot] = (offset, size)
        return int(base)

    def _put_rows(self, slot: int, offset: int, piece: Piece) -> int:
        rows: Rows = piece.rows
        stamps = rows.timestamps or [piece.timestamp] * piece.count
        headers = rows.headers or [()] * piece.count
        assert rows.keys is not None
        self._connection.executemany(
            "insert or replace into row(slot, key, offset, ts, value, headers) values(?, ?, ?, ?, ?, ?)",
            [
                (slot, key, offset + i, stamps[i], rows.values[i], headers_text(headers[i]))
                for i, key in enumerate(rows.keys)
            ],
        )
        return piece.count

    def finish(self) -> None:
        self._connection.executemany(
            "update part set next = ?, bytes = ? where slot = ?",
            [(end, size, slot) for slot, (end, size) in self._ends.items()],
        )


def headers_text(headers: Sequence[tuple[str, bytes | None]]) -> str | None:
    """Headers of a row of a compacted topic, as JSON with values in Latin-1."""
    if not headers:
        return None
    return json.dumps([(name, None if value is None else value.decode("latin-1")) for name, value in headers])


def headers_from(text: str | None) -> Sequence[tuple[str, bytes | None]]:
    """The inverse of `headers_text`."""
    if text is None:
        return ()
    return tuple((name, None if value is None else value.encode("latin-1")) for name, value in json.loads(text))
