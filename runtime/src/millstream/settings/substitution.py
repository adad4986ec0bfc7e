"""`${provider:path:key}` in settings: found, asked for, replaced. Source: ConfigTransformer.java, Kafka 4.3."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from millstream.errors import ConfigError, message_of

VARIABLE = re.compile(r"\$\{([^}]*?):(([^}]*?):)?([^}]*?)\}")


class Answer(Protocol):
    """What a provider gives: values by key, and for how long they hold."""

    @property
    def data(self) -> Mapping[str, str]: ...
    @property
    def ttl_ms(self) -> int | None: ...


class Provider(Protocol):
    """The part of `millstream_api.ConfigProvider` that is used here."""

    def get(self, path: str, keys: frozenset[str], /) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Resolution:
    """Settings with variables replaced.

    ttls:  after how many milliseconds what came from a path is stale.
    given: what was put in, by the variable in whose place it stands.
    """

    settings: Mapping[str, str | None]
    ttls: Mapping[str, int] = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)


def resolve(settings: Mapping[str, str | None], providers: Mapping[str, Provider]) -> Resolution:
    """Replace the variables in all values, in one pass: what is put in is not looked at again.

    An unknown provider, or a key that its provider does not have, leaves the variable as it is written. Each provider
    is asked once per path, for all keys together. Raises ConfigError, naming settings and provider, when one fails.
    """
    wanted = _wanted(settings, providers)
    found: dict[tuple[str, str], Mapping[str, str]] = {}
    ttls: dict[str, int] = {}
    for (name, path), uses in wanted.items():
        answer = _ask(providers[name], name, path, uses)
        found[name, path] = answer.data
        if answer.ttl_ms is not None and answer.ttl_ms >= 0:
            ttls[path] = answer.ttl_ms
    if not wanted:
        return Resolution(dict(settings))

    given: dict[str, str] = {}

    def value_of(match: re.Match[str]) -> str:
        data = found.get((match[1], match[3] or ""), {})
        value = data.get(match[4])
        if value is None:
            return match[0]
        given[match[0]] = value
        return value

    return Resolution({k: v if v is None else VARIABLE.sub(value_of, v) for k, v in settings.items()}, ttls, given)


def variables(text: str) -> list[tuple[str, str, str]]:
    """List (provider, path, key) of the variables in a text; a missing path is the empty string."""
    return [(match[1], match[3] or "", match[4]) for match in VARIABLE.finditer(text)]


Uses = dict[str, str]  # key in the provider -> the setting that first uses it


def _wanted(settings: Mapping[str, str | None], providers: Mapping[str, Provider]) -> dict[tuple[str, str], Uses]:
    wanted: dict[tuple[str, str], Uses] = {}
    for setting, value in settings.items():
        for name, path, key in variables(value or ""):
            if name in providers:
                wanted.setdefault((name, path), {}).setdefault(key, setting)
    return wanted


def _ask(provider: Provider, name: str, path: str, uses: Uses) -> Answer:
    try:
        return provider.get(path, frozenset(uses))
    except Exception as error:
        reason = message_of(error) or type(error).__name__
        problem = f"cannot resolve ${{{name}:{path}:…}}: config provider {name!r} failed: {reason}"
        raise ConfigError(dict.fromkeys(uses.values(), problem)) from error


@dataclass(frozen=True, slots=True)
class ProviderSpec:
    """One provider that settings declare: `config.providers.<name>.class` and `.param.*` without that prefix."""

    name: str
    class_name: str
    params: Mapping[str, str]


def declared_providers(settings: Mapping[str, str | None]) -> list[ProviderSpec]:
    """Read `config.providers` and what belongs to it. Raises ConfigError for a name without a class."""
    names = [name for name in re.split(r"\s*,\s*", (settings.get("config.providers") or "").strip()) if name]
    specs: list[ProviderSpec] = []
    problems: dict[str, str] = {}
    for name in dict.fromkeys(names):
        key = f"config.providers.{name}.class"
        class_name = (settings.get(key) or "").strip()
        if not class_name:
            problems[key] = (
                f"config.providers lists {name!r}, and there is no {key}; name its class there,"
                " such as org.apache.kafka.common.config.provider.FileConfigProvider"
            )
            continue
        prefix = f"config.providers.{name}.param."
        params = {k.removeprefix(prefix): v or "" for k, v in settings.items() if k.startswith(prefix)}
        specs.append(ProviderSpec(name, class_name, params))
    if problems:
        raise ConfigError(problems)
    return specs
