from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream_api.errors import DataError
from millstream_api.logical import (
    DATE,
    OPTIONAL_TIMESTAMP,
    TIME,
    TIMESTAMP,
    codec,
    decimal,
    decimal_scale,
    from_logical,
    to_logical,
)
from millstream_api.schema import INT32, STRING, Schema, Type

milliseconds_only = st.datetimes(timezones=st.just(UTC)).map(
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
)


@pytest.mark.parametrize(
    ("schema", "value", "written"),
    [
        (decimal(0), Decimal(0), b"\x00"),
        (decimal(0), Decimal(128), b"\x00\x80"),
        (decimal(0), Decimal(-129), b"\xff\x7f"),
        (decimal(0), Decimal(-128), b"\x80"),
        (decimal(2), Decimal("-12.34"), b"\xfb\x2e"),
        (decimal(-3), Decimal("5E+3"), b"\x05"),
        (decimal(2), Decimal("-0.00"), b"\x00"),
        (DATE, date(1970, 1, 1), 0),
        (DATE, date(2023, 11, 14), 19675),
        (DATE, date(1, 1, 1), -719162),
        (TIME, time(1, 0, 0, 123000), 3600123),
        (TIME, time(23, 59, 59, 999000), 86399999),
        (TIMESTAMP, datetime(2023, 11, 14, 22, 13, 20, 123000, UTC), 1700000000123),
        (TIMESTAMP, datetime(1969, 12, 31, 23, 59, 59, 999000, UTC), -1),
        (OPTIONAL_TIMESTAMP, None, None),
        (INT32, 7, 7),
    ],
)
def test_logical_values_are_written_as_java_writes_them(schema: Schema, value: Any, written: Any) -> None:
    assert from_logical(schema, value) == written
    back = to_logical(schema, written)
    assert back == value
    assert str(back) == (str(value) if value != 0 else str(abs(value)))


@given(st.decimals(allow_nan=False, allow_infinity=False, places=7))
def test_every_decimal_comes_back_with_its_scale(value: Decimal) -> None:
    value = abs(value) if value == 0 else value
    assert str(to_logical(decimal(7), from_logical(decimal(7), value))) == str(value)


@given(st.integers(), st.integers(-50, 50))
def test_decimal_bytes_are_as_short_as_they_can_be(number: int, scale: int) -> None:
    back = to_logical(decimal(scale), number.to_bytes(400, "big", signed=True))
    written = from_logical(decimal(scale), back)
    assert int.from_bytes(written, "big", signed=True) == number
    assert len(written) == 1 or len(written) == min(
        n for n in range(1, 400) if -(1 << 8 * n - 1) <= number < 1 << 8 * n - 1
    )


def test_decimals_of_many_digits_are_exact() -> None:
    value = Decimal("-" + "1234567890" * 900 + ".5")
    assert to_logical(decimal(1), from_logical(decimal(1), value)).compare(value) == 0


@given(milliseconds_only)
def test_every_instant_comes_back(moment: datetime) -> None:
    assert to_logical(TIMESTAMP, from_logical(TIMESTAMP, moment)) == moment


@given(st.dates())
def test_every_date_comes_back(day: date) -> None:
    assert to_logical(DATE, from_logical(DATE, day)) == day


@given(st.integers(0, 86_399_999))
def test_every_time_comes_back(written: int) -> None:
    assert from_logical(TIME, to_logical(TIME, written)) == written


def test_an_instant_of_another_zone_is_the_same_instant() -> None:
    there = datetime(2023, 11, 15, 0, 13, 20, tzinfo=timezone(timedelta(hours=2)))
    assert from_logical(TIMESTAMP, there) == 1700000000000
    assert to_logical(TIMESTAMP, 1700000000000).tzinfo is UTC


def test_microseconds_are_cut_towards_the_past() -> None:
    assert from_logical(TIMESTAMP, datetime(1969, 12, 31, 23, 59, 59, 999999, UTC)) == -1


@pytest.mark.parametrize(
    ("schema", "value", "message"),
    [
        (
            decimal(2),
            Decimal("1.234"),
            "Decimal value has mismatching scale for given Decimal schema. Schema has scale 2, value has scale 3.",
        ),
        (decimal(0), Decimal("NaN"), "has no digits"),
        (decimal(0), 5, "A Decimal schema has values of decimal.Decimal, not int"),
        (
            Schema(Type.BYTES, name="org.apache.kafka.connect.data.Decimal"),
            Decimal(1),
            "Invalid Decimal schema: scale parameter not found.",
        ),
        (
            decimal(0).replace(parameters={"scale": "x"}),
            Decimal(1),
            "Invalid scale parameter found in Decimal schema: 'x'",
        ),
        (
            DATE,
            datetime(2023, 1, 1, 5, tzinfo=UTC),
            "Kafka Connect Date type should not have any time fields set to non-zero values.",
        ),
        (DATE, 5, "A Date schema has values of datetime.date, not int"),
        (
            TIME,
            datetime(2023, 1, 1, 5, tzinfo=UTC),
            "Kafka Connect Time type should not have any date fields set to non-zero values.",
        ),
        (TIME, 5, "A Time schema has values of datetime.time, not int"),
        (TIMESTAMP, 5, "A Timestamp schema has values of datetime.datetime, not int"),
        (TIMESTAMP, datetime(2023, 1, 1), "a datetime with a zone is right"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(schema: Schema, value: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        from_logical(schema, value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("schema", "written", "message"),
    [
        (TIME, -1, "Time values must use number of milliseconds greater than 0 and less than 86400000"),
        (TIME, 86_400_000, "Time values must use number of milliseconds"),
        (DATE, 10**7, "beyond the years 1 to 9999"),
        (DATE, 10**30, "beyond the years 1 to 9999"),
        (TIMESTAMP, 10**18, "beyond the years 1 to 9999"),
        (decimal(0), b"", "A decimal of no bytes"),
    ],
)
def test_what_python_cannot_hold_is_an_error_and_no_other_date(schema: Schema, written: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        to_logical(schema, written)
    assert message in str(caught.value)


def test_only_the_four_names_over_their_own_types_are_logical() -> None:
    assert codec(STRING) is None
    assert codec(Schema(Type.STRING, name=TIMESTAMP.name)) is None
    assert codec(DATE) is not None
    assert decimal_scale(decimal(5)) == 5
    assert decimal(5).parameters == {"scale": "5"}
    assert decimal(5).version == 1
    assert decimal(5, parameters={"unit": "EUR"}, optional=True).parameters == {"unit": "EUR", "scale": "5"}
