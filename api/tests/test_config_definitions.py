"""Settings against definitions: ConfigDef's parse, validate and embed."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from millstream_api import (
    REQUIRED,
    ConfigError,
    ConfigType,
    Definition,
    Importance,
    Problem,
    Secret,
    Validated,
    Validator,
    Width,
    at_least,
    embed,
    groups_of,
    non_empty,
    one_of,
    parse_all,
    satisfies,
    validate_all,
)


def of(name: str, type: str = "STRING", default: Any = None, **more: Any) -> Definition:
    return Definition(name=name, type=ConfigType(type), default=default, **more)


def by_name(found: Sequence[Validated]) -> dict[str, Validated]:
    return {one.name: one for one in found}


def errors(definitions: Sequence[Definition], settings: Mapping[str, str | None]) -> dict[str, tuple[str, ...]]:
    return {one.name: one.errors for one in validate_all(definitions, settings) if one.errors}


def test_a_definition_has_what_rest_answers() -> None:
    one = of("a.b", "LIST", "x, y", valid=non_empty(), importance=Importance.HIGH, width=Width.LONG, dependents=("c",))
    assert (one.name, one.type, one.importance, one.width) == ("a.b", "LIST", "HIGH", "LONG")
    assert (one.default, one.default_text, one.required) == (["x", "y"], "x,y", False)
    assert (one.display_name, one.group, one.order, one.dependents) == ("a.b", None, -1, ("c",))
    assert (one.validator, one.recommender, one.internal) == ("non-empty string", False, False)
    required = of("k", default=REQUIRED)
    assert (required.required, required.default_text, required.validator) == (True, None, None)
    assert of("k", recommend=lambda values: []).recommender
    assert of("k", visible=lambda values: True).recommender


def test_a_default_that_will_not_do_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="Invalid value x for configuration k: Not a number of type INT"):
        of("k", "INT", "x")
    with pytest.raises(ConfigError, match="Invalid value 0 for configuration k: Value must be at least 1"):
        of("k", "INT", 0, valid=at_least(1))
    with pytest.raises(ConfigError, match="Invalid value null for configuration k: Value must be non-null"):
        of("k", "INT", None, valid=at_least(1))


def test_a_default_list_cannot_be_spoilt_by_who_gets_it() -> None:
    definitions = [of("k", "LIST", "a")]
    parse_all(definitions, {})["k"].append("b")
    assert parse_all(definitions, {})["k"] == ["a"]


def test_values_are_parsed_and_unknown_settings_passed_over() -> None:
    definitions = [of("n", "INT", 7), of("s"), of("r", default=REQUIRED)]
    assert parse_all(definitions, {"r": " x ", "n": "8", "other": "y"}) == {"n": 8, "s": None, "r": "x"}


def test_an_explicit_null_is_null_and_judged_and_not_the_default() -> None:
    assert parse_all([of("n", "INT", 7)], {"n": None}) == {"n": None}
    with pytest.raises(ConfigError, match="Invalid value null for configuration n: Value must be non-null"):
        parse_all([of("n", "INT", 7, valid=at_least(1))], {"n": None})


def test_all_problems_are_raised_at_once() -> None:
    definitions = [of("r", default=REQUIRED), of("n", "INT", 7, valid=at_least(1)), of("b", "BOOLEAN", True), of("s")]
    with pytest.raises(ConfigError) as caught:
        parse_all(definitions, {"n": "x", "b": "maybe", "s": "fine"})
    assert caught.value.found == (
        Problem("r", 'Missing required configuration "r" which has no default value.'),
        Problem("n", "Invalid value x for configuration n: Not a number of type INT"),
        Problem("n", "Invalid value null for configuration n: Value must be non-null"),  # Java's second message
        Problem("b", "Invalid value maybe for configuration b: Expected value to be either true or false"),
    )


def test_a_setting_defined_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Configuration k is defined twice\."):
        parse_all([of("k"), of("k"), of("l")], {})


def test_classes_are_looked_up_where_they_are_known() -> None:
    definitions = [of("c", "CLASS"), of("d", "CLASS", "org.example.NotInstalled")]
    known = {"Json": "org.apache.kafka.connect.json.JsonConverter"}
    assert parse_all(definitions, {"c": "Json"}, known.get)["c"] == "Json"
    found = by_name(validate_all(definitions, {"c": "Xml"}, known.get))
    assert found["c"].errors == ("Invalid value Xml for configuration c: Class Xml could not be found.",)
    assert found["d"].errors == ()


def test_validation_answers_every_definition_in_order_with_the_text_of_its_value() -> None:
    definitions = [of("l", "LIST", "a,b"), of("p", "PASSWORD"), of("n", "INT", REQUIRED), of("d", "DOUBLE", 1e7)]
    assert validate_all(definitions, {"p": "hush hush", "unknown": "x"}) == [
        Validated("l", "a,b"),
        Validated("p", "[hidden]"),
        Validated("n", None, errors=('Missing required configuration "n" which has no default value.',)),
        Validated("d", "1.0E7"),
    ]


def test_a_setting_two_others_depend_on_has_its_errors_twice() -> None:
    definitions = [of("a", dependents=("c",)), of("b", dependents=("c",)), of("c", "INT", 1)]
    sentence = "Invalid value x for configuration c: Not a number of type INT"
    assert errors(definitions, {"c": "x"}) == {"c": (sentence, sentence)}
    with pytest.raises(ConfigError) as caught:
        parse_all(definitions, {"c": "x"})
    assert caught.value.found == ((("c"), sentence),)


def test_dependents_in_a_circle_are_looked_at_all_the_same() -> None:
    definitions = [of("a", dependents=("b",)), of("b", "INT", 1, dependents=("a",)), of("c", dependents=("c",))]
    assert list(errors(definitions, {"b": "x"})) == ["b"]


def test_a_dependent_that_nobody_defined_is_said() -> None:
    definitions = [of("a", dependents=("x", "y")), of("b", dependents=("x",))]
    found = by_name(validate_all(definitions, {}))
    assert list(found) == ["a", "b", "x", "y"]
    assert found["y"] == Validated("y", errors=("y is referred in the dependents, but not defined.",), visible=False)
    with pytest.raises(ConfigError) as caught:
        parse_all(definitions, {})
    text = "Some configurations in are referred in the dependents, but not defined: x,y"
    assert caught.value.problems == {"x": text}


def test_recommendations_come_from_all_values_and_are_text() -> None:
    def offer(values: Mapping[str, Any]) -> Sequence[Any]:
        return [values["n"], values["n"] * 2, None]

    definitions = [of("n", "INT", 3), of("k", "INT", 1, recommend=offer, visible=lambda values: values["n"] > 3)]
    assert by_name(validate_all(definitions, {}))["k"] == Validated("k", "1", recommended=("3", "6"), visible=False)
    assert by_name(validate_all(definitions, {"n": "4"}))["k"].visible


def test_a_setting_looked_at_twice_is_offered_what_is_in_both_offers() -> None:
    offers = iter([["a", "b", "c"], ["b", "c", "d"]])
    definitions = [
        of("x", dependents=("k",)),
        of("y", dependents=("k",)),
        of("k", recommend=lambda values: next(offers)),
    ]
    assert by_name(validate_all(definitions, {}))["k"].recommended == ("b", "c")


def test_what_a_recommender_raises_is_an_error_of_its_setting_and_not_of_parsing() -> None:
    def offer(values: Mapping[str, Any]) -> Sequence[Any]:
        raise ConfigError({"k": "the database does not answer"})

    definitions = [of("k", recommend=offer)]
    assert errors(definitions, {}) == {"k": ("the database does not answer",)}
    assert parse_all(definitions, {}) == {"k": None}


def test_secrets_that_a_validator_quotes_are_hidden() -> None:
    tell = satisfies(lambda value: f"{value!r} is too weak" if value else None, "a strong one")
    found = by_name(validate_all([of("p", "PASSWORD", valid=tell)], {"p": " hunter22 "}))["p"]
    assert found.errors == ("Invalid value [hidden] for configuration p: '[hidden]' is too weak",)


def test_groups_are_in_the_order_in_which_they_appear() -> None:
    assert groups_of([of("a", group="Z"), of("b"), of("c", group="A"), of("d", group="Z")]) == ["Z", "A"]


def test_embedded_settings_come_in_javas_order() -> None:
    child = [
        of("g2", group="Second", order=1),
        of("late", group="First", order=2),
        of("early", group="First", order=1),
        of("low", importance=Importance.LOW),
        of("b.high", importance=Importance.HIGH),
        of("a.high", importance=Importance.HIGH),
        of("needed", default=REQUIRED, importance=Importance.LOW),
    ]
    made = embed("transforms.t.", "Transforms: t", 5, child)
    assert [(one.name, one.group, one.order) for one in made] == [
        ("transforms.t.needed", "Transforms: t", 5),
        ("transforms.t.a.high", "Transforms: t", 6),
        ("transforms.t.b.high", "Transforms: t", 7),
        ("transforms.t.low", "Transforms: t", 8),
        ("transforms.t.g2", "Transforms: t: Second", 9),
        ("transforms.t.early", "Transforms: t: First", 10),
        ("transforms.t.late", "Transforms: t: First", 11),
    ]


def test_an_embedded_setting_keeps_what_it_was_and_never_sees_the_prefix() -> None:
    class Naming(Validator):
        def sentence(self, name: str, value: Any) -> str | None:
            return f"{name} it is" if value else None

        def __str__(self) -> str:
            return "anything falsy"

    seen: list[Mapping[str, Any]] = []

    def offer(values: Mapping[str, Any]) -> Sequence[Any]:
        seen.append(values)
        return ["x"]

    child = [of("a", valid=Naming(), dependents=("b",), display_name="The A"), of("b", recommend=offer)]
    made = embed("p.", "G", 0, child)
    assert [(one.name, one.display_name, one.dependents, one.validator) for one in made] == [
        ("p.a", "The A", ("p.b",), "anything falsy"),
        ("p.b", "b", (), None),
    ]
    found = by_name(validate_all([*made, of("other")], {"p.a": "1", "other": "2"}))
    assert found["p.a"].errors == ("a it is",)
    assert found["p.b"].recommended == ("x",)
    assert seen == [{"a": "1", "b": None}]


def test_the_default_of_a_password_is_a_secret() -> None:
    one = of("p", "PASSWORD", "hush hush")
    assert (one.default, one.default_text) == (Secret("hush hush"), "[hidden]")
    assert "hush hush" not in repr(one)


def test_one_of_judges_defaults() -> None:
    assert of("m", default="a", valid=one_of("a", "b")).default == "a"
