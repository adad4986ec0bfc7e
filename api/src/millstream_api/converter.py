"""From values to bytes and back, a column at a time; headers one by one."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from millstream_api.config import C, Plugin
from millstream_api.headers import Header, Headers
from millstream_api.schema import Schema

__all__ = ["Converter", "Decode", "Decoded", "Encode", "HeaderConverter", "Subject"]


class Subject(NamedTuple):
    """What a function is compiled for.

    topic:   the record's, behind all transformations of a source, before those of a sink.
    schema:  of the values to encode; None: without schema. Always None for a decoder.
    role:    what the column is of a record.
    """

    topic: str
    schema: Schema | None
    role: Literal["key", "value", "header"]


class Decoded(NamedTuple):
    """Rows decoded that share a schema.

    schema:  None: without schema.
    at:      indices of these rows in the column given, ascending; None: all of it.
    values:  one a row.
    """

    schema: Schema | None
    at: Sequence[int] | None
    values: Sequence[Any]


Encode = Callable[[Sequence[Any], Sequence[list[Header]] | None], Sequence[bytes | None]]
"""Values to bytes, None for no bytes; may append headers (such as a schema's id) to the lists of the rows.

Pure: no state that shows, no effect, values untouched. When it raises (DataError for a value that does
not fit) it is called again with one row at a time."""

Decode = Callable[[Sequence[bytes | None], Sequence[Headers] | None], Sequence[Decoded]]
"""Bytes to values, grouped by schema; each row in exactly one group. As pure as `Encode`; DataError for
bytes that cannot be read."""


class Converter(Plugin[C]):
    """Compiles functions over columns; the runtime keeps each for as long as its subject is in use.

    Its settings are those under `key.converter.` or `value.converter.`, without that, and `converter.type`. One
    object for keys, one for values of each task. What it or its functions raise is the record's failure, as with
    `Transformation.apply`; RetriableError, such as for a registry that is away, is tried again within
    `errors.retry.timeout`. On the task's thread, save for a record that a sink made itself and reports from
    another one. Source: Converter.java, which converts one value at a time.
    """

    def encoder(self, subject: Subject) -> Encode:
        """Compile what writes this subject. Raises DataError for a schema that it cannot write.

        Called once a subject, again after it raised. Source: Converter.fromConnectData.
        """
        raise NotImplementedError(f"{type(self).__name__} must override encoder")

    def decoder(self, subject: Subject) -> Decode:
        """Compile what reads this subject; its schema is None. Raises DataError if it cannot read it.

        Called once a subject, again after it raised. Source: Converter.toConnectData.
        """
        raise NotImplementedError(f"{type(self).__name__} must override decoder")


class HeaderConverter(Plugin[C]):
    """From one header's value to bytes and back.

    Called once a header, in the order of records and of headers in a record; again only after
    RetriableError. What it raises is the record's failure, as with `Converter`. Its settings are those under
    `header.converter.`, without that, and `converter.type`. Source: HeaderConverter.java.
    """

    def to_bytes(self, topic: str, name: str, value: Any, schema: Schema | None) -> bytes | None:
        """Write the value of header `name`; None: null. Raises DataError for one that does not fit.

        Source: HeaderConverter.fromConnectHeader.
        """
        raise NotImplementedError(f"{type(self).__name__} must override to_bytes")

    def from_bytes(self, topic: str, name: str, data: bytes | None) -> tuple[Schema | None, Any]:
        """Read schema and value of header `name`; data None: null. Raises DataError for bytes that cannot be read.

        Source: HeaderConverter.toConnectHeader.
        """
        raise NotImplementedError(f"{type(self).__name__} must override from_bytes")
