"""Text, bytes, numbers and booleans as keys, values and headers: Kafka's own serializers behind Connect's converters.

Source: StringConverter, ByteArrayConverter, NumberConverter and its subclasses, BooleanConverter; Kafka 4.3.1.
"""

import codecs
import struct
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, ClassVar

from millstream_api import (
    OPTIONAL_BOOLEAN,
    OPTIONAL_BYTES,
    OPTIONAL_FLOAT32,
    OPTIONAL_FLOAT64,
    OPTIONAL_INT16,
    OPTIONAL_INT32,
    OPTIONAL_INT64,
    OPTIONAL_STRING,
    Config,
    ConfigError,
    Converter,
    DataError,
    Decode,
    Decoded,
    Encode,
    Header,
    HeaderConverter,
    Headers,
    Importance,
    Problem,
    Schema,
    Subject,
    Type,
    Width,
    key,
    one_of,
)
from millstream_api.values import text_of

_Encode = Callable[[Sequence[Any]], Sequence[bytes | None]]
_Decode = Callable[[Sequence[bytes | None]], Sequence[Any]]


class ConverterConfig(Config):
    """What every converter takes."""

    converter_type: str = key(
        doc="What the converter is used for; the worker sets it.",
        valid=one_of("key", "value", "header"),
        importance=Importance.LOW,
    )


class StringConverterConfig(ConverterConfig):
    converter_encoding: str = key(
        "UTF-8",
        doc="The character set of the text, by any name that Python knows.",
        importance=Importance.HIGH,
        width=Width.MEDIUM,
        display_name="Encoding",
    )


class _PlainConverter(Converter[ConverterConfig], HeaderConverter[ConverterConfig]):
    """One that looks at each value alone: one schema when it reads, no state."""

    config_class = ConverterConfig
    read_schema: ClassVar[Schema]

    def column_encoder(self, schema: Schema | None) -> _Encode:
        raise NotImplementedError

    def decode_column(self, values: Sequence[bytes | None]) -> Sequence[Any]:
        raise NotImplementedError

    def encoder(self, subject: Subject) -> Encode:
        write = self.column_encoder(subject.schema)

        def encode(values: Sequence[Any], headers: Sequence[list[Header]] | None) -> Sequence[bytes | None]:
            return write(values)

        return encode

    def decoder(self, subject: Subject) -> Decode:
        def decode(values: Sequence[bytes | None], headers: Sequence[Headers] | None) -> Sequence[Decoded]:
            return [Decoded(self.read_schema, None, self.decode_column(values))]

        return decode

    def to_bytes(self, topic: str, name: str, value: Any, schema: Schema | None) -> bytes | None:
        return self.column_encoder(schema)((value,))[0]

    def from_bytes(self, topic: str, name: str, data: bytes | None) -> tuple[Schema | None, Any]:
        return self.read_schema, self.decode_column((data,))[0]


class StringConverter(Converter[StringConverterConfig], HeaderConverter[StringConverterConfig]):
    """Any value as the text Java prints, in `converter.encoding`; what that cannot hold becomes U+FFFD or `?`."""

    config_class = StringConverterConfig

    def __init__(self, config: StringConverterConfig) -> None:
        super().__init__(config)
        try:
            self._encoding = codecs.lookup(config.converter_encoding).name
        except LookupError as error:
            sentence = f"{config.converter_encoding!r} is no character set; UTF-8, ISO-8859-1 and UTF-16 are"
            raise ConfigError([Problem("converter.encoding", sentence)]) from error

    def encoder(self, subject: Subject) -> Encode:
        schema, encoding = subject.schema, self._encoding

        def text(value: Any) -> bytes | None:
            if value is None:
                return None
            return (value if isinstance(value, str) else text_of(value, schema)).encode(encoding, "replace")

        def encode(values: Sequence[Any], headers: Sequence[list[Header]] | None) -> Sequence[bytes | None]:
            if encoding != "utf-8":
                return [text(value) for value in values]
            try:
                return list(map(str.encode, values))  # nearly always it is; half of what naming it each time costs
            except (TypeError, UnicodeEncodeError):  # what is no text, or a lone surrogate
                return [text(value) for value in values]

        return encode

    def decoder(self, subject: Subject) -> Decode:
        encoding = self._encoding

        def patiently(values: Sequence[bytes | None]) -> list[str | None]:
            return [None if value is None else value.decode(encoding, "replace") for value in values]

        def decode(values: Sequence[bytes | None], headers: Sequence[Headers] | None) -> Sequence[Decoded]:
            some: Any = values  # a None among them raises, and is looked at below
            try:
                texts: list[str | None] = list(map(bytes.decode, some)) if encoding == "utf-8" else patiently(values)
            except (TypeError, UnicodeDecodeError):
                texts = patiently(values)
            return [Decoded(OPTIONAL_STRING, None, texts)]

        return decode

    def to_bytes(self, topic: str, name: str, value: Any, schema: Schema | None) -> bytes | None:
        return self.encoder(Subject(topic, schema, "header"))((value,), None)[0]

    def from_bytes(self, topic: str, name: str, data: bytes | None) -> tuple[Schema | None, Any]:
        return OPTIONAL_STRING, None if data is None else data.decode(self._encoding, "replace")


class ByteArrayConverter(_PlainConverter):
    """Bytes as they are, and nothing else."""

    read_schema = OPTIONAL_BYTES

    def column_encoder(self, schema: Schema | None) -> _Encode:
        def write(value: Any) -> bytes | None:
            if schema is not None and schema.type is not Type.BYTES:
                raise DataError(f"Invalid schema type for ByteArrayConverter: {schema.type.name}")
            if value is None or isinstance(value, bytes):
                return value
            if isinstance(value, bytearray | memoryview):
                return bytes(value)
            raise DataError(f"ByteArrayConverter is not compatible with objects of type class {type(value).__name__}")

        return lambda values: [write(value) for value in values]

    def decode_column(self, values: Sequence[bytes | None]) -> Sequence[Any]:
        return values


class BooleanConverter(_PlainConverter):
    """One byte, 0 or 1."""

    read_schema = OPTIONAL_BOOLEAN
    _bytes: ClassVar[dict[Any, bytes]] = {False: b"\x00", True: b"\x01"}

    def column_encoder(self, schema: Schema | None) -> _Encode:
        def write(value: Any) -> bytes | None:
            if schema is not None and schema.type is not Type.BOOLEAN:
                raise DataError(f"Invalid schema type for BooleanConverter: {schema.type.name}")
            if value is None:
                return None
            if not isinstance(value, bool):
                raise DataError(f"BooleanConverter is not compatible with objects of type class {type(value).__name__}")
            return self._bytes[value]

        return lambda values: [write(value) for value in values]

    def decode_column(self, values: Sequence[bytes | None]) -> Sequence[Any]:
        return [None if value is None else self._read(value) for value in values]

    def _read(self, value: bytes) -> bool:
        if value in (b"\x00", b"\x01"):
            return value == b"\x01"
        raise DataError(f"Failed to deserialize boolean: one byte, 00 or 01, is right; there are {_sample(value)}")


class _NumberConverter(_PlainConverter):
    """A number of fixed width, big-endian; the schema of what is written does not count."""

    word: ClassVar[str]
    form: ClassVar[struct.Struct]
    kinds: ClassVar[frozenset[type]]  # what the form packs without a second look

    def column_encoder(self, schema: Schema | None) -> _Encode:
        pack, kinds = self.form.pack, self.kinds

        def write(values: Sequence[Any]) -> Sequence[bytes | None]:
            try:
                if kinds.issuperset(map(type, values)):
                    return [pack(value) for value in values]
            except (struct.error, OverflowError):
                pass  # too large: found again below, and said
            return [None if value is None else self._pack(value) for value in values]

        return write

    def _pack(self, value: Any) -> bytes:
        kind = f"class {type(value).__name__}"
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            raise DataError(f"Failed to serialize to {self.word} (was {kind}): a number is right")
        try:
            return self.form.pack(self._number(value))
        except (struct.error, OverflowError, ValueError) as error:
            size = self.form.size
            raise DataError(f"Failed to serialize to {self.word} (was {kind}): it does not fit {size} bytes") from error

    def _number(self, value: int | float | Decimal) -> int | float:
        whole = int(value)
        if whole != value:
            raise ValueError("a fraction")
        return whole

    def decode_column(self, values: Sequence[bytes | None]) -> Sequence[Any]:
        unpack = self.form.unpack
        try:
            return [None if value is None else unpack(value)[0] for value in values]
        except struct.error as error:
            size = self.form.size
            wrong = next(value for value in values if value is not None and len(value) != size)
            sentence = f"Failed to deserialize {self.word}: {size} bytes are right, there are {_sample(wrong)}"
            raise DataError(sentence) from error


class _RealConverter(_NumberConverter):
    kinds = frozenset({float})

    def _number(self, value: int | float | Decimal) -> int | float:
        return float(value)


class ShortConverter(_NumberConverter):
    """Two bytes."""

    word, form, kinds, read_schema = "short", struct.Struct(">h"), frozenset({int}), OPTIONAL_INT16


class IntegerConverter(_NumberConverter):
    """Four bytes."""

    word, form, kinds, read_schema = "integer", struct.Struct(">i"), frozenset({int}), OPTIONAL_INT32


class LongConverter(_NumberConverter):
    """Eight bytes."""

    word, form, kinds, read_schema = "long", struct.Struct(">q"), frozenset({int}), OPTIONAL_INT64


class FloatConverter(_RealConverter):
    """Four bytes, IEEE 754."""

    word, form, read_schema = "float", struct.Struct(">f"), OPTIONAL_FLOAT32


class DoubleConverter(_RealConverter):
    """Eight bytes, IEEE 754."""

    word, form, read_schema = "double", struct.Struct(">d"), OPTIONAL_FLOAT64


def _sample(value: bytes) -> str:
    """How many bytes there are, and the first few: what a person needs to tell which converter wrote them."""
    return f"{len(value)}, {value[:8].hex(' ')}{' …' if len(value) > 8 else ''}" if value else "none"
