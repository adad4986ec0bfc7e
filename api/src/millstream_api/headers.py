"""Headers of a record: an ordered multi-map, as a sequence of name, value and schema."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from millstream_api.schema import Schema

__all__ = ["Header", "Headers"]


class Header(NamedTuple):
    """One header. A name may occur more than once in a record; order is kept. Source: Header.java.

    name:    what Kafka calls its key.
    value:   as a record's value: a Python value that fits `schema`, or any with `schema` None.
    schema:  None when the value has no schema.
    """

    name: str
    value: Any
    schema: Schema | None = None

    def __repr__(self) -> str:
        return f"Header(name={self.name!r}, value=<{type(self.value).__name__}>, schema={self.schema!r})"


Headers = Sequence[Header]
"""All headers of a record, in order. Never changed in place; `()` when there is none."""
