"""Which business date a moment belongs to at a bank: cut-off, time zone, weekend and public holidays.

Settlement dates every posting by it; it reads no clock and, beyond the ``holidays`` library's tables, nothing at all.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final

import holidays

from processor.core.programme import BankCalendar

HolidaysOf = Callable[[str, int], frozenset[date]]
"""Returns the public holidays of a country, by its ISO 3166 code, in a year."""

LONGEST_CLOSURE: Final = 60
"""No calendar closes for this many days in a row; a search beyond them means that it never opens."""

_DAY: Final = timedelta(days=1)


@lru_cache(maxsize=1024)
def public_holidays(country: str, year: int) -> frozenset[date]:
    """Return a country's public holidays in a year, those moved from a weekend included."""
    return frozenset(holidays.country_holidays(country, years=year))


def is_business_day(calendar: BankCalendar, day: date, holidays_of: HolidaysOf = public_holidays) -> bool:
    """Tell whether a bank does business on a day."""
    if day.isoweekday() in calendar.weekend:
        return False
    return calendar.holidays is None or day not in holidays_of(calendar.holidays, day.year)


def business_date(calendar: BankCalendar, at: datetime, holidays_of: HolidaysOf = public_holidays) -> date:
    """Return the business date of a moment: the first business day whose cut-off is still to come.

    ``at`` is aware; a moment exactly at the cut-off belongs to the next day.
    The cut-off is compared as an instant, not as a clock's reading: when clocks go back and the cut-off's time comes
    twice, the first one counts, so that a later moment never has an earlier date.
    Raises ``ValueError`` for a calendar without business days.
    """
    instant = at.astimezone(UTC)
    day = at.astimezone(calendar.time_zone).date() - _DAY
    while instant >= datetime.combine(day, calendar.cut_off, tzinfo=calendar.time_zone).astimezone(UTC):
        day += _DAY
    return next_business_day(calendar, day, holidays_of)


def next_business_day(calendar: BankCalendar, day: date, holidays_of: HolidaysOf = public_holidays) -> date:
    """Return a day itself if it is a business day, else the next one; raises ``ValueError`` where there is none."""
    for ahead in range(LONGEST_CLOSURE):
        candidate = day + ahead * _DAY
        if is_business_day(calendar, candidate, holidays_of):
            return candidate
    raise ValueError(f"no business day in the {LONGEST_CLOSURE} days from {day}; check the bank's weekend and holidays")
