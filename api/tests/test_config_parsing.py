"""How the text of a setting becomes a value: Java's ConfigDef.parseType, in its words."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream_api import ConfigError, ConfigType, PluginClass, Secret, java_text, parse_value, setting_text


def refusal(value: object, type: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_value("k", value, ConfigType(type))
    return caught.value.problems["k"]


@pytest.mark.parametrize(
    ("type", "text", "value"),
    [
        ("BOOLEAN", "TRUE", True),
        ("BOOLEAN", " false ", False),
        ("STRING", "  a b\t", "a b"),
        ("STRING", "\u00a0a", "\u00a0a"),  # Java's trim leaves it
        ("INT", "+12", 12),
        ("INT", "-2147483648", -(2**31)),
        ("INT", "٣", 3),  # any Unicode decimal digit
        ("SHORT", "32767", 32767),
        ("LONG", "9223372036854775807", 2**63 - 1),
        ("DOUBLE", "1e3", 1000.0),
        ("DOUBLE", ".5", 0.5),
        ("DOUBLE", "5.", 5.0),
        ("DOUBLE", "1.5f", 1.5),
        ("DOUBLE", "2D", 2.0),
        ("DOUBLE", "0x1p3", 8.0),
        ("DOUBLE", "-Infinity", -math.inf),
        ("DOUBLE", "1e400", math.inf),
        ("DOUBLE", "-0x1p5000", -math.inf),
        ("LIST", "", []),
        ("LIST", "  ", []),
        ("LIST", "a,,b", ["a", "", "b"]),
        ("LIST", "a,", ["a", ""]),
        ("LIST", " a\t,\n b ", ["a", "b"]),
        ("CLASS", " org.example.A$B ", PluginClass("org.example.A$B")),
        ("PASSWORD", " x ", Secret("x")),
    ],
)
def test_text_is_read_as_java_reads_it(type: str, text: str, value: object) -> None:
    parsed = parse_value("k", text, ConfigType(type))
    assert parsed == value
    assert parsed.__class__ is value.__class__


@pytest.mark.parametrize(
    ("type", "text", "reason"),
    [
        ("BOOLEAN", "yes", "Expected value to be either true or false"),
        ("INT", "1_0", "Not a number of type INT"),
        ("INT", "2147483648", "Not a number of type INT"),
        ("INT", "0x10", "Not a number of type INT"),
        ("INT", "", "Not a number of type INT"),
        ("INT", "9" * 5000, "Not a number of type INT"),
        ("SHORT", "32768", "Not a number of type SHORT"),
        ("LONG", "1.0", "Not a number of type LONG"),
        ("DOUBLE", "nan", "Not a number of type DOUBLE"),
        ("DOUBLE", "inf", "Not a number of type DOUBLE"),
        ("DOUBLE", "1_0", "Not a number of type DOUBLE"),
        ("DOUBLE", "NaNd", "Not a number of type DOUBLE"),
        ("DOUBLE", "0x10", "Not a number of type DOUBLE"),
    ],
)
def test_what_java_refuses_is_refused_in_its_words(type: str, text: str, reason: str) -> None:
    assert refusal(text, type) == f"Invalid value {text} for configuration k: {reason}"


@pytest.mark.parametrize(
    ("type", "value", "reason"),
    [
        ("BOOLEAN", 1, "Expected value to be either true or false"),
        ("STRING", 1, "Expected value to be a string, but it was a int"),
        ("INT", True, "Expected value to be a 32-bit integer, but it was a bool"),
        ("SHORT", 1.5, "Expected value to be a 16-bit integer (short), but it was a float"),
        ("LONG", [], "Expected value to be a 64-bit integer (long), but it was a list"),
        ("DOUBLE", False, "Expected value to be a double, but it was a bool"),
        ("LIST", 3, "Expected a comma separated list."),
        ("CLASS", 3, "Expected a Class instance or class name."),
    ],
)
def test_a_value_of_another_type_is_refused(type: str, value: object, reason: str) -> None:
    assert refusal(value, type) == f"Invalid value {java_text(value)} for configuration k: {reason}"


def test_a_password_of_another_type_is_refused_without_showing_it() -> None:
    expected = "Invalid value [hidden] for configuration k: Expected value to be a string, but it was a int"
    assert refusal(1234567, "PASSWORD") == expected


@pytest.mark.parametrize("type", ConfigType)
def test_null_is_null_for_every_type(type: ConfigType) -> None:
    assert parse_value("k", None, type) is None


def test_a_class_that_nobody_knows_is_refused_where_classes_are_known() -> None:
    known = {"Json": "org.apache.kafka.connect.json.JsonConverter"}
    assert parse_value("k", "Json", ConfigType.CLASS, known.get) == "Json"
    with pytest.raises(ConfigError) as caught:
        parse_value("k", "Xml", ConfigType.CLASS, known.get)
    assert caught.value.problems == {"k": "Invalid value Xml for configuration k: Class Xml could not be found."}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        (True, "true"),
        (5, "5"),
        (["a", "", "b"], "a,,b"),
        ([], ""),
        (Secret("hush"), "[hidden]"),
        (0.25, "0.25"),
        (1e7, "1.0E7"),
        (123456789.0, "1.23456789E8"),
        (9999999.0, "9999999.0"),
        (0.001, "0.001"),
        (0.0009, "9.0E-4"),
        (1.5e-10, "1.5E-10"),
        (-1e22, "-1.0E22"),
        (-0.0, "-0.0"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (math.nan, "NaN"),
    ],
)
def test_values_are_spelled_as_java_spells_them(value: object, text: str | None) -> None:
    assert setting_text(value) == text


@given(st.floats(allow_nan=False))
def test_the_text_of_a_double_is_read_as_that_double(number: float) -> None:
    assert parse_value("k", java_text(number), ConfigType.DOUBLE) == number


@given(st.integers(-(2**70), 2**70))
def test_an_integer_is_taken_exactly_when_it_fits(number: int) -> None:
    for type, bits in ((ConfigType.SHORT, 16), (ConfigType.INT, 32), (ConfigType.LONG, 64)):
        if -(2 ** (bits - 1)) <= number < 2 ** (bits - 1):
            assert parse_value("k", str(number), type) == number
        else:
            assert "Not a number of type" in refusal(str(number), type)


def test_a_secret_is_shown_by_nothing() -> None:
    secret = Secret("hush")
    assert {str(secret), f"{secret}", format(secret)} == {"[hidden]"}
    assert "hush" not in repr([secret])
    assert secret == Secret("hush") != Secret("other")
    assert {secret: 1}[Secret("hush")] == 1
    assert not Secret("")
    assert secret.value == "hush"
