"""Connect values to JSON: JsonConverter's convertToJson (Kafka 4.3), the patient way and the compiled one.

Both give what orjson can write: dict, list, str, int, float, bool, None, and Fragment for a number that must keep its
digits.
"""

from base64 import b64encode
from binascii import b2a_base64
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from math import isfinite
from typing import Any
from uuid import UUID

import orjson

from millstream_api import DataError, Schema, Type
from millstream_api.logical import DATE_NAME, DECIMAL_NAME, TIME_NAME, TIMESTAMP_NAME, codec, from_logical
from millstream_api.values import java_decimal, java_float
from millstream_json.schemas import keys_of, values_of
from millstream_json.shapes import LARGEST_FLOAT32, WIDTHS, Leaf, Shape, compile_shape, plain_leaf

_MOMENTS: Mapping[str | None, tuple[str, type]] = {
    DATE_NAME: ("Date", date),
    TIME_NAME: ("Time", time),
    TIMESTAMP_NAME: ("Timestamp", datetime),
}
_PLAIN: Mapping[Type, type] = {Type.BOOLEAN: bool, Type.STRING: str}


class Writer:
    """The patient writer: knows every rule and every error.

    replace_null:  a null stands for the schema's default, where there is one.
    numeric:       decimals are JSON numbers instead of base64.
    """

    def __init__(self, replace_null: bool = True, numeric: bool = False) -> None:
        self.replace_null = replace_null
        self.numeric = numeric

    def write(self, schema: Schema | None, value: Any, path: str = "") -> Any:
        """The JSON form of a Connect value; raises DataError."""
        if schema is None:
            return self.schemaless(value, path)
        if value is None:
            return self._null(schema, path)
        if schema.name is None or codec(schema) is None:
            return self._plain(schema, value, path)
        if schema.name == DECIMAL_NAME:
            return self._decimal(schema, value, path)
        name, kind = _MOMENTS[schema.name]
        if not isinstance(value, kind):
            raise DataError(f"Invalid type for {name}, expected {kind.__name__} but was {_class(value)}", path)
        return _logical(schema, value, path)

    def default(self, schema: Schema) -> Any:
        """The JSON form of a schema's default."""
        return self.write(schema, schema.default)

    def schemaless(self, value: Any, path: str = "") -> Any:
        """Numbers, text, booleans, bytes, lists, maps of these; a map is an object if all its keys are strings.

        A UUID is text and an enum's member its value: orjson writes them so, and it cannot be kept from it."""
        if value is None or isinstance(value, bool | str):
            return _text(value, path) if isinstance(value, str) else value
        if isinstance(value, int):
            return _integer(value, Type.INT64, path)
        if isinstance(value, float):
            return value if isfinite(value) else java_float(value)
        if isinstance(value, bytes | bytearray | memoryview):
            return b64encode(value).decode()
        if isinstance(value, Mapping):
            members = {
                key: self.schemaless(member, f"{path}{{{at}}}") for at, (key, member) in enumerate(value.items())
            }
            if all(isinstance(key, str) for key in members):
                return {str.__str__(_text(key, path)): member for key, member in members.items()}
            return [[self.schemaless(key, path), member] for key, member in members.items()]
        if isinstance(value, list | tuple):
            return [self.schemaless(member, f"{path}[{at}]") for at, member in enumerate(value)]
        if isinstance(value, UUID):
            return str(value)
        if isinstance(value, Enum):
            return self.schemaless(value.value, path)
        raise DataError(f"{_class(value)} does not have corresponding schema type.", path)

    def _null(self, schema: Schema, path: str) -> Any:
        if schema.default is not None and self.replace_null:
            return self.write(schema, schema.default, path)
        if schema.optional:
            return None
        raise DataError("Conversion error: null value for field that is required and has no default value", path)

    def _plain(self, schema: Schema, value: Any, path: str) -> Any:
        kind = schema.type
        if kind in WIDTHS and isinstance(value, int) and not isinstance(value, bool):
            return _integer(value, kind, path)
        if kind in (Type.FLOAT32, Type.FLOAT64) and isinstance(value, int | float) and not isinstance(value, bool):
            return _float(value, kind, path)
        if kind is Type.BYTES and isinstance(value, bytes | bytearray | memoryview):
            return b64encode(value).decode()
        if kind in _PLAIN and isinstance(value, _PLAIN[kind]):
            return _text(value, path) if isinstance(value, str) else value
        if kind is Type.ARRAY and isinstance(value, list | tuple):
            inner = values_of(schema)
            return [self.write(inner, member, f"{path}[{at}]") for at, member in enumerate(value)]
        if kind is Type.MAP and isinstance(value, Mapping):
            return self._map(schema, value, path)
        if kind is Type.STRUCT and isinstance(value, Mapping):
            return self._struct(schema, value, path)
        raise DataError(f"Invalid type for {kind.name}: {_class(value)}", path)

    def _map(self, schema: Schema, value: Mapping[Any, Any], path: str) -> Any:
        keys, values = keys_of(schema), values_of(schema)
        pairs = [
            [self.write(keys, key, f"{path}{{key {at}}}"), self.write(values, member, f"{path}{{{at}}}")]
            for at, (key, member) in enumerate(value.items())
        ]
        return dict(pairs) if keys is not None and keys.type is Type.STRING else pairs

    def _struct(self, schema: Schema, value: Mapping[Any, Any], path: str) -> dict[str, Any]:
        fields = {field.name: field.schema for field in schema.fields}
        for name in value:
            if name not in fields:
                known = ", ".join(repr(field) for field in fields)
                raise DataError(f"{name!r} is not a valid field name; the schema has {known or 'no fields'}", path)
        where = f"{path}." if path else ""
        return {name: self.write(inner, value.get(name), f"{where}{name}") for name, inner in fields.items()}

    def _decimal(self, schema: Schema, value: Any, path: str) -> Any:
        if not isinstance(value, Decimal) or not value.is_finite():
            raise DataError(f"Invalid type for Decimal, expected a finite Decimal but was {_class(value)}", path)
        if self.numeric:
            return orjson.Fragment(java_decimal(value))
        return b64encode(_logical(schema, value, path)).decode()


class WritingLeaves:
    """The compiled writer's rules for values that fit."""

    pairs_in = False

    def __init__(self, numeric: bool) -> None:
        self.numeric = numeric
        self.logical: dict[str, Callable[[Any], Any]] = {}

    @property
    def names(self) -> Mapping[str, Any]:
        own = {"date": date, "time": time, "datetime": datetime, "Decimal": Decimal}
        return {**own, "float32": _float32, "base64": _base64, "fragment": _fragment, **self.logical}

    def leaf(self, schema: Schema) -> Leaf | None:
        logical = schema.name is not None and codec(schema) is not None
        if logical and schema.name == DECIMAL_NAME:
            converted = "fragment({v})" if self.numeric else f"base64({self._logical(schema)}({{v}}))"
            return Leaf("type({v}) is Decimal and {v}.is_finite()", converted)
        if logical:
            kind = _MOMENTS[schema.name][1].__name__
            return Leaf(f"type({{v}}) is {kind}", f"{self._logical(schema)}({{v}})")
        if schema.type is Type.FLOAT32:
            return Leaf(f"type({{v}}) is float and -{LARGEST_FLOAT32} <= {{v}} <= {LARGEST_FLOAT32}", "float32({v})")
        if schema.type is Type.BYTES:
            return Leaf("type({v}) is bytes", "base64({v})")
        return plain_leaf(schema)

    def _logical(self, schema: Schema) -> str:
        found, name = codec(schema), f"logical{len(self.logical)}"
        if found is not None:
            self.logical[name] = found.encode
        return name


def compile_writer(schema: Schema, replace_null: bool, numeric: bool) -> Shape:
    """The fast writer of values that fit this schema."""
    return compile_shape(schema, WritingLeaves(numeric), replace_null)


def _integer(value: int, kind: Type, path: str) -> int:
    limit = 1 << (WIDTHS[kind] - 1)
    if -limit <= value < limit:
        return value
    raise DataError(f"Invalid type for {kind.name}: an int beyond {-limit} to {limit - 1}", path)


def _float(value: int | float, kind: Type, path: str) -> Any:
    """A finite number as it is, else Java's word for it; a float32 with the digits that width needs."""
    try:
        number = float(value)
    except OverflowError as error:
        raise DataError(f"Invalid type for {kind.name}: an int too large for a float", path) from error
    if not isfinite(number):
        return java_float(number)
    if kind is Type.FLOAT64:
        return number
    if abs(number) > LARGEST_FLOAT32:
        raise DataError("Invalid type for FLOAT32: a float beyond what 32 bits hold", path)
    return _float32(number)


def _float32(value: float) -> float:
    return float(java_float(value, 32))


def _fragment(value: Decimal) -> orjson.Fragment:
    return orjson.Fragment(java_decimal(value))


def _base64(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode()


def _text(value: str, path: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        sentence = f"character {error.start} is half a surrogate pair, which no encoding can write"
        raise DataError(
            f"Converting Kafka Connect data to byte[] failed due to serialization error: {sentence}", path
        ) from error
    return value


def _logical(schema: Schema, value: Any, path: str) -> Any:
    try:
        return from_logical(schema, value)
    except DataError as error:
        raise DataError(error.message, path) from error


def _class(value: Any) -> str:
    kind = type(value)
    return (
        f"class {kind.__qualname__}"
        if kind.__module__ == "builtins"
        else f"class {kind.__module__}.{kind.__qualname__}"
    )
