"""What a consumer gave on its way to `put`, and the records that a sink reports."""

from collections.abc import Sequence
from typing import Any

import pytest
from pipeline_bench import STRING, Calling, Heard, Parts, Text

from millstream.broker.deferred import Deferred
from millstream.broker.ports import Incoming
from millstream.errors import DataError, MillstreamError
from millstream.pipeline.conversion import Converters
from millstream.pipeline.reporting import Consumed
from millstream.pipeline.tolerance import Tolerance
from millstream_api import (
    Decoded,
    Header,
    SinkBatch,
    SinkRecord,
    Subject,
)


def read(lines: Sequence[bytes | None], partition: int = 0, first: int = 0, **columns: Any) -> Incoming:
    return Incoming("lines", partition, range(first, first + len(lines)), lines, [7] * len(lines), **columns)


def test_a_put_gets_rows_in_consumer_order_with_their_origins() -> None:
    poll = Parts().sink().batch([read([b"a", b"b"], 0, 5), read([b"c"], 1, 90), read([])])
    assert [(r.value, r.partition, r.timestamp, r.origin.offset) for r in poll.batch] == [
        ("a", 0, 7, 5),
        ("b", 0, 7, 6),
        ("c", 1, 7, 90),
    ]
    assert (poll.read, dict(poll.positions), poll.topics) == (3, {("lines", 0): 7, ("lines", 1): 91}, ["lines"])
    assert len(poll.batch.groups) == 1


def test_dropped_rows_count_as_read_and_the_others_are_numbered_anew() -> None:
    drop = Calling(lambda record: None if record.value == "b" else record.replace(topic="moved"))
    poll = Parts().sink(drop).batch([read([b"a", b"b", b"c"], 0, 5)])
    assert [(r.row, r.topic, r.origin) for r in poll.batch] == [
        (0, "moved", ("lines", 0, 5, "CreateTime")),
        (1, "moved", ("lines", 0, 7, "CreateTime")),
    ]
    assert (poll.read, dict(poll.positions), poll.topics) == (3, {("lines", 0): 8}, ["lines"])


def test_a_transformation_on_a_sink_sees_where_a_record_comes_from() -> None:
    seen = []
    look = Calling(lambda record: seen.append((record.origin.offset, record.value)))
    Parts().sink(look).batch([read([b"a"], 0, 5), read([b"b"], 3, 9)])
    assert seen == [(5, "a"), (9, "b")]


def test_without_tolerance_nothing_of_a_failing_poll_is_put() -> None:
    poll = Parts().sink().batch([read([b"a", b"bad", b"c"])])
    assert (len(poll.batch), poll.failed_row, poll.read) == (0, 1, 3)
    assert str(poll.failure) == "Tolerance exceeded in error handler"


def test_an_empty_poll_gives_an_empty_batch() -> None:
    poll = Parts().sink().batch([])
    assert (len(poll.batch), list(poll.batch), poll.read, poll.positions, poll.failure) == (0, [], 0, {}, None)


def test_headers_and_keys_are_decoded_and_a_missing_timestamp_is_none() -> None:
    some = Incoming("t", 0, [1, 2], [b"a", b"b"], [-1, 4], keys=[b"k", None], headers=[[("h", b"1")], []])
    first, second = Parts().sink().batch([some]).batch
    assert (first.key, first.timestamp, first.headers) == ("k", None, [Header("h", "1", STRING)])
    assert (second.key, second.key_schema, second.timestamp, list(second.headers)) == (None, STRING, 4, [])


def late(*stamps: int) -> tuple[Incoming, list[bool]]:
    """Rows whose timestamps are deferred, and whether somebody has looked at them."""
    looks: list[bool] = []

    def make() -> list[int]:
        looks.append(True)
        return list(stamps)

    return Incoming("t", 0, range(len(stamps)), [b"a"] * len(stamps), Deferred(len(stamps), make)), looks


def test_deferred_timestamps_are_not_made_where_nobody_looks_at_them() -> None:
    some, looks = late(-1, 4)
    batch = Parts().sink().batch([some]).batch
    assert (list(batch.groups[0].values), looks) == (["a", "a"], [])
    assert list(batch.groups[0].timestamps or ()) == [None, 4]
    assert looks == [True]


def test_a_negative_timestamp_that_is_deferred_is_refused_by_whoever_looks() -> None:
    some, _ = late(4, -2)
    batch = Parts().sink().batch([some]).batch
    with pytest.raises(DataError, match="Invalid record timestamp -2"):
        list(batch)


def test_in_front_of_transformations_a_negative_timestamp_ends_the_task_though_it_was_deferred() -> None:
    some, _ = late(4, -2, 5)
    poll = Parts(Tolerance(all=True)).sink(Calling(lambda r: r)).batch([some])
    assert (str(poll.failure), poll.failed_row, len(poll.batch)) == ("Invalid record timestamp -2", 1, 0)


def test_a_decoder_that_loses_rows_is_named() -> None:
    class Losing(Text):
        def decoder(self, subject: Subject) -> Any:
            return lambda values, headers: []

    parts = Parts()
    parts.converters = Converters(parts.text, Losing(), parts.text, ("k", "losing.Converter", "h"))
    poll = parts.sink().batch([read([b"a"])])
    assert poll.failure is not None
    assert str(poll.failure.__cause__) == (
        "the decoder of losing.Converter for the value of topic 'lines' left out or repeated some of 1 rows; "
        "each belongs to one group"
    )


@pytest.mark.parametrize(
    ("decoder", "sentence"),
    [
        (None, "is a NoneType; it must be a function of data and headers"),
        (lambda data, headers: list(data), "gave a list with a bytes; it must be of Decoded(schema, at, values)"),
        (
            lambda data, headers: Decoded(None, None, data),
            "gave a Decoded; it must give a list of Decoded(schema, at, values)",
        ),
        (
            lambda data, headers: [Decoded("string", None, data)],
            "gave a str as schema; it must be a Schema, such as STRING, or None",
        ),
    ],
)
def test_a_decoder_that_breaks_its_promise_is_told_what_it_did(decoder: Any, sentence: str) -> None:
    class Broken(Text):
        def decoder(self, subject: Subject) -> Any:
            return decoder

    parts = Parts()
    parts.converters = Converters(parts.text, Broken(), parts.text, ("k", "broken.Converter", "h"))
    poll = parts.sink().batch([read([b"a"])])
    assert poll.failure is not None
    said = f"the decoder of broken.Converter for the value of topic 'lines' {sentence}"
    assert str(poll.failure.__cause__) == said


# ----------------------------------------------------------------------------------------------- errant records


def test_without_reporters_a_sink_has_no_report() -> None:
    assert Parts().sink().reporter is None


def test_an_errant_record_is_reported_as_it_was_consumed() -> None:
    heard = Heard()
    pipeline = Parts(Tolerance(all=True), heard).sink(Calling(lambda r: r.replace(value="changed")))
    some = Incoming("t", 4, [10, 11], [b"a", b"b"], [-1, 4], keys=[b"k", b"l"], headers=[[("h", b"1")], []])
    batch = pipeline.batch([some]).batch
    pipeline.batch([read([b"later"])])
    report = pipeline.reporter
    assert report is not None
    report(batch[1].replace(topic="elsewhere"), ValueError("cannot be written"))
    ((event, original),) = heard.all
    assert (event.site.stage.value, event.site.class_name) == ("TASK_PUT", "org.apache.kafka.connect.sink.SinkTask")
    assert original == Consumed("t", 4, 11, 4, "CreateTime", b"l", b"b", [])
    assert (event.failures, event.skipped) == (1, False)


def test_a_record_made_by_the_plugin_is_spelled_by_the_tasks_converters() -> None:
    heard = Heard()
    pipeline = Parts(Tolerance(all=True), heard).sink()
    own: SinkRecord = SinkRecord(
        "t", "v", STRING, None, None, None, None, [Header("h", 2)], batch=None, row=0  # type: ignore[arg-type]
    )  # fmt: skip
    pipeline.errant(own, ValueError("no"))
    assert heard.all[0][1] == Consumed("t", None, None, None, "NoTimestampType", None, b"v", [("h", b"2")])


def test_an_errant_record_without_tolerance_raises_after_it_was_reported() -> None:
    heard = Heard()
    pipeline = Parts(heard=heard).sink()
    batch: SinkBatch = pipeline.batch([read([b"a"])]).batch
    with pytest.raises(MillstreamError, match="Tolerance exceeded in error handler") as caught:
        pipeline.errant(batch[0], ValueError("no"))
    assert isinstance(caught.value.__cause__, ValueError)
    assert len(heard.all) == 1
