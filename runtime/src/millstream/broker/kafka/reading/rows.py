"""From librdkafka's messages to columns: a call a column, not one a row, and none for what is known without."""

from collections.abc import Sequence
from operator import itemgetter

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Message

from millstream.broker.deferred import Deferred
from millstream.broker.ports import Incoming

_moment = itemgetter(1)


def columns(messages: Sequence[Message], one_topic: bool) -> list[Incoming]:
    """Rows by topic and partition, in the order they came. No message is an error.

    one_topic: they can only be of one, so that nobody needs to look.
    """
    if not messages:
        return []
    partitions = list(map(Message.partition, messages))
    if partitions.count(partitions[0]) == len(messages) and (one_topic or _all_alike(messages)):
        return [_rows(messages)]
    groups: dict[tuple[str | None, int | None], list[Message]] = {}
    for topic, partition, message in zip(map(Message.topic, messages), partitions, messages, strict=True):
        groups.setdefault((topic, partition), []).append(message)
    return [_rows(group) for group in groups.values()]


def _all_alike(messages: Sequence[Message]) -> bool:
    topics = list(map(Message.topic, messages))
    return topics.count(topics[0]) == len(topics)


def _rows(messages: Sequence[Message]) -> Incoming:
    first, count = messages[0], len(messages)
    kind, _ = first.timestamp()
    keys = list(map(Message.key, messages))
    keyless = keys[0] is None and keys.count(None) == count  # the first nearly always decides
    headers = list(map(Message.headers, messages)) if any(map(Message.headers, messages)) else None
    return Incoming(
        first.topic(),  # type: ignore[arg-type]  # a message that is no error has topic, partition and offset
        first.partition(),  # type: ignore[arg-type]  # as above
        _offsets(messages),
        list(map(Message.value, messages)),
        Deferred(count, lambda: list(map(_moment, map(Message.timestamp, messages)))),
        None if keyless else keys,
        None if headers is None else [row or () for row in headers],  # type: ignore[misc]  # always pairs
        "LogAppendTime" if kind == TIMESTAMP_LOG_APPEND_TIME else "CreateTime",
    )


def _offsets(messages: Sequence[Message]) -> Sequence[int]:
    """They ascend, so that without gaps the first and the last say all."""
    first, last = messages[0].offset(), messages[-1].offset()
    assert first is not None
    assert last is not None
    if last - first == len(messages) - 1:
        return range(first, last + 1)
    return list(map(Message.offset, messages))  # type: ignore[arg-type]  # a message that is no error has one
