"""JSON text to plain Python values: fast where that is exact, exact everywhere else.

orjson reads a float as a double and an integer beyond 64 bits as a float. Where digits matter the exact parser
is used: it gives integers of any size, every other number as a Decimal with the digits it was written with, and
follows Jackson in what it lets pass (JsonDeserializer.java, Kafka 4.3): leading zeros, UTF-16 and UTF-32, a byte
order mark, and text behind the first value.
"""

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any

from millstream_api import DataError

UNREADABLE = "Converting byte[] to Kafka Connect data failed due to serialization error: "

#: what an empty message holds; JSON null is None
MISSING: Any = type("Missing", (), {"__repr__": lambda self: "MISSING"})()

_ZEROS = re.compile(r'("(?:[^"\\]|\\.)*")|(?<![0-9.eE+\-])(-?)0+(?=[0-9])', re.DOTALL)
_LEADING_ZERO = re.compile(r"(?<![0-9.eE])0[0-9]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NUMBER_END = re.compile(r"[\s]|$")

#: nineteen digits in a row may be more than 64 bits hold; anything shorter is not
_DIGITS = bytes(48 if 48 <= byte <= 57 else 32 for byte in range(256))
_MANY = b"0" * 19


def may_exceed_64_bits(text: bytes) -> bool:
    """Whether a number in this text might not fit; one pass at the speed of C, for a whole batch at once."""
    return _MANY in text.translate(_DIGITS)


def parse(data: bytes) -> Any:
    """Read the first JSON value, numbers exactly: int of any size, Decimal for the rest; MISSING when there is none.

    A number whose exponent no Decimal has is a float, as orjson reads it: 0.0, or infinity.
    Raises DataError for what Jackson refuses, for a number of more than 4,300 digits, for nesting that is too deep.
    """
    try:
        text = data.decode(json.detect_encoding(data))
    except UnicodeDecodeError as error:
        raise DataError(f"{UNREADABLE}not UTF-8 at byte {error.start}") from error
    start = len(text) - len(text.lstrip(" \t\r\n"))
    if start == len(text):
        return MISSING
    if _LEADING_ZERO.search(text):
        text = _ZEROS.sub(lambda match: match[1] or match[2], text)
    try:
        value, end = _decoder.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise DataError(f"{UNREADABLE}{error.msg} at character {error.pos}") from error
    except RecursionError as error:
        raise DataError(f"{UNREADABLE}nested too deeply") from error
    except ValueError as error:
        raise DataError(f"{UNREADABLE}{error}") from error
    if type(value) in _NUMBERS and not _NUMBER_END.match(text, end):
        raise DataError(f"{UNREADABLE}{text[end]!r} follows a number at character {end}")
    if "\\u" in text:
        _refuse_surrogates(value)
    return value


def node_type(value: Any) -> str:
    """What Jackson calls the kind of this JSON value."""
    return _NODE_TYPES.get(type(value), "MISSING")


def _number(text: str) -> Decimal | float:
    try:
        return Decimal(text)
    except InvalidOperation:
        return float(text)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _refuse_surrogates(value: Any) -> None:
    if isinstance(value, str):
        if _SURROGATE.search(value):
            raise DataError(f"{UNREADABLE}a string holds half a surrogate pair, which no encoding can write")
    elif isinstance(value, dict):
        for name, member in value.items():
            _refuse_surrogates(name)
            _refuse_surrogates(member)
    elif isinstance(value, list):
        for member in value:
            _refuse_surrogates(member)


_decoder = json.JSONDecoder(parse_float=_number, parse_constant=_refuse_constant)
_NUMBERS = {int, Decimal, float}
_NODE_TYPES = {
    type(None): "NULL",
    bool: "BOOLEAN",
    int: "NUMBER",
    float: "NUMBER",
    Decimal: "NUMBER",
    str: "STRING",
    list: "ARRAY",
    dict: "OBJECT",
}
