"""From a connector's settings to the plugins on a task's way: converters, transformations, predicates (§2.5)."""

from collections.abc import Mapping
from typing import Any

from millstream.errors import ConfigError
from millstream.host.installed import Places, inventory, listed, parsed, under
from millstream.inventory.inventory import Inventory
from millstream.inventory.loading import load
from millstream.pipeline.chain import Chain, Link
from millstream.pipeline.conversion import Converters
from millstream.settings.plugins import Kind

Resolved = Mapping[str, str | None]

SIMPLE_HEADERS = "org.apache.kafka.connect.storage.SimpleHeaderConverter"
ROLES = (("key", Kind.CONVERTER), ("value", Kind.CONVERTER), ("header", Kind.HEADER_CONVERTER))


class Composer:
    """Makes the plugins that a connector's resolved settings name."""

    def __init__(self, places: Places, settings: Resolved, disabled: tuple[str, ...] = ()) -> None:
        self._places = places
        self._settings = settings
        self._disabled = disabled

    @property
    def _inventory(self) -> Inventory:
        return inventory(self._disabled)

    def converters(self) -> Converters:
        """The connector's own where it names them, with its settings; else the worker's, with the worker's."""
        made = [self._converter(role, kind) for role, kind in ROLES]
        names = tuple(name for _, name in made)
        key, value, header = (plugin for plugin, _ in made)
        return Converters(key, value, header, (names[0], names[1], names[2]))

    def chain(self) -> Chain:
        """The transformations in the order of `transforms`, each with its predicate."""
        predicates: dict[str, Any] = {}
        for alias in listed(self._settings.get("predicates")):
            predicates[alias] = self._plugin(f"predicates.{alias}.", Kind.PREDICATE)[0]
        return Chain([self._link(alias, predicates) for alias in listed(self._settings.get("transforms"))])

    def _converter(self, role: str, kind: Kind) -> tuple[Any, str]:
        setting = f"{role}.converter"
        settings = self._settings if self._settings.get(setting) else self._places.worker
        name = settings.get(setting) or (SIMPLE_HEADERS if role == "header" else None)
        if name is None:
            raise ConfigError(
                {setting: f"neither the connector nor the worker names a {setting}; set it in one of them, such as "
                          f"{setting}=org.apache.kafka.connect.json.JsonConverter"}
            )  # fmt: skip
        found = self._inventory.find(kind, name)
        plugin = load(found)
        own = {**under(f"{setting}.", settings), "converter.type": role}
        return plugin(parsed(plugin.config_class, own)), found.name

    def _link(self, alias: str, predicates: Mapping[str, Any]) -> Link:
        prefix = f"transforms.{alias}."
        transformation, name = self._plugin(prefix, Kind.TRANSFORMATION, ("predicate", "negate"))
        wanted = self._settings.get(f"{prefix}predicate")
        if wanted is not None and wanted not in predicates:
            raise ConfigError(
                {f"{prefix}predicate": f"{prefix}predicate is {wanted!r}, and there is no predicate of that name; "
                                       f"predicates lists {', '.join(predicates) or 'none'}"}
            )  # fmt: skip
        negate = (self._settings.get(f"{prefix}negate") or "false").strip().lower() == "true"
        return Link(transformation, predicates[wanted] if wanted is not None else None, negate, name)

    def _plugin(self, prefix: str, kind: Kind, taken: tuple[str, ...] = ()) -> tuple[Any, str]:
        own = under(prefix, self._settings)
        name = own.pop("type", None)
        if not name:
            raise ConfigError({f"{prefix}type": f"{prefix}type is missing; name the class of {prefix.rstrip('.')!r}"})
        for setting in taken:
            own.pop(setting, None)
        found = self._inventory.find(kind, name)
        plugin = load(found)
        return plugin(parsed(plugin.config_class, own)), found.name


def number(settings: Resolved, name: str, default: int) -> int:
    """Read a whole number. Raises ConfigError naming the setting."""
    text = settings.get(name)
    if text is None or not text.strip():
        return default
    try:
        return int(text.strip())
    except ValueError:
        problem = f"Invalid value {text} for configuration {name}: Not a number of type INT"
        raise ConfigError({name: problem}) from None


def flag(settings: Resolved, name: str, default: bool = False) -> bool:
    text = (settings.get(name) or "").strip().lower()
    return text == "true" if text else default
