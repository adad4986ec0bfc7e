"""A column of values to JSON messages: what a schema fixes is spelled once, the payload is orjson's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import orjson

from millstream_api import DataError, Schema, Type
from millstream_json.parsing import may_exceed_64_bits
from millstream_json.schemas import to_json
from millstream_json.shapes import REFUSALS, Odd, Shape
from millstream_json.writing import Writer, compile_writer

Column = Sequence[Any]
_dumps = orjson.dumps
_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS
_join_text = "".join


@dataclass(frozen=True, slots=True)
class Envelope:
    """What stands before and behind every payload of a schema; both empty without envelopes."""

    head: bytes = b""
    tail: bytes = b""


def envelope(schema: Schema | None, writer: Writer) -> Envelope:
    """The envelope of this schema, spelled in Java's member order."""
    text = b"null" if schema is None else _dumps(to_json(schema, writer.default))
    return Envelope(b'{"schema":' + text + b',"payload":', b"}")


def encoder(schema: Schema | None, writer: Writer, around: Envelope) -> Callable[[Column], list[bytes | None]]:
    """The function that writes a column of this schema; raises DataError for the first value that does not fit."""
    if schema is None:
        return _Schemaless(writer, around).encode
    return _Typed(schema, writer, around).encode


class _Schemaless:
    """Any JSON-like value; a null is no message at all."""

    def __init__(self, writer: Writer, around: Envelope) -> None:
        self.writer = writer
        self.around = around

    def encode(self, values: Column) -> list[bytes | None]:
        try:
            return self._fast(values)
        except REFUSALS:  # what orjson refuses is a TypeError
            pass  # the patient look is not taken here: its errors would tell of this one, too
        return [self._patient(value) for value in values]

    def _fast(self, values: Column) -> list[bytes | None]:
        head, tail = self.around.head, self.around.tail
        out = [_dumps(value, _refuse, _OPTIONS) for value in values]
        try:
            _join_text(values)
        except TypeError:
            self._exact(b" ".join(out))
        return [head + text + tail for text in out]

    def _exact(self, whole: bytes) -> None:
        if b"null" in whole or may_exceed_64_bits(whole):  # a NaN, or an integer that a Java long cannot hold
            raise Odd

    def _patient(self, value: Any) -> bytes | None:
        if value is None:
            return None
        text = _spelled(lambda: value if _plain(value) else self.writer.schemaless(value))
        return self.around.head + text + self.around.tail


def _spelled(form: Callable[[], Any]) -> bytes:
    try:
        return _dumps(form())
    except (TypeError, RecursionError) as error:  # nested beyond orjson's 254 levels or Python's
        sentence = f"Converting Kafka Connect data to byte[] failed due to serialization error: {error}"
        raise DataError(sentence) from error


def _refuse(value: Any) -> Any:
    raise Odd(type(value).__name__)


def _plain(value: Any) -> bool:
    """Whether orjson writes this value, and everything in it, just as Java would."""
    kind = type(value)
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, str):
        return kind is str and value.isascii()
    if kind is int:
        return bool(-(1 << 63) <= value < 1 << 63)
    if kind is float:
        return isfinite(value)
    if kind is dict:
        return all(type(key) is str and key.isascii() and _plain(member) for key, member in value.items())
    return kind is list and all(map(_plain, value))


class _Typed:
    """Values of one schema: checked by the compiled shape, and where that says no, by the patient writer."""

    def __init__(self, schema: Schema, writer: Writer, around: Envelope) -> None:
        self.schema = schema
        self.writer = writer
        self.around = around
        self.shape: Shape = compile_writer(schema, writer.replace_null, writer.numeric)
        self.text = schema.type is Type.STRING and schema.name is None

    def encode(self, values: Column) -> list[bytes | None]:
        head, tail = self.around.head, self.around.tail
        try:
            if self.text:
                _join_text(values)  # raises unless every value is text; a fifteenth of what asking each one costs
                return [head + _dumps(value) + tail for value in values]
            return [head + _dumps(value) + tail for value in self.shape.column(values)]
        except REFUSALS:
            pass
        return [self._patient(value) for value in values]

    def _patient(self, value: Any) -> bytes:
        try:
            text: bytes | None = _dumps(self.shape.one(value))
        except REFUSALS:
            text = None
        if text is None:
            text = _spelled(lambda: self.writer.write(self.schema, value))
        return self.around.head + text + self.around.tail
