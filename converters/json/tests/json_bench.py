"""A converter, and rows of every type with the bytes that Java writes for them."""

import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from millstream_api import Schema, Subject, Type, decimal
from millstream_api.logical import DATE, TIME, TIMESTAMP
from millstream_json.config import JsonConverterConfig
from millstream_json.converter import JsonConverter

STRING, INT32 = Schema(Type.STRING), Schema(Type.INT32)
OPTIONAL = Schema(Type.STRING, optional=True)
ROW = Schema.struct(
    {
        "id": Schema(Type.INT64),
        "name": OPTIONAL,
        "price": decimal(2),
        "day": DATE,
        "at": TIME,
        "ts": TIMESTAMP,
        "raw": Schema(Type.BYTES),
        "f": Schema(Type.FLOAT32),
        "tags": Schema.array(STRING),
        "by": Schema.map(INT32, STRING),
        "text": Schema.map(STRING, Schema(Type.FLOAT64)),
        "in": Schema.struct({"x": INT32, "y": OPTIONAL}, optional=True, name="Inner"),
    },
    name="com.acme.Row",
    version=3,
    doc="a row",
)
VALUE = {
    "id": 1 << 62,
    "name": None,
    "price": Decimal("-12.34"),
    "day": date(2023, 11, 14),
    "at": time(1, 0, 0, 123000),
    "ts": datetime(2023, 11, 14, 22, 13, 20, 123000, UTC),
    "raw": b"bytes",
    "f": 1.100000023841858,
    "tags": ["a", ""],
    "by": {1: "one"},
    "text": {"k": 1e-7},
    "in": {"x": 1, "y": None},
}
PAYLOAD = (
    '{"id":4611686018427387904,"name":null,"price":"+y4=","day":19675,"at":3600123,"ts":1700000000123,'
    '"raw":"Ynl0ZXM=","f":1.1,"tags":["a",""],"by":[[1,"one"]],"text":{"k":1e-7},"in":{"x":1,"y":null}}'
)


def converter(**settings: Any) -> JsonConverter:
    return JsonConverter(JsonConverterConfig(converter_type="value", **settings))


def plain(**settings: Any) -> JsonConverter:
    return converter(schemas_enable=False, **settings)


def write(made: JsonConverter, schema: Schema | None, *values: Any) -> list[bytes | None]:
    return list(made.encoder(Subject("t", schema, "value"))(values, None))


def read(made: JsonConverter, *messages: bytes | None) -> list[tuple[Schema | None, Any]]:
    rows: list[Any] = [None] * len(messages)
    for decoded in made.decoder(Subject("t", None, "value"))(messages, None):
        at = range(len(messages)) if decoded.at is None else decoded.at
        for row, value in zip(at, decoded.values, strict=True):
            assert rows[row] is None, "each row is in one group"
            rows[row] = (decoded.schema, value)
    assert None not in rows
    return rows


def envelope(schema: Any, payload: Any) -> bytes:
    return json.dumps({"schema": schema, "payload": payload}).encode()


def read_plain_struct(made: JsonConverter, schema: Schema, payload: bytes) -> Any:
    """Read a payload under a schema: wrap it in the envelope that the same settings write."""
    enabled = converter(replace_null_with_default=made.config.replace_null_with_default)
    head = write(enabled, Schema.struct([(f.name, f.schema) for f in schema.fields]), {"b": 1, "o": 1})[0]
    assert head is not None
    return read(enabled, head[: head.index(b',"payload":') + 11] + payload + b"}")[0][1]


def typed(kind: str, payload: str, **more: Any) -> bytes:
    return b'{"schema":' + json.dumps({"type": kind, **more}).encode() + b',"payload":' + payload.encode() + b"}"
