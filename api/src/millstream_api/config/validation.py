"""Settings against definitions: all values parsed, or all problems said."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from millstream_api.config.definition import Definition
from millstream_api.config.parsing import Resolve, parse_value
from millstream_api.config.text import ConfigType, Secret, setting_text
from millstream_api.errors import ConfigError, Problem

__all__ = ["Examined", "Validated", "examine", "parse_all", "scrubbed", "validate_all"]

SHORTEST_SECRET = 4  #: characters; shorter ones are part of ordinary words, and hiding them would tell them


@dataclass(frozen=True, slots=True)
class Validated:
    """What is to say about one setting. Source: ConfigValue.java.

    name:         dotted.
    value:        as REST answers it: text, `[hidden]` for a secret, None for null or where it has none.
    recommended:  values to offer, as text.
    errors:       sentences; none: it will do.
    visible:      whether it matters, given the others.
    definition:   None for a setting that nobody defined.
    """

    name: str
    value: str | None = None
    recommended: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    visible: bool = True
    definition: Definition | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Examined:
    """Every setting looked at once, in the order of the definitions.

    values:    by dotted name; None where the value could not be parsed or is missing.
    errors:    sentences by name.
    undefined: dependents that nobody defined.
    secrets:   texts that no message may hold.
    """

    values: Mapping[str, Any]
    errors: Mapping[str, Sequence[str]]
    undefined: Sequence[str]
    secrets: Sequence[str]

    def problems(self) -> list[Problem]:
        """Give all sentences, those on single settings first."""
        found = [Problem(name, sentence) for name, sentences in self.errors.items() for sentence in sentences]
        if self.undefined:
            names = ",".join(self.undefined)
            sentence = f"Some configurations in are referred in the dependents, but not defined: {names}"
            found.append(Problem(self.undefined[0], sentence))
        return found


def parse_all(
    definitions: Sequence[Definition], settings: Mapping[str, str | None], resolve: Resolve | None = None
) -> dict[str, Any]:
    """Give the value of every defined setting by dotted name; settings that nobody defined are passed over.

    resolve:  see `parse_value`.

    A missing setting has its default; an explicit null is null. Raises ConfigError with all problems at
    once. Source: ConfigDef.parse.
    """
    examined = examine(definitions, settings, resolve)
    if problems := examined.problems():
        raise ConfigError(problems)
    return dict(examined.values)


def validate_all(
    definitions: Sequence[Definition], settings: Mapping[str, str | None], resolve: Resolve | None = None
) -> list[Validated]:
    """Say what is to say about every defined setting, in the order of the definitions, undefined dependents last.

    A setting that several others depend on is looked at as often, and has its errors as often, as in Java.
    Has errors exactly where `parse_all` has, and those that `recommend` and `visible` raise as ConfigError. Raises
    ConfigError itself for a setting defined twice. Source: ConfigDef.validate.
    """
    examined = examine(definitions, settings, resolve)
    found = {
        one.name: Validated(one.name, setting_text(examined.values[one.name]), definition=one) for one in definitions
    }
    for name in examined.undefined:
        sentence = f"{name} is referred in the dependents, but not defined."
        found[name] = Validated(name, errors=(sentence,), visible=False)
    visits = list(_visits(definitions))
    for one in visits:
        errors = found[one.name].errors + tuple(examined.errors.get(one.name, ()))
        found[one.name] = replace(found[one.name], errors=errors)
    offers: dict[str, list[Any]] = {}
    for one in visits:
        found[one.name] = _recommended(one, found[one.name], examined, offers)
    return list(found.values())


def examine(
    definitions: Sequence[Definition], settings: Mapping[str, str | None], resolve: Resolve | None = None
) -> Examined:
    """Parse and judge every setting once. Raises ConfigError for a setting defined twice."""
    names = [one.name for one in definitions]
    if len(set(names)) < len(names):
        twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        raise ConfigError([(name, f"Configuration {name} is defined twice.") for name in twice])
    secrets = [text for one in definitions if one.type is ConfigType.PASSWORD and (text := _secret(one, settings))]
    values: dict[str, Any] = {}
    errors: dict[str, list[str]] = {}
    for one in definitions:
        value, sentences = _judged(one, settings, resolve)
        values[one.name] = value
        if sentences:
            errors[one.name] = [scrubbed(text, secrets) for text in sentences]
    return Examined(values, errors, _undefined(definitions), secrets)


def _secret(one: Definition, settings: Mapping[str, Any]) -> str:
    given = settings.get(one.name)
    return given.value if isinstance(given, Secret) else str(given or "").strip()


def scrubbed(sentence: str, secrets: Iterable[str]) -> str:
    """Give a sentence without the secrets that somebody's code put into it."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= SHORTEST_SECRET:
            sentence = sentence.replace(secret, "[hidden]")
    return sentence


def _judged(one: Definition, settings: Mapping[str, str | None], resolve: Resolve | None) -> tuple[Any, Sequence[str]]:
    """Parse one setting, and ask its validator even where there is no value (ConfigDef.parseForValidate)."""
    value: Any = None
    sentences: list[str] = []
    if one.name in settings:
        try:
            value = parse_value(one.name, settings[one.name], one.type, resolve)
        except ConfigError as error:
            sentences += [problem.sentence for problem in error.found]
    elif one.required:
        sentences.append(f'Missing required configuration "{one.name}" which has no default value.')
    else:
        value = list(one.default) if isinstance(one.default, list) else one.default
    judged = one.valid.sentence(one.name, value) if one.valid else None
    if judged:
        sentences.append(judged)
    return value, sentences


def _undefined(definitions: Sequence[Definition]) -> list[str]:
    defined = {one.name for one in definitions}
    return list(dict.fromkeys(name for one in definitions for name in one.dependents if name not in defined))


def _visits(definitions: Sequence[Definition]) -> Iterator[Definition]:
    """Each setting that is nobody's dependent, then its dependents, theirs, and so on; circles end where they close."""
    by_name = {one.name: one for one in definitions}
    dependents = {name for one in definitions for name in one.dependents}
    seen: set[str] = set()

    def visit(one: Definition, path: frozenset[str]) -> Iterator[Definition]:
        seen.add(one.name)
        yield one
        for name in one.dependents:
            if name in by_name and name not in path:
                yield from visit(by_name[name], path | {name})

    for one in definitions:
        if one.name not in dependents:
            yield from visit(one, frozenset({one.name}))
    for one in definitions:
        if one.name not in seen:  # in a circle that nothing leads to
            yield from visit(one, frozenset({one.name}))


def _recommended(one: Definition, found: Validated, examined: Examined, offers: dict[str, list[Any]]) -> Validated:
    """Ask what to offer, keeping of an earlier offer what is in both (ConfigDef.validate)."""
    try:
        offer = list(one.recommend(examined.values)) if one.recommend else []
        earlier = offers.get(one.name)
        if earlier:
            offer = [value for value in offer if value in earlier]
        visible = found.visible if one.visible is None else bool(one.visible(examined.values))
    except ConfigError as error:
        sentences = tuple(scrubbed(problem.sentence, examined.secrets) for problem in error.found)
        return replace(found, errors=found.errors + sentences)
    offers[one.name] = offer
    texts = tuple(text for text in map(setting_text, offer) if text is not None)
    return replace(found, recommended=texts, visible=visible)
