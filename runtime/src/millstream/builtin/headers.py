"""Headers as text that anyone can read: SimpleHeaderConverter, Kafka 4.3.1."""

import logging
from typing import Any

from millstream_api import BYTES, Config, HeaderConverter, Schema
from millstream_api.values import convert_to_string, parse_string

log = logging.getLogger(__name__)


class SimpleHeaderConverter(HeaderConverter[Config]):
    """Writes a value as text, and guesses its schema from the text when it reads; see `values.parse_string`."""

    def to_bytes(self, topic: str, name: str, value: Any, schema: Schema | None) -> bytes | None:
        text = convert_to_string(value, schema)
        return None if text is None else text.encode(errors="replace")

    def from_bytes(self, topic: str, name: str, data: bytes | None) -> tuple[Schema | None, Any]:
        if data is None:
            return None, None
        try:
            return parse_string(data.decode(errors="replace"))
        except Exception as error:  # noqa: BLE001 - as Java: whatever a header holds, its bytes are there for the sink
            log.warning("Header %r of topic %r is no text that can be read, it stays bytes: %s", name, topic, error)
            return BYTES, data
