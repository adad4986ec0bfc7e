import copy
import gc
import pickle
import weakref
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream_api.headers import Header
from millstream_api.records import (
    Origin,
    Record,
    RecordBatch,
    SinkBatch,
    SinkRecord,
    SourceBatch,
    SourceRecord,
    TopicPartition,
)
from millstream_api.schema import INT8, STRING

COLUMNS = ("values", "keys", "partitions", "timestamps", "headers", "rows")


def source_record(**changes: Any) -> SourceRecord:
    made = SourceRecord(
        "t", {"a": [1]}, {"file": "f"}, {"at": 7}, None, "key", STRING, 3, 99, [Header("h", "secret", STRING)]
    )
    return made.replace(**changes)


def a_batch(count: int = 4) -> RecordBatch:
    rows = range(count)
    return RecordBatch(
        "t",
        STRING,
        [f"v{row}" for row in rows],
        INT8,
        list(rows),
        [row % 2 for row in rows],
        [1000 + row for row in rows],
        [[Header("n", row, INT8)] for row in rows],
        [row * 10 for row in rows],
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("topic", "u"),
        ("value", None),
        ("value_schema", STRING),
        ("key", None),
        ("key_schema", None),
        ("partition", None),
        ("timestamp", 5),
        ("headers", ()),
    ],
)
def test_replace_changes_one_field_of_a_copy(field: str, value: Any) -> None:
    record = source_record()
    changed = record.replace(**{field: value})
    assert type(changed) is SourceRecord
    assert getattr(changed, field) == value
    assert changed != record
    assert record == source_record()
    others = [name for name in (*Record.__slots__, *SourceRecord.__slots__) if name != field]
    assert all(getattr(changed, name) is getattr(record, name) for name in others)


@pytest.mark.parametrize("coordinate", ["source_partition", "source_offset", "batch", "row", "origin", "vlaue"])
def test_coordinates_and_misspelt_fields_cannot_be_replaced(coordinate: str) -> None:
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{coordinate}'"):
        source_record().replace(**{coordinate: None})


def test_records_are_equal_when_everything_in_them_is() -> None:
    assert source_record() == source_record()
    assert source_record() == copy.deepcopy(source_record())
    assert pickle.loads(pickle.dumps(source_record())) == source_record()  # noqa: S301 - our own bytes
    assert source_record(headers=()) == source_record(headers=[])
    other = SourceRecord("t", {"a": [1]}, {"file": "f"}, {"at": 8})
    assert other != SourceRecord("t", {"a": [1]}, {"file": "f"}, {"at": 7})
    assert Record("t", 1) != SourceRecord("t", 1, None, None)
    assert Record("t", 1) != 1
    with pytest.raises(TypeError, match="unhashable"):
        hash(Record("t", 1))


def test_no_repr_shows_a_value() -> None:
    secret = "secret"
    record = SourceRecord(
        "topic-1", {"x": secret}, {"file": "f"}, {"at": 7}, None, secret, headers=[Header("h", secret)]
    )
    batch = RecordBatch("topic-1", STRING, [secret], None, [secret], headers=[[Header("h", secret)]])
    sink = SinkBatch([batch], [Origin("topic-1", 0, 5)])
    shown = [repr(item) for item in (record, batch, sink, sink[0], record.headers[0])]
    assert not [text for text in shown if secret in text]
    assert "topic='topic-1'" in shown[0]
    assert "source_offset={'at': 7}" in shown[0]
    assert "value=<dict>" in shown[0]
    assert shown[1] == "RecordBatch(topic='topic-1', 1 rows, key_schema=None, value_schema=Schema{STRING})"
    assert shown[2] == "SinkBatch(1 rows in 1 groups)"
    assert "offset=5" in shown[3]
    assert shown[4] == "Header(name='h', value=<str>, schema=None)"


def test_a_batch_numbers_its_rows_unless_told() -> None:
    assert list(RecordBatch("t", None, ["a", "b"]).rows) == [0, 1]
    assert list(a_batch().rows) == [0, 10, 20, 30]
    assert len(a_batch()) == 4


@given(st.sets(st.integers(0, 5)))
def test_take_keeps_the_rows_asked_for_with_their_numbers(kept: set[int]) -> None:
    batch, at = a_batch(6), sorted(kept)
    taken = batch.take(at)
    for name in COLUMNS:
        assert list(getattr(taken, name)) == [getattr(batch, name)[i] for i in at]
    assert (taken.topic, taken.value_schema, taken.key_schema) == ("t", STRING, INT8)
    assert batch == a_batch(6)


def test_take_leaves_absent_columns_absent_and_origins_whole() -> None:
    origins = [Origin("t", 0, offset) for offset in range(3)]
    taken = RecordBatch("t", None, [1, 2, 3], origins=origins).take([2])
    assert (taken.keys, taken.partitions, taken.timestamps, taken.headers) == (None, None, None, None)
    assert taken.origins is origins
    assert origins[taken.rows[0]].offset == 2


def test_replace_keeps_rows_and_origins() -> None:
    batch = a_batch()
    changed = batch.replace(topic="u", values=[1, 2, 3, 4], value_schema=INT8, keys=None)
    assert (changed.topic, changed.values, changed.value_schema, changed.keys) == ("u", [1, 2, 3, 4], INT8, None)
    assert changed.rows is batch.rows
    assert batch == a_batch()
    assert changed != batch
    with pytest.raises(TypeError, match="unexpected keyword argument 'rows'"):
        batch.replace(rows=[])  # type: ignore[call-arg]


def test_the_chain_cannot_see_coordinates_of_a_source_batch() -> None:
    batch = SourceBatch("t", STRING, ["a", "b"], {"file": "f"}, lambda row: {"at": row}, boundary="commit")
    assert batch.offset_at(1) == {"at": 1}
    assert batch.boundary == "commit"
    for derived in (batch.take([1]), batch.replace(topic="u")):
        assert type(derived) is RecordBatch
        assert not hasattr(derived, "source_partition")
    same = SourceBatch("t", STRING, ["a", "b"], {"file": "f"}, lambda row: {"at": row}, boundary="commit")
    assert batch == same
    assert batch != SourceBatch("t", STRING, ["a", "b"], {"file": "f"}, lambda row: {"at": row + 1}, boundary="commit")


def interleaved() -> SinkBatch:
    origins = [Origin(f"t{row % 2}", 0, 100 + row) for row in range(5)]
    even = RecordBatch("t0", None, ["v0", "v2", "v4"], None, ["k0", "k2", "k4"], rows=[0, 2, 4])
    odd = RecordBatch("t1", STRING, ["v1", "v3"], timestamps=[1, 3], rows=[1, 3], headers=[(), [Header("h", 1)]])
    return SinkBatch([even, odd], origins)


def test_a_sink_batch_is_read_as_records_in_the_order_consumed() -> None:
    batch = interleaved()
    assert [record.value for record in batch] == ["v0", "v1", "v2", "v3", "v4"]
    assert [record.row for record in batch] == [0, 1, 2, 3, 4]
    assert [record.origin.offset for record in batch] == [100, 101, 102, 103, 104]
    assert [record.key for record in batch] == ["k0", None, "k2", None, "k4"]
    assert [record.timestamp for record in batch] == [None, 1, None, 3, None]
    assert batch[3].headers == [Header("h", 1)]
    assert batch[1].value_schema is STRING
    assert len(batch) == 5
    assert [record.value for record in batch[1:3]] == ["v1", "v2"]
    assert batch[-1] == list(batch)[4]
    assert batch[0] is batch[0]


def test_a_batch_of_nothing_is_empty() -> None:
    assert list(SinkBatch([], ())) == []
    assert not SinkBatch([], ())


def test_a_sink_record_keeps_its_batch_and_row_through_replace() -> None:
    batch = interleaved()
    changed = batch[3].replace(topic="elsewhere", value=None)
    assert type(changed) is SinkRecord
    assert changed.batch is batch
    assert changed.origin == Origin("t1", 0, 103, "CreateTime")
    assert changed != batch[3]


def test_records_made_elsewhere_are_used() -> None:
    asked = []

    def records(batch: SinkBatch) -> list[SinkRecord]:
        asked.append(batch)
        return [SinkRecord("t", 1, None, None, None, 0, None, (), batch, 0)]

    batch = SinkBatch([RecordBatch("t", None, [1])], [Origin("t", 0, 0)], records)
    assert batch[0].value == 1
    assert [record.value for record in batch] == [1]
    assert asked == [batch]


def test_iterating_leaves_no_circle_behind() -> None:
    class Told:
        pass

    gc.collect()
    gc.disable()
    try:
        value = Told()
        gone = weakref.ref(value)
        batch = SinkBatch([RecordBatch("t", None, [value])], [Origin("t", 0, 0)])
        assert [record.row for record in batch] == [0]
        del batch, value
        assert gone() is None
    finally:
        gc.enable()


def test_places_are_tuples_with_names() -> None:
    assert TopicPartition("t", 1) == ("t", 1)
    assert Origin("t", 1, 5) == ("t", 1, 5, "CreateTime")
