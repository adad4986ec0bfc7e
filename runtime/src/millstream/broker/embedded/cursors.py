"""Where a consumer reads: its partitions' positions, and the rows fetched beyond what was asked for."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field

from millstream.broker.embedded import groups
from millstream.broker.embedded.catalog import Catalog, Topic
from millstream.broker.embedded.reading import AHEAD_ROWS, cut, fetch
from millstream.broker.ports import ConsumerSettings, Incoming
from millstream.errors import BrokerError
from millstream_api.records import TopicPartition

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Cursor:
    """Where one partition is read. ready: rows fetched beyond what a poll had asked for, from `position` on."""

    topic: Topic
    partition: int
    position: int
    paused: bool = False
    ready: list[Incoming] = field(default_factory=list)
    fetched: int = 0


class Reader:
    """The cursors of a consumer and the rows they give."""

    def __init__(self, catalog: Catalog, settings: ConsumerSettings) -> None:
        self._catalog = catalog
        self._settings = settings
        self.cursors: dict[TopicPartition, Cursor] = {}

    def add(self, partition: TopicPartition, position: int) -> None:
        groups.slot_of(self._catalog, partition)
        topic = self._catalog.find(partition.topic)
        assert topic is not None
        self.cursors[partition] = Cursor(topic, partition.partition, position)

    def rows(self, max_rows: int) -> list[Incoming]:
        """At most `max_rows`; the partition that was served goes to the end of the queue.

        Raises what hinders reading only before any row was taken: rows taken have left their cursor for good.
        """
        found: list[Incoming] = []
        left = max_rows
        for partition in list(self.cursors):
            cursor = self.cursors[partition]
            if cursor.paused:
                continue
            try:
                taken = self._take(partition, cursor, left)
            except BrokerError:
                if found:
                    return found  # the next poll meets the same error, with empty hands
                raise
            if taken:
                found.extend(taken)
                left -= sum(len(incoming.values) for incoming in taken)
                self.cursors[partition] = self.cursors.pop(partition)
            if left <= 0:
                break
        return found

    def _take(self, partition: TopicPartition, cursor: Cursor, left: int) -> list[Incoming]:
        if not cursor.ready:
            self._fetch(partition, cursor, left)
        taken: list[Incoming] = []
        while cursor.ready and left > 0:
            incoming = cursor.ready.pop(0)
            count = len(incoming.values)
            if count > left:
                cursor.ready.insert(0, cut(incoming, left, count))
                incoming = cut(incoming, 0, left)
            left -= len(incoming.values)
            taken.append(incoming)
        if cursor.ready:
            cursor.position = cursor.ready[0].offsets[0]
        else:
            cursor.position = cursor.fetched
        return taken

    def _fetch(self, partition: TopicPartition, cursor: Cursor, left: int) -> None:
        left = max(left, AHEAD_ROWS)  # what is not asked for yet stays with the cursor
        fetched = fetch(cursor.topic, cursor.partition, cursor.position, left)
        if self._settings.reset == "none" and (fetched is None or fetched.skipped):
            raise groups.nowhere(f"{partition.topic}-{partition.partition}: offset {cursor.position} is not in the log")
        if fetched is None or (fetched.skipped and self._settings.reset == "latest"):
            latest = self._settings.reset == "latest"
            position = groups.resolved(self._catalog, partition, "end" if latest else "beginning")
            log.warning(
                "Offset %d of partition %d of topic %r is outside the log; reading on from %d (auto.offset.reset=%s)",
                cursor.position,
                cursor.partition,
                cursor.topic.name,
                position,
                self._settings.reset,
            )
            cursor.position = cursor.fetched = position
            fetched = fetch(cursor.topic, cursor.partition, position, left)
        elif fetched.skipped and cursor.position > 0:
            log.warning(
                "%d rows from offset %d of partition %d of topic %r were removed by retention; reading on after them",
                fetched.skipped,
                cursor.position,
                cursor.partition,
                cursor.topic.name,
            )
        if fetched is not None:
            cursor.ready = list(fetched.incoming)
            cursor.fetched = fetched.position


class Seeking:
    """The part of a consumer that moves in its partitions."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self._reader.cursors)

    def position(self, partition: TopicPartition) -> int:
        return self._reader.cursors[partition].position

    def seek(self, partition: TopicPartition, offset: int) -> None:
        cursor = self._reader.cursors[partition]
        if offset < 0:
            raise BrokerError(f"cannot seek to offset {offset} of {partition!r}: offsets begin at 0")
        cursor.position = offset
        cursor.ready = []

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        for partition in partitions:
            self._reader.cursors[partition].paused = True

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        for partition in partitions:
            self._reader.cursors[partition].paused = False
