"""Converters whose columns agree with one value at a time, and a header converter that keeps state."""

import collections
from collections.abc import Callable, Sequence
from typing import Any

from exactness.plugins import NS, REFUSED, A, B, Calls
from millstream.errors import DataError, RetriableError
from millstream_api import Converter, Decoded, Header, HeaderConverter, Schema, Subject

SCHEMAS = (A, B, None, A, B, A, B, A, B, None, A, B, A, None, B, REFUSED)


def value_bytes(topic: str, schema: Schema | None, value: Any) -> tuple[bytes | None, list[Header]]:
    if schema is REFUSED:
        raise DataError("schema refused")
    if value is None:
        return (None, []) if schema is None else (b"null", [Header("id", b"7")] if schema is B else [])
    if value["n"] % 23 == 6:
        raise DataError(f"unwritable {value['n']}")
    if value["n"] == 9:
        raise RetriableError(f"registry {value['n']}")
    name = None if schema is None else schema.name
    return f"{topic}|{name}|{sorted(value.items())}".encode(), [Header("id", b"7")] if name == "b" else []


def key_bytes(topic: str, schema: Schema | None, key: Any) -> tuple[bytes | None, list[Header]]:
    if key is None:
        return (None, []) if schema is not A else (b"null", [])
    if key % 17 == 5:
        raise DataError(f"key {key}")
    name = None if schema is None else schema.name
    return f"{topic}|{name}|{key}".encode(), [Header("key", b"8")] if key % 19 == 3 else []


class Spell(Converter[Any]):
    def __init__(self, scalar: Callable[..., tuple[bytes | None, list[Header]]]) -> None:
        self.scalar = scalar

    def encoder(self, subject: Subject) -> Any:
        if subject.schema is REFUSED and subject.role == "value":
            raise DataError("schema refused")

        def encode(values: Sequence[Any], headers: Any) -> list[bytes | None]:
            out = []
            for at, value in enumerate(values):
                data, extra = self.scalar(subject.topic, subject.schema, value)
                if extra:
                    headers[at].extend(extra)
                out.append(data)
            return out

        return encode

    def decoder(self, subject: Subject) -> Any:
        read = read_key if subject.role == "key" else read_value

        def decode(column: Sequence[bytes | None], headers: Any) -> list[Decoded]:
            parts: dict[int, tuple[Any, list[int], list[Any]]] = {}
            for at, data in enumerate(column):
                schema, value = read(data)
                part = parts.setdefault(id(schema), (schema, [], []))
                part[1].append(at)
                part[2].append(value)
            if len(parts) == 1:
                ((schema, _, values),) = parts.values()
                return [Decoded(schema, None, values)]
            return [Decoded(*part) for part in parts.values()]

        return decode


def read_key(data: bytes | None) -> tuple[Schema | None, Any]:
    if data is None:
        return B, None
    if int(data) % 17 == 5:
        raise DataError(f"key {data!r}")
    return (A if int(data) % NS % 2 else None), int(data)


def read_value(data: bytes | None) -> tuple[Schema | None, Any]:
    if data is None:
        return None, None
    number, n, schema = map(int, data.split(b","))
    if n % 23 == 6:
        raise DataError(f"unreadable {n}")
    if n == 9:
        raise RetriableError(f"registry {n}")
    return SCHEMAS[schema], {"id": number, "n": n}


class HeaderSpell(HeaderConverter[Any]):
    """A record form that keeps state and fails for some."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls
        self.seen = 0
        self.failures: dict[Any, int] = collections.Counter()

    def _pass(self, value: int) -> None:
        self.calls.log["headers"].append(value)
        self.seen += 1
        if value % 17 == 4:
            raise DataError(f"header {value}")
        if value % 9 == 5 and self.failures[value, self.seen // 50] < 1:
            self.failures[value, self.seen // 50] += 1
            raise RetriableError(f"header {value}")

    def to_bytes(self, topic: str, name: str, value: Any, schema: Schema | None) -> bytes | None:
        if value is None:
            return None
        self._pass(value)
        return f"{topic}|{name}|{value}|{schema and schema.name}|{self.seen}".encode()

    def from_bytes(self, topic: str, name: str, data: bytes | None) -> tuple[Schema | None, Any]:
        if data is None:
            return None, None
        self._pass(int(data))
        return (A if int(data) % 2 else None), (topic, int(data), self.seen)
