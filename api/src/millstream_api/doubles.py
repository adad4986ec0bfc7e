"""How Java spells a double: in settings, values, headers and internal topics alike."""

import math

__all__ = ["double_text", "parts", "spelled"]


def double_text(value: float) -> str:
    """Give the text that Double.toString gives: `1.0`, `1.0E7`, `NaN`, with the fewest digits that read back."""
    size = abs(value)
    if 1e-3 <= size < 1e7:
        return repr(value)
    if value == 0:
        return "-0.0" if math.copysign(1, value) < 0 else "0.0"
    if value != value:
        return "NaN"
    sign = "-" if value < 0 else ""
    return f"{sign}Infinity" if size == math.inf else sign + spelled(*_shortest(size))


def spelled(digits: str, exponent: int) -> str:
    """Write digits d.ddd times ten to the exponent, plain from 10^-3 up to below 10^7."""
    if not -3 <= exponent < 7:
        return f"{digits[0]}.{digits[1:] or '0'}E{exponent}"
    if exponent < 0:
        return f"0.{'0' * (-exponent - 1)}{digits}"
    whole = digits[: exponent + 1].ljust(exponent + 1, "0")
    return f"{whole}.{digits[exponent + 1 :] or '0'}"


def parts(scientific: str) -> tuple[str, int]:
    """Give the digits, without a point or zeros at the end, and the exponent of `1.5e-7`."""
    mantissa, _, exponent = scientific.partition("e")
    return mantissa.replace(".", "").rstrip("0"), int(exponent)


def _shortest(size: float) -> tuple[str, int]:
    text = repr(size)
    if size < 1e-300 and "." not in text:
        return parts(f"{size:.1e}")  # of one-digit forms Java takes the nearest with two: 4.9E-324
    mantissa, _, exponent = text.partition("e")
    whole, _, fraction = mantissa.partition(".")
    joined = whole + fraction
    digits = joined.lstrip("0")
    return digits.rstrip("0"), int(exponent or 0) + len(whole) - 1 - (len(joined) - len(digits))
