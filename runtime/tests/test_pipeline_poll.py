import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from millstream.broker.deferred import Deferred
from millstream.broker.ports import Incoming
from millstream.errors import DataError, MillstreamError, PluginError, RetriableError
from millstream.lifecycle import ManualClock
from millstream.pipeline.chain import Chain, Link
from millstream.pipeline.conversion import Converters
from millstream.pipeline.ledger import split
from millstream.pipeline.poll import SinkPipeline, SourcePipeline, SourceSlice
from millstream.pipeline.reporting import Consumed, Original, Reporting
from millstream.pipeline.tolerance import Event, Handling, Tolerance
from millstream_api import (
    Converter,
    Decoded,
    Header,
    HeaderConverter,
    RecordBatch,
    Schema,
    SinkBatch,
    SinkRecord,
    SourceBatch,
    SourceRecord,
    Subject,
    Transformation,
    Type,
)

STRING = Schema(Type.STRING)
PLACE = {"filename": "a"}


class Text(Converter[Any], HeaderConverter[Any]):
    """Text to bytes and back; refuses what is `bad`."""

    compiled: list[Subject]

    def __init__(self) -> None:
        self.compiled = []

    def encoder(self, subject: Subject) -> Any:
        self.compiled.append(subject)
        return lambda values, headers: [self.to_bytes("", "", value, None) for value in values]

    def decoder(self, subject: Subject) -> Any:
        self.compiled.append(subject)
        return lambda values, headers: [Decoded(STRING, None, [self.from_bytes("", "", value)[1] for value in values])]

    def to_bytes(self, topic: str, name: str, value: Any, schema: Schema | None) -> bytes | None:
        if value == "bad":
            raise DataError("a bad value")
        return None if value is None else str(value).encode()

    def from_bytes(self, topic: str, name: str, data: bytes | None) -> tuple[Schema | None, Any]:
        if data == b"bad":
            raise DataError("bad bytes")
        return STRING, None if data is None else data.decode()


class Heard:
    def __init__(self) -> None:
        self.all: list[tuple[Event, Original]] = []

    def report(self, event: Event, original: Original) -> None:
        self.all.append((event, original))


class Parts:
    def __init__(self, tolerance: Tolerance = Tolerance(), heard: Heard | None = None) -> None:  # noqa: B008 - a value
        clock = ManualClock()
        self.text = Text()
        self.converters = Converters(self.text, self.text, self.text)
        self.handling = Handling(tolerance, clock, clock.wait)
        self.reporting = Reporting([heard] if heard else [])

    def source(self, *transformations: Transformation[Any]) -> SourcePipeline:
        return SourcePipeline(chain(transformations), self.converters, self.handling, self.reporting)

    def sink(self, *transformations: Transformation[Any]) -> SinkPipeline:
        return SinkPipeline(chain(transformations), self.converters, self.handling, self.reporting)


def chain(transformations: Sequence[Transformation[Any]]) -> Chain:
    return Chain([Link(transformation) for transformation in transformations])


def batch(lines: Sequence[Any], topic: str = "lines", **columns: Any) -> SourceBatch:
    settings = {"source_partition": PLACE, "offset_at": lambda row: {"row": row}, "value_schema": STRING, **columns}
    return SourceBatch(topic=topic, values=lines, **settings)


def record(line: Any, number: int = 0, topic: str = "lines", **fields: Any) -> SourceRecord:
    return SourceRecord(topic, line, PLACE, {"row": number}, STRING, **fields)


def slices(polled: Sequence[Any], *transformations: Transformation[Any]) -> list[SourceSlice]:
    return list(Parts().source(*transformations).slices(polled))


def values(part: SourceSlice) -> dict[str, list[bytes | None]]:
    return {routed.batch.topic: list(routed.batch.values) for routed in part.outgoing}


class Calling(Transformation[Any]):
    def __init__(self, apply: Callable[[Any], Any]) -> None:
        self.apply = apply  # type: ignore[method-assign]


class CallingBatches(Transformation[Any]):
    def __init__(self, form: Callable[[RecordBatch], Any]) -> None:
        self.form = form

    def apply_batch(self, batch: RecordBatch) -> Sequence[RecordBatch]:
        return self.form(batch)  # type: ignore[no-any-return]


# ----------------------------------------------------------------------------------------------------- slices


def test_a_poll_is_cut_into_slices_of_500_rows() -> None:
    parts = slices([batch(["x"] * 1200)])
    assert [part.rows for part in parts] == [500, 500, 200]
    assert parts[2].ledger.place(0) == (PLACE, {"row": 1000})
    assert parts[2].record(199).source_offset == {"row": 1199}
    parts = slices([record("x", number) for number in range(1200)])
    assert [part.rows for part in parts] == [500, 500, 200]
    assert parts[1].record(3).source_offset == {"row": 503}


def test_a_poll_is_cut_into_slices_of_256_kib_of_text() -> None:
    assert [part.rows for part in slices([batch(["x" * 4096] * 130)])] == [64, 64, 2]
    assert [part.rows for part in slices([batch([b"x" * 270_000, b"y", b"z"])])] == [1, 2]


def test_small_batches_and_records_share_a_slice_and_a_group() -> None:
    polled = [batch(["a"]), record("b", 7), batch(["c", "d"], source_partition=None), record("e", topic="other")]
    (part,) = slices(polled)
    assert values(part) == {"lines": [b"a", b"b", b"c", b"d"], "other": [b"e"]}
    assert [list(routed.rows) for routed in part.outgoing] == [[0, 1, 2, 3], [4]]
    assert [part.ledger.place(row) for row in range(4)] == [
        (PLACE, {"row": 0}),
        (PLACE, {"row": 7}),
        (None, {"row": 0}),
        (None, {"row": 1}),
    ]
    assert part.ledger.split([0, 1, 3, 4]) == [(PLACE, [0, 1, 4]), (None, [3])]
    assert [part.record(row).value for row in range(5)] == list("abcde")


def test_rows_of_one_topic_and_several_schemas_are_sent_in_poll_order() -> None:
    other = Schema(Type.STRING, optional=True)
    polled = [SourceRecord("t", str(n), PLACE, {"n": n}, STRING if n % 2 else other) for n in range(5)]
    (part,) = slices(polled)
    assert values(part) == {"t": [b"0", b"1", b"2", b"3", b"4"]}


def test_a_boundary_ends_its_slice_and_may_come_without_rows() -> None:
    polled = [batch(["a"]), batch(["b"], boundary="commit"), batch(["c"]), batch([], boundary="abort"), batch([])]
    found = [(part.rows, part.boundary) for part in slices(polled)]
    assert found == [(2, "commit"), (1, "abort")]


def test_an_empty_poll_has_no_slices() -> None:
    assert slices([]) == []


def test_a_batch_of_one_slice_is_not_copied() -> None:
    seen = []

    def look(rows: RecordBatch) -> list[RecordBatch]:
        seen.append(rows)
        return [rows]

    lines = ["a", "b"]
    slices([batch(lines)], CallingBatches(look))
    assert seen[0].values is lines
    assert type(seen[0]) is RecordBatch  # no transformation can touch the places


def test_a_slice_is_made_when_the_one_before_has_been_taken() -> None:
    count = []

    def look(rows: RecordBatch) -> list[RecordBatch]:
        count.append(len(rows))
        return [rows]

    left = Parts().source(CallingBatches(look)).slices([batch(["x"] * 1500)])
    next(left)
    assert count == [500]


def test_what_is_no_record_is_refused_by_name() -> None:
    with pytest.raises(PluginError, match=r"poll gave .str. among its records; it must give SourceRecord"):
        slices(["a line"])


def test_columns_of_unequal_length_are_refused_with_their_lengths() -> None:
    with pytest.raises(
        PluginError, match=r"poll gave a batch for topic 'lines' of 2 values and 1 keys; columns are equally long"
    ):
        slices([batch(["a", "b"], keys=["k"])])


def test_partitions_equal_as_json_are_one() -> None:
    places: list[Any] = [{"a": 1, "b": 2}, {"b": 2, "a": 1}, None, {"a": 1, "b": 2}]
    assert split(places, [0, 1, 2, 5]) == [({"a": 1, "b": 2}, [0, 1, 5]), (None, [2])]


# ----------------------------------------------------------------------------------------- keys, headers, stamps


def test_all_columns_reach_the_producer() -> None:
    headers = [[Header("h", 1)], []]
    (part,) = slices([batch(["a", "b"], keys=["k", None], partitions=[3, None], timestamps=[5, -1], headers=headers)])
    (routed,) = part.outgoing
    out = routed.batch
    assert (out.keys, out.partitions, out.timestamps) == ([b"k", None], [3, None], [5, None])
    assert out.headers == [[("h", b"1")], []]


def test_columns_that_are_null_in_every_row_stay_away() -> None:
    (part,) = slices([record("a"), record("b")])
    out = part.outgoing[0].batch
    assert (out.keys, out.partitions, out.timestamps, out.headers) == (None, None, None, None)


def test_a_negative_timestamp_ends_the_task_whatever_is_tolerated() -> None:
    pipeline = Parts(Tolerance(all=True)).source()
    (part,) = pipeline.slices([record("a", timestamp=1), record("b", timestamp=-2), record("c")])
    assert (values(part), part.failed_row) == ({"lines": [b"a"]}, 1)
    assert str(part.failure) == "Invalid record timestamp -2"


@pytest.mark.parametrize("others", [1, 1 << 63])
def test_a_timestamp_beyond_64_bits_ends_the_task_at_its_row(others: int) -> None:
    pipeline = Parts(Tolerance(all=True)).source()
    (part,) = pipeline.slices([record("a", timestamp=1), record("b", timestamp=1 << 63), record("c", timestamp=others)])
    assert (values(part), part.failed_row) == ({"lines": [b"a"]}, 1)
    assert isinstance(part.failure, DataError)
    assert str(part.failure) == (
        "Invalid record timestamp: a number of 64 bits; milliseconds since 1970 have at most 63"
    )
    [note] = part.failure.__notes__
    assert "source offset" in note
    assert note.endswith("mend the record or the settings and restart the task")


def test_a_batch_whose_rows_all_have_a_timestamp_beyond_64_bits_ends_at_its_first() -> None:
    (part,) = slices([record(name, timestamp=1 << 70) for name in "ab"])
    assert (part.failed_row, values(part)) == (0, {})
    (part,) = slices([record("a", timestamp=(1 << 63) - 1)])
    assert part.failure is None


def test_converters_are_compiled_once_for_each_subject() -> None:
    parts = Parts()
    pipeline = parts.source()
    for _ in range(3):
        list(pipeline.slices([batch(["a"] * 600), record("b"), batch(["c"], "other")]))
    assert sorted(subject[0::2] for subject in parts.text.compiled) == [
        ("lines", "key"),
        ("lines", "value"),
        ("other", "key"),
        ("other", "value"),
    ]


def test_an_encoder_that_loses_rows_is_named() -> None:
    class Losing(Text):
        def encoder(self, subject: Subject) -> Any:
            return lambda values, headers: []

    parts = Parts()
    parts.converters = Converters(parts.text, Losing(), parts.text, ("k", "losing.Converter", "h"))
    (part,) = parts.source().slices([batch(["a"])])
    assert part.failure is not None
    assert str(part.failure.__cause__) == (
        "the encoder of losing.Converter for the value of topic 'lines' gave 0 rows for 1; it must give one a row"
    )


# ------------------------------------------------------------------------------------------------- bad records


def test_without_tolerance_rows_before_the_bad_one_are_sent_and_no_slice_follows() -> None:
    heard = Heard()
    lines = ["x"] * 1500
    lines[700] = "bad"
    parts = list(Parts(heard=heard).source().slices([batch(lines)]))
    assert [(part.rows, sum(len(r.rows) for r in part.outgoing), part.failed_row) for part in parts] == [
        (500, 500, None),
        (500, 200, 200),
    ]
    assert str(parts[1].failure) == "Tolerance exceeded in error handler"
    ((event, original),) = heard.all
    assert isinstance(original, SourceRecord)
    assert (original.source_offset, event.site.stage.value) == ({"row": 700}, "VALUE_CONVERTER")


def test_a_failing_boundary_batch_does_not_commit() -> None:
    (part,) = slices([batch(["a", "bad"], boundary="commit")])
    assert (part.boundary, part.failed_row) == (None, 1)


def test_with_tolerance_all_bad_rows_are_skipped_and_keep_their_numbers() -> None:
    (part,) = Parts(Tolerance(all=True)).source().slices([batch(["a", "bad", "c"])])
    assert (values(part), list(part.outgoing[0].rows)) == ({"lines": [b"a", b"c"]}, [0, 2])


@pytest.mark.parametrize(
    ("transformation", "sentence"),
    [
        (Calling(lambda record: "text"), "gave 'str' for a record; apply must give a Record"),
        (CallingBatches(lambda rows: [rows, rows]), "apply_batch gave the same rows more than once"),
        (
            CallingBatches(lambda rows: [RecordBatch("t", None, ["a"], rows=[9])]),
            "apply_batch gave rows that it was not given, one twice, or out of order; use batch.take",
        ),
        (CallingBatches(lambda rows: [rows.replace(keys=["k", "l", "m"])]), "whose columns differ in length"),
    ],
)
def test_a_transformation_that_breaks_its_promise_is_told_what_it_did(
    transformation: Transformation[Any], sentence: str
) -> None:
    (part,) = slices([batch(["a", "b"])], transformation)
    assert part.failure is not None
    assert isinstance(part.failure.__cause__, PluginError)
    assert sentence in str(part.failure.__cause__)


def test_a_row_that_the_broker_refused_is_reported_under_tolerance_all_alone() -> None:
    for tolerance, reports in ((Tolerance(all=True), 1), (Tolerance(), 0)):
        heard = Heard()
        pipeline = Parts(tolerance, heard).source()
        (part,) = pipeline.slices([record("a", 0), record("b", 1)])
        pipeline.refused(part, 1, MillstreamError("too large"))
        assert [(event.site.stage.value, original.value) for event, original in heard.all] == [
            ("KAFKA_PRODUCE", "b")
        ] * reports


# -------------------------------------------------------------------------------------------------------- sink


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


# ----------------------------------------------------------------------------------------------------- the rest


def test_a_converter_that_waits_for_its_registry_is_asked_again_for_the_row() -> None:
    attempts = []

    class Away(Text):
        def encoder(self, subject: Subject) -> Any:
            if subject.role == "value":
                attempts.append(subject)
                if len(attempts) < 4:
                    raise RetriableError("the registry is away")
            return super().encoder(subject)

    parts = Parts(Tolerance(retry_timeout_ms=-1))
    parts.converters = Converters(parts.text, Away(), parts.text)
    (part,) = parts.source().slices([batch(["a", "b"])])
    assert values(part) == {"lines": [b"a", b"b"]}
    assert parts.reporting.counters.retries == 2  # the batch's own attempt counts nothing
    assert len(attempts) == 4


def test_close_reaches_every_plugin_and_a_failure_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    closed = []

    class Closing(Calling):
        def close(self) -> None:
            closed.append(self)
            raise OSError("gone already")

    one, two = Closing(lambda r: r), Closing(lambda r: r)
    with caplog.at_level(logging.WARNING):
        Parts().source(one, two).close()
    assert closed == [one, two]
    assert [record.getMessage().split(".")[-1] for record in caplog.records] == ["Closing failed"] * 2


@pytest.mark.parametrize(
    ("polled", "said"),
    [
        (
            batch(["a"], offset_at={"row": 1}),
            "poll gave a batch for topic 'lines' whose offset_at is a dict; it must be a function that gives the source"
            " offset after the row at an index",
        ),
        (
            batch(["a"], boundary="Commit"),
            "poll gave a batch for topic 'lines' with the boundary 'Commit'; it can be 'commit', 'abort' or None",
        ),
        (
            batch(["a", "b"], keys=["k"]),
            "poll gave a batch for topic 'lines' of 2 values and 1 keys; columns are equally long, or None",
        ),
    ],
    ids=["offset_at", "boundary", "lengths"],
)
def test_a_batch_that_cannot_be_used_is_refused_by_what_is_wrong_with_it(polled: SourceBatch, said: str) -> None:
    with pytest.raises(PluginError) as error:
        slices([polled])
    assert str(error.value) == said


HEADERS = "headers of a record are no list of Header(name, value, schema); make them with millstream_api.Header"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"headers": {"a": "b"}}, HEADERS),
        ({"headers": [("a", "b")]}, HEADERS),
        ({"timestamp": 1.5}, "Invalid record timestamp: a float; milliseconds since 1970 are an int"),
        ({"timestamp": "now"}, "Invalid record timestamp: a str; milliseconds since 1970 are an int"),
        (
            {"key": "k", "key_schema": "string"},
            "the key schema of a record for topic 'lines' is a str; it must be a Schema, such as"
            " millstream_api.STRING, or None",
        ),
    ],
    ids=["headers as a dict", "headers as pairs", "timestamp as a float", "timestamp as text", "schema as text"],
)
def test_a_record_that_cannot_be_used_fails_the_task_behind_the_rows_before_it(fields: Any, said: str) -> None:
    (part,) = slices([record("a", 0), record("b", 1, **fields), record("c", 2)])
    assert part.failure is not None
    assert str(part.failure.__cause__ or part.failure) == said
    assert part.failed_row == 1
    assert values(part) == {"lines": [b"a"]}
