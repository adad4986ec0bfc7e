"""How Java spells the values of settings, and the two kinds of value that are no plain text."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any

from millstream_api.doubles import double_text

__all__ = [
    "ConfigType",
    "Long",
    "Originals",
    "PluginClass",
    "Secret",
    "Settings",
    "Short",
    "invalid",
    "java_text",
    "setting_text",
]

HIDDEN = "[hidden]"

Settings = Mapping[str, str]
"""Settings as they are stored: text by dotted name, `${provider:path:key}` unresolved."""


class ConfigType(StrEnum):
    """The types of settings, named as REST names them; each is also that text. Source: ConfigDef.Type."""

    BOOLEAN = "BOOLEAN"
    STRING = "STRING"
    INT = "INT"
    SHORT = "SHORT"
    LONG = "LONG"
    DOUBLE = "DOUBLE"
    LIST = "LIST"
    CLASS = "CLASS"
    PASSWORD = "PASSWORD"


Long = Annotated[int, ConfigType.LONG]
"""An int of 64 bits, as the annotation of a `key`; plain `int` is one of 32 bits."""

Short = Annotated[int, ConfigType.SHORT]
"""An int of 16 bits, as the annotation of a `key`."""


class PluginClass(str):
    """The name of a plugin class: Java's, `module:Class` or an alias. The runtime knows what it stands for.

    Source: ConfigDef.Type.CLASS, whose values are classes.
    """

    __slots__ = ()


class Secret:
    """Text that is never shown: `str`, `repr` and formats of it give `[hidden]`.

    value:  the text itself. Pass it on to where it is needed, and nowhere else.

    Source: Password.java.
    """

    __slots__ = ("value",)

    value: str

    def __init__(self, value: str) -> None:
        self.value = value

    def __str__(self) -> str:
        return HIDDEN

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.value == self.value

    def __hash__(self) -> int:
        return hash((Secret, self.value))

    def __bool__(self) -> bool:
        return bool(self.value)


class Originals(Mapping[str, str | None]):
    """All settings as they were given, those that nobody declared too. `repr` shows names only.

    Raises KeyError, as any mapping, for a name that was not given. Source: AbstractConfig.originals.
    """

    __slots__ = ("_settings",)

    def __init__(self, settings: Mapping[str, str | None]) -> None:
        self._settings = dict(settings)

    def __getitem__(self, name: str) -> str | None:
        return self._settings[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._settings)

    def __len__(self) -> int:
        return len(self._settings)

    def __repr__(self) -> str:
        return f"Originals({', '.join(map(repr, self._settings))})"

    def with_prefix(self, prefix: str) -> "Originals":
        """Give the settings under a prefix, such as `value.converter.`, their names without it.

        Source: AbstractConfig.originalsWithPrefix.
        """
        cut = len(prefix)
        under = {name[cut:]: text for name, text in self._settings.items() if name.startswith(prefix)}
        under.pop("", None)
        return Originals(under)


def java_text(value: Any) -> str:
    """Spell a parsed value as Java's toString does: `null`, `true`, `1.0E7`, `[a, b]`, `[hidden]`.

    Source: ConfigException.java, whose messages quote values so.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return double_text(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(java_text, value))}]"
    return str(value)


def setting_text(value: Any) -> str | None:
    """Spell a parsed value as REST answers it: lists joined by commas, secrets `[hidden]`, None for null.

    Source: ConfigDef.convertToString.
    """
    if value is None:
        return None
    return ",".join(map(java_text, value)) if isinstance(value, list | tuple) else java_text(value)


def invalid(name: str, value: Any, reason: str) -> str:
    """Say, in Java's words, that a setting's value will not do."""
    return f"Invalid value {java_text(value)} for configuration {name}: {reason}"
