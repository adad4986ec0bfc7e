"""The answer to `PUT /connector-plugins/{name}/config/validate`, put together from its parts.

Everything here is pure: definitions and values in, the answer out. Source: AbstractHerder.validateConnectorConfig,
generateResult, mergeConfigInfos, Kafka 4.3.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from millstream.settings.connector import sink_problems
from millstream.settings.framework import ClassOf, Settings, Surroundings, connector_version_problem, describe
from millstream_api.config import ConfigType, Definition, Validated, groups_of, validate_all
from millstream_api.errors import Problem

ABSENT = "could not be found."  # how Java's sentence on a class ends: ConfigDef.parseType
NULL = "Null value can not be supplied as the configuration value."


@dataclass(frozen=True, slots=True)
class Part:
    """What is to say about some of the settings: the runtime's, the connector's own, a converter's, overrides."""

    definitions: Sequence[Definition] = ()
    values: Sequence[Validated] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """ConfigInfos of REST. `configs` holds `{"definition": …, "value": …}`, either of which may be None."""

    name: str
    error_count: int
    groups: Sequence[str]
    configs: Sequence[Mapping[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """Give the body of the answer."""
        return {
            "name": self.name,
            "error_count": self.error_count,
            "groups": list(self.groups),
            "configs": [dict(config) for config in self.configs],
        }


@dataclass(frozen=True, slots=True)
class Parts:
    """All parts of one answer; `overrides` and `converters` by prefix, such as `producer.override.`."""

    name: str
    framework: Part
    connector: Part = Part()
    overrides: Mapping[str, Part] = field(default_factory=dict)
    converters: Mapping[str, Part] = field(default_factory=dict)


PREFIXES = (
    *("producer.override.", "consumer.override.", "admin.override."),
    *("header.converter.", "key.converter.", "value.converter."),
)
"""The order in which parts under a prefix stand behind the main one."""


def framework_part(kind: Literal["source", "sink"], settings: Settings, at: Surroundings) -> Part:
    """Judge the settings that are the runtime's, variables already replaced."""
    described = describe(kind, settings, at)
    found = {one.name: one for one in validate_all(described.definitions, settings, at.resolve)}
    for one in described.definitions:
        if one.type is ConfigType.CLASS:
            found[one.name] = _class_named(found[one.name], settings.get(one.name), one, at)
    problems = [Problem(*wrong) for wrong in described.wrong.items()]
    if kind == "sink" and connector_version_problem(settings, at) is None:
        problems += sink_problems(settings)
    problems += [Problem(name, NULL) for name, value in settings.items() if value is None]
    return with_problems(Part(described.definitions, list(found.values())), problems)


def _class_named(found: Validated, given: str | None, one: Definition, at: Surroundings) -> Validated:
    """Show the full name of the class; where there is none, put behind Java's sentence what may help."""
    if found.value is not None:
        return replace(found, value=at.resolve(found.value) or found.value)
    hint = at.plugins.absent(given, one.valid.kind) if given and isinstance(one.valid, ClassOf) else ""
    errors = [said.removesuffix(".") + hint if hint and said.endswith(ABSENT) else said for said in found.errors]
    return replace(found, errors=tuple(errors))


def with_problems(part: Part, problems: Iterable[Problem]) -> Part:
    """Add sentences to the values of a part; a setting that it does not have gets a value of its own."""
    found = {value.name: value for value in part.values}
    for name, sentence in problems:
        value = found.get(name, Validated(name))
        found[name] = replace(value, errors=(*value.errors, sentence))
    return Part(part.definitions, list(found.values()))


def converter_part(
    role: Literal["key", "value", "header"], settings: Settings, definitions: Sequence[Definition]
) -> Part:
    """Judge the settings of a converter that the connector names itself.

    definitions: of the converter's class. Values stand in the order in which Java's hash map gives them.
    """
    prefix = f"{role}.converter."
    own = {name.removeprefix(prefix): text for name, text in settings.items() if name.startswith(prefix)}
    values = validate_all(definitions, {"converter.type": role, **own})
    return Part(definitions, java_hash_order(values))


def override_part(prefix: str, settings: Settings, known: Sequence[Definition], problems: Iterable[Problem]) -> Part:
    """Give what a connector overrides under a prefix, and what the policy has against it.

    known:    definitions of the client's settings; one that is not among them has no definition.
    problems: the policy's, by names without prefix.
    """
    own = {name.removeprefix(prefix): text for name, text in settings.items() if name.startswith(prefix)}
    part = Part(known, [Validated(name, text) for name, text in own.items()])
    return with_problems(part, problems)


def merge(parts: Parts) -> Answer:
    """Put the answer together.

    The main part counts messages, those under a prefix count values that have any. What the connector says about a
    setting replaces what the runtime said.
    """
    definitions = {one.name: one for one in (*parts.framework.definitions, *parts.connector.definitions)}
    said = [*parts.framework.values, *parts.connector.values]
    values = {value.name: value for value in said}
    strange = [value for value in said if value.name not in definitions]
    configs = [_config(None, value) for value in strange]
    configs += [_config(one, values.get(one.name)) for one in definitions.values()]
    counted = [*strange, *(values[name] for name in definitions if name in values)]
    errors = sum(len(value.errors) for value in counted)
    groups = groups_of([*parts.framework.definitions, *parts.connector.definitions])
    for prefix in PREFIXES:
        part = (parts.overrides if prefix.endswith("override.") else parts.converters).get(prefix)
        if part is not None:
            errors += sum(bool(value.errors) for value in part.values)
            known = {one.name: one for one in part.definitions}
            configs += [_config(known.get(value.name), value, prefix) for value in part.values]
            groups += groups_of([known[value.name] for value in part.values if value.name in known])
    return Answer(parts.name, errors, list(dict.fromkeys(groups)), configs)


def definition_json(one: Definition, prefix: str = "") -> dict[str, Any]:
    """Give ConfigKeyInfo, as `GET /connector-plugins/{name}/config` lists it."""
    return {
        "name": prefix + one.name,
        "type": one.type.value,
        "required": one.required,
        "default_value": one.default_text,
        "importance": one.importance.value,
        "documentation": one.documentation,
        "group": one.group,
        "order_in_group": one.order,
        "width": one.width.value,
        "display_name": one.display_name,
        "dependents": list(one.dependents),
    }


def _config(one: Definition | None, value: Validated | None, prefix: str = "") -> dict[str, Any]:
    return {
        "definition": None if one is None else definition_json(one, prefix),
        "value": None if value is None else _value_json(value, one, prefix),
    }


def _value_json(value: Validated, one: Definition | None, prefix: str) -> dict[str, Any]:
    hidden = one is not None and one.type is ConfigType.PASSWORD and value.value is not None
    return {
        "name": prefix + value.name,
        "value": "[hidden]" if hidden else value.value,
        "recommended_values": list(value.recommended),
        "errors": list(value.errors),
        "visible": value.visible,
    }


def java_hash_order(values: Sequence[Validated]) -> list[Validated]:
    """Order values as java.util.HashMap of their names iterates: the order that clients of Java Connect see."""
    size = 16
    while len(values) > size * 3 // 4:
        size *= 2
    return sorted(values, key=lambda value: _spread(value.name) & (size - 1))


def _spread(name: str) -> int:
    code = 0
    units = name.encode("utf-16-be")
    for at in range(0, len(units), 2):
        code = (31 * code + int.from_bytes(units[at : at + 2])) & 0xFFFFFFFF
    return code ^ (code >> 16)
