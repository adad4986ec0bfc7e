"""What is read: any spelling of an envelope, Java's sentences for the rest, and the places where we are stricter."""

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from json_bench import INT32, OPTIONAL, STRING, converter, envelope, plain, read, typed, write

from millstream_api import DataError, Schema, Subject, Type


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
    for made in (converter, plain):
        with pytest.raises(DataError, match="Unknown schema type: nope"):
            made(schema_content='{"type":"nope"}')
    with pytest.raises(DataError) as caught:
        converter(schema_content="{")
    assert str(caught.value).startswith("Failed to parse schema in converter config due to serialization error: ")
