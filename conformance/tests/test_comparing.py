"""What differs is said in one line, and soon, however much there is of it."""

import pytest

from millstream_conformance.comparing import difference


def test_what_is_equal_does_not_differ() -> None:
    assert difference([1, {"a": 2}], [1, {"a": 2}]) == ""


@pytest.mark.parametrize(
    ("found", "wanted", "words"),
    [
        ([1, 2, 3], [1, 5, 6], "row 1: 2 instead of 5"),
        ((1, 2), (1, 2, 3), "2 rows instead of 3"),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, "'b': 2 instead of 3"),
        ({"a": 1}, {"a": 1, "b": 3}, "'b' is missing"),
        ({"a": 1, "b": 3}, {"a": 1}, "'b' is too much"),
        ((1, 2), [1, 2], "(1, 2) instead of [1, 2]"),
        ("x", None, "'x' instead of None"),
    ],
)
def test_the_first_that_differs_is_named(found: object, wanted: object, words: str) -> None:
    assert words in difference(found, wanted)


def test_long_values_are_said_in_short() -> None:
    assert len(difference(["x" * 10**6], ["y" * 10**6])) < 500
