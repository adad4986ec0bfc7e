"""From a connector's settings to its chain: what is named, with its own settings and its predicate."""

from types import SimpleNamespace
from typing import Any

import pytest

from millstream.errors import ConfigError
from millstream.host import composition
from millstream.host.channel import Surroundings
from millstream.host.composition import Composer
from millstream.host.installed import Places
from millstream.pipeline.chain import Link
from millstream_api import Config, Predicate, Record, Transformation, key


class UpperConfig(Config):
    where: str = key("value", doc="What is made upper.")


class Upper(Transformation[UpperConfig]):
    config_class = UpperConfig


class Picks(Predicate[Config]):
    config_class = Config

    def test(self, record: Record) -> bool:
        return True


MADE = {"Upper": Upper, "Picks": Picks}
SETTINGS = {
    "transforms": "up",
    "transforms.up.type": "Upper",
    "transforms.up.where": "key",
    "transforms.up.predicate": "picks",
    "predicates": "picks",
    "predicates.picks.type": "Picks",
}


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    inventory = SimpleNamespace(find=lambda kind, name: SimpleNamespace(name=name))
    monkeypatch.setattr(composition, "inventory", lambda disabled: inventory)
    monkeypatch.setattr(composition, "load", lambda found: MADE[found.name])


def links(**more: str | None) -> tuple[Link, ...]:
    named = {name.replace("_", "."): text for name, text in more.items()}
    return Composer(Places(Surroundings({})), {**SETTINGS, **named}).chain().links


@pytest.mark.parametrize(("text", "negate"), [("true", True), (" TRUE ", True), ("false", False), (None, False)])
def test_a_predicate_is_negated_where_its_link_says_so(text: str | None, negate: bool) -> None:
    (link,) = links(transforms_up_negate=text)
    assert link.negate is negate
    assert isinstance(link.predicate, Picks)
    assert link.class_name == "Upper"


def test_predicate_and_negate_are_the_links_and_the_rest_is_the_transformations_own() -> None:
    (link,) = links(transforms_up_negate="true")
    upper: Any = link.transformation
    assert upper.config.where == "key"
    assert not {"type", "predicate", "negate"} & set(upper.config.originals)


def test_a_predicate_that_is_not_there_is_told_with_those_that_are() -> None:
    said = "transforms.up.predicate is 'other', and there is no predicate of that name; predicates lists picks"
    with pytest.raises(ConfigError) as caught:
        links(transforms_up_predicate="other")
    assert caught.value.problems == {"transforms.up.predicate": said}
