"""Settings as a typed class."""

import copy
from collections.abc import Callable, Iterable
from random import Random
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream_api import (
    Config,
    ConfigError,
    ConfigType,
    Importance,
    Long,
    PluginClass,
    Problem,
    Secret,
    Short,
    Validated,
    at_least,
    between,
    key,
    non_empty,
    one_of,
    satisfies,
)
from millstream_api.config.soundness import faults, sample


class EverythingConfig(Config):
    needed: str = key(doc="Needed.", valid=non_empty(), importance=Importance.HIGH, dependents=("interval.ms",))
    interval_ms: int = key(1000, doc="A pause.", valid=at_least(1))
    size: Long = key(2**40)
    few: Short | None = key(None)
    share: float = key(0.5, valid=between(0.0, 1.0), recommend=lambda values: [0.0, 1.0])
    on: bool = key(True)
    names: list[str] = key([])
    password: Secret | None = key(None, doc="Hush.")
    token: Secret = key(Secret(""), valid=satisfies(lambda text: f"{text} is odd" if len(text) % 2 else None, "even"))
    helper: PluginClass | None = key(None)
    mode: Literal["fast", "safe"] = key("safe")
    odd_name: str = key("x", name="odd_name.of-its.own", visible=lambda values: bool(values["on"]))
    NOT_A_SETTING: ClassVar[int] = 3

    def problems(self) -> Iterable[Problem]:
        if self.mode == "fast" and self.share > 0.5:
            yield Problem("share", "must be at most 0.5 with mode=fast")
        if self.password and not self.token:
            yield Problem("token", f"goes with password, which is {self.password.value}")
        if len(self.names) > self.interval_ms:
            yield Problem("unheard.of", "more names than milliseconds")


def test_attributes_have_the_types_that_their_annotations_say() -> None:
    types = {one.name: one.type.value for one in EverythingConfig.definitions()}
    assert types == {
        "needed": "STRING",
        "interval.ms": "INT",
        "size": "LONG",
        "few": "SHORT",
        "share": "DOUBLE",
        "on": "BOOLEAN",
        "names": "LIST",
        "password": "PASSWORD",
        "token": "PASSWORD",
        "helper": "CLASS",
        "mode": "STRING",
        "odd_name.of-its.own": "STRING",
    }
    config = EverythingConfig.parse({"needed": " a ", "few": "3", "names": "a, b", "odd_name.of-its.own": "y"})
    assert (config.needed, config.interval_ms, config.size, config.few) == ("a", 1000, 2**40, 3)
    assert (config.share, config.on, config.names, config.password) == (0.5, True, ["a", "b"], None)
    assert (config.token, config.helper, config.mode, config.odd_name) == (Secret(""), None, "safe", "y")


def test_a_literal_takes_its_own_texts() -> None:
    with pytest.raises(
        ConfigError, match="Invalid value slow for configuration mode: String must be one of: fast, safe"
    ):
        EverythingConfig.parse({"needed": "a", "mode": "slow"})


def test_problems_between_settings_come_with_all_others_at_once() -> None:
    wrong = {"mode": "fast", "share": "0.75", "interval.ms": "0", "password": "hunter22"}
    expected = {
        "needed": 'Missing required configuration "needed" which has no default value.',
        "interval.ms": "Invalid value 0 for configuration interval.ms: Value must be at least 1",
        "share": "must be at most 0.5 with mode=fast",
        "token": "goes with password, which is [hidden]",
    }
    with pytest.raises(ConfigError) as caught:
        EverythingConfig.parse(wrong)
    assert caught.value.problems == expected
    validated = {one.name: " ".join(one.errors) for one in EverythingConfig.validate(wrong) if one.errors}
    assert validated == expected


def test_a_problem_of_a_setting_that_nobody_defined_is_answered_last() -> None:
    found = EverythingConfig.validate({"needed": "a", "interval.ms": "1", "names": "a,b"})
    assert found[-1] == Validated("unheard.of", errors=("more names than milliseconds",))
    assert found[-1].definition is None
    assert [one.name for one in found[:-1]] == [one.name for one in EverythingConfig.definitions()]


def test_null_is_refused_where_the_annotation_has_no_room_for_it() -> None:
    with pytest.raises(ConfigError) as caught:
        EverythingConfig.parse({"needed": None, "on": None, "few": None, "interval.ms": None})
    null = "Null value can not be supplied as the configuration value."
    assert caught.value.problems == {
        "needed": null,
        "on": null,
        "interval.ms": "Invalid value null for configuration interval.ms: Value must be non-null",
    }


def test_originals_are_all_that_was_given_and_shown_by_name_only() -> None:
    given = {
        "needed": "a",
        "password": "hunter22",
        "token": "even",
        "value.converter.token": "hush hush",
        "value.converter.": "x",
    }
    config = EverythingConfig.parse(given)
    assert dict(config.originals) == given
    assert dict(config.originals.with_prefix("value.converter.")) == {"token": "hush hush"}
    for text in (repr(config), repr(config.originals), repr(vars(config)), str(config)):
        assert "hunter22" not in text
        assert "hush hush" not in text
    assert repr(config).startswith("EverythingConfig(needed='a', interval_ms=1000, size=1099511627776, few=null,")
    assert "password=[hidden]" in repr(config)


def test_a_config_is_made_from_values_in_tests() -> None:
    config = EverythingConfig(needed="a", names=["x", "y"], password=Secret("hunter22"), token=Secret("ab"), on=False)
    assert config == EverythingConfig.parse(
        {"needed": "a", "names": "x,y", "password": "hunter22", "token": "ab", "on": "false"}
    )
    assert config.originals["names"] == "x,y"
    assert config.originals["password"] == "hunter22"
    with pytest.raises(ConfigError, match="Value must be at least 1"):
        EverythingConfig(needed="a", interval_ms=0)
    with pytest.raises(TypeError, match="EverythingConfig has no nedeed; it has needed, interval_ms, "):
        EverythingConfig(nedeed="a")  # type: ignore[call-arg]


def test_a_config_cannot_be_changed() -> None:
    config = EverythingConfig(needed="a")
    with pytest.raises(AttributeError, match="EverythingConfig is immutable: needed cannot be set"):
        config.needed = "b"  # type: ignore[misc]
    with pytest.raises(AttributeError, match="'EverythingConfig' object has no attribute 'nedeed'"):
        _ = config.nedeed  # type: ignore[attr-defined]
    assert copy.deepcopy(config) == config
    assert config != 3


class MoreConfig(EverythingConfig):
    extra: int = key(1)
    interval_ms: int = key(50, doc="Shorter.")


class Mixed(MoreConfig):
    few: Short = key(2)


def test_subclasses_inherit_settings_add_their_own_and_replace_in_place() -> None:
    names = [one.name for one in MoreConfig.definitions()]
    assert names == [*(one.name for one in EverythingConfig.definitions()), "extra"]
    config = MoreConfig.parse({"needed": "a", "interval.ms": "0"})
    assert (config.interval_ms, config.extra, config.size) == (0, 1, 2**40)
    assert EverythingConfig.parse({"needed": "a"}).interval_ms == 1000
    with pytest.raises(ConfigError, match="few: Null value can not be supplied"):
        Mixed.parse({"needed": "a", "few": None})


def test_a_config_without_settings_takes_all() -> None:
    assert dict(Config.parse({"a": "b"}).originals) == {"a": "b"}
    assert Config.definitions() == ()
    assert repr(Config()) == "Config()"


def test_an_annotation_that_is_text_is_read() -> None:
    class Later(Config):
        at: "Short | None" = key(None)

    assert Later.definitions()[0].type is ConfigType.SHORT


def test_declarations_that_cannot_be_meant_are_refused_by_name() -> None:
    def declare(annotation: object, value: object, attribute: str = "x") -> None:
        body = {"__annotations__": {} if annotation is None else {attribute: annotation}, "__module__": __name__}
        type("Bad", (Config,), body if value is None else {**body, attribute: value})

    with pytest.raises(TypeError, match=r"Bad\.x is annotated <class 'dict'>; settings are str, int, Long"):
        declare(dict, key({}))
    with pytest.raises(TypeError, match=r"Bad\.x has the default None: annotate it with \| None"):
        declare(str, key(None))
    with pytest.raises(TypeError, match=r"Bad\.x = key\(…\) has no type: declare it as x: str = key\(…\)"):
        declare(None, key("a"))
    with pytest.raises(TypeError, match=r"Bad\.x has a type but no key\(…\): declare it as x: … = key\(…\)"):
        declare(str, None)
    with pytest.raises(TypeError, match=r"Bad\.originals hides Config\.originals: rename it, and give key\(name='orig"):
        declare(str, key("a"), "originals")
    with pytest.raises(TypeError, match=r"Bad\.x: valid=.* is no Validator, such as at_least\(1\)"):
        declare(str, key("a", valid=non_empty))  # type: ignore[arg-type, call-overload]
    with pytest.raises(TypeError, match=r"Bad\.x: the annotation 'Nowhere' cannot be read: name 'Nowhere' is not"):
        declare("Nowhere", key("a"))
    with pytest.raises(ConfigError, match="Invalid value c for configuration x: String must be one of: a, b"):
        declare(str, key("c", valid=one_of("a", "b")))


@settings(max_examples=300)
@given(st.integers(0, 2**32))
def test_what_must_hold_of_every_settings_class_holds(seed: int) -> None:
    for config_class in (EverythingConfig, MoreConfig, Mixed):
        assert faults(config_class, sample(config_class, Random(seed))) == []


def test_samples_are_sometimes_right_and_mostly_wrong() -> None:
    right = 0
    for seed in range(300):
        given = sample(EverythingConfig, Random(seed))
        right += not any(one.errors for one in EverythingConfig.validate({**given, "needed": "a"}))
    assert 0 < right < 150


class LeakyConfig(Config):
    password: Secret | None = key(None)

    def __repr__(self) -> str:
        return f"LeakyConfig({self.password.value if self.password else ''})"


class QuarrellingConfig(Config):
    """Its validation is milder than its parsing, and it keeps no originals of passwords."""

    count: int = key(1, valid=at_least(1))

    @classmethod
    def validate(cls, settings: object) -> list[Validated]:
        return [Validated("count", "1")]


class GivingUpConfig(Config):
    one: int = key(1)
    two: int = key(2)

    @classmethod
    def parse(cls, settings):  # type: ignore[no-untyped-def, override]
        try:
            return super().parse(settings)
        except ConfigError as error:
            raise ConfigError(error.found[:1]) from error


@pytest.mark.parametrize(
    ("config_class", "settings", "fault"),
    [
        (LeakyConfig, {"password": "hunter22"}, "password: the secret is shown"),
        (QuarrellingConfig, {"count": "0"}, "count: parse refuses it (Invalid value 0 for configuration count: "),
        (GivingUpConfig, {"one": "x", "two": "y"}, "two: validate refuses it, parse does not"),
        (GivingUpConfig, {"one": "x", "two": "y"}, "two: wrong by itself, and parse does not say so together with"),
    ],
)
def test_a_class_of_which_it_does_not_hold_is_found_out(
    config_class: type[Config], settings: dict[str, str | None], fault: str
) -> None:
    assert any(one.startswith(fault) for one in faults(config_class, settings)), faults(config_class, settings)


def _literal_of_numbers() -> None:
    class Wrong(Config):
        level: Literal[1, 2] = key()


def _one_name_twice() -> None:
    class Wrong(Config):
        batch_size: int = key(1)
        size: int = key(2, name="batch.size")


def _problems_giving(given: Any) -> None:
    class Wrong(Config):
        size: int = key(1)

        def problems(self) -> Any:
            return given

    Wrong.parse({})


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (_literal_of_numbers, "Wrong.level is annotated typing.Literal[1, 2]; settings are str, int, Long, "),
        (_one_name_twice, "Wrong.size is the setting 'batch.size', and so is batch_size; name one otherwise"),
        (
            lambda: _problems_giving(None),
            "Wrong.problems gave None; yield Problem(setting, sentence), or return ()",
        ),
        (
            lambda: _problems_giving("too large"),
            "Wrong.problems gave 'too large'; yield Problem(setting, sentence), or return ()",
        ),
        (
            lambda: _problems_giving(["it"]),
            "Wrong.problems gave a str; it must be a Problem(setting, sentence)",
        ),
    ],
    ids=["a literal of numbers", "one name twice", "nothing", "text", "a list of texts"],
)
def test_a_mistake_in_a_settings_class_is_told_with_what_would_be_right(mistake: Callable[[], None], said: str) -> None:
    with pytest.raises(TypeError) as error:
        mistake()
    assert str(error.value).startswith(said)
