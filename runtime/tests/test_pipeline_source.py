"""A poll of a source on its way to the producer: slices, columns, bad records, what is refused."""

import logging
from typing import Any

import pytest
from pipeline_bench import (
    PLACE,
    STRING,
    Calling,
    CallingBatches,
    Heard,
    Parts,
    Text,
    batch,
    record,
    slices,
    values,
)

from millstream.errors import DataError, MillstreamError, PluginError, RetriableError, trace_of
from millstream.pipeline.chain import Chain, Link
from millstream.pipeline.conversion import Converters
from millstream.pipeline.ledger import split
from millstream.pipeline.poll import SourcePipeline
from millstream.pipeline.tolerance import Tolerance
from millstream_api import (
    Config,
    Header,
    Predicate,
    RecordBatch,
    Schema,
    SourceBatch,
    SourceRecord,
    Subject,
    Transformation,
    Type,
)

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


@pytest.mark.parametrize(
    ("encoder", "sentence"),
    [
        (b"x", "is a bytes; it must be a function of values and headers"),
        (lambda values, headers: b"x", "gave a bytes; it must give a list of bytes, one a row"),
        (lambda values, headers: (b"x" for _ in values), "gave a generator; it must give a list of bytes, one a row"),
        (lambda values, headers: None, "gave a NoneType; it must give a list of bytes, one a row"),
        (lambda values, headers: list(values), "gave a str for a row; it must give bytes, or None for no bytes"),
    ],
)
def test_an_encoder_that_breaks_its_promise_is_told_what_it_did(encoder: Any, sentence: str) -> None:
    class Broken(Text):
        def encoder(self, subject: Subject) -> Any:
            return encoder

    parts = Parts()
    parts.converters = Converters(parts.text, Broken(), parts.text, ("k", "broken.Converter", "h"))
    (part,) = parts.source().slices([batch(["a"])])
    assert part.failure is not None
    said = f"the encoder of broken.Converter for the value of topic 'lines' {sentence}"
    assert str(part.failure.__cause__) == said


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
        (CallingBatches(lambda rows: rows), "apply_batch gave a RecordBatch; it must give a list of RecordBatch"),
        (CallingBatches(lambda rows: None), "apply_batch gave a NoneType; it must give a list of RecordBatch"),
        (CallingBatches(lambda rows: ["a", "b"]), "apply_batch gave a list with a str; it must give a list of"),
    ],
)
def test_a_transformation_that_breaks_its_promise_is_told_what_it_did(
    transformation: Transformation[Any], sentence: str
) -> None:
    (part,) = slices([batch(["a", "b"])], transformation)
    assert part.failure is not None
    assert isinstance(part.failure.__cause__, PluginError)
    assert sentence in str(part.failure.__cause__)


class Promising(Transformation[Any]):
    """Its record form does what its batch form promised."""

    def apply(self, record: Any) -> Any:
        return record.replace(value=record.value.upper())

    def apply_batch(self, batch: RecordBatch) -> Any:
        return batch.replace(values=[value.upper() for value in batch.values])


def test_a_batch_form_that_is_of_no_use_is_told_of_once_and_the_record_form_does_its_work(
    caplog: pytest.LogCaptureFixture,
) -> None:
    parts = list(slices([batch(["a"] * 1200)], Promising(Config())))
    assert [set(value) for part in parts for value in values(part).values()] == [{b"A"}] * 3
    (warning,) = caplog.records
    assert warning.getMessage().endswith(
        "Promising: apply_batch gave a RecordBatch; it must give a list of RecordBatch, [] to drop all rows. Rows go"
        " one by one, at a fraction of the speed"
    )


def test_an_encoder_that_is_right_for_one_row_alone_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    class Single(Text):
        def encoder(self, subject: Subject) -> Any:
            return lambda values, headers: [values[0].encode()]

    parts = Parts()
    parts.converters = Converters(parts.text, Single(), parts.text, ("k", "single.Converter", "h"))
    some = list(parts.source().slices([batch(["a", "b"] * 400)]))
    assert [values(part)["lines"][:2] for part in some] == [[b"a", b"b"]] * 2
    (warning,) = caplog.records
    assert warning.getMessage() == (
        "the encoder of single.Converter for the value of topic 'lines' gave 1 rows for 500; it must give one a row."
        " Rows go one by one, at a fraction of the speed"
    )


class Silent(Predicate[Any]):
    """Its record form does what its batch form, which lacks a return, should."""

    def test(self, record: Any) -> bool:
        return bool(record.value == "a")

    def test_batch(self, batch: RecordBatch) -> Any:
        [value == "a" for value in batch.values]


@pytest.mark.parametrize("transformation", [Calling(lambda record: None), CallingBatches(lambda rows: [])])
def test_a_predicate_that_answers_nothing_for_columns_is_told_of_once_by_its_name(
    caplog: pytest.LogCaptureFixture, transformation: Transformation[Any]
) -> None:
    parts = Parts()
    links = Chain([Link(transformation, Silent(Config()))])
    pipeline = SourcePipeline(links, parts.converters, parts.handling, parts.reporting)
    for _ in range(2):
        (part,) = pipeline.slices([batch(["a", "b"])])
        assert values(part) == {"lines": [b"b"]}
    (warning,) = caplog.records
    assert "Silent gave a NoneType; it must give one bool, or one a row. Rows go one by one" in warning.getMessage()


@pytest.mark.parametrize(
    "polled",
    [
        [SourceRecord({"file": "a"}, {"line": 1}, "lines", "text")],  # type: ignore[arg-type]  # that is it
        [SourceRecord({"file": name}, {"line": 1}, "lines", "text") for name in "ab"],  # type: ignore[arg-type]  # too
        [batch(["a"], topic={"file": name}) for name in "ab"],
    ],
    ids=["a record", "of several partitions", "columns"],
)
def test_a_record_made_in_the_order_of_java_is_told_ours(polled: Any) -> None:
    with pytest.raises(PluginError) as refused:
        slices(polled)
    assert str(refused.value) == (
        "the topic of a record is a dict; it must be a text. SourceRecord takes topic, value, source_partition,"
        " source_offset, in this order"
    )


def unlucky(rows: RecordBatch) -> Any:
    raise ValueError("no luck")


@pytest.mark.parametrize("transformation", [(), (CallingBatches(unlucky),)])
def test_what_failed_in_a_batch_and_then_as_a_row_is_one_cause(transformation: tuple[Transformation[Any], ...]) -> None:
    (part,) = slices([batch(["a", "bad"])], *transformation)
    assert part.failure is not None
    assert trace_of(part.failure).count("Caused by: ") == 1


def test_a_row_that_the_broker_refused_is_reported_under_tolerance_all_alone() -> None:
    for tolerance, reports in ((Tolerance(all=True), 1), (Tolerance(), 0)):
        heard = Heard()
        pipeline = Parts(tolerance, heard).source()
        (part,) = pipeline.slices([record("a", 0), record("b", 1)])
        pipeline.refused(part, 1, MillstreamError("too large"))
        assert [(event.site.stage.value, original.value) for event, original in heard.all] == [
            ("KAFKA_PRODUCE", "b")
        ] * reports


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
