"""JSON under a schema to Connect values: JsonConverter's convertToConnect (Kafka 4.3), patient and compiled.

Where Java turns what does not fit into 0, null, false or low bits without a word, this raises DataError; `lenient`
gives Java's way.
"""

import binascii
from base64 import b64decode
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from millstream_api import DataError, Schema, Type
from millstream_api.logical import DATE_NAME, DECIMAL_NAME, TIME_NAME, TIMESTAMP_NAME, codec, scale_of, to_logical
from millstream_api.values import float32
from millstream_json.parsing import MISSING, node_type
from millstream_json.schemas import keys_of, values_of
from millstream_json.shapes import LARGEST_FLOAT32, WIDTHS, Leaf, Shape, bounded, compile_shape, plain_leaf

_SPECIAL = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_DATE_TYPES = {DATE_NAME: "Date", TIME_NAME: "Time", TIMESTAMP_NAME: "Timestamp"}
_LARGEST_SCALE = (1 << 31) - 1
_LENIENT_REST = {Type.BOOLEAN: False, Type.STRING: None, Type.BYTES: None}


class Reader:
    """The patient reader: knows every rule and every error.

    replace_null:  a null or absent value becomes the schema's default, where there is one.
    lenient:       what does not fit is bent as Java bends it, instead of refused.
    """

    def __init__(self, replace_null: bool = True, lenient: bool = False) -> None:
        self.replace_null = replace_null
        self.lenient = lenient

    def read(self, schema: Schema | None, node: Any, path: str = "") -> Any:
        """The Connect value of exactly parsed JSON (`parsing.parse`); raises DataError."""
        if schema is None:
            return self.schemaless(node, path)
        if node is None:
            return self._null(schema, path)
        if schema.name is None or codec(schema) is None:
            return self._plain(schema, node, path)
        if schema.name == DECIMAL_NAME:
            return self._decimal(schema, node, path)
        return self._moment(schema, node, path)

    def schemaless(self, node: Any, path: str = "") -> Any:
        """Integers of 64 bits, floats for other numbers, dict, list, str, bool, None."""
        if isinstance(node, dict):
            return {name: self.schemaless(member, f"{path}{{{at}}}") for at, (name, member) in enumerate(node.items())}
        if isinstance(node, list):
            return [self.schemaless(member, f"{path}[{at}]") for at, member in enumerate(node)]
        if isinstance(node, Decimal | float):
            return self._float(node, Type.FLOAT64, path)
        if type(node) is int:
            return self._integer(node, Type.INT64, path)
        return None if node is MISSING else node

    def _null(self, schema: Schema, path: str) -> Any:
        if schema.default is not None and self.replace_null:
            return schema.default
        if schema.optional:
            return None
        raise DataError(f"Invalid null value for required {schema.type.name} field", path)

    def _plain(self, schema: Schema, node: Any, path: str) -> Any:
        match schema.type:
            case Type.STRUCT:
                return self._struct(schema, node, path)
            case Type.ARRAY:
                return self._array(schema, node, path)
            case Type.MAP:
                return self._map(schema, node, path)
            case Type.INT8 | Type.INT16 | Type.INT32 | Type.INT64:
                return self._integer(node, schema.type, path)
            case Type.FLOAT32 | Type.FLOAT64:
                return self._float(node, schema.type, path)
            case Type.BOOLEAN if isinstance(node, bool):
                return node
            case Type.STRING if isinstance(node, str):
                return node
            case Type.BYTES if isinstance(node, str):
                return _bytes(node, "Invalid bytes field", path)
        if not self.lenient:
            raise _unfit(schema.type, node, path)
        return _LENIENT_REST[schema.type]

    def _integer(self, node: Any, type_: Type, path: str) -> int:
        width = WIDTHS[type_]
        if isinstance(node, Decimal) and abs(node.adjusted()) < 400:
            whole = int(node)
            if whole == node or self.lenient:
                node = whole
        if type(node) is int and -(1 << (width - 1)) <= node < 1 << (width - 1):
            return node
        if not self.lenient:
            raise _unfit(type_, node, path)
        # BigInteger.intValue: the low bits, narrowed again for byte and short
        low = node & ((1 << width) - 1) if type(node) is int else 0
        return low - (1 << width) if low >> (width - 1) else low

    def _float(self, node: Any, type_: Type, path: str) -> float:
        if isinstance(node, str) and node in _SPECIAL and not self.lenient:
            return _SPECIAL[node]
        if isinstance(node, bool) or not isinstance(node, int | Decimal | float):
            if self.lenient:
                return 0.0
            raise _unfit(type_, node, path)
        limit = LARGEST_FLOAT32 if type_ is Type.FLOAT32 else 0.0
        try:
            value = float(node)
        except OverflowError:  # an integer; a Decimal gives infinity
            value = _SPECIAL["Infinity"] if node > 0 else _SPECIAL["-Infinity"]
        if value in (_SPECIAL["Infinity"], _SPECIAL["-Infinity"]) or (limit and abs(value) > limit):
            if self.lenient:
                return _SPECIAL["Infinity"] if value > 0 else _SPECIAL["-Infinity"]
            raise _unfit(type_, node, path)
        return float32(value) if limit else value

    def _decimal(self, schema: Schema, node: Any, path: str) -> Any:
        if isinstance(node, int | Decimal | float) and not isinstance(node, bool):
            if isinstance(node, float) or (isinstance(node, Decimal) and abs(scale_of(node)) > _LARGEST_SCALE):
                raise DataError("Invalid value for Decimal: its exponent has to fit into 32 bits", path)
            return Decimal(node)  # with the scale it was written with, as Java
        if isinstance(node, str):
            data = _bytes(node, "Invalid bytes for Decimal field", path)
            return _logical(schema, data, path)
        kind = node_type(node)
        sentence = f"Invalid type for Decimal, underlying representation should be numeric or bytes but was {kind}"
        raise DataError(sentence, path)

    def _moment(self, schema: Schema, node: Any, path: str) -> Any:
        name = _DATE_TYPES[schema.name or ""]
        width, kind = (63, "integral") if name == "Timestamp" else (31, "integer")
        if type(node) is not int or not -(1 << width) <= node < 1 << width:
            sentence = f"Invalid type for {name}, underlying representation should be {kind} but was {node_type(node)}"
            raise DataError(sentence, path)
        return _logical(schema, node, path)

    def _struct(self, schema: Schema, node: Any, path: str) -> dict[str, Any]:
        if not isinstance(node, dict):
            raise DataError(f"Structs should be encoded as JSON objects, but found {node_type(node)}", path)
        out = {}
        for field in schema.fields:
            where = f"{path}.{field.name}" if path else field.name
            value = self.read(field.schema, node.get(field.name), where)
            if value is None and not field.schema.optional:
                # only a lenient reading gets here; Struct.put refuses it
                kind = field.schema.type.name
                raise DataError(f'Invalid value: null used for required field: "{field.name}", schema type: {kind}')
            out[field.name] = value
        return out

    def _array(self, schema: Schema, node: Any, path: str) -> list[Any]:
        if not isinstance(node, list):
            if not self.lenient:
                raise _unfit(Type.ARRAY, node, path)
            node = list(node.values()) if isinstance(node, dict) else []
        return [self.read(values_of(schema), member, f"{path}[{at}]") for at, member in enumerate(node)]

    def _map(self, schema: Schema, node: Any, path: str) -> dict[Any, Any]:
        kind = node_type(node)
        keys = keys_of(schema)
        if keys is not None and keys.type is Type.STRING:
            if not isinstance(node, dict):
                sentence = f"Maps with string fields should be encoded as JSON objects, but found {kind}"
                raise DataError(sentence, path)
            values = values_of(schema)
            return {
                name: self.read(values, member, f"{path}{{{at}}}") for at, (name, member) in enumerate(node.items())
            }
        if not isinstance(node, list):
            sentence = f"Maps with non-string fields should be encoded as JSON array of tuples, but found {kind}"
            raise DataError(sentence, path)
        return dict(self._entry(schema, entry, f"{path}[{at}]") for at, entry in enumerate(node))

    def _entry(self, schema: Schema, entry: Any, path: str) -> tuple[Any, Any]:
        if not isinstance(entry, list):
            raise DataError(f"Found invalid map entry instead of array tuple: {node_type(entry)}", path)
        if len(entry) != 2:
            raise DataError(f"Found invalid map entry, expected length 2 but found :{len(entry)}", path)
        key = self.read(keys_of(schema), entry[0], f"{path}[0]")
        try:
            hash(key)
        except TypeError as error:
            sentence = (
                f"a {type(key).__name__} cannot be the key of a map in Python; use a string, number, boolean or date"
            )
            raise DataError(sentence, path) from error
        return key, self.read(values_of(schema), entry[1], f"{path}[1]")


class ReadingLeaves:
    """The compiled reader's rules for values that fit."""

    pairs_in = True

    def __init__(self) -> None:
        self.moments: dict[str, Callable[[Any], Any]] = {}

    @property
    def names(self) -> Mapping[str, Any]:
        return {"float32": float32, "unbase64": _unbase64, **self.moments}

    def leaf(self, schema: Schema) -> Leaf | None:
        logical = schema.name is not None and codec(schema) is not None
        if logical and schema.name == DECIMAL_NAME:
            return Leaf("type({v}) is str", f"{self._logical(schema)}(unbase64({{v}}))")
        if logical:
            width = 63 if schema.name == TIMESTAMP_NAME else 31
            whole = bounded("int", -(1 << width), (1 << width) - 1)
            return Leaf(whole, f"{self._logical(schema)}({{v}})")
        if schema.type is Type.FLOAT32:
            return Leaf(bounded("float", -LARGEST_FLOAT32, LARGEST_FLOAT32), "float32({v})")
        if schema.type is Type.BYTES:
            return Leaf("type({v}) is str", "unbase64({v})")
        return plain_leaf(schema)

    def _logical(self, schema: Schema) -> str:
        found, name = codec(schema), f"logical{len(self.moments)}"
        if found is not None:
            self.moments[name] = found.decode
        return name


def compile_reader(schema: Schema, replace_null: bool) -> Shape:
    """The fast reader of what orjson parsed under this schema."""
    leaves = ReadingLeaves()
    return compile_shape(schema, leaves, replace_null)


def _unbase64(text: str) -> bytes:
    return binascii.a2b_base64(text, strict_mode=True)


def _bytes(text: str, sentence: str, path: str) -> bytes:
    try:  # Jackson skips blanks and line ends, refuses the rest
        return b64decode("".join(text.split()), validate=True)
    except ValueError as error:
        raise DataError(f"{sentence}: not base64", path) from error


def _logical(schema: Schema, value: Any, path: str) -> Any:
    try:
        return to_logical(schema, value)
    except DataError as error:
        raise DataError(error.message, path) from error


def _unfit(type_: Type, node: Any, path: str) -> DataError:
    kind = node_type(node)
    return DataError(
        f"Invalid value for {type_.name} field: a JSON {kind} that does not fit it; "
        "json.lenient.numbers=true would bend it as Java does, in silence",
        path,
    )
