"""Values as Java writes them in text and reads them from headers, and whether a value fits its schema."""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream_api.errors import DataError
from millstream_api.logical import DATE, TIME, TIMESTAMP, decimal, from_logical, to_logical
from millstream_api.schema import (
    BOOLEAN,
    BYTES,
    FLOAT32,
    FLOAT64,
    INT8,
    INT16,
    INT32,
    INT64,
    OPTIONAL_STRING,
    STRING,
    Schema,
    Type,
)
from millstream_api.values import (
    check,
    convert_to_string,
    float32,
    parse_string,
    text_of,
)

floats32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
INNER = Schema.struct({"x": INT32, "y": OPTIONAL_STRING})
TYPED = Schema.struct(
    {
        "i8": INT8,
        "f32": FLOAT32,
        "f64": FLOAT64,
        "b": BOOLEAN,
        "by": BYTES,
        "opt": OPTIONAL_STRING,
        "dec": decimal(2),
        "date": DATE,
        "time": TIME,
        "ts": TIMESTAMP,
        "arr": Schema.array(INT32),
        "map": Schema.map(STRING, INT64),
        "imap": Schema.map(INT32, STRING),
        "in": INNER,
    }
)
VALUE = {
    "i8": -8,
    "f32": float32(1.1),
    "f64": 1e-7,
    "b": True,
    "by": b"bytes",
    "opt": None,
    "dec": Decimal("-12.34"),
    "date": date(2023, 11, 14),
    "time": time(1, 0, 0, 123000),
    "ts": datetime(2023, 11, 14, 22, 13, 20, 123000, UTC),
    "arr": [1, 2, 3],
    "map": {"k": 5},
    "imap": {1: "one"},
    "in": {"x": 1, "y": None},
}


def test_a_struct_is_written_as_java_writes_it() -> None:
    # recorded from StringConverter (Kafka Connect 4.3.1), save the bytes, which are an identity there
    assert text_of(VALUE, TYPED) == (
        "Struct{i8=-8,f32=1.1,f64=1.0E-7,b=true,by=bytes,dec=-12.34,date=Tue Nov 14 00:00:00 UTC 2023,"
        "time=Thu Jan 01 01:00:00 UTC 1970,ts=Tue Nov 14 22:13:20 UTC 2023,arr=[1, 2, 3],map={k=5},imap={1=one},"
        "in=Struct{x=1}}"
    )


def test_a_map_without_schema_is_written_as_java_writes_it() -> None:
    value = {"i": 0, "d": 0.1, "s": 'ä😀"\\/\t', "n": None, "b": True, "list": [1, "two", None], "in": {"x": 1}}
    assert text_of(value) == '{i=0, d=0.1, s=ä😀"\\/\t, n=null, b=true, list=[1, two, null], in={x=1}}'


def test_bytes_are_written_as_text() -> None:
    assert text_of("ä€".encode()) == "ä€"
    assert text_of(b"a\xffb") == "a\\xffb"
    assert text_of([b"x"]) == "[x]"


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "Thu Jan 01 00:00:00 UTC 1970"),
        (-1, "Wed Dec 31 23:59:59 UTC 1969"),
        (-12219292800000, "Fri Oct 15 00:00:00 UTC 1582"),
        (-12219292800001, "Thu Oct 04 23:59:59 UTC 1582"),
        (-62135596800000, "Mon Jan 03 00:00:00 UTC 1"),
    ],
)
def test_dates_are_those_of_javas_calendar(ms: int, text: str) -> None:
    assert text_of(to_logical(TIMESTAMP, ms)) == text


def test_what_has_no_text_is_refused_by_its_type() -> None:
    for write in (text_of, convert_to_string):
        with pytest.raises(DataError, match="Failed to serialize unexpected value type set"):
            write([{1}])


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("i8", "-8"),
        ("f32", "1.1"),
        ("f64", "1.0E-7"),
        ("dec", "-12.34"),
        ("date", "2023-11-14"),
        ("time", "01:00:00.123Z"),
        ("ts", "2023-11-14T22:13:20.123Z"),
        ("arr", "[1,2,3]"),
        ("map", '{"k":5}'),
        ("in", '{"x":1,"y":null}'),
        ("by", "Ynl0ZXM="),
        ("opt", None),
        ("b", "true"),
    ],
)
def test_headers_are_written_as_the_java_worker_wrote_them(field: str, text: str | None) -> None:
    known = TYPED.field(field)
    assert known is not None
    assert convert_to_string(VALUE[field], known.schema) == text
    if field != "f32":  # its width is known to the schema alone
        assert convert_to_string(VALUE[field]) == text


def test_headers_quote_what_is_within_and_use_defaults() -> None:
    assert convert_to_string('ä😀"\\/\t\x01<') == 'ä😀"\\/\t\x01<'
    assert convert_to_string([1, "two", None, 'a"b\\', b"\x00"]) == '[1,"two",null,"a\\"b\\\\","AA=="]'
    schema = Schema.struct({"a": Schema(Type.INT32, default=5), "f": FLOAT32})
    assert convert_to_string({"f": 0.1}, schema) == '{"a":5,"f":0.1}'
    assert convert_to_string(b"\x00\x01\xff") == "AAH/"
    assert convert_to_string({date(2023, 11, 14): 1}) == "{2023-11-14:1}"


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (-1, "23:59:59.999Z"),
        (86_399_999, "23:59:59.999Z"),
        (86_400_000, "1970-01-02"),
        (86_400_001, "1970-01-02T00:00:00.001Z"),
    ],
)
def test_an_instant_before_the_second_day_is_written_as_a_time(ms: int, text: str) -> None:
    assert convert_to_string(to_logical(TIMESTAMP, ms)) == text


def array(of: Schema | None) -> Schema:
    return Schema(Type.ARRAY, value_schema=of)


def mapped(keys: Schema | None, values: Schema | None) -> Schema:
    return Schema(Type.MAP, key_schema=keys, value_schema=values)


DAY = date(2023, 11, 14)
ANSWERS_OF_JAVA: list[tuple[str, Schema | None, Any]] = [  # asked of Values.parseString, Kafka 4.3.1
    ("", STRING, ""),
    ("  ", STRING, "  "),
    ("  x ", STRING, "  x "),
    ("null", None, None),
    (" null", None, None),
    ("null ", None, None),
    ("true", BOOLEAN, True),
    ("false ", BOOLEAN, False),
    ("true,", STRING, "true,"),
    ("True", STRING, "True"),
    ("text", STRING, "text"),
    ('"x"', STRING, '"x"'),
    ("a:b:c", STRING, "a:b:c"),
    ("42", INT8, 42),
    (" 7 ", INT8, 7),
    ("-128", INT8, -128),
    ("128", INT16, 128),
    ("+5", INT8, 5),
    ("-0", INT8, 0),
    ("00012", INT8, 12),
    ("40000", INT32, 40000),
    ("3000000000", INT64, 3000000000),
    ("9223372036854775807", INT64, 9223372036854775807),
    ("9223372036854775808", decimal(0), Decimal(9223372036854775808)),
    ("1.0", INT8, 1),
    ("1.", INT8, 1),
    ("1e3", INT16, 1000),
    ("0e5", INT8, 0),
    ("1.5", FLOAT32, 1.5),
    ("+.5", FLOAT32, 0.5),
    (".5", STRING, ".5"),
    ("0.1", FLOAT32, 0.10000000149011612),
    ("1e-400", FLOAT32, 0.0),
    ("1e39", FLOAT64, 1e39),
    ("1e308", FLOAT64, 1e308),
    ("2e308", decimal(-308), Decimal("2E+308")),
    ("1E+2147483647", decimal(-2147483647), Decimal("1E+2147483647")),
    ("1E+2147483648", STRING, "1E+2147483648"),
    ("1e-2147483648", STRING, "1e-2147483648"),
    ("1e99999999999", STRING, "1e99999999999"),
    ("\u0661\u0662", INT8, 12),
    ("0x1F", STRING, "0x1F"),
    ("1_000", STRING, "1_000"),
    ("1f", STRING, "1f"),
    ("NaN", STRING, "NaN"),
    ("--1", STRING, "--1"),
    ("+", STRING, "+"),
    ("5\xa0", STRING, "5\xa0"),
    ("2023-11-14", DATE, DAY),
    (" 2023-11-14", DATE, DAY),
    ("2023-13-45", DATE, date(2024, 2, 14)),
    ("1500-02-29", DATE, date(1500, 3, 10)),
    ("22:13:20.123Z", TIME, time(22, 13, 20, 123000)),
    ("12\\:30\\:45.123Z", TIME, time(12, 30, 45, 123000)),
    ("2023-11-14T22:13:20.123Z", TIMESTAMP, datetime(2023, 11, 14, 22, 13, 20, 123000, UTC)),
    ("2023-11-14T12:34:56.789Zx", STRING, "2023-11-14T12:34:56.789Zx"),
    ("[]", array(None), []),
    ("{}", mapped(None, None), {}),
    ("[1,2,3]", array(INT8), [1, 2, 3]),
    ("[1, 300 ]", array(INT16), [1, 300]),
    ("[1,]", array(INT8), [1]),
    ("[1,,2]", STRING, "[1,,2]"),
    ("[,]", STRING, "[,]"),
    ("[1,2", STRING, "[1,2"),
    ("[a]", STRING, "[a]"),
    ("[1 2]", STRING, "[1 2]"),
    ("[1.5,2]", array(FLOAT32), [1.5, 2.0]),
    ("[1.5,1e300]", array(FLOAT64), [1.5, 1e300]),
    ("[null]", array(None), [None]),
    ("[1,null]", STRING, "[1,null]"),
    ('["a",1]', array(None), ["a", 1]),
    ('[1,"x",null]', array(None), [1, "x", None]),
    ('[1,"a",2]', array(None), [1, "a", 2]),
    ('["a\\"b"]', array(STRING), ['a\\"b']),
    ('["2023-11-14"]', array(DATE), [DAY]),
    ('["5","null"]', array(STRING), ["5", "null"]),
    ("[12:30:45.123Z]", array(TIME), [time(12, 30, 45, 123000)]),
    ("[[1],[2,300]]", array(array(INT16)), [[1], [2, 300]]),
    ("[[],[1]]", array(array(INT8)), [[], [1]]),
    ("[[1],[]]", array(array(None)), [[1], []]),
    ("[[],[],[true]]", array(array(BOOLEAN)), [[], [], [True]]),
    ("[[[]],[[1]]]", array(array(array(INT8))), [[[]], [[1]]]),
    ("[[],{}]", array(None), [[], {}]),
    ('[{},{"a":1}]', array(mapped(STRING, INT8)), [{}, {"a": 1}]),
    ('[{"a":1},{}]', array(mapped(None, None)), [{"a": 1}, {}]),
    ('[{"a":[]},{"a":[1]}]', array(mapped(STRING, array(INT8))), [{"a": []}, {"a": [1]}]),
    ('{"a":[],"b":[1]}', mapped(STRING, array(INT8)), {"a": [], "b": [1]}),
    ('{"a":{},"b":{"c":1}}', mapped(STRING, mapped(STRING, INT8)), {"a": {}, "b": {"c": 1}}),
    ('[[],[1,"a"]]', array(array(None)), [[], [1, "a"]]),
    ('{"a":1,"b":2}', mapped(STRING, INT8), {"a": 1, "b": 2}),
    ('{"a":1,"b":300,}', mapped(STRING, INT16), {"a": 1, "b": 300}),
    ('{"a":[1]}', mapped(STRING, array(INT8)), {"a": [1]}),
    ('{"a":null}', mapped(STRING, None), {"a": None}),
    ('{"a":1,1:2}', mapped(None, None), {"a": 1, 1: 2}),
    ("{1:1,1.5:2}", mapped(FLOAT32, INT8), {1.0: 1, 1.5: 2}),
    ("{12:30:45.123Z:1}", mapped(TIME, INT8), {time(12, 30, 45, 123000): 1}),
    ("{null:1}", STRING, "{null:1}"),
    ("{a:1}", STRING, "{a:1}"),
    ("{1:}", STRING, "{1:}"),
    ("{1,2}", STRING, "{1,2}"),
]


@pytest.mark.parametrize(("text", "schema", "value"), ANSWERS_OF_JAVA, ids=[repr(case[0]) for case in ANSWERS_OF_JAVA])
def test_headers_are_read_as_java_reads_them(text: str, schema: Schema | None, value: Any) -> None:
    found = parse_string(text)
    assert found == (schema, value)
    assert type(found[1]) is type(value)


@pytest.mark.parametrize(
    "text", ["12:34", "1,foo", "[1]x", "[1]]", "{},", "2023-11-14,foo", "2023-1-1xx", "1:2:3.4Zxxxxx"]
)
def test_text_that_java_would_read_in_part_is_kept_whole(text: str) -> None:
    assert parse_string(text) == (STRING, text)


@pytest.mark.parametrize("text", ["{[1]:2}", "{{}:2}", "{1:1,true:2}", "0001-01-01", "99:00:00.000Z"])
def test_what_python_cannot_hold_stays_text(text: str) -> None:
    assert parse_string(text) == (STRING, text)


def test_floats_without_a_common_schema_are_of_64_bits_and_keep_their_text() -> None:
    for text in ("[0.1,{}]", '{"a":0.1,"b":"c"}', '[[0.1,1.5],"a"]', '[{"a":3.4028235E38},"a"]'):
        schema, value = parse_string(text)
        assert convert_to_string(value, schema) == text


def test_lists_whose_elements_do_not_go_together_have_no_common_schema() -> None:
    assert parse_string('[[1],["a"]]') == (array(array(None)), [[1], ["a"]])
    assert parse_string('[[1,"a"],[1]]') == (array(array(None)), [[1, "a"], [1]])
    assert parse_string("[[null],[1]]") == (array(array(None)), [[None], [1]])


def test_elements_of_several_logical_types_have_no_common_schema() -> None:
    assert parse_string("[2023-11-14,300]") == (array(None), [DAY, 300])
    assert parse_string("[9223372036854775808,1e400]")[0] is array(None)


def test_no_header_is_no_value_and_no_text_breaks_the_reader() -> None:
    assert parse_string(None) == (None, None)
    assert convert_to_string(None) is None
    assert parse_string("[" * 100_000) == (STRING, "[" * 100_000)


@given(st.text(alphabet='1.e5-+:,{}[]"\\ nultrxZT\t', max_size=12) | st.text())
def test_any_text_is_read_as_a_value_that_fits_its_schema(text: str) -> None:
    schema, value = parse_string(text)
    if schema is None:
        assert value is None
        assert text.strip("".join(map(chr, range(33)))) == "null"
    else:
        check(schema, value)


scalars = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.dates(date(1970, 1, 2)) | floats32


@given(scalars | st.lists(st.integers(-(2**63), 2**63 - 1)) | st.dictionaries(st.integers(0, 9), st.booleans()))
def test_what_is_written_in_a_header_is_read_from_it(value: Any) -> None:
    text = convert_to_string(value, FLOAT32 if isinstance(value, float) else None)
    back = parse_string(text)[1]
    assert (float32(back) if isinstance(value, float) else back) == value  # 1.4860034E8 is read as a whole number


CHECKED = Schema.struct(
    {
        "id": INT64,
        "tags": Schema.map(STRING, Schema.array(INT8), optional=True),
        "n": Schema(Type.INT32, default=1),
        "at": TIMESTAMP.replace(optional=True),
    },
    name="Order",
)


def test_a_value_that_fits_passes() -> None:
    check(CHECKED, {"id": 1})
    check(CHECKED, {"id": 1, "tags": {"a": [1, 2]}, "n": None, "at": datetime.now(UTC)})
    check(TYPED, VALUE)
    check(array(None), [1, "x", None])
    check(OPTIONAL_STRING, None)


@pytest.mark.parametrize(
    ("schema", "value", "path", "message"),
    [
        (INT32, None, "", "Invalid value: null used for required value, schema type: INT32"),
        (Schema(Type.INT32, default=1), None, "", "Invalid value: null used for required value, schema type: INT32"),
        (INT8, 128, "", "Invalid object for schema with type INT8: int for value; an int from -128 to 127 would be"),
        (INT8, True, "", "bool for value"),
        (FLOAT64, 1, "", "int for value; a float would be right"),
        (STRING, b"", "", "bytes for value; a str would be right"),
        (BYTES, "", "", "str for value; bytes would be right"),
        (BOOLEAN, 1, "", "int for value; a bool would be right"),
        (DATE, datetime(2023, 1, 1, tzinfo=UTC), "", "datetime for value; a datetime.date would be right"),
        (TIME, time(1, tzinfo=UTC), "", "a datetime.time without a zone would be right"),
        (TIMESTAMP, datetime(2023, 1, 1), "", "a datetime.datetime with a zone, best datetime.UTC, would be right"),
        (decimal(1), 1.5, "", "float for value; a finite decimal.Decimal would be right"),
        (decimal(1), Decimal("NaN"), "", "a finite decimal.Decimal would be right"),
        (Schema.array(INT8), (1,), "", "tuple for value; a list would be right"),
        (Schema.array(INT8), [1, None], "[1]", "null used for required element of array, schema type: INT8"),
        (CHECKED, {}, "id", 'null used for required field: "id", schema type: INT64'),
        (CHECKED, [], "", 'for schema "Order" with type STRUCT: list for value; a dict by field name'),
        (CHECKED, {"id": 1, "x": 2}, "", "'x' is not a valid field name of Schema{Order:STRUCT}; its fields are: id"),
        (CHECKED, {"id": 1, "tags": {"a": [1], "b": [0, 1000]}}, "tags{1}[1]", "int for element of array"),
        (CHECKED, {"id": 1, "tags": {"a": [1], 5: []}}, "tags{key 1}", "int for key of map; a str would be right"),
        (CHECKED, {"id": 1, "tags": {"a": None}}, "tags{0}", "null used for required value of map"),
        (Schema.struct({"in": INNER}), {"in": {"x": "1"}}, "in.x", 'str for field: "x"'),
    ],
)
def test_a_value_that_does_not_fit_says_where_and_what_would(
    schema: Schema, value: Any, path: str, message: str
) -> None:
    with pytest.raises(DataError) as caught:
        check(schema, value)
    assert message in caught.value.message
    assert caught.value.path == path


def test_a_message_holds_no_content() -> None:
    with pytest.raises(DataError) as caught:
        check(Schema.map(STRING, INT8), {"secret key": "secret value"})
    assert "secret" not in str(caught.value)


def test_a_day_of_java_is_the_same_day_here() -> None:
    assert from_logical(DATE, parse_string("1582-10-15")[1]) == -141427
    assert from_logical(DATE, parse_string("1582-10-04")[1]) == -141428
