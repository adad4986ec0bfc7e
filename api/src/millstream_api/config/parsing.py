"""From the text of a setting to its value, as Java's ConfigDef.parseType reads it."""

import re
from collections.abc import Callable
from typing import Any

from millstream_api.config.text import ConfigType, PluginClass, Secret, invalid
from millstream_api.errors import ConfigError

__all__ = ["Resolve", "parse_value"]

Resolve = Callable[[str], str | None]
"""Gives the name of the plugin class that a name in the settings stands for; None: there is none."""

_BLANKS = "".join(map(chr, range(0x21)))  # what Java's String.trim cuts
_COMMA = re.compile(r"[ \t\n\x0b\f\r]*,[ \t\n\x0b\f\r]*")
_INTEGER = re.compile(r"[+-]?\d+")
_DOUBLE = re.compile(r"([+-]?(?:NaN|Infinity|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?))[fFdD]?")
_HEX_DOUBLE = re.compile(r"([+-]?0[xX](?:[0-9a-fA-F]+\.?|[0-9a-fA-F]*\.[0-9a-fA-F]+)[pP][+-]?[0-9]+)[fFdD]?")

_INTEGERS = {
    ConfigType.INT: (32, "a 32-bit integer"),
    ConfigType.SHORT: (16, "a 16-bit integer (short)"),
    ConfigType.LONG: (64, "a 64-bit integer (long)"),
}


def parse_value(name: str, value: Any, type: ConfigType, resolve: Resolve | None = None) -> Any:
    """Give the value of a setting; text is trimmed, None is None, a value of the right type is itself.

    resolve:  for CLASS; None: every name will do.

    The result is a bool, str, int, float, list of str, PluginClass or Secret. Raises ConfigError with
    one sentence, in Java's words. Source: ConfigDef.parseType.
    """
    if value is None:
        return None
    try:
        parsed = _PARSERS[type](value.strip(_BLANKS) if isinstance(value, str) else value, type)
        if resolve and type is ConfigType.CLASS and resolve(parsed) is None:
            raise _RefusedError(f"Class {value} could not be found.")
    except _RefusedError as refused:
        shown = Secret("") if type is ConfigType.PASSWORD else value
        raise ConfigError([(name, invalid(name, shown, str(refused)))]) from None
    return parsed


class _RefusedError(Exception):
    """Carries the reason only."""


def _expected(what: str, value: Any) -> _RefusedError:
    return _RefusedError(f"Expected value to be {what}, but it was a {type(value).__name__}")


def _boolean(value: Any, type: ConfigType) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    raise _RefusedError("Expected value to be either true or false")


def _string(value: Any, type: ConfigType) -> str:
    if isinstance(value, str):
        return value
    raise _expected("a string", value)


def _password(value: Any, type: ConfigType) -> Secret:
    return value if isinstance(value, Secret) else Secret(_string(value, type))


def _integer(value: Any, type: ConfigType) -> int:
    bits, what = _INTEGERS[type]
    number = value
    if isinstance(value, str):
        if not _INTEGER.fullmatch(value) or len(value) > 100:
            raise _RefusedError(f"Not a number of type {type.value}")
        number = int(value)
    if isinstance(number, bool) or not isinstance(number, int):
        raise _expected(what, value)
    if not -(2 ** (bits - 1)) <= number < 2 ** (bits - 1):
        raise _RefusedError(f"Not a number of type {type.value}")
    return number


def _double(value: Any, type: ConfigType) -> float:
    if isinstance(value, str):
        if found := _DOUBLE.fullmatch(value):
            if value[-1] in "fFdD" and found[1].endswith(("N", "y")):  # NaN and Infinity take no suffix
                raise _RefusedError("Not a number of type DOUBLE")
            return float(found[1])
        if found := _HEX_DOUBLE.fullmatch(value):
            return _hex_double(found[1])
        raise _RefusedError("Not a number of type DOUBLE")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise _expected("a double", value)


def _hex_double(text: str) -> float:
    try:
        return float.fromhex(text)
    except OverflowError:
        return float("-inf" if text.startswith("-") else "inf")


def _list(value: Any, type: ConfigType) -> list[str]:
    if isinstance(value, str):
        return _COMMA.split(value) if value else []
    if isinstance(value, list | tuple):
        return list(value)
    raise _RefusedError("Expected a comma separated list.")


def _class(value: Any, type: ConfigType) -> PluginClass:
    if isinstance(value, str):
        return PluginClass(value)
    raise _RefusedError("Expected a Class instance or class name.")


_PARSERS: dict[ConfigType, Callable[[Any, ConfigType], Any]] = {
    ConfigType.BOOLEAN: _boolean,
    ConfigType.STRING: _string,
    ConfigType.PASSWORD: _password,
    ConfigType.INT: _integer,
    ConfigType.SHORT: _integer,
    ConfigType.LONG: _integer,
    ConfigType.DOUBLE: _double,
    ConfigType.LIST: _list,
    ConfigType.CLASS: _class,
}
