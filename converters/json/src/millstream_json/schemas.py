"""A schema as JSON and back, in the member order of Java's JsonConverter (asJsonSchema, asConnectSchema; Kafka 4.3)."""

from collections.abc import Callable, Mapping
from typing import Any

from millstream_api import DataError, Schema, Type

_NAMES = {
    Type.BOOLEAN: "boolean",
    Type.INT8: "int8",
    Type.INT16: "int16",
    Type.INT32: "int32",
    Type.INT64: "int64",
    Type.FLOAT32: "float",
    Type.FLOAT64: "double",
    Type.BYTES: "bytes",
    Type.STRING: "string",
    Type.ARRAY: "array",
    Type.MAP: "map",
    Type.STRUCT: "struct",
}
_TYPES = {name: type_ for type_, name in _NAMES.items()}


def to_json(schema: Schema, default: Callable[[Schema], Any]) -> dict[str, Any]:
    """The JSON object of a schema. `default` gives the JSON form of a schema's default value, which is not None."""
    out: dict[str, Any] = {"type": _NAMES[schema.type]}
    if schema.type is Type.ARRAY:
        out["items"] = _inner(values_of(schema), default)
    elif schema.type is Type.MAP:
        out["keys"] = _inner(keys_of(schema), default)
        out["values"] = _inner(values_of(schema), default)
    elif schema.type is Type.STRUCT:
        out["fields"] = [{**to_json(field.schema, default), "field": field.name} for field in schema.fields]
    out["optional"] = schema.optional
    described = {"name": schema.name, "version": schema.version, "doc": schema.doc}
    out.update({member: value for member, value in described.items() if value is not None})
    if schema.parameters:
        out["parameters"] = dict(schema.parameters)
    if schema.default is not None:
        out["default"] = default(schema)
    return out


def keys_of(schema: Schema) -> Schema | None:
    """The schema of a map's keys; None where they have no one schema."""
    return schema.element_schemas[0]


def values_of(schema: Schema) -> Schema | None:
    """The schema of an array's elements or a map's values; None where they have no one schema."""
    return schema.element_schemas[1]


def _inner(schema: Schema | None, default: Callable[[Schema], Any]) -> dict[str, Any] | None:
    return None if schema is None else to_json(schema, default)


def from_json(node: Any, default: Callable[[Schema, Any], Any]) -> Schema | None:
    """The schema that a JSON object describes, None for null. `default` reads a default value under a schema.

    Raises DataError with Java's sentence for what is not a schema.
    """
    if node is None:
        return None
    name = node.get("type") if isinstance(node, dict) else None
    if not isinstance(name, str):
        raise DataError("Schema must contain 'type' field")
    if name not in _TYPES:
        raise DataError(f"Unknown schema type: {name}; the types are {', '.join(sorted(_TYPES))}")
    parts = {**_children(_TYPES[name], node, default), **_attributes(node)}
    schema = Schema(_TYPES[name], **parts)
    if "default" in node:
        value = default(schema, node["default"])
        schema = schema if value is None else schema.replace(default=value)
    return schema


def _children(type_: Type, node: Mapping[str, Any], default: Callable[[Schema, Any], Any]) -> dict[str, Any]:
    def child(member: str, sentence: str) -> Schema:
        schema = from_json(node.get(member), default)
        if schema is None:
            raise DataError(sentence)
        return schema

    if type_ is Type.ARRAY:
        return {"value_schema": child("items", "Array schema did not specify the element type")}
    if type_ is Type.MAP:
        return {
            "key_schema": child("keys", "Map schema did not specify the key type"),
            "value_schema": child("values", "Map schema did not specify the value type"),
        }
    if type_ is Type.STRUCT:
        fields = node.get("fields")
        if not isinstance(fields, list):
            raise DataError('Struct schema\'s "fields" argument is not an array.')
        return {"fields": [_field(member, default) for member in fields]}
    return {}


def _field(node: Any, default: Callable[[Schema, Any], Any]) -> tuple[str, Schema]:
    name = node.get("field") if isinstance(node, dict) else None
    if not isinstance(name, str):
        raise DataError("Struct schema's field name not specified properly")
    schema = from_json(node, default)
    if schema is None:
        raise DataError(f"fieldSchema for field {name} cannot be null.")
    return name, schema


def _attributes(node: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {"optional": node.get("optional") is True}
    for member in ("name", "doc"):
        if isinstance(node.get(member), str):
            out[member] = node[member]
    version = node.get("version")
    if isinstance(version, int) and not isinstance(version, bool):
        out["version"] = version
    parameters = node.get("parameters")
    if isinstance(parameters, dict):
        if not all(isinstance(value, str) for value in parameters.values()):
            raise DataError("Schema parameters must have string values.")
        out["parameters"] = parameters
    return out
