"""What the embedded log lets go: old batches while it runs, freed pages offline."""

import os
import sqlite3
from collections.abc import Collection

from millstream.broker.embedded.catalog import Catalog, Topic
from millstream.broker.embedded.groups import matching
from millstream.broker.embedded.schema import LAST, PAGE_SIZE, SLOT_BITS
from millstream.broker.ports import SinkGroup

BATCHES = 64  # in one transaction, so that no writer waits long
TOMBSTONE_MS = 24 * 3600 * 1000


def retain(catalog: Catalog, sinks: Collection[SinkGroup]) -> int:
    """Remove whole batches, oldest first, that are too old or too many, never one that a group of `sinks` has not
    committed; and tombstones that every follower has had a day to see. Gives the number of batches."""
    removed = 0
    for topic in catalog.topics():
        if topic.compacted:
            _drop_tombstones(catalog, topic)
            continue
        for partition, slot in enumerate(topic.slots):
            limit = _committed_by_all(catalog, topic.name, partition, sinks)
            while count := _drop_batches(catalog, topic, slot, limit):
                removed += count
                if count < BATCHES:
                    break
    return removed


def _committed_by_all(catalog: Catalog, topic: str, partition: int, sinks: Collection[SinkGroup]) -> int:
    """Rows before this offset have been committed by each of the groups that reads the topic.

    A sink that never ran, or has not seen the topic yet, reads it by its settings; one that reads other topics now
    holds up nothing by what it committed here once.
    """
    with catalog.data.reading() as connection:
        seen = {group for (group,) in connection.execute("select grp from interest where topic = ?", (topic,))}
        positions = dict(
            connection.execute("select grp, offset from position where topic = ? and part = ?", (topic, partition))
        )
    seen |= positions.keys()
    readers = {sink.group for sink in sinks if _reads(sink, topic, seen)}
    return min((positions.get(group, 0) for group in readers), default=LAST)


def _reads(sink: SinkGroup, topic: str, seen: Collection[str]) -> bool:
    if not sink.topics and sink.pattern is None:
        return sink.group in seen
    return bool(matching([topic], tuple(sink.topics), sink.pattern))


def _drop_batches(catalog: Catalog, topic: Topic, slot: int, limit: int) -> int:
    low = slot << SLOT_BITS
    since = catalog.clock.now_ms() - topic.number("retention.ms", catalog.settings.retention_ms)
    forever = topic.number("retention.ms", catalog.settings.retention_ms) < 0
    most = topic.number("retention.bytes", catalog.settings.retention_bytes)
    with topic.store.reading() as connection:
        oldest = connection.execute(
            "select id, n, ts, bytes from batch where id between ? and ? order by id limit ?",
            (low, low | LAST, BATCHES),
        ).fetchall()
        (size,) = connection.execute("select bytes from part where slot = ?", (slot,)).fetchone()
    gone: list[tuple[int, int]] = []
    for number, count, timestamp, batch_bytes in oldest:
        old = not forever and timestamp < since
        if not (old or 0 <= most < size) or (number & LAST) + count > limit:
            break
        size -= batch_bytes
        gone.append((number, batch_bytes))
    if gone:
        with topic.store.writing() as connection:
            connection.execute("delete from batch where id between ? and ?", (low, gone[-1][0]))
            freed = sum(batch_bytes for _, batch_bytes in gone)
            connection.execute("update part set bytes = bytes - ? where slot = ?", (freed, slot))
    return len(gone)


def _drop_tombstones(catalog: Catalog, topic: Topic) -> None:
    before = catalog.clock.now_ms() - topic.number("delete.retention.ms", TOMBSTONE_MS)
    for slot in topic.slots:
        with topic.store.reading() as connection:
            found = connection.execute(
                "select key from row where slot = ? and value is null and ts < ? limit ?", (slot, before, BATCHES)
            ).fetchall()
        if found:
            with topic.store.writing() as connection:
                connection.executemany(
                    "delete from row where slot = ? and key = ? and value is null", [(slot, key) for (key,) in found]
                )


def give_back(path: str) -> tuple[int, int]:
    """Rewrite one file of the log without its free pages; bytes before and after. Its worker must be stopped."""
    before = os.path.getsize(path)
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("pragma wal_checkpoint(truncate)").fetchall()
        connection.execute(f"pragma page_size={PAGE_SIZE}")
        connection.execute("vacuum")
        connection.execute("pragma wal_checkpoint(truncate)").fetchall()
    finally:
        connection.close()
    return before, os.path.getsize(path)
