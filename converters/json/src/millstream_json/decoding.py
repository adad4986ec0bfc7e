"""A column of JSON messages to values: the part of a message that repeats is recognised, not parsed."""

import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import orjson

from millstream_api import DataError, Decoded, Schema, Type
from millstream_json.parsing import may_exceed_64_bits, parse
from millstream_json.reading import Reader, compile_reader
from millstream_json.schemas import from_json
from millstream_json.shapes import REFUSALS, Odd, Shape

NOT_AN_ENVELOPE = (
    'JsonConverter with schemas.enable requires "schema" and "payload" fields and may not contain additional fields. '
    "If you are trying to deserialize plain JSON data, set schemas.enable=false in your converter configuration."
)

Column = Sequence[bytes | None]
_loads = orjson.loads
_join_text = "".join
_HEAD = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"schema"[ \t\r\n]*:')
_PAYLOAD = re.compile(rb',[ \t\r\n]*"payload"[ \t\r\n]*:')
_BRACE = ord("}")
#: a head up to this long is compared in one piece with those of all rows, a longer one row by row
_SHORT_HEAD = 256
#: how many spellings of an envelope one decoder recognises at a time
_REMEMBERED = 8


@dataclass(frozen=True, slots=True)
class Known:
    """A schema in hand. shape None: without schema, values are taken as they are."""

    schema: Schema | None
    shape: Shape | None

    def read(self, texts: Sequence[bytes]) -> Sequence[Any]:
        """Connect values of payloads; raises one of REFUSALS if any of them needs a patient look."""
        if self.schema is not None and self.schema.type is Type.STRING and self.schema.name is None:
            return _strings(texts)
        return self.column([_loads(text) for text in texts], texts)

    def column(self, nodes: list[Any], texts: Sequence[bytes]) -> Sequence[Any]:
        """Connect values of what orjson parsed; raises one of REFUSALS if any of it needs a patient look."""
        if self.shape is not None:
            return self.shape.column(nodes)
        try:
            _join_text(nodes)
        except TypeError:
            if may_exceed_64_bits(b" ".join(texts)):
                raise Odd from None
        return nodes

    def one(self, text: bytes) -> Any:
        """The Connect value of one payload; raises one of REFUSALS if it needs a patient look."""
        node = _loads(text)
        return self.column([node], [text])[0] if self.shape is None else self.shape.one(node)


def _strings(texts: Sequence[bytes]) -> Sequence[str]:
    """Parse payloads that are strings in one call, half of what a call each costs; Odd when one of them is not.

    Exactly one string each: no JSON string holds a line end, so that none reaches over the separators, and as there is
    nothing but strings no list or object does; so many values then need all the commas of the separators. The brackets
    come with a string each, so that one join makes the array, without a copy of all the text.
    """
    nodes: list[str] = _loads(b",\n".join([b'[""', *texts, b'""]']))
    if len(nodes) != len(texts) + 2:
        raise Odd
    _join_text(nodes)  # raises unless every one is text
    del nodes[-1], nodes[0]
    return nodes


class Schemas:
    """Schemas by their JSON text, at most `size` of them, the one not used for longest forgotten first."""

    def __init__(self, reader: Reader, size: int) -> None:
        self.reader = reader
        self.size = size
        self.known: OrderedDict[bytes, Known] = OrderedDict()

    def of(self, node: Any) -> Known:
        """The schema of an exactly parsed `schema` member; raises DataError."""
        text = repr(node).encode(errors="surrogatepass")
        found = self.known.get(text)
        if found is None:
            schema = from_json(node, self.reader.read)
            found = self.known[text] = self.fixed(schema)
        self.known.move_to_end(text)
        while len(self.known) > self.size:
            self.known.popitem(last=False)
        return found

    def fixed(self, schema: Schema | None) -> Known:
        shape = None if schema is None else compile_reader(schema, self.reader.replace_null)
        return Known(schema, shape)


class PayloadDecoder:
    """Whole messages are payloads of one schema, or without any."""

    def __init__(self, reader: Reader, known: Known) -> None:
        self.reader = reader
        self.known = known

    def decode(self, values: Column, headers: object = None) -> Sequence[Decoded]:
        try:
            texts: Any = values  # a None among them raises, and is looked at below
            return [Decoded(self.known.schema, None, self.known.read(texts))]
        except REFUSALS:
            pass  # the patient look is not taken here: its errors would tell of this one, too
        return _grouped(self._one(value) for value in values)

    def _one(self, value: bytes | None) -> tuple[Schema | None, Any]:
        if value is None:
            return None, None
        schema = self.known.schema
        try:
            return schema, self.known.one(value)
        except REFUSALS:
            pass
        return schema, self.reader.read(schema, parse(value))


class EnvelopeDecoder:
    """Messages that carry their schema. One per subject: it remembers how the last envelopes were spelled."""

    def __init__(self, reader: Reader, schemas: Schemas) -> None:
        self.reader = reader
        self.schemas = schemas
        self.heads: OrderedDict[bytes, Known] = OrderedDict()

    def decode(self, values: Column, headers: object = None) -> Sequence[Decoded]:
        first = values[0] if values else None
        for head, known in reversed(self.heads.items()):
            if first is not None and first.startswith(head):
                try:
                    return [Decoded(known.schema, None, self._alike(head, known, values))]
                except REFUSALS:
                    break
        return _grouped(self._one(value) for value in values)

    def _alike(self, head: bytes, known: Known, values: Column) -> Sequence[Any]:
        """All of a column under one envelope; raises one of REFUSALS when a single row has another or needs a look."""
        size = len(head)
        rows: Any = values  # a None among them raises TypeError or AttributeError, both of REFUSALS
        if size <= _SHORT_HEAD:
            texts = list(map(itemgetter(slice(size, -1)), rows))
            # a row shorter than its head would make the left side longer: equal are they row by row alone
            if (b"}" + head).join([b"", *texts, b""]) != b"".join([b"}", *rows, head]):
                raise Odd
        else:
            texts = [row[size:-1] for row in rows if row.startswith(head) and row[-1] == _BRACE]
            if len(texts) != len(values):
                raise Odd
        return known.read(texts)

    def _one(self, value: bytes | None) -> tuple[Schema | None, Any]:
        if value is None:
            return None, None
        for head, known in reversed(self.heads.items()):
            if value.startswith(head):
                try:
                    if value[-1] == _BRACE:
                        return known.schema, known.one(value[len(head) : -1])
                except REFUSALS:
                    pass
                break
        return self._whole(value)

    def _whole(self, value: bytes) -> tuple[Schema | None, Any]:
        message = parse(value)
        if not isinstance(message, dict) or len(message) != 2 or "schema" not in message or "payload" not in message:
            raise DataError(NOT_AN_ENVELOPE)
        known = self.schemas.of(message["schema"])
        payload = self.reader.read(known.schema, message["payload"])
        self._remember(value, message["schema"], known)
        return known.schema, payload

    def _remember(self, value: bytes, schema: Any, known: Known) -> None:
        start = _HEAD.match(value)
        if start is None:
            return
        for end in _PAYLOAD.finditer(value, start.end()):
            try:
                same = parse(b"[" + value[start.end() : end.start()] + b"]") == [schema]
            except DataError:
                continue
            if same:
                self.heads[value[: end.end()]] = known
                self.heads.move_to_end(value[: end.end()])
                if len(self.heads) > min(_REMEMBERED, self.schemas.size):
                    self.heads.popitem(last=False)
                return


def _grouped(rows: Iterable[tuple[Schema | None, Any]]) -> Sequence[Decoded]:
    groups: dict[Schema | None, tuple[list[int], list[Any]]] = {}
    for row, (schema, value) in enumerate(rows):
        at, column = groups.setdefault(schema, ([], []))
        at.append(row)
        column.append(value)
    return [Decoded(schema, at, column) for schema, (at, column) in groups.items()]
