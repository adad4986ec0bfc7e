"""JsonConverter from the outside: Java's bytes, Java's sentences, and the places where it is stricter."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Any
from uuid import UUID

import pytest

from millstream_api import ConfigError, DataError, Schema, Subject, Type, decimal
from millstream_api.logical import DATE, TIME, TIMESTAMP
from millstream_json.config import JsonConverterConfig
from millstream_json.converter import JsonConverter

STRING, INT32 = Schema(Type.STRING), Schema(Type.INT32)
OPTIONAL = Schema(Type.STRING, optional=True)
ROW = Schema.struct(
    {
        "id": Schema(Type.INT64),
        "name": OPTIONAL,
        "price": decimal(2),
        "day": DATE,
        "at": TIME,
        "ts": TIMESTAMP,
        "raw": Schema(Type.BYTES),
        "f": Schema(Type.FLOAT32),
        "tags": Schema.array(STRING),
        "by": Schema.map(INT32, STRING),
        "text": Schema.map(STRING, Schema(Type.FLOAT64)),
        "in": Schema.struct({"x": INT32, "y": OPTIONAL}, optional=True, name="Inner"),
    },
    name="com.acme.Row",
    version=3,
    doc="a row",
)
VALUE = {
    "id": 1 << 62,
    "name": None,
    "price": Decimal("-12.34"),
    "day": date(2023, 11, 14),
    "at": time(1, 0, 0, 123000),
    "ts": datetime(2023, 11, 14, 22, 13, 20, 123000, UTC),
    "raw": b"bytes",
    "f": 1.100000023841858,
    "tags": ["a", ""],
    "by": {1: "one"},
    "text": {"k": 1e-7},
    "in": {"x": 1, "y": None},
}
PAYLOAD = (
    '{"id":4611686018427387904,"name":null,"price":"+y4=","day":19675,"at":3600123,"ts":1700000000123,'
    '"raw":"Ynl0ZXM=","f":1.1,"tags":["a",""],"by":[[1,"one"]],"text":{"k":1e-7},"in":{"x":1,"y":null}}'
)


def converter(**settings: Any) -> JsonConverter:
    return JsonConverter(JsonConverterConfig(converter_type="value", **settings))


def plain(**settings: Any) -> JsonConverter:
    return converter(schemas_enable=False, **settings)


def write(made: JsonConverter, schema: Schema | None, *values: Any) -> list[bytes | None]:
    return list(made.encoder(Subject("t", schema, "value"))(values, None))


def read(made: JsonConverter, *messages: bytes | None) -> list[tuple[Schema | None, Any]]:
    rows: list[Any] = [None] * len(messages)
    for decoded in made.decoder(Subject("t", None, "value"))(messages, None):
        at = range(len(messages)) if decoded.at is None else decoded.at
        for row, value in zip(at, decoded.values, strict=True):
            assert rows[row] is None, "each row is in one group"
            rows[row] = (decoded.schema, value)
    assert None not in rows
    return rows


def envelope(schema: Any, payload: Any) -> bytes:
    return json.dumps({"schema": schema, "payload": payload}).encode()


# ---- writing


@pytest.mark.parametrize(
    ("schema", "value", "message"),
    [
        (STRING, "broker.id=0", '{"schema":{"type":"string","optional":false},"payload":"broker.id=0"}'),
        (STRING, "", '{"schema":{"type":"string","optional":false},"payload":""}'),
        (None, {"a": [1, 2.5, None, True]}, '{"schema":null,"payload":{"a":[1,2.5,null,true]}}'),
        (OPTIONAL, None, '{"schema":{"type":"string","optional":true},"payload":null}'),
        (
            Schema(Type.INT32, default=7, doc="d", version=2, name="n", parameters={"p": "q"}),
            None,
            '{"schema":{"type":"int32","optional":false,"name":"n","version":2,"doc":"d","parameters":{"p":"q"},'
            '"default":7},"payload":7}',
        ),
        (
            Schema.array(Schema.map(STRING, INT32, optional=True)),
            [{"k": 1}, None],
            '{"schema":{"type":"array","items":{"type":"map","keys":{"type":"string","optional":false},"values":'
            '{"type":"int32","optional":false},"optional":true},"optional":false},"payload":[{"k":1},null]}',
        ),
        (Schema(Type.FLOAT64), float("nan"), '{"schema":{"type":"double","optional":false},"payload":"NaN"}'),
        (Schema(Type.FLOAT32), float("-inf"), '{"schema":{"type":"float","optional":false},"payload":"-Infinity"}'),
        (
            Schema.struct({"d": decimal(1, default=Decimal("1.5"))}),
            {},
            '{"schema":{"type":"struct","fields":[{"type":"bytes","optional":false,'
            '"name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"1"},"default":"Dw==",'
            '"field":"d"}],"optional":false},"payload":{"d":"Dw=="}}',
        ),
    ],
)
def test_an_envelope_is_spelled_in_javas_member_order(schema: Schema | None, value: Any, message: str) -> None:
    assert write(converter(), schema, value) == [message.encode()]


def test_a_struct_of_every_type_is_written_and_read_back() -> None:
    [message] = write(converter(), ROW, VALUE)
    assert message is not None
    head = '{"schema":{"type":"struct","fields":[{"type":"int64","optional":false,"field":"id"},'
    assert message.decode().startswith(head)
    assert message.decode().endswith(
        '"optional":false,"name":"com.acme.Row","version":3,"doc":"a row"},"payload":' + PAYLOAD + "}"
    )
    assert read(converter(), message) == [(ROW, VALUE)]
    assert read(converter(), message)[0][0] is ROW
    assert write(plain(), ROW, VALUE) == [PAYLOAD.encode()]


def test_no_value_without_a_schema_is_a_tombstone_and_one_with_an_optional_schema_is_not() -> None:
    assert write(converter(), None, None, "a", None) == [None, b'{"schema":null,"payload":"a"}', None]
    assert write(plain(), None, None) == [None]
    assert write(plain(), OPTIONAL, None) == [b"null"]


def test_absent_fields_are_written_as_null_or_as_their_default() -> None:
    schema = Schema.struct({"a": OPTIONAL, "b": Schema(Type.INT32, default=7), "c": INT32})
    assert write(plain(), schema, {"c": 1}) == [b'{"a":null,"b":7,"c":1}']
    assert write(plain(), schema, {"c": 1, "b": None}) == [b'{"a":null,"b":7,"c":1}']


def test_without_replacing_a_required_null_is_an_error_even_with_a_default() -> None:
    schema = Schema.struct({"b": Schema(Type.INT32, default=7), "o": Schema(Type.INT32, default=7, optional=True)})
    made = plain(replace_null_with_default=False)
    with pytest.raises(DataError, match="Conversion error: null value for field that is required and has no default"):
        write(made, schema, {"o": None})
    assert write(made, schema, {"b": 1, "o": None}) == [b'{"b":1,"o":null}']
    assert read_plain_struct(made, schema, b'{"b":1,"o":null}') == {"b": 1, "o": None}


def read_plain_struct(made: JsonConverter, schema: Schema, payload: bytes) -> Any:
    """Read a payload under a schema: wrap it in the envelope that the same settings write."""
    enabled = converter(replace_null_with_default=made.config.replace_null_with_default)
    head = write(enabled, Schema.struct([(f.name, f.schema) for f in schema.fields]), {"b": 1, "o": 1})[0]
    assert head is not None
    return read(enabled, head[: head.index(b',"payload":') + 11] + payload + b"}")[0][1]


def test_decimals_as_numbers_keep_their_digits_both_ways() -> None:
    made = converter(decimal_format="numeric")
    schema = Schema.struct({"d": decimal(2)})
    [message] = write(made, schema, {"d": Decimal("1.10")})
    assert message is not None
    assert message.endswith(b'"payload":{"d":1.10}}')
    for text in ("1.10", "12345678901234567890.12", "5", "1.5600"):
        other = message.replace(b"1.10", text.encode())
        [(_, value)] = read(made, other)
        assert str(value["d"]) == text, "with the number's own scale"


@pytest.mark.parametrize(
    ("schema", "value", "sentence"),
    [
        (INT32, "x", "Invalid type for INT32: class str"),
        (INT32, True, "Invalid type for INT32: class bool"),
        (Schema(Type.INT8), 128, "Invalid type for INT8: an int beyond -128 to 127"),
        (STRING, 5, "Invalid type for STRING: class int"),
        (STRING, None, "Conversion error: null value for field that is required and has no default value"),
        (STRING, "\ud800", "half a surrogate pair"),
        (Schema(Type.FLOAT32), 1e300, "a float beyond what 32 bits hold"),
        (Schema(Type.FLOAT64), 10**400, "an int too large for a float"),
        (decimal(2), Decimal("1.5"), "Schema has scale 2, value has scale 1."),
        (decimal(2), 1.5, "Invalid type for Decimal, expected a finite Decimal but was class float"),
        (DATE, 5, "Invalid type for Date, expected date but was class int"),
        (Schema.struct({"a": INT32}), {"a": 1, "b": 2}, "'b' is not a valid field name; the schema has 'a'"),
        (Schema.struct({"a": Schema.array(INT32)}), {"a": [1, "x"]}, "a[1]: Invalid type for INT32: class str"),
        (None, {1, 2}, "class set does not have corresponding schema type."),
        (None, {"a": date(2000, 1, 1)}, "class datetime.date does not have corresponding schema type."),
        (None, 1 << 63, "Invalid type for INT64"),
        (None, {"a": 1 << 63}, "Invalid type for INT64"),
        (None, {"\ud800": 1}, "half a surrogate pair"),
    ],
)
def test_what_does_not_fit_is_refused_with_javas_sentence(schema: Schema | None, value: Any, sentence: str) -> None:
    with pytest.raises(DataError) as caught:
        write(plain(), schema, value)
    assert sentence in str(caught.value)


def test_a_value_nested_beyond_measure_is_a_data_error() -> None:
    deep: Any = []
    for _ in range(3000):
        deep = [deep]
    with pytest.raises(DataError, match="serialization error"):
        write(plain(), None, deep)


def test_one_bad_row_spoils_the_batch_and_the_rows_alone_are_as_ever() -> None:
    with pytest.raises(DataError):
        write(plain(), STRING, "a", 5, "b")
    assert write(plain(), STRING, "a") == [b'"a"']


@pytest.mark.parametrize(
    "mistake",
    [
        lambda: write(plain(), STRING, "a", 5),
        lambda: write(plain(), Schema(Type.ARRAY, value_schema=STRING), [5]),
        lambda: write(plain(), None, object()),
        lambda: read(plain(), b"1", b"{oops"),
        lambda: read(converter(), envelope({"type": "int32"}, "text"), envelope({"type": "int32"}, "text")),
    ],
)
def test_an_error_does_not_tell_of_the_quick_look_before_the_patient_one(mistake: Callable[[], Any]) -> None:
    with pytest.raises(DataError) as caught:
        mistake()
    error: BaseException | None = caught.value
    told = []
    while error is not None:
        told.append(type(error).__name__)
        error = error.__cause__ or error.__context__
    assert "Odd" not in told
    assert told.count("DataError") == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"\x00\x01", '"AAE="'),
        ({1: "a", "b": 2}, '[[1,"a"],["b",2]]'),
        ({}, "{}"),
        (float("inf"), '"Infinity"'),
        ([None, float("nan")], '[null,"NaN"]'),
        ((1, 2), "[1,2]"),
        ("null", '"null"'),
        ({"a": -(1 << 63)}, '{"a":-9223372036854775808}'),
        ({"ä": None}, '{"ä":null}'),
    ],
)
def test_values_without_a_schema_are_written_as_java_does(value: Any, text: str) -> None:
    assert write(plain(), None, value) == [text.encode()]


class Colour(StrEnum):
    RED = "red"


class Size(Enum):
    LARGE = 3


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"id": UUID(int=7)}, '{"id":"00000000-0000-0000-0000-000000000007"}'),
        ({"size": Size.LARGE, "colour": Colour.RED}, '{"size":3,"colour":"red"}'),
        ({Colour.RED: 1}, '{"red":1}'),
    ],
)
def test_what_a_row_becomes_without_a_schema_does_not_depend_on_the_rows_beside_it(value: Any, text: str) -> None:
    made = plain()
    assert write(made, None, value) == [text.encode()]
    assert write(made, None, value, None, float("nan")) == [text.encode(), None, b'"NaN"']


def test_a_list_whose_elements_have_no_one_schema_is_written_without_one() -> None:
    schema = Schema(Type.ARRAY)
    assert write(converter(), schema, [1, "x", None]) == [
        b'{"schema":{"type":"array","items":null,"optional":false},"payload":[1,"x",null]}'
    ]


# ---- reading


def test_messages_of_several_schemas_come_in_groups_and_keep_their_rows() -> None:
    made = converter()
    messages = [*write(made, STRING, "a", "b"), None, *write(made, INT32, 1), b'{"schema":null,"payload":[1]}', None]
    expected = [(STRING, "a"), (STRING, "b"), (None, None), (INT32, 1), (None, [1]), (None, None)]
    assert read(made, *messages) == expected
    decode = made.decoder(Subject("t", None, "value"))
    for _ in range(3):  # the envelopes are known by now
        groups = decode(messages, None)
        assert [(group.schema, group.at) for group in groups] == [(STRING, [0, 1]), (None, [2, 4, 5]), (INT32, [3])]
    [whole] = decode(messages[:2], None)
    assert (whole.schema, whole.at, list(whole.values)) == (STRING, None, ["a", "b"])


@pytest.mark.parametrize("spelling", ["{s: S, p: P}", "spaces", "swapped"])
def test_any_spelling_of_an_envelope_is_read(spelling: str) -> None:
    schema, payload = {"type": "string", "optional": False}, 'say "payload":'
    parts = {"schema": schema, "payload": payload}
    if spelling == "swapped":
        parts = dict(reversed(parts.items()))
    message = json.dumps(parts, indent=2 if spelling == "spaces" else None).encode()
    decode = converter().decoder(Subject("t", None, "value"))
    for text in (message, message + b" and more", message):
        [group] = decode([text, text], None)
        assert (group.schema, list(group.values)) == (STRING, [payload, payload])


def test_an_envelope_that_only_starts_like_the_last_one_is_read_for_itself() -> None:
    good = write(converter(), STRING, "a")[0]
    assert good is not None
    decode = converter().decoder(Subject("t", None, "value"))
    decode([good], None)
    for wrong in (good[:-1] + b',"x":1}', good[:-1], good[:-1] + b"x", good.replace(b'"a"', b'"a" "b"')):
        with pytest.raises(DataError):
            decode([wrong], None)
    assert list(decode([good + b"}"], None)[0].values) == ["a"], "what is behind the first value does not count"


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (b"{oops", "Converting byte[] to Kafka Connect data failed due to serialization error: "),
        (b"5", 'JsonConverter with schemas.enable requires "schema" and "payload" fields'),
        (b"", 'JsonConverter with schemas.enable requires "schema" and "payload" fields'),
        (b'{"a":1}', "set schemas.enable=false in your converter configuration."),
        (b'{"schema":null,"payload":1,"x":2}', "may not contain additional fields"),
        (envelope({"type": "int33"}, 1), "Unknown schema type: int33"),
        (envelope(5, 1), "Schema must contain 'type' field"),
        (envelope({"type": "array"}, 1), "Array schema did not specify the element type"),
        (envelope({"type": "map", "values": {"type": "int8"}}, 1), "Map schema did not specify the key type"),
        (envelope({"type": "map", "keys": {"type": "int8"}}, 1), "Map schema did not specify the value type"),
        (envelope({"type": "struct"}, 1), 'Struct schema\'s "fields" argument is not an array.'),
        (envelope({"type": "struct", "fields": [{"type": "int8"}]}, 1), "Struct schema's field name not specified"),
        (envelope({"type": "struct", "fields": [5]}, 1), "Struct schema's field name not specified"),
        (envelope({"type": "int8", "parameters": {"a": 1}}, 1), "Schema parameters must have string values."),
        (
            envelope(
                {"type": "struct", "fields": [{"type": "int8", "field": "a"}, {"type": "int8", "field": "a"}]}, {}
            ),
            "field name duplication",
        ),
        (envelope({"type": "string"}, None), "Invalid null value for required STRING field"),
        (envelope({"type": "struct", "fields": [{"type": "int32", "field": "a"}]}, {}), "required INT32 field"),
        (envelope({"type": "struct", "fields": []}, [1]), "Structs should be encoded as JSON objects, but found ARRAY"),
        (
            envelope({"type": "map", "keys": {"type": "string"}, "values": {"type": "int8"}}, []),
            "Maps with string fields should be encoded as JSON objects, but found ARRAY",
        ),
        (
            envelope({"type": "map", "keys": {"type": "int8"}, "values": {"type": "int8"}}, {}),
            "Maps with non-string fields should be encoded as JSON array of tuples, but found OBJECT",
        ),
        (
            envelope({"type": "map", "keys": {"type": "int8"}, "values": {"type": "int8"}}, [5]),
            "Found invalid map entry instead of array tuple: NUMBER",
        ),
        (
            envelope({"type": "map", "keys": {"type": "int8"}, "values": {"type": "int8"}}, [[5]]),
            "Found invalid map entry, expected length 2 but found :1",
        ),
        (
            envelope(
                {"type": "map", "keys": {"type": "array", "items": {"type": "int8"}}, "values": {"type": "int8"}},
                [[[1], 1]],
            ),
            "a list cannot be the key of a map in Python",
        ),
        (envelope({"type": "bytes"}, "*"), "Invalid bytes field: not base64"),
        (envelope({"type": "int32", "name": "org.apache.kafka.connect.data.Date"}, 1 << 31), "Invalid type for Date"),
        (
            envelope({"type": "int32", "name": "org.apache.kafka.connect.data.Date"}, 1 << 30),
            "beyond the years 1 to 9999",
        ),
        (
            envelope({"type": "int64", "name": "org.apache.kafka.connect.data.Timestamp"}, "x"),
            "should be integral but was STRING",
        ),
        (
            envelope(
                {"type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "parameters": {"scale": "2"}}, True
            ),
            "Invalid type for Decimal, underlying representation should be numeric or bytes but was BOOLEAN",
        ),
        (
            envelope({"type": "bytes", "name": "org.apache.kafka.connect.data.Decimal"}, "AA=="),
            "Invalid Decimal schema: scale parameter not found.",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_with_javas_sentence(message: bytes, sentence: str) -> None:
    with pytest.raises(DataError) as caught:
        read(converter(), message)
    assert sentence in str(caught.value)


def typed(kind: str, payload: str, **more: Any) -> bytes:
    return b'{"schema":' + json.dumps({"type": kind, **more}).encode() + b',"payload":' + payload.encode() + b"}"


BENT = [
    ("int32", '"12"', 0),
    ("int32", "1.9", 1),
    ("int32", "4294967297", 1),
    ("int8", "300", 44),
    ("int16", "-32769", 32767),
    ("int64", "9223372036854775808", -(1 << 63)),
    ("int32", "true", 0),
    ("boolean", '"true"', False),
    ("double", '"x"', 0.0),
    ("double", "1e400", float("inf")),
    ("double", "-1e400", float("-inf")),
    ("double", "1e" + "9" * 20, float("inf")),
    ("float", "1e39", float("inf")),
    ("double", "1" + "0" * 400, float("inf")),
    ("array", '"x"', []),
]


@pytest.mark.parametrize(("kind", "payload", "bent"), BENT)
def test_numbers_that_do_not_fit_are_refused_unless_javas_way_is_asked_for(kind: str, payload: str, bent: Any) -> None:
    message = typed(kind, payload, items={"type": "int8"})
    with pytest.raises(DataError) as caught:
        read(converter(), message)
    assert f"Invalid value for {Type[{'float': 'FLOAT32', 'double': 'FLOAT64'}.get(kind, kind.upper())].name}" in str(
        caught.value
    )
    assert "json.lenient.numbers=true" in str(caught.value)
    assert read(converter(json_lenient_numbers=True), message)[0][1] == bent


@pytest.mark.parametrize("exponent", [1 << 31, -(1 << 31), 10**20, -(10**20)])
def test_a_decimal_whose_exponent_is_beyond_32_bits_is_refused(exponent: int) -> None:
    name = "org.apache.kafka.connect.data.Decimal"
    with pytest.raises(DataError, match=r"its exponent has to fit into 32 bits"):
        read(converter(), typed("bytes", f"1e{exponent}", name=name, parameters={"scale": "2"}))
    within = f"1e{exponent // abs(exponent) * ((1 << 31) - 1)}"
    assert str(read(converter(), typed("bytes", within, name=name, parameters={"scale": "2"}))[0][1]) == str(
        Decimal(within)
    )


def test_text_that_is_none_is_a_null_in_javas_way_and_an_error_in_a_required_field() -> None:
    lenient = converter(json_lenient_numbers=True)
    assert read(lenient, typed("string", "5"))[0][1] is None
    with pytest.raises(DataError, match="null used for required field"):
        read(lenient, envelope({"type": "struct", "fields": [{"field": "a", "type": "string"}]}, {"a": 5}))
    with pytest.raises(DataError, match="a JSON NUMBER that does not fit it"):
        read(converter(), typed("string", "5"))


@pytest.mark.parametrize(
    ("payload", "value", "lenient"),
    [
        ("9223372036854775808", None, -(1 << 63)),
        ("1e400", None, float("inf")),
        ("9223372036854775807", (1 << 63) - 1, None),
    ],
)
def test_numbers_without_a_schema_must_fit_64_bits(payload: str, value: Any, lenient: Any) -> None:
    for message in (payload, f'{{"a":[{payload}]}}'):
        if value is None:
            with pytest.raises(DataError, match="Invalid value for"):
                read(plain(), message.encode())
            assert str(lenient) in str(read(plain(json_lenient_numbers=True), message.encode())[0][1])
        else:
            assert str(value) in str(read(plain(), message.encode())[0][1])


def test_what_fits_is_read_as_what_it_is() -> None:
    made = converter()
    cases = [
        ("int32", "1.0", 1),
        ("int64", "1e3", 1000),
        ("double", "1", 1.0),
        ("float", "1.1", 1.100000023841858),
        ("double", '"-Infinity"', float("-inf")),
        ("bytes", '"AAE="', b"\x00\x01"),
        ("bytes", '" AA\\nE="', b"\x00\x01"),
        ("int32", "007", 7),
    ]
    for kind, payload, value in cases:
        [(schema, found)] = read(made, typed(kind, payload))
        assert (found, type(found)) == (value, type(value)), kind
        assert schema is not None


def test_absent_and_null_fields_are_read_as_null_or_default_and_unknown_ones_are_ignored() -> None:
    fields = [
        {"field": "a", "type": "int32", "default": 5, "optional": True},
        {"field": "b", "type": "string", "optional": True},
        {"field": "c", "type": "int32"},
        {"field": "d", "type": "int32", "name": "org.apache.kafka.connect.data.Date", "default": 1},
    ]
    schema = {"type": "struct", "fields": fields}
    expected = {"a": 5, "b": None, "c": 1, "d": date(1970, 1, 2)}
    for payload in ({"c": 1}, {"a": None, "c": 1, "x": 2}):
        decode = converter().decoder(Subject("t", None, "value"))
        for _ in range(2):
            assert decode([envelope(schema, payload)], None)[0].values[0] == expected
    unreplaced = read(converter(replace_null_with_default=False), envelope(schema, {"c": 1, "d": 1}))[0][1]
    assert unreplaced["a"] is None


def test_without_schemas_an_empty_message_is_null_and_numbers_have_64_bits() -> None:
    values = [None, b"", b"null", b"1", b"1.50", b'"x"', b'{"a":1,"a":2}', b"007", b"[1] x"]
    found = [value for _, value in read(plain(), *values)]
    assert found == [None, None, None, 1, 1.5, "x", {"a": 2}, 7, [1]]
    assert {schema for schema, _ in read(plain(), *values)} == {None}


# ---- schema.content


CONTENT = '{"type":"struct","fields":[{"field":"a","type":"int64"}]}'


def test_a_schema_given_in_the_settings_makes_every_message_a_payload() -> None:
    made = converter(schema_content=CONTENT)
    schema = Schema.struct({"a": Schema(Type.INT64)})
    assert read(made, b'{"a":1}', None) == [(schema, {"a": 1}), (None, None)]
    with pytest.raises(DataError, match="Invalid null value for required STRUCT field"):
        read(made, b"null")
    with pytest.raises(DataError, match="Invalid null value for required INT64 field"):
        read(made, envelope(None, {"a": 1}))
    with pytest.raises(DataError, match="Structs should be encoded as JSON objects, but found MISSING"):
        read(made, b"")
    assert read(converter(schema_content=CONTENT, json_lenient_numbers=True), b'{"a":"x"}') == [(schema, {"a": 0})]
    assert write(made, INT32, 1) == write(converter(), INT32, 1)
    optional = converter(schema_content='{"type":"string","optional":true}')
    assert read(optional, b"null", b'"x"') == [(OPTIONAL, None), (OPTIONAL, "x")]


def test_a_schema_in_the_settings_counts_only_with_schemas_and_must_be_one() -> None:
    assert read(plain(schema_content=CONTENT), b'{"a":1}') == [(None, {"a": 1})]
    assert read(converter(schema_content=""), envelope(None, 1)) == [(None, 1)]
    with pytest.raises(DataError) as caught:
        converter(schema_content="{")
    assert str(caught.value).startswith("Failed to parse schema in converter config due to serialization error: ")


# ---- headers, caches, settings


def test_headers_are_converted_as_values_are() -> None:
    made = converter()
    data = made.to_bytes("t", "h", 0, Schema(Type.INT64))
    assert data == b'{"schema":{"type":"int64","optional":false},"payload":0}'
    assert made.from_bytes("t", "h", data) == (Schema(Type.INT64), 0)
    assert made.to_bytes("t", "h", None, None) is None
    assert made.from_bytes("t", "h", None) == (None, None)
    with pytest.raises(DataError, match="serialization error"):
        made.from_bytes("t", "h", b"{bad")


@pytest.mark.parametrize("size", [0, 1, -1])
def test_a_cache_of_any_size_only_costs_time(size: int) -> None:
    made = converter(schemas_cache_size=size)
    messages = [message for kind in (STRING, INT32) for message in write(made, kind, "x" if kind is STRING else 1)]
    decode = made.decoder(Subject("t", None, "value"))
    for _ in range(3):
        assert [group.schema for group in decode(messages, None)] == [STRING, INT32]
    assert [made.to_bytes("t", "h", "x", STRING), made.to_bytes("t", "h", 1, INT32)] == messages


def test_settings_are_judged_together() -> None:
    with pytest.raises(ConfigError) as caught:
        JsonConverterConfig.parse({"converter.type": "both", "decimal.format": "hex", "schemas.cache.size": "many"})
    assert set(caught.value.problems) == {"converter.type", "decimal.format", "schemas.cache.size"}


def test_encoders_and_decoders_leave_their_input_alone() -> None:
    import copy

    value = copy.deepcopy(VALUE)
    [message] = write(converter(), ROW, value)
    assert value == VALUE
    assert read(converter(), message)[0][1] is not value


def test_decoders_are_independent_of_each_other() -> None:
    decoders: list[Callable[..., Any]] = [converter().decoder(Subject(topic, None, "value")) for topic in "ab"]
    messages = [write(converter(), STRING, "x")[0], write(converter(), INT32, 1)[0]]
    for _ in range(2):
        for decode, message in zip(decoders, messages, strict=True):
            assert len(decode([message], None)) == 1
