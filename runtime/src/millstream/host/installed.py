"""What a child needs of the environment: the installed plugins, their classes, and settings without variables."""

import contextlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from millstream.errors import ConfigError
from millstream.host.channel import PluginTarget, Settings, Surroundings
from millstream.host.masking import Veil, masked_problems
from millstream.inventory.discovery import discover
from millstream.inventory.inventory import Inventory, Plugin
from millstream.inventory.loading import load
from millstream.settings.plugins import Kind
from millstream.settings.substitution import Resolution, declared_providers, resolve
from millstream_api import ConfigProvider

log = logging.getLogger(__name__)


@lru_cache(maxsize=4)
def inventory(disabled: tuple[str, ...] = ()) -> Inventory:
    """Look once for the installed plugins; a template does it before it is frozen."""
    return discover(frozenset(disabled))


def warm(disabled: tuple[str, ...], converters: Iterable[str]) -> None:
    """Do once, before a fork, what each child would do: find the plugins, load these converters."""
    found = inventory(disabled)
    for name in converters:
        for plugin in found.lookup(name):
            load(plugin)


def plugin_class(plugin: PluginTarget) -> type[Any]:
    """Import the class. Raises PluginError."""
    return load(Plugin(Kind(plugin.kind), plugin.target, (plugin.name,), plugin.distribution, plugin.version))


class Places:
    """The config providers of the worker, made when the first variable is met, until `close`.

    veil: hides whatever they gave.
    """

    def __init__(self, around: Surroundings) -> None:
        self.veil = Veil()
        self._around = around
        self._providers: dict[str, ConfigProvider[Any]] | None = None
        self._worker: Settings | None = None

    @property
    def worker(self) -> Settings:
        """The worker's properties, variables replaced."""
        if self._worker is None:
            self._worker = self.resolved(self._around.worker)
        return self._worker

    def resolved(self, settings: Settings) -> Settings:
        """Replace `${…}`. Raises ConfigError naming setting and provider."""
        return self.resolution(settings).settings

    def resolution(self, settings: Settings) -> Resolution:
        """Replace `${…}`, and give for how long what was put in holds. Raises ConfigError."""
        if not any(value and "${" in value for value in settings.values()):
            return Resolution(dict(settings))
        if self._providers is None:
            self._providers = _made(self._around)
        resolution = resolve(settings, self._providers)
        self.veil.hide(resolution.given)
        return resolution

    def close(self, quietly: type[BaseException] = BaseException) -> None:
        """Close the providers. What one raises is logged where it is of this kind. Source: Utils.closeQuietly."""
        providers, self._providers = self._providers, None
        _close(providers or {}, quietly)


def worker_settings(raw: Settings) -> dict[str, str]:
    """Give the worker's own settings, variables replaced; the providers end with that.

    Source: AbstractConfig.resolveConfigVariables.
    """
    places = Places(Surroundings(raw))
    try:
        return {name: value for name, value in places.worker.items() if value is not None}
    finally:
        places.close(Exception)  # a signal that comes meanwhile ends the command that this is done for


def parsed(kind: type[Any], settings: Settings, raw: Settings | None = None) -> Any:
    """Make the config object of a plugin class. Raises ConfigError with all problems.

    raw: the settings with `${…}`, which then stay in what the error says.
    """
    try:
        return kind.parse({name: value for name, value in settings.items() if value is not None})
    except ConfigError as error:
        if raw is None:
            raise
        raise ConfigError(masked_problems(error.found, raw, settings)) from None


def under(prefix: str, settings: Mapping[str, str | None]) -> dict[str, str | None]:
    """Give the settings that begin with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in settings.items() if name.startswith(prefix)}


def listed(text: str | None) -> Sequence[str]:
    """Read a comma-separated list."""
    return [item.strip() for item in (text or "").split(",") if item.strip()]


def _made(around: Surroundings) -> dict[str, ConfigProvider[Any]]:
    found: dict[str, ConfigProvider[Any]] = {}
    with contextlib.ExitStack() as made:
        made.callback(_close, found)
        for spec in declared_providers(around.worker):
            kind = load(inventory(tuple(around.disabled)).find(Kind.CONFIG_PROVIDER, spec.class_name))
            found[spec.name] = kind(parsed(kind.config_class, spec.params))
        made.pop_all()
    return found


def _close(providers: Mapping[str, ConfigProvider[Any]], quietly: type[BaseException] = BaseException) -> None:
    for name, provider in providers.items():
        try:
            provider.close()
        except quietly:
            log.exception("the config provider %r raised an error when it was closed", name)
