"""The days on which a card's statement is made, by which billing periods and statement-date posting go.

A statement covers the days before it, from the one before: its own day belongs to the next period.
"""

from calendar import monthrange
from datetime import date, timedelta
from functools import lru_cache
from typing import Final

LAST_DAY: Final = 31
"""The statement day of a card whose product states none: the last day of every month."""


@lru_cache(maxsize=8192)
def statement_after(day: date, statement_day: int) -> date:
    """Return the first statement date behind a day; a month that has no such day makes its statement on its last."""
    this_month = _statement_in(day, statement_day)
    if this_month > day:
        return this_month
    return _statement_in(day.replace(day=1) + timedelta(days=32), statement_day)


def _statement_in(month: date, statement_day: int) -> date:
    _, days = monthrange(month.year, month.month)
    return month.replace(day=min(statement_day, days))
