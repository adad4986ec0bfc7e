"""Numbers as Java writes, reads and narrows them."""

import math
import struct
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream_api.errors import DataError
from millstream_api.schema import (
    Type,
)
from millstream_api.values import (
    java_decimal,
    java_float,
    narrow,
    parse_float,
    parse_integer,
)

floats32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1.0"),
        (0.1, "0.1"),
        (-0.0, "-0.0"),
        (0.0, "0.0"),
        (0.001, "0.001"),
        (0.00099999, "9.9999E-4"),
        (1e-4, "1.0E-4"),
        (9e-4, "9.0E-4"),
        (1e-7, "1.0E-7"),
        (9999999.0, "9999999.0"),
        (1e7, "1.0E7"),
        (12345678.9, "1.23456789E7"),
        (1e16, "1.0E16"),
        (1e23, "1.0E23"),
        (-1.5e300, "-1.5E300"),
        (5e-324, "4.9E-324"),
        (1e-323, "9.9E-324"),
        (1.7976931348623157e308, "1.7976931348623157E308"),
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
    ],
)
def test_doubles_are_written_as_java_writes_them(value: float, text: str) -> None:
    assert java_float(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        (1.1, "1.1"),
        (1 / 3, "0.33333334"),
        (16777216.0, "1.6777216E7"),
        (3.4028234663852886e38, "3.4028235E38"),
        (1e-45, "1.4E-45"),
        (1.1754944e-38, "1.1754944E-38"),
        (0.001, "0.001"),
        (1e10, "1.0E10"),
        (1e300, "Infinity"),
        (-0.0, "-0.0"),
        (9999999.0, "9999999.0"),
    ],
)
def test_floats_are_written_with_the_digits_of_their_width(value: float, text: str) -> None:
    assert java_float(value, 32) == text


@given(st.floats())
def test_a_double_is_read_back_from_its_text(value: float) -> None:
    back = parse_float(java_float(value))
    assert struct.pack("<d", back) == struct.pack("<d", value) or value != value != back


@given(floats32)
def test_a_float_is_read_back_from_its_text_and_no_shorter_one_would_do(value: float) -> None:
    text = java_float(value, 32)
    assert parse_float(text, 32) == value
    digits = text.lstrip("-").partition("E")[0].replace(".", "").strip("0")
    if len(digits) > 2:
        shorter = f"{value:.{len(digits) - 2}e}"
        assert parse_float(shorter, 32) != value


@given(st.integers(2**23, 2**24 - 2), st.integers(0, 20))
def test_a_decimal_is_rounded_to_32_bits_once(mantissa: int, down: int) -> None:
    # just beside the middle of two floats, where a double in between would round twice
    here, above = mantissa / 2**down, (mantissa + 1) / 2**down
    middle = Decimal(2 * mantissa + 1) / Decimal(2 ** (down + 1))
    exact = f"{middle:f}"
    assert parse_float(exact, 32) == (above if mantissa % 2 else here)
    assert parse_float(exact + "0" * 30 + "1", 32) == above
    assert parse_float(f"{exact[:-1]}4{'9' * 30}", 32) == here


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1.10", "1.10"),
        ("1E+3", "1E+3"),
        ("1E-7", "1E-7"),
        ("0.000001", "0.000001"),
        ("1.2345E+6", "1.2345E+6"),
        ("0E-10", "0E-10"),
        ("-0.00", "0.00"),
        ("-12.34", "-12.34"),
    ],
)
def test_decimals_are_written_as_bigdecimal_writes_them(value: str, text: str) -> None:
    assert java_decimal(Decimal(value)) == text


def test_a_decimal_without_digits_has_no_text() -> None:
    with pytest.raises(DataError, match="a finite one is right"):
        java_decimal(Decimal("Infinity"))


@pytest.mark.parametrize("text", ["0", "+5", "-128", "127", "00012", "\u0661\u0662"])
def test_whole_numbers_are_read_as_java_reads_them(text: str) -> None:
    assert parse_integer(text, 8) == int(text)


@pytest.mark.parametrize("text", ["", " 1", "1 ", "1_0", "0x1", "128", "-129", "1.0", "+", "--1", "1" * 5000])
def test_what_is_no_whole_number_says_what_would_be(text: str) -> None:
    with pytest.raises(DataError, match="The text is no INT8; digits with an optional sign, from -128 to 127"):
        parse_integer(text, 8)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1.0),
        (" 1.5\t", 1.5),
        ("1.", 1.0),
        (".5", 0.5),
        ("+.5e1", 5.0),
        ("1d", 1.0),
        ("1F", 1.0),
        ("0x1p3", 8.0),
        ("-0x.8P1", -1.0),
        ("0xFp0", 15.0),
        ("0x1p3d", 8.0),
        ("1e400", math.inf),
        ("-0x1p2000", -math.inf),
        ("-Infinity", -math.inf),
        ("+Infinity", math.inf),
        ("1e-400", 0.0),
    ],
)
def test_floats_are_read_as_java_reads_them(text: str, value: float) -> None:
    assert parse_float(text) == value


@pytest.mark.parametrize(
    "text", ["", "inf", "nan", "1_0", "0x1", "1e", "1.5.", "1 d", "1fd", "\u0661", "NaNd", "\xa05"]
)
def test_what_is_no_float_says_what_would_be(text: str) -> None:
    with pytest.raises(DataError, match="The text is no FLOAT64; a number such as 1"):
        parse_float(text)
    assert math.isnan(parse_float("NaN"))


@pytest.mark.parametrize(
    ("value", "kind", "narrowed"),
    [
        (300, Type.INT8, 44),
        (-129, Type.INT8, 127),
        (1 << 63, Type.INT64, -(1 << 63)),
        (3e10, Type.INT32, 2147483647),
        (3e10, Type.INT16, -1),
        (-3e10, Type.INT32, -2147483648),
        (-3e10, Type.INT8, 0),
        (3e10, Type.INT64, 30000000000),
        (1e300, Type.INT64, (1 << 63) - 1),
        (math.inf, Type.INT64, (1 << 63) - 1),
        (-math.inf, Type.INT64, -(1 << 63)),
        (math.inf, Type.INT32, 2147483647),
        (-math.inf, Type.INT32, -2147483648),
        (math.inf, Type.INT8, -1),
        (math.nan, Type.INT32, 0),
        (-1.9, Type.INT32, -1),
        (16777217, Type.FLOAT32, 16777216.0),
        ((1 << 62) + (1 << 38) + 1, Type.FLOAT32, float((1 << 62) + (1 << 39))),
        (0.1, Type.FLOAT32, 0.10000000149011612),
        (1e300, Type.FLOAT32, math.inf),
        (7, Type.FLOAT64, 7.0),
    ],
)
def test_numbers_are_narrowed_as_a_java_cast_does(value: float, kind: Type, narrowed: float) -> None:
    found = narrow(value, kind)
    assert found == narrowed
    assert type(found) is type(narrowed)


def test_only_numbers_are_narrowed() -> None:
    with pytest.raises(DataError, match="STRING is no type of numbers"):
        narrow(1, Type.STRING)
