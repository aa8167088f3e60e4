"""The dates of a message: when it was sent, and which day it was at the card acceptor.

It decides the year of a date that has none.
It never looks at a clock: the time of receipt comes in.
"""

from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Final

from processor.wire.decode import Decoded
from processor.wire.dialect import Dialect

FUTURE_DAYS: Final = 2
"""A date without a year is the latest one that is at most this many days after receipt."""

_LEAP_YEARS_APART: Final = 8
_WITHOUT_YEAR: Final = 10
_WITH_YEAR: Final = 12
_CLOCK: Final = 6


def is_dated(decoded: Decoded, dialect: Dialect, *, clearing: bool) -> bool:
    """Tell whether a message carries the fields that date it."""
    if clearing:
        return "local_date_time" in decoded.fields or "action_date" in decoded.fields
    return all(field in decoded.fields for field in dialect.dated_by)


def sent_at(decoded: Decoded, dialect: Dialect, received_at: datetime) -> datetime:
    """Return when an online message was sent, from the fields that date it in its dialect, taken as UTC.

    They join to MMDDhhmmss or YYMMDDhhmmss; raises :class:`~processor.wire.decode.DecodeFailure` where they do not.
    """
    name = dialect.dated_by[0]
    parts = [decoded.fields.get(field, "") for field in dialect.dated_by]
    if "" in parts:
        missing = dialect.dated_by[parts.index("")]
        raise decoded.failure(missing, "is missing; it dates the message", dialect.numbers)
    stated = "".join(parts)
    if len(stated) == _WITH_YEAR:
        return _with_year(decoded, dialect, name, stated, received_at)
    day = None
    if len(stated) == _WITHOUT_YEAR and stated.isdecimal():
        day = resolve(stated[:4], received_at.astimezone(UTC).toordinal() + FUTURE_DAYS)
    if day is None:
        raise decoded.failure(name, "is not a date MMDDhhmmss", dialect.numbers)
    return _at(decoded, dialect, name, day, stated[4:])


def recorded_at(decoded: Decoded, dialect: Dialect, received_at: datetime) -> datetime:
    """Return the card acceptor's own time (YYMMDDhhmmss) taken as UTC, since a clearing record carries no other.

    A fee, which no card acceptor makes, is dated by its date of action.
    """
    name = "local_date_time"
    stated = decoded.fields.get(name)
    if stated is None:
        action_date = decoded.fields.get("action_date")
        if action_date is None:
            raise decoded.failure(name, "is missing; it dates the record", dialect.numbers)
        name, stated = "action_date", f"{action_date}000000"
    return _with_year(decoded, dialect, name, stated, received_at)


def local_date_of(decoded: Decoded, received_at: datetime, oddities: list[str]) -> date | None:
    """Return the purchase's date at the card acceptor, None where it is absent or, which is noted, no date."""
    name = "local_date" if "local_date" in decoded.fields else "local_date_time"
    stated = decoded.fields.get(name)
    if stated is None:
        return None
    day = None
    if stated.isdecimal() and name == "local_date" and len(stated) == 4:
        day = resolve(stated, received_at.astimezone(UTC).toordinal() + FUTURE_DAYS)
    elif stated.isdecimal() and len(stated) >= 6:
        day = _day_with_year(stated[:6])
    if day is None:
        oddities.append(f"{name} is not a date")
    return day


def local_time_of(decoded: Decoded) -> str:
    """Return the time at the card acceptor as HHMM, empty where it is absent or no time."""
    stated = decoded.fields.get("local_time")
    if stated is None:
        stated = decoded.fields.get("local_date_time", "")[6:]
    if not (stated.isascii() and stated.isdecimal() and len(stated) == _CLOCK):
        return ""
    return stated[:4] if stated[:2] < "24" and stated[2:4] < "60" else ""


def _with_year(decoded: Decoded, dialect: Dialect, name: str, stated: str, received_at: datetime) -> datetime:
    day = _day_with_year(stated[:6]) if stated.isdecimal() and len(stated) == _WITH_YEAR else None
    if day is None:
        raise decoded.failure(name, "is not a date YYMMDDhhmmss", dialect.numbers)
    if day.toordinal() > received_at.astimezone(UTC).toordinal() + FUTURE_DAYS:
        raise decoded.failure(name, f"lies more than {FUTURE_DAYS} days ahead of its receipt", dialect.numbers)
    return _at(decoded, dialect, name, day, stated[6:])


def _at(decoded: Decoded, dialect: Dialect, name: str, day: date, time: str) -> datetime:
    hour, minute, second = int(time[:2]), int(time[2:4]), int(time[4:])
    if hour > 23 or minute > 59 or second > 59:
        raise decoded.failure(name, "is not a time hhmmss", dialect.numbers)
    return datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=UTC)


@lru_cache(maxsize=4096)
def resolve(month_day: str, latest: int) -> date | None:
    """Return the latest date of that month and day whose ordinal is at most ``latest``; None where there is none."""
    newest = date.fromordinal(latest)
    month, day = int(month_day[:2]), int(month_day[2:])
    for year in range(newest.year, newest.year - _LEAP_YEARS_APART - 1, -1):
        found = _date(year, month, day)
        if found is not None and found <= newest:
            return found
    return None


@lru_cache(maxsize=4096)
def _day_with_year(digits: str) -> date | None:
    return _date(2000 + int(digits[:2]), int(digits[2:4]), int(digits[4:]))


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None
