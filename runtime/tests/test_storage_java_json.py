"""Java's spelling of JSON."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.errors import DataError
from millstream.storage.java_json import copied_map_order, dumps, hash_map_order, java_hash, loads


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (-(2**63), "-9223372036854775808"),
        ("a/ü€\x7f", '"a/ü€\x7f"'),
        ('"\\\b\t\n\f\r\x00\x1f', '"\\"\\\\\\b\\t\\n\\f\\r\\u0000\\u001F"'),
        ("😀", '"\\uD83D\\uDE00"'),
        (b"\x00\xff", '"AP8="'),
        ({"a": [1, {"b": None}], "c": ()}, '{"a":[1,{"b":null}],"c":[]}'),
        (math.nan, '"NaN"'),
        (-math.inf, '"-Infinity"'),
        (["local-file-source", {"filename": "/tmp/in.txt"}], '["local-file-source",{"filename":"/tmp/in.txt"}]'),
    ],
)
def test_a_value_is_spelled_as_java_spells_it(value: object, text: str) -> None:
    assert dumps(value) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1.0, "1.0"),
        (0.1, "0.1"),
        (0.001, "0.001"),
        (9999999.0, "9999999.0"),
        (1e7, "1.0E7"),
        (12345678.9, "1.23456789E7"),
        (1e-4, "1.0E-4"),
        (-1.5e-7, "-1.5E-7"),
        (1e22, "1.0E22"),
        (5e-324, "4.9E-324"),
        (1.7976931348623157e308, "1.7976931348623157E308"),
        (123456.789, "123456.789"),
    ],
)
def test_a_double_has_javas_text(number: float, text: str) -> None:
    assert dumps(number) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_text_of_a_double_gives_it_back(number: float) -> None:
    assert float(dumps(number)) == number


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_what_is_written_is_read(value: object) -> None:
    assert loads(dumps(value)) == value


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({1: 2}, "text as keys, not 1"),
        ({"a": object()}, "object cannot be written as JSON"),
        ("\ud800", "half of a surrogate pair"),
    ],
)
def test_what_java_could_not_write_is_refused(value: object, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        dumps(value)


def test_constants_that_are_not_json_are_refused() -> None:
    with pytest.raises(ValueError, match="NaN is not JSON"):
        loads("[NaN]")


def test_hashes_are_javas() -> None:
    assert java_hash("filename") == (-734768633) & 0xFFFFFFFF
    assert java_hash("😀") == 1772899  # units D83D DE00


def test_a_map_comes_in_the_order_of_javas_hash_map() -> None:
    recorded = ["connector.class", "file", "task.class", "tasks.max", "name", "topic"]
    given_in = ["connector.class", "tasks.max", "file", "topic", "name", "task.class"]
    assert list(hash_map_order(dict.fromkeys(given_in))) == recorded


def test_a_copied_map_comes_in_the_order_of_its_smaller_table() -> None:
    recorded = ["connector.class", "name", "topic", "file", "tasks.max"]
    given_in = ["connector.class", "tasks.max", "file", "topic", "name"]
    assert list(copied_map_order(dict.fromkeys(given_in))) == recorded
    assert list(copied_map_order({"topic": 1, "name": 2})) == ["name", "topic"]
    assert copied_map_order({}) == {}
