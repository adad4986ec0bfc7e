"""What must hold of every settings class, whatever it is given: for conformance kits, never for the runtime."""

from collections.abc import Iterator, Mapping, Sequence
from random import Random

from millstream_api.config.declaration import Config
from millstream_api.config.definition import Definition
from millstream_api.config.text import ConfigType, setting_text
from millstream_api.config.validation import SHORTEST_SECRET, Validated, examine
from millstream_api.errors import ConfigError

__all__ = ["faults", "sample"]

_TEXTS = [
    "",
    " ",
    "a",
    "a,b",
    " a , b,",
    "true",
    "False",
    "0",
    "-1",
    "+7",
    "99999999999",
    "1_0",
    "1e3",
    "NaN",
    "é\t😀",
    "[(",
]


def sample(config_class: type[Config], random: Random) -> dict[str, str | None]:
    """Make settings, mostly wrong ones, for a class: given or not, null, of the right form or of none.

    A secret is like no other text, so that `faults` can look for it.
    """
    settings: dict[str, str | None] = {}
    for definition in config_class.definitions():
        chance = random.random()
        if chance < 0.2:
            continue
        settings[definition.name] = None if chance < 0.25 else _sample_text(definition, random)
    if random.random() < 0.3:
        settings["setting.that.nobody.declared"] = random.choice(_TEXTS)
    return settings


def _sample_text(definition: Definition, random: Random) -> str:
    if definition.type is ConfigType.PASSWORD:
        return random.choice(["", f"§secret-{random.randrange(10**9)}§", f" §secret-{random.randrange(10**9)}§ "])
    if definition.default_text is not None and random.random() < 0.4:
        return definition.default_text
    return random.choice([*_TEXTS, str(random.randrange(-(2**65), 2**65)), str(random.randrange(1000))])


def faults(config_class: type[Config], settings: Mapping[str, str | None]) -> Sequence[str]:
    """Say what does not hold for these settings; nothing: all holds.

    Parsing and validation agree; all problems are said at once; nothing but ConfigError is raised;
    settings are left alone and kept as `originals`; text of a value parses to that value; secrets of four
    characters and more are in no `repr`, value or message.
    """
    given = dict(settings)
    found: list[str] = []
    problems: Mapping[str, str] = {}
    shown: list[str] = []
    try:
        config = config_class.parse(settings)
        found += _faults_of_parsed(config, given)
        shown.append(repr(config))
    except ConfigError as error:
        problems = error.problems
        shown += [str(error), repr(error)]
    validated = config_class.validate(settings)
    shown += [repr((one.name, one.value, one.recommended, one.errors)) for one in validated]
    found += _disagreements(config_class, settings, problems, validated)
    if dict(settings) != given:
        found.append("parse or validate changed the settings they were given")
    found += _leaks(config_class, given, shown)
    return found


def _faults_of_parsed(config: Config, given: Mapping[str, str | None]) -> Iterator[str]:
    if dict(config.originals) != given:
        yield f"originals are {config.originals!r}, not what was given"
    if config != type(config).parse(given) and "NaN" not in repr(config):
        yield "parsing the same settings twice gives two different configs"
    values = examine(type(config).definitions(), given).values
    for one in type(config).definitions():
        text = setting_text(values[one.name])
        if one.type is not ConfigType.PASSWORD:
            again = setting_text(examine([one], {one.name: text}).values[one.name])
            if again != text:
                yield f"{one.name}: the text of its value, {text!r}, parses to {again!r}"


def _disagreements(
    config_class: type[Config],
    settings: Mapping[str, str | None],
    problems: Mapping[str, str],
    validated: Sequence[Validated],
) -> Iterator[str]:
    wrong = {one.name for one in validated if one.errors}
    asked = {one.name for one in config_class.definitions() if one.recommender}
    for name in problems.keys() - wrong:
        yield f"{name}: parse refuses it ({problems[name]}), validate does not"
    for name in wrong - problems.keys() - asked:
        yield f"{name}: validate refuses it, parse does not"
    alone = {one.name for one in config_class.definitions() if examine([one], settings).errors}
    for name in alone - problems.keys():
        yield f"{name}: wrong by itself, and parse does not say so together with the rest"


def _leaks(config_class: type[Config], given: Mapping[str, str | None], shown: Sequence[str]) -> Iterator[str]:
    for one in config_class.definitions():
        secret = (given.get(one.name) or "").strip()
        if one.type is ConfigType.PASSWORD and len(secret) >= SHORTEST_SECRET and any(secret in text for text in shown):
            yield f"{one.name}: the secret is shown"
