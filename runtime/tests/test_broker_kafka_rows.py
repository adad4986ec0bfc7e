"""librdkafka's messages become columns; what nobody asks for is not made."""

from typing import Any

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME, Message

from millstream.broker.deferred import Deferred
from millstream.broker.kafka.reading.rows import columns


def message(offset: int, partition: int = 0, topic: str = "lines", **more: Any) -> Message:
    stamp = more.pop("timestamp", (TIMESTAMP_CREATE_TIME, 1000 + offset))
    value = more.pop("value", b"%d" % offset)
    return Message(topic=topic, partition=partition, offset=offset, value=value, timestamp=stamp, **more)


def test_rows_of_one_partition_are_one_group_of_columns() -> None:
    (rows,) = columns([message(5), message(6), message(7)], one_topic=False)
    assert (rows.topic, rows.partition, rows.values) == ("lines", 0, [b"5", b"6", b"7"])
    assert (rows.offsets, list(rows.timestamps)) == (range(5, 8), [1005, 1006, 1007])
    assert (rows.keys, rows.headers, rows.timestamp_type) == (None, None, "CreateTime")


def test_offsets_with_gaps_are_each_one_s_own() -> None:
    (rows,) = columns([message(5), message(6), message(9)], one_topic=True)
    assert rows.offsets == [5, 6, 9]


@pytest.mark.parametrize("one_topic", [True, False])
def test_each_partition_has_a_group_of_its_own_in_the_order_they_came(one_topic: bool) -> None:
    found = columns([message(5, 1), message(0, 0), message(6, 1)], one_topic)
    assert [(rows.partition, list(rows.offsets), rows.values) for rows in found] == [
        (1, [5, 6], [b"5", b"6"]),
        (0, [0], [b"0"]),
    ]


def test_equal_partitions_of_two_topics_are_kept_apart() -> None:
    found = columns([message(5), message(5, topic="others"), message(6)], one_topic=False)
    assert [(rows.topic, list(rows.offsets)) for rows in found] == [("lines", [5, 6]), ("others", [5])]


@pytest.mark.parametrize("keys", [[b"k", None, b"l"], [None, b"k", None], [b"", None, None]])
def test_keys_are_there_as_soon_as_one_row_has_one(keys: list[bytes | None]) -> None:
    (rows,) = columns([message(at, key=key) for at, key in enumerate(keys)], one_topic=True)
    assert rows.keys == keys


def test_headers_are_there_as_soon_as_one_row_has_some() -> None:
    (rows,) = columns([message(0), message(1, headers=[("h", b"1"), ("h", None)]), message(2)], one_topic=True)
    assert rows.headers == [(), [("h", b"1"), ("h", None)], ()]


def test_a_null_stays_null_and_the_brokers_own_time_is_called_so() -> None:
    (rows,) = columns([message(0, value=None, timestamp=(TIMESTAMP_LOG_APPEND_TIME, 7))], one_topic=True)
    assert (rows.values, list(rows.timestamps), rows.timestamp_type) == ([None], [7], "LogAppendTime")


def test_nothing_read_is_no_rows() -> None:
    assert columns([], one_topic=True) == []


# ---------------------------------------------------------------------------------------- columns that are deferred


def test_a_deferred_column_is_made_by_the_first_look_and_once() -> None:
    made: list[int] = []

    def make() -> list[int]:
        made.append(1)
        return [7, 8, 9]

    column = Deferred(3, make)
    again = column.then(lambda stamps: [stamp + 1 for stamp in stamps])
    assert (len(column), len(again), made) == (3, 3, [])
    assert (column[1], column[-1], column[1:], list(column), 8 in column) == (8, 9, [8, 9], [7, 8, 9], True)
    assert again == [8, 9, 10]
    assert again != [8]
    assert made == [1]


def test_what_a_deferred_column_cannot_be_made_of_comes_out_of_each_look() -> None:
    def refuse(stamps: list[int]) -> list[int]:
        raise ValueError("no")

    column = Deferred(1, lambda: [7]).then(refuse)
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            list(column)
