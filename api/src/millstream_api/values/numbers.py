"""Numbers as Java writes, reads and narrows them."""

import math
import re
from decimal import Decimal
from struct import Struct

from millstream_api.doubles import double_text, parts, spelled
from millstream_api.errors import DataError
from millstream_api.logical import scale_of
from millstream_api.schema import Type

__all__ = ["float32", "java_decimal", "java_float", "narrow", "parse_float", "parse_integer", "strip"]

_FLOAT = Struct("<f")
_BLANKS = "".join(map(chr, range(33)))  # what String.trim takes off
_INTEGER = re.compile(r"[+-]?\d+")  # \d is any Unicode decimal digit, as Character.digit
_DECIMAL_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fFdD]?")
_HEX_FLOAT = re.compile(r"[+-]?0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)[pP][+-]?[0-9]+[fFdD]?")
_NAMED_FLOAT = re.compile(r"[+-]?(?:NaN|Infinity)")
_LEAST_NORMAL = 2.0**-126
_BITS = {Type.INT8: 8, Type.INT16: 16, Type.INT32: 32, Type.INT64: 64}


def strip(text: str) -> str:
    """Take blanks and control characters off both ends, as String.trim does."""
    return text.strip(_BLANKS)


def float32(value: float) -> float:
    """Give the float that a FLOAT32 holds for a number: the nearest one of 32 bits; infinite if too large.

    Source: The Java Language Specification, 5.1.3.
    """
    try:
        return float(_FLOAT.unpack(_FLOAT.pack(value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def float32_of(exact: Decimal) -> float:
    """Give the nearest float of 32 bits to a decimal, rounded once."""
    near = float(exact)
    if math.isinf(near):
        return near
    difference = exact.compare(Decimal(near))
    if difference and not _is_odd(near):  # rounding to odd first makes the second rounding exact
        near = math.nextafter(near, math.inf if difference > 0 else -math.inf)
    return float32(near)


def _is_odd(value: float) -> bool:
    return bool(int.from_bytes(Struct("<d").pack(value)[:1], "little") & 1)


def java_float(value: float, width: int = 64) -> str:
    """Give the text that Double.toString (width 64) or Float.toString (32) gives: `1.0`, `1.0E7`, `NaN`.

    The digits are the fewest that read back as the same number of that width. (Java before 19 writes
    one digit too many for a few numbers: JDK-4511638.) Source: Double.toString, Float.toString.
    """
    if width == 64:
        return double_text(value)
    value = float32(value)
    if value == 0 or not math.isfinite(value):
        return double_text(value)
    return ("-" if value < 0 else "") + spelled(*_shortest32(abs(value)))


def _shortest32(size: float) -> tuple[str, int]:
    first = 5 if size >= _LEAST_NORMAL else 0  # six digits, zeros aside, are fewest if they read back at all
    for places in range(first, 9):
        text = f"{size:.{places}e}"
        found = text if _reads_as(text, size) else _above(text, size)
        if found:
            return parts(f"{size:.1e}" if places == 0 else found)
    return parts(f"{size:.9e}")


def _reads_as(text: str, size: float) -> bool:
    """Tell whether a text is a number of 32 bits; exactly only where rounding twice could matter."""
    near = float(text)
    below, above = math.nextafter(near, 0.0), math.nextafter(near, math.inf)
    if (found := float32(below) == size) == (float32(above) == size):
        return found
    return float32_of(Decimal(text)) == size


def _above(text: str, size: float) -> str | None:
    """Give the next form of as many digits, if it reads as the number: below a power of two floats lie closer."""
    if math.frexp(size)[0] != 0.5:
        return None
    nearest = Decimal(text)
    above = nearest + Decimal((0, (1,), int(nearest.as_tuple().exponent)))
    return f"{above:e}".lower() if float32_of(above) == size else None


def java_decimal(value: Decimal) -> str:
    """Give the text that BigDecimal.toString gives: `1.10`, `1E+3`, `0E-10`. Raises DataError if not finite.

    Source: BigDecimal.toString.
    """
    scale_of(value)
    return str(value.copy_abs() if value.is_zero() else value)  # BigDecimal has no -0


def parse_integer(text: str, bits: int = 32) -> int:
    """Read a whole number as Integer.parseInt does: a sign and digits, no blanks, no underscores.

    bits:  8, 16, 32 or 64.

    Raises DataError when the number needs more, or the text is none. Source: Byte.parseByte, Short.parseShort,
    Integer.parseInt, Long.parseLong.
    """
    limit = 1 << bits - 1
    if _INTEGER.fullmatch(text) and len(text) < 400 and -limit <= (number := int(text)) < limit:
        return number
    raise DataError(f"The text is no INT{bits}; digits with an optional sign, from {-limit} to {limit - 1}, are right")


def parse_float(text: str, width: int = 64) -> float:
    """Read a number as Double.parseDouble (width 64) or Float.parseFloat (32) does.

    Blanks around it, `1e3`, `.5`, `5.`, `1d`, `0x1p3`, `NaN` and `Infinity` are right; too large a
    number is infinite. Raises DataError for any other text. Source: Double.parseDouble, Float.parseFloat.
    """
    trimmed = strip(text)
    if _DECIMAL_FLOAT.fullmatch(trimmed):
        plain = trimmed.rstrip("fFdD")
        return float(plain) if width == 64 else _narrow_text(plain)
    if _HEX_FLOAT.fullmatch(trimmed):
        try:
            value = float.fromhex(trimmed.rstrip("fFdD") if trimmed[-1] not in "0123456789" else trimmed)
        except OverflowError:
            value = -math.inf if trimmed[0] == "-" else math.inf
        return value if width == 64 else float32(value)
    if _NAMED_FLOAT.fullmatch(trimmed):
        return float(trimmed)
    raise DataError(f"The text is no FLOAT{width}; a number such as 1.5 or 1e3, NaN or Infinity are right")


def _narrow_text(text: str) -> float:
    value = float(text)
    return float32(value) if value == 0 or math.isinf(value) else float32_of(Decimal(text))


def narrow(value: float, type: Type) -> int | float:
    """Make a number one of that type as a Java cast does: nothing is refused.

    An int keeps its low bits. A float loses its fraction, NaN is 0, what is too large is the largest,
    and 8 and 16 bits are cut from 32. Raises DataError when the type is no number.
    Source: The Java Language Specification, 5.1.3.
    """
    if type is Type.FLOAT32:
        return _float32_of_int(value) if isinstance(value, int) else float32(value)
    if type is Type.FLOAT64:
        return float(value)
    bits = _BITS.get(type)
    if bits is None:
        raise DataError(f"{type.name} is no type of numbers")
    if isinstance(value, float):
        limit = 1 << (63 if bits == 64 else 31)
        whole = 0 if value != value else limit if math.isinf(value) and value > 0 else -limit if value < -limit else 0
        value = min(max(int(value), -limit), limit - 1) if math.isfinite(value) else min(whole, limit - 1)
    return ((value + (1 << bits - 1)) & ((1 << bits) - 1)) - (1 << bits - 1)


def _float32_of_int(value: int) -> float:
    return float32_of(Decimal(value)) if value.bit_length() > 53 else float32(value)
