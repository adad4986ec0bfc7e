"""JsonConverter: Connect data as JSON, each message with its schema or none with any."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from millstream_api import Converter, DataError, Decode, Encode, Header, HeaderConverter, Schema, Subject
from millstream_json.config import JsonConverterConfig
from millstream_json.decoding import EnvelopeDecoder, Known, PayloadDecoder, Schemas
from millstream_json.encoding import Column, Envelope, encoder, envelope
from millstream_json.parsing import parse
from millstream_json.reading import Reader
from millstream_json.schemas import from_json
from millstream_json.writing import Writer


class JsonConverter(Converter[JsonConverterConfig], HeaderConverter[JsonConverterConfig]):
    """Keys, values and headers as JSON.

    With `schemas.enable` a message is `{"schema": …, "payload": …}`, without it is the payload alone.
    `schema.content` fixes the schema of what is read; every message is then payload.

    Source: org.apache.kafka.connect.json.JsonConverter, Kafka 4.3.1.
    """

    config_class = JsonConverterConfig

    def __init__(self, config: JsonConverterConfig) -> None:
        super().__init__(config)
        replace = config.replace_null_with_default
        self._writer = Writer(replace, numeric=config.decimal_format.upper() == "NUMERIC")
        self._reader = Reader(replace, lenient=config.json_lenient_numbers)
        self._schemas = Schemas(self._reader, max(0, config.schemas_cache_size))
        self._fixed = self._content()
        self._headers_out: OrderedDict[Schema | None, Encode] = OrderedDict()
        self._headers_in = self.decoder(Subject("", None, "header"))

    def encoder(self, subject: Subject) -> Encode:
        around = envelope(subject.schema, self._writer) if self.config.schemas_enable else Envelope()
        write = encoder(subject.schema, self._writer, around)

        def encode(values: Column, headers: Sequence[list[Header]] | None) -> Sequence[bytes | None]:
            return write(values)

        return encode

    def decoder(self, subject: Subject) -> Decode:
        if not self.config.schemas_enable:
            return PayloadDecoder(self._reader, Known(None, None)).decode
        if self._fixed is not None:
            return PayloadDecoder(self._reader, self._fixed).decode
        return EnvelopeDecoder(self._reader, self._schemas).decode

    def to_bytes(self, topic: str, name: str, value: Any, schema: Schema | None) -> bytes | None:
        encode = self._headers_out.get(schema)
        if encode is None:
            encode = self._headers_out[schema] = self.encoder(Subject(topic, schema, "header"))
            if len(self._headers_out) > max(1, self.config.schemas_cache_size):
                self._headers_out.popitem(last=False)
        return encode((value,), None)[0]

    def from_bytes(self, topic: str, name: str, data: bytes | None) -> tuple[Schema | None, Any]:
        [decoded] = self._headers_in((data,), None)
        return decoded.schema, decoded.values[0]

    def _content(self) -> Known | None:
        content = self.config.schema_content
        if not content:
            return None
        try:
            schema = from_json(parse(content.encode()), self._reader.read)
        except DataError as error:
            sentence = "Failed to parse schema in converter config due to serialization error: "
            raise DataError(f"{sentence}schema.content: {error}") from error
        return None if schema is None else self._schemas.fixed(schema)
