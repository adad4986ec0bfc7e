"""JSON spelled as Java spells it (spec §15.7): internal topics, offset keys and REST bodies are compared by bytes."""

import base64
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from millstream.errors import DataError
from millstream_api import java_float

_SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
_SPECIAL = re.compile('["\\\\\x00-\x1f\ud800-\udfff\U00010000-\U0010ffff]')


def dumps(value: Any) -> str:
    """The compact text of None, bool, int, float, str, bytes (base64), lists and mappings in their own order.

    Raises DataError for any other type, a key that is no text, or a lone surrogate.
    """
    parts: list[str] = []
    _put(parts, value)
    return "".join(parts)


def dump_bytes(value: Any) -> bytes:
    """`dumps` in UTF-8."""
    return dumps(value).encode()


def loads(data: bytes | str) -> Any:
    """What Java reads back: whole numbers as int, fractions as float. Raises ValueError for anything but JSON."""
    return json.loads(data, parse_constant=_refuse)


def hash_map_order(items: Mapping[str, Any]) -> dict[str, Any]:
    """The same entries in the order in which a java.util.HashMap, filled in this order, would give them."""
    capacity = 16
    while len(items) > capacity * 3 // 4:
        capacity *= 2
    return _ordered(items, capacity)


def _ordered(items: Mapping[str, Any], capacity: int) -> dict[str, Any]:
    return dict(sorted(items.items(), key=lambda item: _spread(item[0]) & (capacity - 1)))


def copied_map_order(items: Mapping[str, Any]) -> dict[str, Any]:
    """As `hash_map_order` for `new HashMap<>(items)`, whose table is as small as its entries allow."""
    capacity = 1
    while capacity < len(items) / 0.75 + 1:
        capacity *= 2
    return _ordered(items, capacity)


def java_hash(text: str) -> int:
    """String.hashCode as an unsigned 32-bit number."""
    units = text.encode("utf-16-be", "surrogatepass")
    found = 0
    for i in range(0, len(units), 2):
        found = (found * 31 + (units[i] << 8 | units[i + 1])) & 0xFFFFFFFF
    return found


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _spread(text: str) -> int:
    found = java_hash(text)
    return found ^ (found >> 16)


def _put(parts: list[str], value: Any) -> None:
    if value is None:
        parts.append("null")
    elif isinstance(value, str):
        parts.append(_quoted(value))
    elif isinstance(value, bool):
        parts.append("true" if value else "false")
    elif isinstance(value, int):
        parts.append(int.__repr__(value))
    elif isinstance(value, float):
        parts.append(java_float(value) if math.isfinite(value) else f'"{java_float(value)}"')
    elif isinstance(value, (bytes, bytearray, memoryview)):
        parts.append(f'"{base64.b64encode(value).decode()}"')
    elif isinstance(value, Mapping):
        _put_mapping(parts, value)
    elif isinstance(value, (list, tuple)):
        parts.append("[")
        for i, item in enumerate(value):
            if i:
                parts.append(",")
            _put(parts, item)
        parts.append("]")
    else:
        raise DataError(f"{type(value).__name__} cannot be written as JSON; use text, a number, a list or a mapping")


def _put_mapping(parts: list[str], value: Mapping[Any, Any]) -> None:
    parts.append("{")
    for i, (name, item) in enumerate(value.items()):
        if not isinstance(name, str):
            raise DataError(f"a JSON object has text as keys, not {name!r} ({type(name).__name__})")
        if i:
            parts.append(",")
        parts.append(_quoted(name))
        parts.append(":")
        _put(parts, item)
    parts.append("}")


def _quoted(text: str) -> str:
    return f'"{_SPECIAL.sub(_escaped, text)}"' if _SPECIAL.search(text) else f'"{text}"'


def _escaped(match: "re.Match[str]") -> str:
    character = match.group()
    short = _SHORT.get(character)
    if short is not None:
        return short
    code = ord(character)
    if code < 0x20:
        return f"\\u{code:04X}"
    if 0xD800 <= code <= 0xDFFF:
        raise DataError(f"text with half of a surrogate pair ({character!r}) cannot be written as JSON")
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04X}\\u{0xDC00 + (code & 0x3FF):04X}"
