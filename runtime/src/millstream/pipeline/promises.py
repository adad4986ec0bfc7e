"""What plugins promised to give, looked at once a call: without a word on what is wrong their authors would guess."""

import logging
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from millstream.errors import PluginError
from millstream_api import Decoded, Schema, Subject

log = logging.getLogger(__name__)


class BrokenPromise:
    """Told once: what takes a column does not do what it promised. Its rows go one by one then, and may do well."""

    def __init__(self) -> None:
        self._is_told = False

    def tell(self, problem: object) -> None:
        if not self._is_told:
            self._is_told = True
            log.warning("%s. Rows go one by one, at a fraction of the speed", problem)


class Function(NamedTuple):
    """Whose function it is, for what is said of it."""

    part: Literal["encoder", "decoder"]
    converter: str
    subject: Subject

    def __str__(self) -> str:
        return f"the {self.part} of {self.converter} for the {self.subject.role} of topic {self.subject.topic!r}"


def check_topic(topic: object) -> None:
    """Raise PluginError for what is no name. Java's records begin with partition and offset, ours with the topic."""
    if not isinstance(topic, str):
        order = "SourceRecord takes topic, value, source_partition, source_offset, in this order"
        raise PluginError(f"the topic of a record is a {type(topic).__name__}; it must be a text. {order}")


def check_topics(topics: Iterable[object]) -> None:
    """Raise PluginError if one of them is no name."""
    for topic in topics:
        check_topic(topic)


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
            raise PluginError(
                f"{whose} gave a {type(schema).__name__} as schema; it must be a Schema, such as STRING, or None"
            )
