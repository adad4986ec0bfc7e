"""Values: whether they fit their schema, their text in Java's spelling, and the way back from text."""

from typing import Any

from millstream_api.errors import DataError
from millstream_api.schema import Schema, fault
from millstream_api.values.numbers import float32, java_decimal, java_float, narrow, parse_float, parse_integer
from millstream_api.values.parsing import parse_string
from millstream_api.values.text import convert_to_string, text_of

__all__ = [
    "check",
    "convert_to_string",
    "float32",
    "java_decimal",
    "java_float",
    "narrow",
    "parse_float",
    "parse_integer",
    "parse_string",
    "text_of",
]


def check(schema: Schema, value: Any) -> None:
    """Raise DataError, with `.path`, if the value does not fit the schema; its parts are looked at, too.

    Structs are dicts by field name: a missing or null field is right if it is optional or has a
    default, an unknown one is wrong. Ints are checked for range. An int is no float, a tuple no list.
    Source: ConnectSchema.validateValue, Struct.validate.
    """
    if (wrong := fault(schema, value)) is not None:
        raise DataError(wrong[0], path=wrong[1])
