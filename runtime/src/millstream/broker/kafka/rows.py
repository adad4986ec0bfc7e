"""From librdkafka's messages to columns, a call a column instead of one a row."""

from collections.abc import Sequence

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Message

from millstream.broker.ports import Incoming


def columns(messages: Sequence[Message]) -> list[Incoming]:
    """Rows by topic and partition, in the order they came. No message is an error."""
    if not messages:
        return []
    topics, partitions = list(map(Message.topic, messages)), list(map(Message.partition, messages))
    count = len(messages)
    if topics.count(topics[0]) == count and partitions.count(partitions[0]) == count:
        return [_rows(messages)]
    groups: dict[tuple[str | None, int | None], list[Message]] = {}
    for topic, partition, message in zip(topics, partitions, messages, strict=True):
        groups.setdefault((topic, partition), []).append(message)
    return [_rows(group) for group in groups.values()]


def _rows(messages: Sequence[Message]) -> Incoming:
    first = messages[0]
    stamps = list(map(Message.timestamp, messages))
    keys, headers = list(map(Message.key, messages)), list(map(Message.headers, messages))
    return Incoming(
        first.topic(),  # type: ignore[arg-type]  # a message that is no error has topic, partition and offset
        first.partition(),  # type: ignore[arg-type]  # as above
        list(map(Message.offset, messages)),  # type: ignore[arg-type]  # as above
        list(map(Message.value, messages)),
        [stamp for _, stamp in stamps],
        keys if any(key is not None for key in keys) else None,
        [row or () for row in headers] if any(headers) else None,  # type: ignore[misc]  # always pairs
        "LogAppendTime" if stamps[0][0] == TIMESTAMP_LOG_APPEND_TIME else "CreateTime",
    )
