"""SimpleHeaderConverter: text out, text and its guessed schema back."""

import logging
from typing import Any

import pytest

from millstream.builtin import headers
from millstream.builtin.headers import SimpleHeaderConverter
from millstream_api import Config, Schema, Type


@pytest.fixture
def converter() -> SimpleHeaderConverter:
    return SimpleHeaderConverter(Config())


@pytest.mark.parametrize(
    ("value", "schema", "data"),
    [
        ("v0", Schema(Type.STRING), b"v0"),
        (0, Schema(Type.INT64), b"0"),
        (True, None, b"true"),
        (1.5, Schema(Type.FLOAT64), b"1.5"),
        (b"\x00\x01\xff", Schema(Type.BYTES), b"AAH/"),
        ([1, "a"], None, b'[1,"a"]'),
        (None, None, None),
    ],
)
def test_values_are_written_as_text(
    converter: SimpleHeaderConverter, value: Any, schema: Schema | None, data: bytes | None
) -> None:
    assert converter.to_bytes("t", "h", value, schema) == data


@pytest.mark.parametrize(
    ("data", "kind", "value"),
    [
        (b"42", Type.INT8, 42),
        (b"text", Type.STRING, "text"),
        (b"true", Type.BOOLEAN, True),
        (b"1.5", Type.FLOAT32, 1.5),
    ],
)
def test_text_is_read_with_the_schema_it_looks_like(
    converter: SimpleHeaderConverter, data: bytes, kind: Type, value: Any
) -> None:
    schema, found = converter.from_bytes("t", "h", data)
    assert schema is not None
    assert (schema.type, found) == (kind, value)


def test_no_header_and_the_word_null_are_null(converter: SimpleHeaderConverter) -> None:
    assert converter.from_bytes("t", "h", None) == (None, None)
    assert converter.from_bytes("t", "h", b"null") == (None, None)


def test_what_cannot_be_read_stays_bytes_with_a_warning(
    converter: SimpleHeaderConverter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(text: str) -> Any:
        raise ArithmeticError("too much")

    monkeypatch.setattr(headers, "parse_string", refuse)
    with caplog.at_level(logging.WARNING):
        assert converter.from_bytes("t", "h", b"1e9") == (Schema(Type.BYTES), b"1e9")
    assert [record.getMessage() for record in caplog.records] == [
        "Header 'h' of topic 't' is no text that can be read, it stays bytes: too much"
    ]
