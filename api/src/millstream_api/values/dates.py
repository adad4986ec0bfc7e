"""Dates as java.util.Date and SimpleDateFormat write and read them, in UTC.

Their calendar is Julian up to 4 October 1582 and Gregorian from the day after, which is the 15th.
"""

import re
from datetime import UTC, date, datetime, time
from typing import Any

from millstream_api.errors import DataError
from millstream_api.logical import DATE, DAY_MS, TIME, TIMESTAMP, from_logical, to_logical
from millstream_api.schema import Schema

__all__ = ["date_text", "milliseconds", "parse_temporal", "temporal_text"]

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAYS = ("Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed")  # 1 January 1970 was a Thursday
_FIRST_GREGORIAN = date(1582, 10, 15).toordinal() - date(1970, 1, 1).toordinal()
_EPOCH_JULIAN_DAY = 2_440_588  # of 1 January 1970, at noon

_DATE_FORM = re.compile(r"(\d+)-[ \t]*(-?\d+)-[ \t]*(-?\d+)")
_TIME_FORM = re.compile(r"(\d+):[ \t]*(-?\d+):[ \t]*(-?\d+)\.[ \t]*(-?\d+)Z")
_TIMESTAMP_FORM = re.compile(_DATE_FORM.pattern + r"T[ \t]*(-?\d+):[ \t]*(-?\d+):[ \t]*(-?\d+)\.[ \t]*(-?\d+)Z")


def milliseconds(value: date | time) -> int:
    """Give the milliseconds since 1970 of the java.util.Date that stands for a date, time or instant."""
    if isinstance(value, datetime):
        return int(from_logical(TIMESTAMP, value))
    if isinstance(value, date):
        return int(from_logical(DATE, value)) * DAY_MS
    return int(from_logical(TIME, value))


def date_text(value: date | time) -> str:
    """Give the text of java.util.Date: `Tue Nov 14 22:13:20 UTC 2023`."""
    days, ms = divmod(milliseconds(value), DAY_MS)
    year, month, day = _calendar(days)
    return f"{_DAYS[days % 7]} {_MONTHS[month - 1]} {day:02} {_clock(ms)[:8]} UTC {year}"


def temporal_text(value: date | time) -> str:
    """Give the text of a date in a header: a time before 2 January 1970, a date at midnight, else both.

    So a date before 1970 becomes a time, as in Values.dateFormatFor.
    """
    ms = milliseconds(value)
    if ms < DAY_MS:
        return _clock(ms % DAY_MS) + "Z"
    days, rest = divmod(ms, DAY_MS)
    day = "{:04}-{:02}-{:02}".format(*_calendar(days))
    return f"{day}T{_clock(rest)}Z" if rest else day


def parse_temporal(text: str) -> tuple[Schema, Any] | None:
    """Read `HH:mm:ss.SSSZ`, `yyyy-MM-ddTHH:mm:ss.SSSZ` or `yyyy-MM-dd`, known by their lengths.

    Lenient as SimpleDateFormat: month 13 is January of the next year. Other than there, text behind
    the date makes it no date. None when it is none, or one that Python's types cannot hold.
    """
    try:
        if len(text) == 13 and (found := _TIME_FORM.fullmatch(text)):
            return TIME, to_logical(TIME, _clock_ms(*found.groups()))
        if len(text) == 24 and (found := _TIMESTAMP_FORM.fullmatch(text)):
            parts = found.groups()
            return TIMESTAMP, to_logical(TIMESTAMP, _days(*parts[:3]) * DAY_MS + _clock_ms(*parts[3:]))
        if len(text) == 10 and (found := _DATE_FORM.fullmatch(text)):
            return DATE, to_logical(DATE, _days(*found.groups()))
    except DataError:
        return None
    return None


def _clock(ms: int) -> str:
    seconds, ms = divmod(ms, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{ms:03}"


def _clock_ms(hour: str, minute: str, second: str, ms: str) -> int:
    return ((int(hour) * 60 + int(minute)) * 60 + int(second)) * 1000 + int(ms)


def _calendar(days: int) -> tuple[int, int, int]:
    """Give year, month and day of a day counted from 1970."""
    if days >= _FIRST_GREGORIAN:
        day = datetime.fromtimestamp(days * 86400, UTC)
        return day.year, day.month, day.day
    rest = days + _EPOCH_JULIAN_DAY + 32082  # days since 1 March 4801 BC in the Julian calendar
    year = (4 * rest + 3) // 1461
    of_year = rest - 1461 * year // 4
    month = (5 * of_year + 2) // 153
    return year - 4800 + month // 10, month + 3 - 12 * (month // 10), of_year - (153 * month + 2) // 5 + 1


def _days(year_text: str, month_text: str, day_text: str) -> int:
    """Count the days from 1970 to a day whose month and day may be out of their range."""
    years, month = divmod(int(month_text) - 1, 12)
    year, day = int(year_text) + years, int(day_text)
    since_march = (month + 10) % 12
    shifted = year + 4800 - (month < 2)
    before = (153 * since_march + 2) // 5 + day - 1 + 365 * shifted + shifted // 4
    gregorian = before - shifted // 100 + shifted // 400 - 32044 - _EPOCH_JULIAN_DAY
    return gregorian if gregorian >= _FIRST_GREGORIAN else before - 32082 - _EPOCH_JULIAN_DAY
