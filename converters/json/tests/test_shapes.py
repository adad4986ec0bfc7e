"""What is compiled gives what the patient reader and writer give, or leaves the value to them."""

import json
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from millstream_api import DataError, Schema, Subject, Type, decimal
from millstream_api.logical import DATE, TIME, TIMESTAMP
from millstream_json.converter import JsonConverter, JsonConverterConfig
from millstream_json.decoding import Schemas
from millstream_json.parsing import parse
from millstream_json.reading import Reader, compile_reader
from millstream_json.shapes import REFUSALS
from millstream_json.writing import Writer, compile_writer

PLAIN = [Schema(kind) for kind in Type if kind not in (Type.ARRAY, Type.MAP, Type.STRUCT)]
LEAVES = st.sampled_from([*PLAIN, decimal(2), DATE, TIME, TIMESTAMP])
DEFAULTS = {Type.INT32: 7, Type.STRING: "d", Type.BOOLEAN: True, Type.BYTES: b"d", Type.FLOAT64: 0.5}


def attributes(schema: Schema, optional: bool, with_default: bool) -> Schema:
    default = DEFAULTS.get(schema.type) if with_default and schema.name is None else None
    return schema.replace(optional=optional, default=default)


def containers(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    keys = st.sampled_from([Schema(Type.STRING), Schema(Type.INT32), Schema(Type.BYTES)])
    fields = st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    return st.builds(Schema.array, inner) | st.builds(Schema.map, keys, inner) | st.builds(Schema.struct, fields)


SCHEMAS = st.recursive(
    st.builds(attributes, LEAVES, st.booleans(), st.booleans()),
    lambda inner: st.builds(attributes, containers(inner), st.booleans(), st.just(False)),
    max_leaves=5,
)
ODDITIES = st.sampled_from(
    [None, "x", "AAE=", 5, 1.5, True, 1 << 40, 1 << 70, Decimal("1.50"), [], {}, [[1, 2]], b"\x05"]
)


def fitting(schema: Schema) -> st.SearchStrategy[Any]:
    value: st.SearchStrategy[Any]
    if schema.name is not None:
        named = {DATE.name: st.dates(), TIME.name: st.just(None), TIMESTAMP.name: st.just(None)}
        value = named.get(schema.name, st.integers(-(10**6), 10**6).map(lambda cents: Decimal(cents).scaleb(-2)))
    elif schema.type is Type.STRUCT:
        value = st.fixed_dictionaries({}, optional={field.name: fitting(field.schema) for field in schema.fields})
    elif schema.type is Type.ARRAY:
        value = st.lists(fitting(schema.value_schema), max_size=2)
    elif schema.type is Type.MAP:
        value = st.dictionaries(fitting(schema.key_schema), fitting(schema.value_schema), max_size=2)
    else:
        bits = {Type.INT8: 8, Type.INT16: 16, Type.INT32: 32, Type.INT64: 64}.get(schema.type)
        others: dict[Type, st.SearchStrategy[Any]] = {
            Type.FLOAT32: st.floats(width=32),
            Type.FLOAT64: st.floats(),
            Type.BOOLEAN: st.booleans(),
            Type.STRING: st.text(max_size=3),
            Type.BYTES: st.binary(max_size=3),
        }
        value = st.integers(-(1 << bits - 1), (1 << bits - 1) - 1) if bits else others[schema.type]
    return value | ODDITIES if schema.optional else value


@st.composite
def schemas_and_values(draw: st.DrawFn) -> tuple[Schema, Any]:
    schema = draw(SCHEMAS)
    return schema, draw(fitting(schema) | ODDITIES)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(schemas_and_values(), st.booleans(), st.booleans())
def test_a_compiled_writer_gives_what_the_patient_one_gives(
    case: tuple[Schema, Any], replace: bool, numeric: bool
) -> None:
    schema, value = case
    try:
        fast = orjson.dumps(compile_writer(schema, replace, numeric).one(value))
    except REFUSALS:
        return
    patient = orjson.dumps(Writer(replace, numeric).write(schema, value))
    assert json.loads(fast) == json.loads(patient)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(schemas_and_values(), st.booleans(), st.booleans())
def test_what_was_written_is_read_alike_by_the_compiled_and_the_patient_reader(
    case: tuple[Schema, Any], replace: bool, numeric: bool
) -> None:
    schema, value = case
    try:
        text = orjson.dumps(Writer(replace, numeric).write(schema, value))
        patient = Reader(replace).read(schema, parse(text))
    except DataError:
        return
    try:
        fast = compile_reader(schema, replace).one(orjson.loads(text))
    except REFUSALS:
        return
    assert repr(fast) == repr(patient) or fast == patient


#: numbers as nobody's writer spells them
SPELLED = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["", "-"]),
    st.sampled_from(["0", "1", "0.0", "9.99", "12345678901234567890", "0.00000000000000000000000000001"]),
    st.sampled_from(["e", "E"]),
    st.sampled_from(["", "+", "-"]),
    st.sampled_from(
        ["0", "00000000000000000000001", "23", "308", "400", "2147483648", "9999999999", "9" * 20, "9" * 40]
    ),
)
NUMBERS = st.sampled_from([None, *(Schema(kind) for kind in (Type.FLOAT32, Type.FLOAT64, Type.INT64)), decimal(2)])


@settings(max_examples=1000)
@given(NUMBERS, SPELLED, st.booleans(), st.booleans())
@example(Schema(Type.FLOAT64), "1e-" + "9" * 20, False, False)
@example(None, "1e" + "9" * 20, False, True)
@example(None, "-0.0e" + "9" * 20, True, False)
def test_a_number_however_it_is_spelled_is_read_alike_by_the_fast_and_the_exact_way(
    schema: Schema | None, text: str, inside: bool, lenient: bool
) -> None:
    if inside:
        text, schema = f'{{"a":[{text}]}}', schema and Schema.struct({"a": Schema.array(schema)})
    reader = Reader(lenient=lenient)
    known = Schemas(reader, 1).fixed(schema)
    try:
        fast = known.one(text.encode())
    except REFUSALS:
        return
    assert repr(reader.read(schema, parse(text.encode()))) == repr(fast)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4)
    | ODDITIES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SCHEMAS, JSON, st.booleans())
def test_whatever_the_compiled_reader_passes_the_patient_one_reads_alike(
    schema: Schema, node: Any, replace: bool
) -> None:
    try:
        text = json.dumps(node).encode()
        fast = compile_reader(schema, replace).one(orjson.loads(text))
    except (*REFUSALS, DataError):
        return
    assert Reader(replace).read(schema, parse(text)) == fast


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (Schema(Type.STRING), "a"),
        (Schema.struct({"a": Schema(Type.INT64), "b": Schema(Type.STRING, optional=True)}), {"a": 1, "b": None}),
        (Schema.array(Schema(Type.FLOAT64)), [1.5]),
        (Schema.map(Schema(Type.STRING), Schema(Type.BOOLEAN)), {"a": True}),
    ],
)
def test_values_that_are_their_own_json_are_passed_and_not_copied(schema: Schema, value: Any) -> None:
    rows = [value, value]
    assert compile_writer(schema, True, False).column(rows) is rows
    assert compile_reader(schema, True).column(rows) is rows


def test_a_field_may_be_called_anything() -> None:
    names = ["'", '"', "\\", "{v}", "class", "a b", "ü", "\n"]
    schema = Schema.struct({name: Schema(Type.INT32) for name in names})
    value = dict.fromkeys(names, 1)
    assert compile_writer(schema, True, False).one(value) == value


HEAD = b'{"schema":{"type":"string","optional":false},"payload":'
TEXT = st.text('",[]{}\na 1\\', max_size=6)
PAYLOADS = st.one_of(TEXT.map(orjson.dumps), TEXT.map(str.encode))
MESSAGES = st.one_of(
    PAYLOADS.map(lambda text: HEAD + text + b"}"),
    st.builds(lambda start, text, end: HEAD[start:] + text + end, st.integers(0, len(HEAD)), PAYLOADS, PAYLOADS),
)


def decoded(decode: Any, rows: list[bytes]) -> list[tuple[Any, Any]] | str:
    """(schema, value) of each row, or the error of the first that has none."""
    try:
        parts = decode(rows, None)
    except DataError as error:
        return error.message
    found = {}
    for part in parts:
        for row, value in zip(range(len(rows)) if part.at is None else part.at, part.values, strict=True):
            found[row] = (part.schema, value)
    return [found[row] for row in range(len(rows))]


@settings(max_examples=600)
@given(st.lists(MESSAGES, min_size=1, max_size=5))
@example([HEAD + b'"a","b"}', HEAD + b'"}', HEAD + b'"}'])
@example([HEAD + b'["a"}', HEAD + b'"b"]}', HEAD + b'"c","d"}'])
@example([HEAD + b'"a"}' + HEAD + b'"b"', b"}"])
@example([HEAD + b'"a"}', HEAD[:-1], b':"b"}'])
@example([HEAD + b'""],["a"}'])
@example([HEAD + b"}", HEAD + b'"a","b"}'])
def test_a_column_of_strings_reads_as_its_rows_do_one_by_one(rows: list[bytes]) -> None:
    whole, single = (JsonConverter(JsonConverterConfig.parse({"converter.type": "value"})) for _ in range(2))
    decode = whole.decoder(Subject("t", None, "value"))
    assert decoded(decode, [HEAD + b'"known"}'])
    alone = [decoded(single.decoder(Subject("t", None, "value")), [row]) for row in rows]
    errors = [one for one in alone if isinstance(one, str)]
    assert decoded(decode, rows) == (errors[0] if errors else [one[0] for one in alone])
