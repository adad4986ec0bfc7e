"""Values as text: as Java's toString spells them, and as headers hold them."""

from base64 import b64encode
from datetime import date, time
from decimal import Decimal
from typing import Any

from millstream_api.errors import DataError
from millstream_api.schema import Schema, Type
from millstream_api.values.dates import date_text, temporal_text
from millstream_api.values.numbers import java_decimal, java_float

__all__ = ["convert_to_string", "text_of"]


def text_of(value: Any, schema: Schema | None = None) -> str:
    """Give the text that Java's toString gives for a value: `{a=1, b=[x, 2.5]}`, `Struct{a=1}`, `null`.

    Dates are those of java.util.Date in UTC. Unlike Java, which writes the identity of a byte array,
    bytes are written as UTF-8 text, with `\\xff` for what is none. Raises DataError for a value of no type of
    the data model. Source: String.valueOf, Struct.toString.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        inner = _values_of(schema)
        return f"[{', '.join(text_of(item, inner) for item in value)}]"
    if isinstance(value, dict):
        return _dict_text(value, schema)
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, date | time):
        return date_text(value)
    return _scalar_text(value, schema)


def _dict_text(value: dict[Any, Any], schema: Schema | None) -> str:
    if schema is not None and schema.type is Type.STRUCT:
        shown = ((field, value.get(field.name)) for field in schema.fields)
        parts = ",".join(f"{field.name}={text_of(item, field.schema)}" for field, item in shown if item is not None)
        return f"Struct{{{parts}}}"
    keys, values = _keys_of(schema), _values_of(schema)
    return f"{{{', '.join(f'{text_of(key, keys)}={text_of(item, values)}' for key, item in value.items())}}}"


def _scalar_text(value: Any, schema: Schema | None) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return java_float(value, 32 if schema is not None and schema.type is Type.FLOAT32 else 64)
    if isinstance(value, Decimal):
        return java_decimal(value)
    raise DataError(f"Failed to serialize unexpected value type {type(value).__name__}")


def _values_of(schema: Schema | None) -> Schema | None:
    return None if schema is None else schema.element_schemas[1]


def _keys_of(schema: Schema | None) -> Schema | None:
    return None if schema is None else schema.element_schemas[0]


def convert_to_string(value: Any, schema: Schema | None = None) -> str | None:
    """Give the text of a value in a header; None for None. `parse_string` is the way back.

    Texts as they are, bytes in base64, `[1,"a"]`, `{"k":5}` for maps and for structs, where defaults
    stand for nulls. Raises DataError for a value of no type of the data model. Source: Values.convertToString.
    """
    return None if value is None else _header_text(value, schema, False)


def _header_text(value: Any, schema: Schema | None, embedded: bool) -> str:
    if isinstance(value, str | bytes):
        text = value if isinstance(value, str) else b64encode(value).decode()
        if not embedded:
            return text
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, list):
        inner = _values_of(schema)
        return f"[{','.join(_header_text(item, inner, True) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{','.join(_header_entries(value, schema))}}}"
    if isinstance(value, date | time):
        return temporal_text(value)
    return _scalar_text(value, schema)


def _header_entries(value: dict[Any, Any], schema: Schema | None) -> list[str]:
    if schema is not None and schema.type is Type.STRUCT:
        out = []
        for field in schema.fields:
            item = value.get(field.name)
            item = field.schema.default if item is None else item
            out.append(f"{_header_text(field.name, None, True)}:{_header_text(item, field.schema, True)}")
        return out
    keys, values = _keys_of(schema), _values_of(schema)
    return [f"{_header_text(key, keys, True)}:{_header_text(item, values, True)}" for key, item in value.items()]
