"""The runtime's definitions for one connector's settings, with what only the installed plugins can tell.

Which converters there are, what the versions are, and the keys `transforms.<alias>.*` and `predicates.<alias>.*`.
Source: ConnectorConfig.enrich, EnrichedConnectorConfig, Kafka 4.3.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from millstream.errors import message_of
from millstream.settings.connector import HIGH, ConnectorConfig, config_of, converter_text
from millstream.settings.plugins import Kind, PluginRow, PluginView
from millstream_api.config import ConfigType, Definition, PluginClass, Validator, Width, embed, parse_value

Settings = Mapping[str, str | None]

CONNECTORS = (Kind.SOURCE, Kind.SINK)
CONVERTERS = {
    "key.converter": Kind.CONVERTER,
    "value.converter": Kind.CONVERTER,
    "header.converter": Kind.HEADER_CONVERTER,
}
#: what the worker has where its settings name none: WorkerConfig.HEADER_CONVERTER_CLASS_DEFAULT
WORKER_DEFAULTS = {"header.converter": "org.apache.kafka.connect.storage.SimpleHeaderConverter"}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a connector's settings are looked at with.

    plugins: the installed plugins.
    worker:  the worker's settings; its `key.converter` and so on are the defaults.
    own:     gives the definitions of a transformation's or predicate's class; loads it, so it may raise anything.
    """

    plugins: PluginView
    worker: Settings
    own: Callable[[PluginRow], Sequence[Definition]]

    def resolve(self, name: str) -> str | None:
        """Give the full name of the class that a name denotes; None: there is none."""
        rows = self.plugins.lookup(name)
        return rows[0].name if rows else name if self.nested(name) else None

    def nested(self, name: str) -> list[str]:
        """Give `X$Key`, `X$Value` for a Java class X that only its nested classes stand for."""
        kinds = (Kind.TRANSFORMATION, Kind.PREDICATE)
        return [each for kind in kinds for each in self.plugins.names(kind) if each.startswith(f"{name}$")]

    def row(self, name: str | None, *kinds: Kind) -> PluginRow | None:
        """Give the plugin of one of the kinds that a name denotes."""
        return next((row for row in self.plugins.lookup(name or "") if row.kind in kinds), None)


def connector_version_problem(settings: Settings, at: Surroundings) -> str | None:
    """Say why `connector.plugin.version` cannot be had; then only the settings of every connector are looked at."""
    row = at.row(settings.get("connector.class"), Kind.SOURCE, Kind.SINK)
    wanted = settings.get("connector.plugin.version")
    return None if row is None or wanted is None else at.plugins.version_problem(row, wanted)


@dataclass(slots=True)
class Described:
    """The runtime's definitions for one connector's settings, and what is already known to be wrong, by setting."""

    definitions: list[Definition]
    wrong: dict[str, str] = field(default_factory=dict)


def describe(kind: Literal["source", "sink"], settings: Settings, at: Surroundings) -> Described:
    """Give the runtime's definitions for these settings, variables already replaced, in the order of REST."""
    problem = connector_version_problem(settings, at)
    found = Described(list((ConnectorConfig if problem else config_of(kind)).definitions()))
    if problem:
        found.wrong |= {"connector.class": problem, "connector.plugin.version": problem}
    changed = {"connector.plugin.version": _versioned(at.row(settings.get("connector.class"), *CONNECTORS))}
    for key, of in CONVERTERS.items():
        changed |= _converter(key, of, at, found.wrong, _Given(settings, defaults=problem is None))
    found.definitions = [changed[one.name](one) if one.name in changed else one for one in found.definitions]
    if problem is None:
        for key in SORTS:
            for alias in aliases(key, settings):
                _describe_alias(found, key, alias, settings, at)
    return found


Change = Callable[[Definition], Definition]


def _versioned(row: PluginRow | None, visible: bool = True) -> Change:
    """Give the installed version as default and as the only one on offer."""
    version = row.reported_version if row else None
    offer = [version] if version else []
    return lambda one: replace(
        one, default=version, recommend=lambda _: offer, visible=None if visible else lambda _: False
    )


@dataclass(frozen=True, slots=True)
class _Given:
    settings: Settings
    defaults: bool


def _converter(key: str, kind: Kind, at: Surroundings, wrong: dict[str, str], given: _Given) -> dict[str, Change]:
    """Say how the definitions of a converter and its version change; what is wrong with the version goes to `wrong`."""
    fallback = at.row(at.worker.get(key) or WORKER_DEFAULTS.get(key), kind) if given.defaults else None
    named = given.settings.get(key)
    row = fallback if named is None else at.row(named, kind)
    wanted = given.settings.get(f"{key}.plugin.version")
    problem = None if row is None or wanted is None else at.plugins.version_problem(row, wanted)
    if problem:
        wrong |= {key: problem, f"{key}.plugin.version": problem}
    known = row is not None or (named is not None and at.resolve(named.strip()) is not None)

    offer = at.plugins.names(kind) if given.defaults else []

    def converter(one: Definition) -> Definition:
        default = PluginClass(fallback.name) if fallback else None
        judge = ClassOf(kind, at, converter_text(kind.interface))
        return replace(one, default=default, valid=judge, recommend=lambda _: offer)

    return {key: converter, f"{key}.plugin.version": _versioned(row, known)}


@dataclass(frozen=True, slots=True)
class _Sort:
    """How the keys of transformations differ from those of predicates."""

    kind: Kind
    heading: str
    word: str


SORTS = {
    "transforms": _Sort(Kind.TRANSFORMATION, "Transforms", "Transformation"),
    "predicates": _Sort(Kind.PREDICATE, "Predicates", "Predicate"),
}
CONDITION = (
    Definition(
        name="predicate",
        type=ConfigType.STRING,
        default=None,
        documentation="Alias of a predicate; the transformation is applied where it holds.",
    ),
    Definition(
        name="negate",
        type=ConfigType.BOOLEAN,
        default=False,
        documentation="Whether to apply it where the predicate does not hold.",
    ),
)


def aliases(key: str, settings: Settings) -> list[str]:
    """Give the names in `transforms` or `predicates`, each once, in order."""
    return list(dict.fromkeys(parse_value(key, settings.get(key) or "", ConfigType.LIST)))


def _describe_alias(found: Described, key: str, alias: str, settings: Settings, at: Surroundings) -> None:
    """Add what belongs to one transformation or predicate."""
    sort = SORTS[key]
    prefix, group = f"{key}.{alias}.", f"{sort.heading}: {alias}"
    row = at.row(settings.get(f"{prefix}type"), sort.kind)
    wanted = settings.get(f"{prefix}plugin.version")
    problem = None if row is None or wanted is None else at.plugins.version_problem(row, wanted)
    wrong, own = problem, list[Definition]()
    if row is not None and problem is None:
        wrong, own = _own(row, sort, at)
    if sort.kind is Kind.TRANSFORMATION:
        wrong = wrong or _negated(prefix, settings)
    if problem:
        found.wrong[f"{prefix}plugin.version"] = problem
    if wrong:
        found.wrong[f"{prefix}type"] = wrong
    found.definitions += [
        Definition(
            name=f"{prefix}type",
            type=ConfigType.CLASS,
            importance=HIGH,
            group=group,
            order=0,
            width=Width.LONG,
            display_name=f"{sort.word} type for {alias}",
            documentation=f"Class of the {sort.word.lower()} {alias}.",
            valid=ClassOf(sort.kind, at, ""),
            recommend=lambda _: at.plugins.names(sort.kind),
        ),
        _versioned(row)(
            Definition(
                name=f"{prefix}plugin.version",
                type=ConfigType.STRING,
                importance=HIGH,
                group=group,
                order=1,
                width=Width.LONG,
                display_name=f"{sort.word} version for {alias}",
                documentation=f"Version of the {sort.word.lower()} {alias}.",
            )
        ),
        *embed(prefix, group, 2, own),
    ]


def _own(row: PluginRow, sort: _Sort, at: Surroundings) -> tuple[str | None, list[Definition]]:
    try:
        own = list(at.own(row))
    except Exception as error:  # noqa: BLE001 - the class is anyone's
        return f"Error getting config definition from {sort.word}: {message_of(error)}", []
    if sort.kind is Kind.TRANSFORMATION:
        masked = {one.name for one in CONDITION}
        own = [*(one for one in own if one.name not in masked), *CONDITION]
    return None, own


def _negated(prefix: str, settings: Settings) -> str | None:
    if f"{prefix}negate" not in settings or settings.get(f"{prefix}predicate") is not None:
        return None
    return (
        f"Config '{prefix}negate' was provided but there is no config '{prefix}predicate' defining a predicate to be"
        " negated."
    )


class ClassOf(Validator):
    """Takes the classes of one kind."""

    def __init__(self, kind: Kind, at: Surroundings, text: str) -> None:
        self.kind = kind
        self.at = at
        self.text = text

    def sentence(self, name: str, value: str | None) -> str | None:
        if value is None:
            return None
        if self.at.row(value, self.kind) is not None:
            return None
        nested = self.at.nested(value)
        if nested:
            return f"This class is abstract and cannot be created. Did you mean {', '.join(nested)}?"
        full = self.at.resolve(value)
        return None if full is None else f"Class class {full} does not implement the {self.kind.interface} interface"

    def __str__(self) -> str:
        return self.text
