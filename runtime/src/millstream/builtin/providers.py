"""Config providers for files, directories and the environment. Source: common.config.provider, Kafka 4.3."""

import logging
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from millstream.properties import parse_properties
from millstream_api.config import Config, key
from millstream_api.errors import ConfigError, Problem
from millstream_api.provider import ConfigProvider, Provided

log = logging.getLogger(__name__)

NOTHING = Provided({})


class PathConfig(Config):
    allowed_paths: list[str] = key(
        [],
        doc="Absolute paths that exist; only what is at or below one of them is read. Empty: no restriction.",
    )

    def problems(self) -> Iterable[Problem]:
        for path in self.allowed_paths:
            if not os.path.isabs(path):
                yield Problem("allowed.paths", f"Path {path} is not absolute")
            elif not os.path.exists(os.path.normpath(path)):
                yield Problem("allowed.paths", f"Path {path} does not exist")


class FileConfigProvider(ConfigProvider[PathConfig]):
    """`${file:/path/to.properties:key}`: a key of a file in the format of Java properties, UTF-8."""

    config_class = PathConfig

    def get(self, path: str, keys: frozenset[str]) -> Provided:
        allowed = _allowed(path, self.config.allowed_paths)
        if allowed is None:
            return NOTHING
        try:
            data = allowed.read_bytes()
        except OSError as error:
            raise ConfigError({"": f"Could not read properties from file {path}: {error.strerror}"}) from error
        found = parse_properties(_text(data, f"Could not read properties from file {path}"), path)
        return Provided({name: found[name] for name in keys if name in found})


class DirectoryConfigProvider(ConfigProvider[PathConfig]):
    """`${dir:/path:name}`: the whole content of a file in a directory, UTF-8, its last newline included."""

    config_class = PathConfig

    def get(self, path: str, keys: frozenset[str]) -> Provided:
        directory = _allowed(path, self.config.allowed_paths)
        if directory is None:
            return NOTHING
        if not directory.is_dir():
            log.warning("The path %s is not a directory", path)
            return NOTHING
        try:
            names = {entry.name for entry in os.scandir(directory) if entry.is_file()}
        except OSError as error:
            raise ConfigError({"": f"Could not list directory {path}: {error.strerror}"}) from error
        return Provided({name: self._content(directory / name, name) for name in sorted(keys & names)})

    @staticmethod
    def _content(file: Path, name: str) -> str:
        try:
            data = file.read_bytes()
        except OSError as error:
            raise ConfigError({"": f"Could not read file {file} for property {name}: {error.strerror}"}) from error
        return _text(data, f"Could not read file {file} for property {name}")


class EnvironmentConfig(Config):
    allowlist_pattern: str = key(
        ".*", doc="Regular expression; only environment variables whose whole name matches it can be read."
    )

    def problems(self) -> Iterable[Problem]:
        try:
            re.compile(self.allowlist_pattern)
        except re.error as error:
            yield Problem("allowlist.pattern", f"{self.allowlist_pattern!r} is not a regular expression: {error}")


class EnvVarConfigProvider(ConfigProvider[EnvironmentConfig]):
    """`${env:NAME}`: an environment variable, as it was when the provider was made."""

    config_class = EnvironmentConfig

    def __init__(self, config: EnvironmentConfig) -> None:
        super().__init__(config)
        pattern = re.compile(config.allowlist_pattern)
        self._variables = {name: value for name, value in os.environ.items() if pattern.fullmatch(name)}

    def get(self, path: str, keys: frozenset[str]) -> Provided:
        if path:
            raise ConfigError({"": f"Path is not supported for EnvVarConfigProvider, invalid value '{path}'"})
        return Provided({name: self._variables[name] for name in keys if name in self._variables})


def _text(data: bytes, sentence: str) -> str:
    """Raises ConfigError, as Java does, for what is no UTF-8: a password would be another one in silence."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        problem = f"{sentence}: it is not UTF-8 at byte {error.start}; store it as UTF-8"
        raise ConfigError({"": problem}) from None  # the cause has the bytes, which may be a secret


def _allowed(path: str, allowed: Sequence[str]) -> Path | None:
    """Give the path without `..`, symbolic links as they are; None, with a warning, when it may not be read."""
    if not path:
        return None
    wanted = Path(os.path.normpath(path))
    if not allowed or any(wanted.is_relative_to(os.path.normpath(entry)) for entry in allowed):
        return wanted
    log.warning("The path %s is not in allowed.paths %s: nothing is read", wanted, ",".join(allowed))
    return None
