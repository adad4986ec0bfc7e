"""A config provider that lends what a file of Java properties holds, for a while. Not hostile: its borrowers are."""

from pathlib import Path

from millstream_api import Config, ConfigProvider, Provided, at_least, key


class LendingConfig(Config):
    ttl_ms: int = key(1_000, doc="For how many milliseconds what it gives holds.", valid=at_least(0))


class LendingProvider(ConfigProvider[LendingConfig]):
    """`${name:/path:key}`: lines of the form `key=value`."""

    config_class = LendingConfig

    def get(self, path: str, keys: frozenset[str]) -> Provided:
        pairs = (line.partition("=") for line in Path(path).read_text().splitlines())
        return Provided({name: value for name, _, value in pairs if name in keys}, self.config.ttl_ms)
