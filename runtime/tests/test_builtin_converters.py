"""Text, bytes, numbers and booleans: Java's bytes, Java's sentences."""

import struct
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.builtin import converters
from millstream.builtin.converters import (
    BooleanConverter,
    ByteArrayConverter,
    DoubleConverter,
    FloatConverter,
    IntegerConverter,
    LongConverter,
    ShortConverter,
    StringConverter,
)
from millstream_api import ConfigError, DataError, Schema, Subject, Type

STRING = Schema(Type.STRING)
NUMBERS = {
    ShortConverter: ("short", ">h", Type.INT16, 2),
    IntegerConverter: ("integer", ">i", Type.INT32, 4),
    LongConverter: ("long", ">q", Type.INT64, 8),
    FloatConverter: ("float", ">f", Type.FLOAT32, 4),
    DoubleConverter: ("double", ">d", Type.FLOAT64, 8),
}


def made(kind: Any, **settings: Any) -> Any:
    return kind(kind.config_class(converter_type="value", **settings))


def write(converter: Any, schema: Schema | None, *values: Any) -> list[bytes | None]:
    return list(converter.encoder(Subject("t", schema, "value"))(values, None))


def read(converter: Any, *values: bytes | None) -> tuple[Schema | None, list[Any]]:
    [decoded] = converter.decoder(Subject("t", None, "value"))(values, None)
    assert decoded.at is None
    return decoded.schema, list(decoded.values)


@pytest.mark.parametrize("kind", NUMBERS)
def test_a_number_has_its_width_and_null_stays_null(kind: Any) -> None:
    word, form, type_, size = NUMBERS[kind]
    converter = made(kind)
    values = [7, None, -1] if form in (">h", ">i", ">q") else [1.5, None, -0.5]
    expected = [None if value is None else struct.pack(form, value) for value in values]
    assert write(converter, None, *values) == expected
    assert write(converter, STRING, *values) == expected, "the schema does not count"
    assert write(converter, None, values[0]) == expected[:1]
    assert read(converter, *expected) == (Schema(type_, optional=True), values)
    assert converter.from_bytes("t", "h", expected[0]) == (Schema(type_, optional=True), values[0])
    assert converter.to_bytes("t", "h", None, None) is None
    with pytest.raises(DataError, match=f"^Failed to deserialize {word}: {size} bytes are right, there are 1, 78$"):
        read(converter, expected[0], b"x")
    with pytest.raises(DataError, match=f"there are {size + 8}, 61 61 61 61 61 61 61 61 …$"):
        read(converter, b"a" * (size + 8))


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize("value", ["x", True, [1], b"\x00"])
def test_what_is_no_number_is_refused(kind: Any, value: Any) -> None:
    word = NUMBERS[kind][0]
    with pytest.raises(DataError) as caught:
        write(made(kind), None, value)
    assert str(caught.value).startswith(f"Failed to serialize to {word} (was class {type(value).__name__}): ")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (ShortConverter, 32768),
        (IntegerConverter, 1 << 31),
        (LongConverter, 1 << 63),
        (FloatConverter, 1e300),
        (DoubleConverter, 10**400),
        (IntegerConverter, 1.5),
        (IntegerConverter, float("nan")),
        (IntegerConverter, float("inf")),
    ],
)
def test_a_number_that_does_not_fit_is_refused_not_narrowed(kind: Any, value: Any) -> None:
    with pytest.raises(DataError, match=r"^Failed to serialize to .* it does not fit . bytes$"):
        write(made(kind), None, value)


def test_a_number_of_another_type_that_fits_is_written() -> None:
    assert write(made(IntegerConverter), None, 2.0, Decimal("3"), None) == [b"\0\0\0\2", b"\0\0\0\3", None]
    assert write(made(DoubleConverter), None, 2, Decimal("0.5")) == [struct.pack(">d", 2), struct.pack(">d", 0.5)]


@given(st.lists(st.none() | st.integers(-(1 << 63), (1 << 63) - 1)))
def test_longs_survive(values: list[int | None]) -> None:
    converter = made(LongConverter)
    assert read(converter, *write(converter, None, *values))[1] == values


def test_booleans_are_one_byte() -> None:
    converter = made(BooleanConverter)
    assert write(converter, Schema(Type.BOOLEAN), True, False, None) == [b"\x01", b"\x00", None]
    assert write(converter, None, True) == [b"\x01"]
    assert read(converter, b"\x00", None, b"\x01") == (Schema(Type.BOOLEAN, optional=True), [False, None, True])
    with pytest.raises(DataError, match=r"^Invalid schema type for BooleanConverter: STRING$"):
        write(converter, STRING, "x")
    with pytest.raises(DataError, match=r"^BooleanConverter is not compatible with objects of type class str$"):
        write(converter, None, "x")
    for wrong, shown in ((b"\x02", "1, 02"), (b"", "none"), (b"\x00\x00", "2, 00 00")):
        with pytest.raises(
            DataError, match=f"^Failed to deserialize boolean: one byte, 00 or 01, is right; there are {shown}"
        ):
            read(converter, wrong)


def test_bytes_stay_bytes_and_nothing_else_becomes_bytes() -> None:
    converter = made(ByteArrayConverter)
    assert write(converter, Schema(Type.BYTES), b"\xff", bytearray(b"a"), None) == [b"\xff", b"a", None]
    assert read(converter, b"", None) == (Schema(Type.BYTES, optional=True), [b"", None])
    with pytest.raises(DataError, match=r"^Invalid schema type for ByteArrayConverter: STRING$"):
        write(converter, STRING, "x")
    with pytest.raises(DataError, match=r"^ByteArrayConverter is not compatible with objects of type class int$"):
        write(converter, None, 5)


def test_text_is_written_as_it_is_and_everything_else_as_java_prints_it() -> None:
    converter = made(StringConverter)
    assert write(converter, STRING, "ä😀", "") == ["ä😀".encode(), b""]
    row = Schema.struct({"a": Schema(Type.INT32), "f": Schema(Type.FLOAT32), "o": Schema(Type.STRING, optional=True)})
    assert write(converter, row, {"a": 1, "f": 1.1, "o": None}, None) == [b"Struct{a=1,f=1.1}", None]
    assert write(converter, None, {"k": [1, None]}, 1e21, True, "\ud800") == [
        b"{k=[1, null]}",
        b"1.0E21",
        b"true",
        b"?",
    ]
    assert read(converter, b"a", None, b"\xff") == (Schema(Type.STRING, optional=True), ["a", None, "\ufffd"])
    assert converter.to_bytes("t", "h", 1.5, None) == b"1.5"
    assert converter.from_bytes("t", "h", None) == (Schema(Type.STRING, optional=True), None)


def test_the_character_set_is_one_that_exists() -> None:
    latin = made(StringConverter, converter_encoding="ISO-8859-1")
    assert write(latin, STRING, "ä€") == [b"\xe4?"]
    assert read(latin, b"\xe4")[1] == ["ä"]
    with pytest.raises(ConfigError) as caught:
        made(StringConverter, converter_encoding="EBCDIC-9")
    assert caught.value.problems == {
        "converter.encoding": "'EBCDIC-9' is no character set; UTF-8, ISO-8859-1 and UTF-16 are"
    }


@pytest.mark.parametrize("encoding", ["UTF-8", "ISO-8859-1", "UTF-16"])
def test_what_is_no_text_and_what_is_none_take_nothing_from_the_rows_beside_them(encoding: str) -> None:
    converter = made(StringConverter, converter_encoding=encoding)
    good = ["grün", "", "\n", "\0 \u20ac"[: 2 if encoding == "ISO-8859-1" else 4]]
    written = [text.encode(encoding) for text in good]
    assert read(converter, *written)[1] == good
    assert read(converter, written[0], None, *written[1:])[1] == [good[0], None, *good[1:]]
    broken = b"a\xff\xe2\x82" if encoding == "UTF-8" else b"\xff\xfea"
    assert read(converter, written[0], broken, written[1])[1] == [good[0], broken.decode(encoding, "replace"), good[1]]


def test_every_converter_says_what_it_is() -> None:
    for kind in (*NUMBERS, BooleanConverter, ByteArrayConverter, StringConverter):
        assert kind.__doc__
        assert getattr(converters, kind.__name__) is kind
