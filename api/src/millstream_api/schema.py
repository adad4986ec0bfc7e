"""The shape of data: immutable, interned schemas."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from threading import Lock
from types import MappingProxyType
from typing import Any, NoReturn, TypedDict, Unpack
from weakref import WeakValueDictionary

from millstream_api.errors import DataError

__all__ = [
    "BOOLEAN",
    "BYTES",
    "FLOAT32",
    "FLOAT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "OPTIONAL_BOOLEAN",
    "OPTIONAL_BYTES",
    "OPTIONAL_FLOAT32",
    "OPTIONAL_FLOAT64",
    "OPTIONAL_INT8",
    "OPTIONAL_INT16",
    "OPTIONAL_INT32",
    "OPTIONAL_INT64",
    "OPTIONAL_STRING",
    "STRING",
    "Attributes",
    "Field",
    "Schema",
    "Type",
]

DECIMAL_NAME = "org.apache.kafka.connect.data.Decimal"
DATE_NAME = "org.apache.kafka.connect.data.Date"
TIME_NAME = "org.apache.kafka.connect.data.Time"
TIMESTAMP_NAME = "org.apache.kafka.connect.data.Timestamp"


class Type(Enum):
    """The kinds of data. `value` is the lower case name, `name` the upper case one of messages.

    INT8, INT16, INT32, INT64:  int in that many bits, signed      FLOAT32, FLOAT64:  float
    BOOLEAN: bool    STRING: str    BYTES: bytes    ARRAY: list    MAP: dict
    STRUCT:  dict by field name; a missing key is null or the field's default

    Under the names of `logical` values are `Decimal`, `date`, `time` and `datetime`. A null is None.
    Source: Schema.Type.
    """

    INT8 = "int8"
    INT16 = "int16"
    INT32 = "int32"
    INT64 = "int64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    BOOLEAN = "boolean"
    STRING = "string"
    BYTES = "bytes"
    ARRAY = "array"
    MAP = "map"
    STRUCT = "struct"

    def __hash__(self) -> int:  # that of Enum looks up the name
        return id(self)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a struct: its `name`, its place (`index`) from 0, its `schema`. Made by `Schema.struct`.

    Source: Field.java.
    """

    name: str
    index: int
    schema: "Schema"


class Attributes(TypedDict, total=False):
    """What any schema may have.

    optional:    null is a value. False unless given.
    name:        of a struct or of a logical type, such as `com.acme.Order`.
    version:     of the schema of that name.
    doc:         for readers.
    parameters:  text by text; none and empty are the same.
    default:     a value that fits the schema; None is no default.

    Source: SchemaBuilder.java.
    """

    optional: bool
    name: str | None
    version: int | None
    doc: str | None
    parameters: Mapping[str, str] | None
    default: Any


class Schema:
    """The shape of a value. Immutable and interned: equal schemas are one object, also after pickling.

    Schemas are equal when type, all attributes, element, key and value schemas and fields are;
    compare with `is`. The order of parameters does not count.

    type, optional, name, version, doc, parameters, default: see `Type` and `Attributes`; None where
    not given, also for empty parameters. Lists and dicts in `default` are not to be changed.

    key_schema, value_schema may be left out of an array or map whose elements have no one schema, as
    text gives them; `array` and `map` insist on them.

    `Schema(Type.STRUCT, fields=[("id", INT64)])` and `Schema.struct({"id": INT64})` are the same.
    Raises DataError when the parts do not make a schema. Source: SchemaBuilder.java, ConnectSchema.java.
    """

    __slots__ = (
        *("__weakref__", "_fields", "_index", "_keys", "_values"),
        *("default", "doc", "name", "optional", "parameters", "type", "version"),
    )

    type: Type
    optional: bool
    name: str | None
    version: int | None
    doc: str | None
    parameters: Mapping[str, str] | None
    default: Any
    _keys: "Schema | None"
    _values: "Schema | None"
    _fields: tuple[Field, ...]
    _index: Mapping[str, Field]

    def __new__(
        cls,
        type: Type,
        *,
        key_schema: "Schema | None" = None,
        value_schema: "Schema | None" = None,
        fields: "Mapping[str, Schema] | Iterable[tuple[str, Schema] | Field]" = (),
        **attributes: Unpack[Attributes],
    ) -> "Schema":
        _check_attributes(type, attributes)
        _check_parts(type, key_schema, value_schema)
        pairs = _pairs(type, fields)
        parameters = attributes.get("parameters") or None
        default = attributes.get("default")
        identity = (
            *(type, attributes.get("optional", False), attributes.get("name"), attributes.get("version")),
            *(attributes.get("doc"), parameters and frozenset(parameters.items()), _frozen(default)),
            *(key_schema, value_schema, pairs),
        )
        with _lock:
            if (known := _interned.get(identity)) is not None:
                return known
        new = object.__new__(cls)
        by_name = {name: Field(name, index, schema) for index, (name, schema) in enumerate(pairs)}
        for slot, value in (
            *(("type", type), ("optional", identity[1]), ("name", identity[2]), ("version", identity[3])),
            *(("doc", identity[4]), ("parameters", parameters and MappingProxyType(dict(parameters)))),
            *(("default", copy.deepcopy(default)), ("_keys", key_schema), ("_values", value_schema)),
            *(("_fields", tuple(by_name.values())), ("_index", by_name)),
        ):
            object.__setattr__(new, slot, value)
        if default is not None and (wrong := fault(new, default)) is not None:
            raise DataError(f"Invalid default value for {new!r}: {wrong[0]}", path=wrong[1])
        with _lock:
            return _interned.setdefault(identity, new)

    @classmethod
    def struct(
        cls, fields: "Mapping[str, Schema] | Iterable[tuple[str, Schema] | Field]", **attributes: Unpack[Attributes]
    ) -> "Schema":
        """Make a struct of these fields, in this order; its values are dicts by field name.

        Raises DataError for a name that is empty or comes twice.
        """
        return cls(Type.STRUCT, fields=fields, **attributes)

    @classmethod
    def array(cls, values: "Schema", **attributes: Unpack[Attributes]) -> "Schema":
        """Make an array of such values; its values are lists. Raises DataError for None as the element schema."""
        _present(Type.ARRAY, "element", values)
        return cls(Type.ARRAY, value_schema=values, **attributes)

    @classmethod
    def map(cls, keys: "Schema", values: "Schema", **attributes: Unpack[Attributes]) -> "Schema":
        """Make a map from such keys to such values; its values are dicts. Raises DataError for None as a schema."""
        _present(Type.MAP, "key", keys)
        _present(Type.MAP, "value", values)
        return cls(Type.MAP, key_schema=keys, value_schema=values, **attributes)

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields of a struct, in order. Raises DataError on any other type."""
        if self.type is not Type.STRUCT:
            raise DataError(f"Cannot list fields on non-struct type {self!r}: look at `type` first")
        return self._fields

    def field(self, name: str) -> Field | None:
        """Give the field of that name, None if there is none. Raises DataError on any other type."""
        if self.type is not Type.STRUCT:
            raise DataError(f"Cannot look up fields on non-struct type {self!r}: look at `type` first")
        return self._index.get(name)

    @property
    def key_schema(self) -> "Schema":
        """The schema of a map's keys. Raises DataError on any other type, and where there is none."""
        if self.type is not Type.MAP:
            raise DataError(f"Cannot look up key schema on non-map type {self!r}: look at `type` first")
        return self._keys or _lacking(self)

    @property
    def value_schema(self) -> "Schema":
        """The schema of elements or a map's values. Raises DataError on any other type, and where there is none."""
        if self.type is not Type.ARRAY and self.type is not Type.MAP:
            raise DataError(f"Cannot look up value schema on non-array and non-map type {self!r}: look at `type` first")
        return self._values or _lacking(self)

    @property
    def element_schemas(self) -> "tuple[Schema | None, Schema | None]":
        """Key and value schema, None where there is none: on any type, without raising."""
        return self._keys, self._values

    def replace(
        self,
        *,
        fields: "Mapping[str, Schema] | Iterable[tuple[str, Schema] | Field] | None" = None,
        **attributes: Unpack[Attributes],
    ) -> "Schema":
        """Give this schema with other attributes, or a struct with other fields. Raises DataError as `Schema` does."""
        kept: Attributes = {
            "optional": self.optional,
            "name": self.name,
            "version": self.version,
            "doc": self.doc,
            "parameters": self.parameters,
            "default": self.default,
        }
        kept.update(attributes)
        fields = self._fields if fields is None else fields
        return Schema(self.type, key_schema=self._keys, value_schema=self._values, fields=fields, **kept)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a schema cannot be changed: make a new one, schema.replace({name}=...)")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a schema cannot be changed: {name!r} stays")

    def __copy__(self) -> "Schema":
        return self

    def __deepcopy__(self, memo: object) -> "Schema":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        parts: dict[str, Any] = {"optional": True} if self.optional else {}
        for name in ("name", "version", "doc", "default"):
            if (value := getattr(self, name)) is not None:
                parts[name] = value
        if self.parameters:
            parts["parameters"] = dict(self.parameters)
        if self._fields:
            parts["fields"] = tuple((field.name, field.schema) for field in self._fields)
        parts |= {n: s for n, s in (("key_schema", self._keys), ("value_schema", self._values)) if s is not None}
        return _restored, (self.type, parts)

    def __repr__(self) -> str:
        return f"Schema{{{self.name}:{self.type.name}}}" if self.name else f"Schema{{{self.type.name}}}"


_interned: WeakValueDictionary[tuple[Any, ...], Schema] = WeakValueDictionary()
_lock = Lock()


def _restored(type: Type, parts: dict[str, Any]) -> Schema:
    return Schema(type, **parts)


def _lacking(schema: Schema) -> NoReturn:
    raise DataError(f"{schema!r} says nothing of its elements: it was read from nulls or from values of several types")


def _check_attributes(type: Type, attributes: Attributes) -> None:
    if not isinstance(type, Type):
        raise DataError(f"Invalid schema: type is {type!r}, where a member of Type would be right, as Type.INT32")
    for name, kind in (("optional", bool), ("name", str), ("version", int), ("doc", str), ("parameters", Mapping)):
        value = attributes.get(name)
        if value is not None and not (isinstance(value, kind) and (kind is not int or value is not True is not value)):
            raise DataError(f"Invalid {type.name} schema: {name} is {value!r}, where {kind.__name__} would be right")
    for key, value in (attributes.get("parameters") or {}).items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise DataError(
                f"Invalid {type.name} schema: parameter {key!r} is {value!r}. "
                "Schema parameters must have string values."
            )
    if unknown := attributes.keys() - Attributes.__annotations__.keys():
        known = ", ".join(sorted(Attributes.__annotations__))
        raise DataError(f"Invalid {type.name} schema: there is no attribute {min(unknown)!r}; there are {known}")


def _check_parts(type: Type, keys: Schema | None, values: Schema | None) -> None:
    for part, given, owners in (
        ("key_schema", keys, (Type.MAP,)),
        ("value_schema", values, (Type.MAP, Type.ARRAY)),
    ):
        if given is not None and not isinstance(given, Schema):
            raise DataError(f"Invalid {type.name} schema: {part} is {given!r}, where a Schema would be right")
        if type not in owners and given is not None:
            kinds = " or ".join(owner.name for owner in owners)
            raise DataError(f"Invalid {type.name} schema: only {kinds} has a {part}")


def _present(type: Type, part: str, schema: Schema | None) -> None:
    if schema is None:
        raise DataError(f"Invalid {type.name} schema: its {part} schema cannot be null, a Schema would be right")


def _pairs(type: Type, fields: Any) -> tuple[tuple[str, Schema], ...]:
    entries = fields.items() if isinstance(fields, Mapping) else fields
    pairs = tuple((entry.name, entry.schema) if isinstance(entry, Field) else tuple(entry) for entry in entries)
    if pairs and type is not Type.STRUCT:
        raise DataError(f"Cannot create fields on type {type.name}: only STRUCT has fields")
    seen = set()
    for name, schema in pairs:
        if not isinstance(name, str) or not name:
            raise DataError(f"fieldName cannot be null: a field is called {name!r}, where a text would be right")
        if not isinstance(schema, Schema):
            raise DataError(f"fieldSchema for field {name} cannot be null: it is {schema!r}, a Schema would be right")
        if name in seen:
            raise DataError(f"Cannot create field because of field name duplication {name}")
        seen.add(name)
    return pairs


def _frozen(value: Any) -> Any:
    """Give something hashable that is equal for defaults that Java holds equal."""
    if isinstance(value, list):
        return ("list", *map(_frozen, value))
    if isinstance(value, dict):
        return ("dict", frozenset((key, _frozen(item)) for key, item in value.items()))
    if isinstance(value, float):
        return (float, repr(value))  # 0.0 is not -0.0, NaN is NaN
    if isinstance(value, Decimal):
        return (Decimal, value.as_tuple())  # 1.0 is not 1.00
    return (value.__class__, value) if value is not None else None


Fault = tuple[str, str]  # what is wrong, and where

_INTEGERS = {
    kind: (-(1 << bits - 1), (1 << bits - 1) - 1)
    for kind, bits in ((Type.INT8, 8), (Type.INT16, 16), (Type.INT32, 32), (Type.INT64, 64))
}
_PLAIN: dict[Type, tuple[type, str]] = {
    Type.FLOAT32: (float, "a float"),
    Type.FLOAT64: (float, "a float"),
    Type.BOOLEAN: (bool, "a bool"),
    Type.STRING: (str, "a str"),
    Type.BYTES: (bytes, "bytes"),
    Type.ARRAY: (list, "a list"),
    Type.MAP: (dict, "a dict"),
    Type.STRUCT: (dict, "a dict by field name"),
}


def fault(schema: Schema, value: Any, path: str = "", place: str = "value") -> Fault | None:
    """Say what is wrong with a value under a schema, and where; None if nothing is.

    place: what the value is to its parent, in the words of ConnectSchema.validateValue.
    """
    if value is None:
        if schema.optional:
            return None
        return f"Invalid value: null used for required {place}, schema type: {schema.type.name}", path
    if wanted := _unfit(schema, value):
        name = f' "{schema.name}"' if schema.name else ""
        given = type(value).__name__
        kind = f"schema{name} with type {schema.type.name}"
        return f"Invalid object for {kind}: {given} for {place}; {wanted} would be right", path
    if schema.type is Type.STRUCT:
        return _struct_fault(schema, value, path)
    if schema.type is Type.ARRAY:
        inner = schema._values
        for at, item in enumerate(value if inner else ()):
            if inner and (wrong := fault(inner, item, f"{path}[{at}]", "element of array")) is not None:
                return wrong
    elif schema.type is Type.MAP:
        return _map_fault(schema, value, path)
    return None


def _unfit(schema: Schema, value: Any) -> str:
    """Say what would be right if the value itself, parts aside, does not fit; else nothing."""
    if schema.name in _LOGICAL:
        return _LOGICAL[schema.name](value)
    if (limits := _INTEGERS.get(schema.type)) is not None:
        fits = isinstance(value, int) and not isinstance(value, bool) and limits[0] <= value <= limits[1]
        return "" if fits else f"an int from {limits[0]} to {limits[1]}"
    kind, wanted = _PLAIN[schema.type]
    return "" if isinstance(value, kind) else wanted


def _struct_fault(schema: Schema, value: dict[str, Any], path: str) -> Fault | None:
    for name in value:
        if schema.field(name) is None:
            known = ", ".join(field.name for field in schema.fields)
            return f"{name!r} is not a valid field name of {schema!r}; its fields are: {known}", path
    for field in schema.fields:
        item = value.get(field.name)
        if item is None and (field.schema.optional or field.schema.default is not None):
            continue
        inner = f"{path}.{field.name}" if path else field.name
        if (wrong := fault(field.schema, item, inner, f'field: "{field.name}"')) is not None:
            return wrong
    return None


def _map_fault(schema: Schema, value: dict[Any, Any], path: str) -> Fault | None:
    keys, values = schema._keys, schema._values
    for at, (key, item) in enumerate(value.items()):  # entries are counted: a key is a record's content
        if keys and (wrong := fault(keys, key, f"{path}{{key {at}}}", "key of map")) is not None:
            return wrong
        if values and (wrong := fault(values, item, f"{path}{{{at}}}", "value of map")) is not None:
            return wrong
    return None


def _not_decimal(value: Any) -> str:
    return "" if isinstance(value, Decimal) and value.is_finite() else "a finite decimal.Decimal"


def _not_date(value: Any) -> str:
    return "" if isinstance(value, date) and not isinstance(value, datetime) else "a datetime.date"


def _not_time(value: Any) -> str:
    return "" if isinstance(value, time) and value.tzinfo is None else "a datetime.time without a zone"


def _not_timestamp(value: Any) -> str:
    aware = isinstance(value, datetime) and value.tzinfo is not None
    return "" if aware else "a datetime.datetime with a zone, best datetime.UTC,"


_LOGICAL = {
    DECIMAL_NAME: _not_decimal,
    DATE_NAME: _not_date,
    TIME_NAME: _not_time,
    TIMESTAMP_NAME: _not_timestamp,
}

INT8 = Schema(Type.INT8)
INT16 = Schema(Type.INT16)
INT32 = Schema(Type.INT32)
INT64 = Schema(Type.INT64)
FLOAT32 = Schema(Type.FLOAT32)
FLOAT64 = Schema(Type.FLOAT64)
BOOLEAN = Schema(Type.BOOLEAN)
STRING = Schema(Type.STRING)
BYTES = Schema(Type.BYTES)
OPTIONAL_INT8 = Schema(Type.INT8, optional=True)
OPTIONAL_INT16 = Schema(Type.INT16, optional=True)
OPTIONAL_INT32 = Schema(Type.INT32, optional=True)
OPTIONAL_INT64 = Schema(Type.INT64, optional=True)
OPTIONAL_FLOAT32 = Schema(Type.FLOAT32, optional=True)
OPTIONAL_FLOAT64 = Schema(Type.FLOAT64, optional=True)
OPTIONAL_BOOLEAN = Schema(Type.BOOLEAN, optional=True)
OPTIONAL_STRING = Schema(Type.STRING, optional=True)
OPTIONAL_BYTES = Schema(Type.BYTES, optional=True)
