"""What is written: Java's bytes, Java's sentences; and the converter as a whole."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Any
from uuid import UUID

import pytest
from json_bench import (
    INT32,
    OPTIONAL,
    PAYLOAD,
    ROW,
    STRING,
    VALUE,
    converter,
    envelope,
    plain,
    read,
    read_plain_struct,
    write,
)

from millstream_api import ConfigError, DataError, Schema, Subject, Type, decimal
from millstream_api.logical import DATE
from millstream_json.config import JsonConverterConfig


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


def test_no_more_schemas_of_headers_are_kept_than_the_setting_allows() -> None:
    made = converter(schemas_cache_size=3)
    for version in [*range(9), 0]:
        schema = Schema(Type.INT32, version=version)
        assert made.from_bytes("t", "h", made.to_bytes("t", "h", 1, schema)) == (schema, 1)
    assert len(made._headers_out) == 3


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
