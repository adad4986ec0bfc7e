"""A config provider that notes what becomes of it, in the test's process (thread isolation)."""

import signal

from millstream_api import Config, ConfigError, ConfigProvider, Provided, key

OPENED: list["NotingProvider"] = []
CLOSED: list["NotingProvider"] = []


class NotingConfig(Config):
    deed: str = key("", doc="`refuse`: it cannot be made. `break`: it cannot be closed. `linger`: nor at once.")


class NotingProvider(ConfigProvider[NotingConfig]):
    config_class = NotingConfig

    def __init__(self, config: NotingConfig) -> None:
        super().__init__(config)
        if config.deed == "refuse":
            raise ConfigError({"": "it is not to be made"})
        OPENED.append(self)

    def get(self, path: str, keys: frozenset[str]) -> Provided:
        return Provided({name: f"the {name} of it" for name in keys})

    def close(self) -> None:
        CLOSED.append(self)
        if self.config.deed == "break":
            raise SystemExit("it does not want to be closed")
        if self.config.deed == "linger":
            signal.raise_signal(signal.SIGTERM)  # as from an operator who waits for that
