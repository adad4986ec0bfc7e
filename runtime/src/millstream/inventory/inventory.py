"""The installed plugins, and which of them a name in a configuration means. Source: PluginUtils.java, Kafka 4.3."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from millstream.errors import PluginError
from millstream.inventory.hints import hint
from millstream.inventory.versions import range_text, satisfied
from millstream.settings.plugins import Kind

log = logging.getLogger(__name__)

CONNECTORS = (Kind.SINK, Kind.SOURCE)
NEAR = 0.85  # how like a name has to be to one that there is, from 0 to 1, for somebody to be asked whether it is meant
LISTED = (*CONNECTORS, Kind.TRANSFORMATION, Kind.PREDICATE, Kind.CONVERTER, Kind.HEADER_CONVERTER)
"""The kinds that `GET /connector-plugins` lists, in its order."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """One class of one kind, as its distribution declares it; nothing of it is imported.

    target:     `module:Class`.
    aliases:    other full names, the Java class it stands in for first.
    version:    the distribution's.
    stands_for: the version of the Java class whose behaviour it has, or None.
    """

    kind: Kind
    target: str
    aliases: tuple[str, ...]
    distribution: str
    version: str
    stands_for: str | None = None

    @property
    def name(self) -> str:
        """The name that REST reports: the first alias that is a Java class name, else the target."""
        return next((alias for alias in self.aliases if "." in alias), self.target)

    @property
    def reported_version(self) -> str:
        return self.stands_for or self.version

    @property
    def short_names(self) -> frozenset[str]:
        """Simple names, with and without the word of the kind: `FileStreamSourceConnector`, `FileStreamSource`.

        A nested Java class has `InsertField$Value` beside `Value`, which Java has not.
        """
        found: set[str] = set()
        for full in (*self.aliases, self.target):
            nested = full.rpartition(":")[2].rpartition(".")[2]
            simple = nested.rpartition("$")[2]
            found |= {nested, simple, prune(simple, self.kind), prune(nested, self.kind)}
        return frozenset(found)

    def __str__(self) -> str:
        return f"{self.name} ({self.kind.value} {self.reported_version} of {self.distribution} {self.version})"


def prune(simple: str, kind: Kind) -> str:
    """Cut a simple name before the last occurrence of the word of its kind, unless it starts there."""
    at = simple.rfind("Connector" if kind in CONNECTORS else kind.interface)
    return simple[:at] if at > 0 else simple


@dataclass(frozen=True, slots=True)
class Inventory:
    """All plugins found, and the distributions that could not be used: `name version` -> why."""

    plugins: Sequence[Plugin] = ()
    failures: Mapping[str, BaseException] = field(default_factory=dict)
    _by_name: dict[str, list[Plugin]] = field(init=False, repr=False, compare=False)
    refused: dict[str, list[Plugin]] = field(init=False, repr=False, compare=False)
    """Full aliases that several classes claim, and who; each keeps its `module:Class`."""

    def __post_init__(self) -> None:
        full, refused = _full_names(self.plugins)
        short = {name: of for name, of in _short_names(self.plugins).items() if name not in full}
        object.__setattr__(self, "_by_name", {**short, **full})
        object.__setattr__(self, "refused", refused)

    def of(self, *kinds: Kind) -> list[Plugin]:
        """Give the plugins of these kinds: kinds in the order given, names sorted within each."""
        return [p for kind in kinds for p in sorted(self._every(kind), key=lambda p: p.name)]

    def names(self, kind: Kind) -> list[str]:
        return [plugin.name for plugin in self.of(kind)]

    def lookup(self, name: str) -> list[Plugin]:
        """Give the plugins, one a kind, that a full name or unambiguous short name denotes; [] for none."""
        return list(self._by_name.get(name.strip(), ()))

    def find(self, kind: Kind, name: str) -> Plugin:
        """Give the plugin of that kind. Raises PluginError that lists what is there and what would bring it."""
        return self._find((kind,), name)

    def find_connector(self, name: str) -> Plugin:
        """Give the source or sink that `connector.class` means. Raises PluginError."""
        return self._find(CONNECTORS, name)

    def absent(self, name: str, *kinds: Kind) -> str:
        """Say, to be put behind a sentence, what a name that denotes nothing is nearly, or who has it; may be empty."""
        wanted = name.strip()
        if wanted in self.refused:
            claimants = " and ".join(str(plugin.target) for plugin in self.refused[wanted])
            return f"; {wanted!r} is claimed by {claimants}: use one of these names"
        known = {each for row in self.of(*kinds) for each in (row.name, row.target, *row.short_names)}
        near = get_close_matches(wanted, sorted(known & self._by_name.keys()), 1, NEAR)
        installed = {plugin.distribution for plugin in self.plugins}
        return hint(wanted, installed) or (f"; did you mean {near[0]}?" if near else "")

    def version_problem(self, plugin: Plugin, wanted: str) -> str | None:
        """Say why `*.plugin.version` is not satisfied by the Java version it stands for or by ours; None: it is."""
        versions = [v for v in (plugin.stands_for, plugin.version) if v]
        try:
            if satisfied(wanted, versions):
                return None
        except ValueError as error:
            return f"{error}, for plugin {plugin.name}"
        shown = ", ".join(dict.fromkeys(versions))
        problem = (
            f"Plugin {plugin.name} not found that matches the version range {range_text(wanted)},"
            f" available versions: [{shown}]"
        )
        if not wanted.strip():
            return problem
        exact = wanted.strip() if wanted.strip()[0] not in "[(" else "<version>"
        return (
            f"{problem}; this environment has {plugin.distribution} {plugin.version}, and can hold one version only:"
            f" pip install '{plugin.distribution}=={exact}', or remove the setting"
        )

    def _every(self, kind: Kind) -> Iterable[Plugin]:
        return (plugin for plugin in self.plugins if plugin.kind is kind)

    def _find(self, kinds: tuple[Kind, ...], name: str) -> Plugin:
        wanted = name.strip()
        interface = "Connector" if kinds == CONNECTORS else kinds[0].interface
        denoted = self.lookup(wanted)
        for plugin in denoted:
            if plugin.kind in kinds:
                return plugin
        if denoted and kinds != CONNECTORS:
            raise PluginError(f"Requested class: {denoted[0].name} does not extend {interface}; it is {denoted[0]}")
        matching = [p for p in self.of(*kinds) if wanted and p.short_names & {wanted, wanted + "Connector"}]
        if len(matching) > 1:
            raise PluginError(
                f"More than one {_words(kinds)[:-1]} matches alias {wanted}. Please use full package and class name"
                f" instead. Classes found: {', '.join(map(str, matching))}"
            )
        if matching and kinds == CONNECTORS:
            return matching[0]
        raise PluginError(self._not_found(kinds, interface, wanted))

    def _not_found(self, kinds: tuple[Kind, ...], interface: str, wanted: str) -> str:
        words = _words(kinds)
        available = ", ".join(f"{p.name} ({p.kind.value}, {p.reported_version})" for p in self.of(*kinds)) or "none"
        message = (
            f"Failed to find any class that implements {interface} and which name matches {wanted},"
            f" available {words} are: {available}"
        )
        others = self.lookup(wanted)
        message += f"; {wanted!r} is {others[0]}" if others else self.absent(wanted, *kinds) or _of_java(wanted)
        if self.failures:
            message += f"; could not be used: {', '.join(self.failures)} (`millstream plugins list` says why)"
        return message


def _of_java(wanted: str) -> str:
    """What is to be said of a name that may be that of a Java class."""
    if "." not in wanted or ":" in wanted:
        return ""
    return "; if that is a Java class: it cannot run here, a Python plugin has to stand for it"


def _words(kinds: tuple[Kind, ...]) -> str:
    return "connectors" if kinds == CONNECTORS else f"{kinds[0].value.replace('_', ' ')}s"


def _of_class(plugins: Sequence[Plugin], claims: Mapping[str, set[str]]) -> dict[str, list[Plugin]]:
    """Turn names that denote one class each into the plugins of that class, of whatever kinds."""
    by_target: dict[str, list[Plugin]] = defaultdict(list)
    for plugin in plugins:
        by_target[plugin.target].append(plugin)
    return {name: by_target[next(iter(targets))] for name, targets in claims.items() if len(targets) == 1}


def clash(claimants: Sequence[Plugin]) -> str:
    """Say of a name who claims it, and what to write instead."""
    who = " and by ".join(f"{each.target} of {each.distribution} {each.version}" for each in claimants)
    return f"claimed by {who}: it denotes neither; write module:Class, or leave one out by plugins.disabled"


def _full_names(plugins: Sequence[Plugin]) -> tuple[dict[str, list[Plugin]], dict[str, list[Plugin]]]:
    claims: dict[str, set[str]] = defaultdict(set)
    for plugin in plugins:
        for name in (plugin.target, *plugin.aliases):
            claims[name].add(plugin.target)
    refused: dict[str, list[Plugin]] = {}
    for name, targets in claims.items():
        if len(targets) > 1:
            refused[name] = [plugin for plugin in plugins if name in (plugin.target, *plugin.aliases)]
            log.warning("%s is %s", name, clash(refused[name]))
    return _of_class(plugins, claims), refused


def _short_names(plugins: Sequence[Plugin]) -> dict[str, list[Plugin]]:
    claims: dict[str, set[str]] = defaultdict(set)
    for plugin in plugins:
        for name in plugin.short_names:
            claims[name].add(plugin.target)
    ambiguous = {name: sorted(targets) for name, targets in claims.items() if len(targets) > 1}
    if ambiguous:
        log.debug("short names that denote several classes, and therefore none: %s", ambiguous)
    return _of_class(plugins, claims)
