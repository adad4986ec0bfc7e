"""Reading data of one schema as data of another."""

from typing import Any

from millstream_api.errors import DataError
from millstream_api.schema import Schema, Type
from millstream_api.values import narrow

__all__ = ["project"]

_WIDENING = (Type.INT8, Type.INT16, Type.INT32, Type.INT64, Type.FLOAT32, Type.FLOAT64)


def project(source: Schema, value: Any, target: Schema) -> Any:
    """Give a value of `source` as one of `target`.

    Numbers widen (int8 … int64, float32, float64), struct fields go by name, fields new in `target` are
    null or their default, fields unknown to it are dropped, null becomes the target's default.
    Names and parameters of the schemas must be equal. Raises DataError with `.path` when it cannot be.

    Source: SchemaProjector.project.
    """
    return value if source is target else _project(source, value, target, "")


def _project(source: Schema, value: Any, target: Schema, path: str) -> Any:
    _check_compatible(source, target, path)
    if source.optional and not target.optional:
        if target.default is None:
            raise DataError("Writer schema is optional, however, target schema does not provide a default value.", path)
        if value is None:
            return target.default
    elif value is None:
        return None
    if source.type is Type.STRUCT:
        return _struct(source, value, target, path)
    if source.type is Type.ARRAY:
        inner = source.value_schema, target.value_schema
        return [_project(inner[0], item, inner[1], f"{path}[{at}]") for at, item in enumerate(value)]
    if source.type is Type.MAP:
        keys, values = (source.key_schema, target.key_schema), (source.value_schema, target.value_schema)
        return {
            _project(keys[0], key, keys[1], f"{path}{{key {at}}}"): _project(
                values[0], item, values[1], f"{path}{{{at}}}"
            )
            for at, (key, item) in enumerate(value.items())
        }
    return _number(source, value, target)


def _number(source: Schema, value: Any, target: Schema) -> Any:
    widened = target.type in _WIDENING[4:] and source.type is not target.type and isinstance(value, int | float)
    return narrow(value, target.type) if widened else value


def _check_compatible(source: Schema, target: Schema, path: str) -> None:
    if source.type is not target.type and not _widens(source.type, target.type):
        types = f"source type: {source.type.name} and target type: {target.type.name}"
        raise DataError(f"Schema type mismatch. {types}", path)
    if source.name != target.name:
        names = f"source name: {source.name} and target name: {target.name}"
        raise DataError(f"Schema name mismatch. {names}", path)
    if source.parameters != target.parameters:
        parameters = f"source parameters: {source.parameters} and target parameters: {target.parameters}"
        raise DataError(f"Schema parameters not equal. {parameters}", path)


def _widens(source: Type, target: Type) -> bool:
    numbers = source in _WIDENING and target in _WIDENING
    return numbers and _WIDENING.index(source) < _WIDENING.index(target)


def _struct(source: Schema, value: dict[str, Any], target: Schema, path: str) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for field in target.fields:
        inner = f"{path}.{field.name}" if path else field.name
        known = source.field(field.name)
        if known is not None:
            item = value.get(field.name)
            item = known.schema.default if item is None else item
            try:
                out[field.name] = _project(known.schema, item, field.schema, inner)
            except DataError as error:
                if error.path != inner:
                    raise
                raise DataError(f"Error projecting {field.name}: {error}", inner) from error
        elif field.schema.default is not None:
            out[field.name] = field.schema.default
        elif field.schema.optional:
            out[field.name] = None
        else:
            raise DataError(f"Required field `{field.name}` is missing from source schema: {source!r}", inner)
    return out
