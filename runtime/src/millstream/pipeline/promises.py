"""What a converter promised to give, looked at once a call: without a word on what is wrong its author would guess."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from millstream.errors import PluginError
from millstream_api import Decoded, Schema, Subject


class Function(NamedTuple):
    """Whose function it is, for what is said of it."""

    part: Literal["encoder", "decoder"]
    converter: str
    subject: Subject

    def __str__(self) -> str:
        return f"the {self.part} of {self.converter} for the {self.subject.role} of topic {self.subject.topic!r}"


def check_function(made: object, whose: Function) -> None:
    """Raise PluginError for what nobody can call."""
    if not callable(made):
        arguments = "values and headers" if whose.part == "encoder" else "data and headers"
        raise PluginError(f"{whose} is a {type(made).__name__}; it must be a function of {arguments}")


def check_encoded(encoded: Any, rows: int, whose: Function) -> None:
    """Raise PluginError for anything but a list of bytes, one a row. Of the rows the first is looked at alone."""
    if not isinstance(encoded, Sequence) or isinstance(encoded, str | bytes):
        raise PluginError(f"{whose} gave a {type(encoded).__name__}; it must give a list of bytes, one a row")
    if len(encoded) != rows:
        raise PluginError(f"{whose} gave {len(encoded)} rows for {rows}; it must give one a row")
    first: object = encoded[0]
    if first is not None and not isinstance(first, bytes | bytearray | memoryview):
        raise PluginError(f"{whose} gave a {type(first).__name__} for a row; it must give bytes, or None for no bytes")


def check_decoded(parts: Any, whose: Function) -> None:
    """Raise PluginError for anything but a list of Decoded, each with a schema or None."""
    if not isinstance(parts, Sequence) or isinstance(parts, Decoded | str | bytes):
        raise PluginError(f"{whose} gave a {type(parts).__name__}; it must give a list of Decoded(schema, at, values)")
    for part in parts:
        if not isinstance(part, Decoded):
            kind = type(part).__name__
            raise PluginError(f"{whose} gave a list with a {kind}; it must be of Decoded(schema, at, values)")
        schema: object = part.schema
        if schema is not None and not isinstance(schema, Schema):
            raise PluginError(f"{whose} gave the schema {schema!r}; it must be a Schema, such as STRING, or None")
