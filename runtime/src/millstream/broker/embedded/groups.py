"""Groups of the embedded log: positions, which topics a group reads, and which share of a topic a member has."""

import re
from collections.abc import Iterable, Mapping, Sequence

from millstream.broker.embedded.catalog import Catalog, next_offset
from millstream.broker.embedded.reading import oldest
from millstream.broker.ports import Start
from millstream.errors import BrokerError, UnknownTopicError
from millstream.settings.client import NOWHERE
from millstream_api.records import TopicPartition


def share(partitions: int, member: int, members: int) -> range:
    """Range assignment of one topic (RangeAssignor.java): neighbours together, the first members get one more."""
    size, extra = divmod(partitions, members)
    start = member * size + min(member, extra)
    return range(start, start + size + (1 if member < extra else 0))


def matching(names: Iterable[str], topics: Sequence[str] | None, pattern: re.Pattern[str] | None) -> list[str]:
    """Which of the names are subscribed to; a pattern matches the whole name."""
    wanted = frozenset(topics or ())
    return [name for name in names if name in wanted or (pattern is not None and pattern.fullmatch(name))]


def committed(catalog: Catalog, group: str) -> dict[TopicPartition, int]:
    with catalog.data.reading() as connection:
        rows = connection.execute(
            "select topic, part, offset from position where grp = ? order by topic, part", (group,)
        ).fetchall()
    return {TopicPartition(topic, part): offset for topic, part, offset in rows}


def commit(catalog: Catalog, group: str, offsets: Mapping[TopicPartition, int], epoch: int | None = None) -> None:
    """Durable on return, with everything that was written before: a sink tells the outside by it."""
    if not offsets:
        return
    for partition, offset in offsets.items():
        slot_of(catalog, partition)
        if offset < 0:
            raise BrokerError(
                f"group {group!r} cannot have offset {offset} in partition {partition.partition} of topic "
                f"{partition.topic!r}: offsets begin at 0"
            )
    with catalog.data.writing(epoch, durable=True) as connection:
        connection.executemany(
            "insert or replace into position values(?, ?, ?, ?)",
            [(group, topic, part, offset) for (topic, part), offset in offsets.items()],
        )


def nowhere(problem: str) -> BrokerError:
    """Where to read on is not known, and `auto.offset.reset` does not say."""
    return BrokerError(f"{problem}, and {NOWHERE}")


def register(catalog: Catalog, group: str, topics: Iterable[str], epoch: int | None) -> None:
    """Remember that a group reads these topics: retention waits for it even before its first commit."""
    with catalog.data.writing(epoch) as connection:
        connection.executemany("insert or ignore into interest values(?, ?)", [(group, topic) for topic in topics])


def delete_offsets(catalog: Catalog, group: str, partitions: Iterable[TopicPartition]) -> None:
    with catalog.data.writing(durable=True) as connection:
        connection.executemany(
            "delete from position where grp = ? and topic = ? and part = ?",
            [(group, topic, part) for topic, part in partitions],
        )


def delete_group(catalog: Catalog, group: str) -> None:
    """Forget its positions. What it reads stays known: retention must not take what a reset sink has still to read."""
    with catalog.data.writing(durable=True) as connection:
        connection.execute("delete from position where grp = ?", (group,))


def slot_of(catalog: Catalog, partition: TopicPartition) -> int:
    """Raises UnknownTopicError saying what there is."""
    topic = catalog.find(partition.topic)
    if topic is None:
        raise UnknownTopicError(f"topic {partition.topic!r} does not exist; there are {catalog.names()!r}")
    if not 0 <= partition.partition < len(topic.slots):
        raise UnknownTopicError(
            f"topic {partition.topic!r} has no partition {partition.partition}: it has {len(topic.slots)}"
        )
    return topic.slots[partition.partition]


def end_offset(catalog: Catalog, partition: TopicPartition) -> int:
    slot = slot_of(catalog, partition)
    topic = catalog.find(partition.topic)
    assert topic is not None
    with topic.store.reading() as connection:
        return next_offset(connection, slot)


def beginning_offset(catalog: Catalog, partition: TopicPartition) -> int:
    """Offset of the oldest row there is; the end when there is none."""
    slot = slot_of(catalog, partition)
    topic = catalog.find(partition.topic)
    assert topic is not None
    with topic.store.reading() as connection:
        return oldest(connection, slot, topic.compacted)


def resolved(catalog: Catalog, partition: TopicPartition, start: Start) -> int:
    """A position as a number."""
    if start == "beginning":
        return beginning_offset(catalog, partition)
    if start == "end":
        return end_offset(catalog, partition)
    return int(start)
