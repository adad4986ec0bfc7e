"""Reading the text of a header back into a value and the schema that it shows."""

import re
from decimal import Decimal, InvalidOperation
from itertools import chain
from typing import Any, NamedTuple

from millstream_api.errors import DataError
from millstream_api.logical import decimal, scale_of
from millstream_api.schema import BOOLEAN, FLOAT32, FLOAT64, INT8, INT16, INT32, INT64, STRING, Schema, Type
from millstream_api.values.dates import parse_temporal
from millstream_api.values.numbers import float32_of, java_float, narrow, strip

__all__ = ["parse_string"]

Parsed = tuple[Schema | None, Any]

_TOKEN = re.compile(r'[:,{}\[\]"]|(?:\\.|[^\\:,{}\[\]"]|\\$)+', re.DOTALL)
_LITERALS: dict[str, Parsed] = {"null": (None, None), "true": (BOOLEAN, True), "false": (BOOLEAN, False)}
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_INTEGERS = ((INT8, 1 << 7), (INT16, 1 << 15), (INT32, 1 << 31), (INT64, 1 << 63))
_FEW_DIGITS = re.compile(r"[+-]?[0-9]{1,18}")
_LADDER = (Type.INT8, Type.INT16, Type.INT32, Type.INT64, Type.FLOAT32, Type.FLOAT64)


def parse_string(text: str | None) -> Parsed:
    """Give schema and value of a text as Kafka's headers hold it; (None, None) for None and `null`.

    `true`, `false`; numbers, in the smallest type that holds them; `yyyy-MM-dd`, `HH:mm:ss.SSSZ` and
    both with a `T`; `[1,"a"]`, `{"k":5}` with the schema common to the elements, or none if they have
    none in common (floats are of 64 bits then); else a STRING, as it is: no text is refused.

    Source: Values.parseString. Unlike there the text must be used up: Java reads `12:34` as 12 and
    `[1]x` as a list, and forgets the rest; here they are STRINGs. So are maps whose keys Python
    cannot keep apart or hash, and times beyond a day. Dates have no schema in common with times or
    numbers, nor have lists whose elements have none.
    """
    if text is None:
        return None, None
    bare = strip(text)
    if not bare or not (bare[0] in "[{+-" or _is_digit(bare[0])):
        return _LITERALS.get(bare, (STRING, text))
    if _FEW_DIGITS.fullmatch(bare):
        return _integer(int(bare)) or (STRING, text)
    reader = _Reader(text)
    try:
        parsed = _element(reader, embedded=False)
        reader.skip_blanks()
        if reader.at == len(reader.tokens):
            return parsed
    except (_OtherwiseError, DataError, RecursionError):
        pass
    return STRING, text


class _OtherwiseError(Exception):
    """The text is nothing but a STRING, which `parse_string` says; nobody else is told."""


class _Reader:
    """The tokens of a text and how far they are read."""

    def __init__(self, text: str) -> None:
        self.tokens: list[str] = _TOKEN.findall(text)
        self.at = 0

    def skip_blanks(self) -> None:
        while self.at < len(self.tokens) and not strip(self.tokens[self.at]):
            self.at += 1

    def take(self, wanted: str) -> bool:
        """Consume the next token that is not blank, if it is the one wanted."""
        start = self.at
        self.skip_blanks()
        if self.at < len(self.tokens) and strip(self.tokens[self.at]) == wanted:
            self.at += 1
            return True
        self.at = start
        return False

    def next(self) -> str:
        if self.at == len(self.tokens):
            raise _OtherwiseError  # the text ends within a list or map
        self.at += 1
        return self.tokens[self.at - 1]


def _element(reader: _Reader, embedded: bool) -> Parsed:
    if embedded and reader.take('"'):
        return _quoted(reader)
    for literal, parsed in _LITERALS.items():
        if reader.take(literal):
            return parsed
    if reader.take("["):
        return _array(reader)
    if reader.take("{"):
        return _map(reader)
    return _scalar(reader)


def _quoted(reader: _Reader) -> Parsed:
    """Read up to the closing quote; backslashes stay, as in Java. Dates are known inside quotes, too."""
    content = ""
    while reader.at < len(reader.tokens) and (token := reader.next()) != '"':
        content += token
    parsed = _temporal(strip(content))
    return parsed or (STRING, content)


def _array(reader: _Reader) -> Parsed:
    items: list[Parsed] = []
    while not reader.take("]"):
        items.append(_element(reader, embedded=True))
        if reader.take("]"):
            break
        if not reader.take(","):
            raise _OtherwiseError
    schema = _common(items)
    return Schema(Type.ARRAY, value_schema=schema), [_aligned(value, own, schema) for own, value in items]


def _map(reader: _Reader) -> Parsed:
    keys: list[Parsed] = []
    values: list[Parsed] = []
    while not reader.take("}"):
        keys.append(_element(reader, embedded=True))
        if keys[-1][1] is None:
            raise _OtherwiseError
        if not reader.take(":"):
            raise _OtherwiseError
        values.append(_element(reader, embedded=True))
        reader.take(",")
    key_schema, value_schema = _common(keys), _common(values)
    if key_schema is None:
        value_schema = None
    out: dict[Any, Any] = {}
    kinds: dict[Any, type] = {}
    for (own_key, key), (own, value) in zip(keys, values, strict=True):
        aligned = _aligned(key, own_key, key_schema)
        if isinstance(aligned, list | dict) or kinds.setdefault(aligned, type(aligned)) is not type(aligned):
            raise _OtherwiseError  # a dict cannot hold these keys
        out[aligned] = _aligned(value, own, value_schema)
    return Schema(Type.MAP, key_schema=key_schema, value_schema=value_schema), out


def _scalar(reader: _Reader) -> Parsed:
    token = strip(reader.next())
    if token and _is_digit(token[0]):
        start = reader.at
        if start + 4 <= len(reader.tokens):  # the colons of a time make five tokens
            parsed = _temporal(token + "".join(reader.tokens[start : start + 4]))
            if parsed is not None:
                reader.at += 4
                return parsed
        parsed = _temporal(token)
        if parsed is not None:
            return parsed
    if token and (token[0] in "+-" or _is_digit(token[0])):
        return _number(token)
    raise _OtherwiseError


def _is_digit(character: str) -> bool:
    return character.isdecimal() and character <= "\uffff"  # as Character.isDigit of a char


def _temporal(text: str) -> Parsed | None:
    return parse_temporal(text.replace("\\:", ":"))


def _number(token: str) -> Parsed:
    if not _NUMBER.fullmatch(token):
        raise _OtherwiseError
    try:
        exact = Decimal(token)
        scale = scale_of(exact)
    except InvalidOperation as error:
        raise _OtherwiseError from error  # its exponent is too large
    if not -(1 << 31) < scale < 1 << 31:
        raise _OtherwiseError
    if (whole := _whole(exact)) is not None and (fitting := _integer(whole)) is not None:
        return fitting
    if scale:
        if abs(single := float32_of(exact)) != float("inf"):
            return FLOAT32, single
        if abs(double := float(exact)) != float("inf"):
            return FLOAT64, double
    return decimal(scale), exact


def _integer(whole: int) -> Parsed | None:
    for schema, limit in _INTEGERS:
        if -limit <= whole < limit:
            return schema, whole
    return None


def _whole(exact: Decimal) -> int | None:
    """Give the number if it is a whole one of up to 20 digits."""
    if exact.is_zero():
        return 0
    if exact.adjusted() > 19:
        return None
    _, digits, exponent = exact.as_tuple()
    cut = max(0, -int(exponent))
    return None if any(digits[max(0, len(digits) - cut) :]) or cut > len(digits) else int(exact)


class _Seen(NamedTuple):
    """What elements have been seen, and the schema that they have in common."""

    schema: Schema | None
    values: list[Any]


def _common(items: list[Parsed]) -> Schema | None:
    """Give the schema of all elements, None if there is none or only nulls are there.

    Nulls among others have no schema in Java, and the whole text becomes a STRING.
    """
    told = [_Seen(schema, [value]) for schema, value in items if schema is not None]
    if not told:
        return None
    seen = told[0]
    for other in told[1:]:
        merged = _merged(seen, other)
        seen.values.extend(other.values)
        seen = _Seen(merged, seen.values)
    if seen.schema is not None and len(told) < len(items):
        raise _OtherwiseError
    return seen.schema


def _merged(seen: _Seen, other: _Seen) -> Schema | None:
    """Give the schema of both. Empty lists and maps have that of what follows, as in Java, and of nothing before."""
    one, two = seen.schema, other.schema
    if one is two or one is None or two is None:
        return two if one is two or not seen.values else None
    if one.name is None and two.name is None and one.type in _LADDER and two.type in _LADDER:
        return one if _LADDER.index(one.type) >= _LADDER.index(two.type) else two
    if one.type is two.type and one.type in (Type.ARRAY, Type.MAP):
        keys, values = (_merged(*pair) for pair in zip(_parts(seen), _parts(other), strict=True))
        return Schema(one.type, key_schema=keys, value_schema=values)
    return None


def _parts(seen: _Seen) -> tuple[_Seen, _Seen]:
    """Give the keys and the elements of all these lists or maps."""
    keys, values = (None, None) if seen.schema is None else seen.schema.element_schemas
    lists = [list(value.values()) if isinstance(value, dict) else value for value in seen.values]
    named = [list(value) if isinstance(value, dict) else [] for value in seen.values]
    return _Seen(keys, list(chain.from_iterable(named))), _Seen(values, list(chain.from_iterable(lists)))


def _aligned(value: Any, own: Schema | None, target: Schema | None) -> Any:
    """Make a value of its own schema one of the schema common to all; None: of none, where a float has 64 bits."""
    if own is target or own is None or value is None:
        return value
    if isinstance(value, list):
        element = None if target is None else target.element_schemas[1]
        return [_aligned(item, own.element_schemas[1], element) for item in value]
    if isinstance(value, dict):
        targets = (None, None) if target is None else target.element_schemas
        pairs = tuple(zip(own.element_schemas, targets, strict=True))
        return {_aligned(key, *pairs[0]): _aligned(item, *pairs[1]) for key, item in value.items()}
    if target is None:
        return float(java_float(value, 32)) if own.type is Type.FLOAT32 else value
    return narrow(value, target.type) if target.type in _LADDER[4:] else value
