"""Looks up what settings refer to: `${provider:path:key}`."""

from collections.abc import Mapping
from typing import NamedTuple

from millstream_api.config import C, Plugin

__all__ = ["ConfigProvider", "Provided"]


class Provided(NamedTuple):
    """What a provider found. Source: ConfigData.java.

    data:    text by key; a key that is not there is left out. May hold secrets: `repr` shows keys only.
    ttl_ms:  for how long it holds, in milliseconds; None: until the connector is restarted.
    """

    data: Mapping[str, str]
    ttl_ms: int | None = None

    def __repr__(self) -> str:
        return f"Provided(keys={sorted(self.data)!r}, ttl_ms={self.ttl_ms!r})"


class ConfigProvider(Plugin[C]):
    """Reads a place where settings, mostly secrets, are kept.

    Its settings are the worker's under `config.providers.NAME.param.`, without that. One object for the worker's
    own settings, and one for each task, connector or validation that meets a `${…}`. `close` is called once those
    settings are resolved, or once the task, connector or validation has ended; not when its process was killed. What
    it raises is logged. Source: ConfigProvider.java, ConfigTransformer.java.
    """

    def get(self, path: str, keys: frozenset[str]) -> Provided:
        """Give those of the keys that are there.

        path:  what stands between the colons, such as a file's path; empty in `${provider:key}`.

        Called once a path each time that settings are resolved, from one thread at a time. Raises ConfigError when the
        place cannot be read; whatever it raises fails what the settings are for: the worker's start, connector, task,
        validation. A key that stays unknown leaves `${…}` as it stands in the setting. Source: ConfigProvider.get.
        """
        raise NotImplementedError(f"{type(self).__name__} must override get")
