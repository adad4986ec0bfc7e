"""What validators take and say, and what REST shows of them. Source: ConfigDef, Kafka 4.3."""

import pytest

from millstream_api import (
    Secret,
    Validator,
    all_of,
    at_least,
    at_most_items,
    between,
    list_of,
    no_control_characters,
    non_empty,
    non_empty_list,
    non_null,
    one_of,
    one_of_ignoring_case,
    satisfies,
    valid_regex,
)

EVEN = satisfies(lambda value: "must be even" if value % 2 else None, "an even number")
INVALID = "Invalid value {} for configuration k: "


@pytest.mark.parametrize(
    ("validator", "text"),
    [
        (at_least(1), "[1,...]"),
        (between(0, 2147483647), "[0,...,2147483647]"),
        (between(0.0, 0.25), "[0.0,...,0.25]"),
        (one_of("string", "unix"), "[string, unix]"),
        (one_of_ignoring_case("numeric", "BASE64"), "(case insensitive) [NUMERIC, BASE64]"),
        (non_null(), "non-null string"),
        (non_empty(), "non-empty string"),
        (no_control_characters(), "non-empty string without ISO control characters"),
        (non_empty_list(), "non-empty list"),
        (at_most_items(2), "List containing maximum of 2 elements"),
        (valid_regex(), "valid regex"),
        (list_of(), ""),
        (list_of("a", "b"), "[a, b]"),
        (all_of(non_empty(), valid_regex()), "non-empty string, valid regex"),
        (EVEN, "an even number"),
    ],
)
def test_what_is_valid_is_said_in_javas_words(validator: Validator, text: str) -> None:
    assert str(validator) == text


@pytest.mark.parametrize(
    ("validator", "good"),
    [
        (at_least(1), [1, 99]),
        (between(0, 2), [0, 1, 2]),
        (one_of("a", "b"), ["a", "b"]),
        (one_of_ignoring_case("a"), ["a", "A"]),
        (non_null(), ["", "x"]),
        (non_empty(), ["x", None, Secret("x")]),
        (no_control_characters(), ["x y", None]),
        (non_empty_list(), [["a"]]),
        (at_most_items(1), [["a"], [], None]),
        (valid_regex(), ["a.*", None]),
        (list_of(), [["a", "b"], []]),
        (list_of(empty=False, null=True), [["a"], None]),
        (list_of("a"), [["a"], []]),
        (all_of(non_null(), EVEN), [2]),
    ],
)
def test_what_is_valid_is_taken(validator: Validator, good: list[object]) -> None:
    assert [validator.sentence("k", value) for value in good] == [None] * len(good)


@pytest.mark.parametrize(
    ("validator", "value", "sentence"),
    [
        (at_least(1), None, INVALID.format("null") + "Value must be non-null"),
        (at_least(1), 0, INVALID.format("0") + "Value must be at least 1"),
        (between(0, 2), 3, INVALID.format("3") + "Value must be no more than 2"),
        (between(0.0, 0.25), 0.5, INVALID.format("0.5") + "Value must be no more than 0.25"),
        (one_of("a", "b"), "c", INVALID.format("c") + "String must be one of: a, b"),
        (one_of("a", "b"), None, INVALID.format("null") + "String must be one of: a, b"),
        (one_of_ignoring_case("a"), "c", INVALID.format("c") + "String must be one of (case insensitive): A"),
        (one_of_ignoring_case("a"), None, INVALID.format("null") + "String must be one of (case insensitive): A"),
        (non_null(), None, INVALID.format("null") + "entry must be non null"),
        (non_empty(), "", INVALID.format("") + "String must be non-empty"),
        (non_empty(), Secret(""), INVALID.format("[hidden]") + "String must be non-empty"),
        (no_control_characters(), "", INVALID.format("") + "String may not be empty"),
        (
            no_control_characters(),
            "\0a\x1b",
            INVALID.format("\0a\x1b")
            + "String may not contain control sequences but had the following ASCII chars: 0, 27",
        ),
        (non_empty_list(), [], INVALID.format("[]") + "Empty list"),
        (non_empty_list(), None, INVALID.format("null") + "Empty list"),
        (at_most_items(1), ["a", "b"], INVALID.format("[a, b]") + "exceeds maximum list size of [1]."),
        (valid_regex(), "[", INVALID.format("[") + "Invalid regex: unterminated character set at position 0"),
        (list_of(), None, "Configuration 'k' values must not be null."),
        (list_of(), ["", ""], "Configuration 'k' values must not be duplicated."),
        (list_of(), ["a", ""], "Configuration 'k' values must not be empty."),
        (list_of(empty=False), [], "Configuration 'k' must not be empty. Valid values include: any non-empty value"),
        (list_of("a", empty=False), [], "Configuration 'k' must not be empty. Valid values include: [a]"),
        (list_of("a"), ["a", "b"], INVALID.format("b") + "String must be one of: a"),
        (all_of(non_empty(), valid_regex()), "", INVALID.format("") + "String must be non-empty"),
        (EVEN, 3, INVALID.format("3") + "must be even"),
    ],
)
def test_what_is_not_valid_is_refused_in_javas_words(validator: Validator, value: object, sentence: str) -> None:
    assert validator.sentence("k", value) == sentence


def test_a_function_is_asked_about_null_only_when_it_wants_to_be() -> None:
    asked: list[object] = []
    assert satisfies(lambda value: asked.append(value), "x").sentence("k", None) is None
    assert satisfies(lambda value: asked.append(value), "x", null=True).sentence("k", None) is None
    assert asked == [None]


def test_a_validator_of_ones_own_can_give_the_whole_sentence() -> None:
    class Concrete(Validator):
        def sentence(self, name: str, value: object) -> str | None:
            return "This class is abstract and cannot be created."

    assert Concrete().sentence("k", 1) == "This class is abstract and cannot be created."
    assert all_of(Concrete()).sentence("k", 1) == "This class is abstract and cannot be created."
    with pytest.raises(NotImplementedError, match="Validator must override reason or sentence"):
        Validator().sentence("k", 1)
