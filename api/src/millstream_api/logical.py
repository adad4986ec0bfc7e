"""Logical types: schemas whose values are not what is written, and the ways between the two."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from typing import Any, NamedTuple, Unpack

from millstream_api.errors import DataError
from millstream_api.schema import (
    DATE_NAME,
    DECIMAL_NAME,
    TIME_NAME,
    TIMESTAMP_NAME,
    Attributes,
    Schema,
    Type,
)

__all__ = [
    "DATE",
    "DATE_NAME",
    "DECIMAL_NAME",
    "OPTIONAL_DATE",
    "OPTIONAL_TIME",
    "OPTIONAL_TIMESTAMP",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMP_NAME",
    "TIME_NAME",
    "Codec",
    "codec",
    "decimal",
    "decimal_scale",
    "from_logical",
    "to_logical",
]

DATE = Schema(Type.INT32, name=DATE_NAME, version=1)
"""Values are `datetime.date`, written as days since 1970. Source: Date.java."""

TIME = Schema(Type.INT32, name=TIME_NAME, version=1)
"""Values are `datetime.time` without a zone, written as milliseconds of the day. Source: Time.java."""

TIMESTAMP = Schema(Type.INT64, name=TIMESTAMP_NAME, version=1)
"""Values are `datetime.datetime` with a zone, written as milliseconds since 1970. Source: Timestamp.java."""

OPTIONAL_DATE = DATE.replace(optional=True)
OPTIONAL_TIME = TIME.replace(optional=True)
OPTIONAL_TIMESTAMP = TIMESTAMP.replace(optional=True)

DAY_MS = 86_400_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_MILLISECOND = timedelta(milliseconds=1)
_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)  # moves the point and never rounds
_TYPES = {DECIMAL_NAME: Type.BYTES, DATE_NAME: Type.INT32, TIME_NAME: Type.INT32, TIMESTAMP_NAME: Type.INT64}


def decimal(scale: int, **attributes: Unpack[Attributes]) -> Schema:
    """Make the schema of decimals with `scale` digits behind the point; a negative one counts zeros before it.

    Values are `decimal.Decimal` with exactly that many digits behind the point. The scale is parameter
    `scale`, the name and version are those of Java's Decimal. Raises DataError as `Schema` does.
    Source: Decimal.schema.
    """
    parameters = {**(attributes.get("parameters") or {}), "scale": str(scale)}
    given: Attributes = {**attributes, "parameters": parameters}
    given.setdefault("name", DECIMAL_NAME)
    given.setdefault("version", 1)
    return Schema(Type.BYTES, **given)


def decimal_scale(schema: Schema) -> int:
    """Give the scale of a decimal schema. Raises DataError when its parameter is missing or no number.

    Source: Decimal.java.
    """
    text = (schema.parameters or {}).get("scale")
    if text is None:
        raise DataError(f"Invalid Decimal schema: scale parameter not found. Make it with decimal(scale): {schema!r}")
    try:
        return int(text)
    except ValueError as error:
        raise DataError(
            f"Invalid scale parameter found in Decimal schema: {text!r}; a whole number is right"
        ) from error


class Codec(NamedTuple):
    """The two ways between a logical value and what is written, for values other than None.

    encode:  decimal to bytes (two's complement, big end first), date to days since 1970, time to
             milliseconds of the day, datetime to milliseconds since 1970. Raises DataError when the value does not fit.
    decode:  the way back. Raises DataError also beyond the years 1 to 9999 of Python's dates.
    """

    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


def codec(schema: Schema) -> Codec | None:
    """Give the codec of a logical schema, made once for many values; None when it is a plain one.

    A name that is none of the four, or stands over another type than Java's, makes a plain schema. Raises
    DataError as `decimal_scale` does.
    """
    if schema.name is None or _TYPES.get(schema.name) is not schema.type:
        return None
    if schema.name == DECIMAL_NAME:
        return _decimal_codec(decimal_scale(schema))
    return _CODECS[schema.name]


def from_logical(schema: Schema, value: Any) -> Any:
    """Give what is written for a value: bytes for a decimal, a number for a date, time, timestamp.

    None stays None and a value of a plain schema itself. Raises DataError when it does not fit.
    Source: Decimal.java, Date.java, Time.java, Timestamp.java, `fromLogical`.
    """
    found = codec(schema)
    return value if found is None or value is None else found.encode(value)


def to_logical(schema: Schema, written: Any) -> Any:
    """Give the value that was written thus, the other way round than `from_logical`.

    None stays None. Raises DataError for what no value is written as, and beyond the years 1 to 9999.
    Source: Decimal.java, Date.java, Time.java, Timestamp.java, `toLogical`.
    """
    found = codec(schema)
    return written if found is None or written is None else found.decode(written)


def scale_of(value: Decimal) -> int:
    """Give how many digits stand behind the point, as BigDecimal counts them."""
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):
        raise DataError(f"Decimal {value} has no digits; a finite one is right")
    return -exponent


def _decimal_codec(scale: int) -> Codec:
    quantum = Decimal((0, (1,), -scale))

    def encode(value: Any) -> bytes:
        if not isinstance(value, Decimal):
            raise DataError(f"A Decimal schema has values of decimal.Decimal, not {type(value).__name__}")
        if not value.same_quantum(quantum):
            raise DataError(
                "Decimal value has mismatching scale for given Decimal schema. "
                f"Schema has scale {scale}, value has scale {scale_of(value)}."
            )
        number = int(_EXACT.scaleb(value, scale))
        length = (number if number >= 0 else ~number).bit_length() // 8 + 1
        return number.to_bytes(length, "big", signed=True)

    def decode(written: bytes) -> Decimal:
        if not written:
            raise DataError("A decimal of no bytes has no digits; at least one byte is right")
        number = int.from_bytes(written, "big", signed=True)
        return _EXACT.scaleb(Decimal(number), -scale)

    return Codec(encode, decode)


def _encode_date(value: Any) -> int:
    if isinstance(value, datetime):
        if value.timetz().replace(tzinfo=None) != time.min:
            raise DataError("Kafka Connect Date type should not have any time fields set to non-zero values.")
        return value.toordinal() - _EPOCH_DAY
    if not isinstance(value, date):
        raise DataError(f"A Date schema has values of datetime.date, not {type(value).__name__}")
    return value.toordinal() - _EPOCH_DAY


def _decode_date(days: int) -> date:
    try:
        return date.fromordinal(days + _EPOCH_DAY)
    except (ValueError, OverflowError) as error:
        raise DataError(f"A date {days} days from 1970 is beyond the years 1 to 9999 of datetime.date") from error


def _encode_time(value: Any) -> int:
    if not isinstance(value, time):
        if isinstance(value, date):
            raise DataError("Kafka Connect Time type should not have any date fields set to non-zero values.")
        raise DataError(f"A Time schema has values of datetime.time, not {type(value).__name__}")
    return ((value.hour * 60 + value.minute) * 60 + value.second) * 1000 + value.microsecond // 1000


def _decode_time(written: int) -> time:
    if not 0 <= written < DAY_MS:
        raise DataError("Time values must use number of milliseconds greater than 0 and less than 86400000")
    seconds, ms = divmod(written, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return time(hour, minute, second, ms * 1000)


def _encode_timestamp(value: Any) -> int:
    if not isinstance(value, datetime):
        raise DataError(f"A Timestamp schema has values of datetime.datetime, not {type(value).__name__}")
    if value.tzinfo is None:
        raise DataError("A Timestamp is an instant: a datetime with a zone is right, as datetime.now(UTC)")
    return (value - _EPOCH) // _MILLISECOND


def _decode_timestamp(ms: int) -> datetime:
    try:
        return _EPOCH + timedelta(0, 0, 0, ms)
    except OverflowError as error:
        raise DataError(f"An instant {ms} ms from 1970 is beyond the years 1 to 9999 of datetime.datetime") from error


_CODECS = {
    DATE_NAME: Codec(_encode_date, _decode_date),
    TIME_NAME: Codec(_encode_time, _decode_time),
    TIMESTAMP_NAME: Codec(_encode_timestamp, _decode_timestamp),
}
