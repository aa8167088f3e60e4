"""When a rule's miles are posted, where that is not as soon as what earned them has cleared.

A programme states it for all of its rules, a rule for itself; ``core/course.py`` says what of a purchase is due.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from processor.core.cap import Cap, CapPeriod
from processor.core.statement import statement_after


class Moment(StrEnum):
    """What must happen behind clearing: the days in which goods may be returned, a release, the card's statement."""

    AFTER_DAYS = "after_days"
    RELEASE = "release"
    STATEMENT = "statement"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What must happen behind clearing; ``days`` means something for ``AFTER_DAYS`` alone."""

    moment: Moment
    days: int = 0

    @property
    def is_on_release(self) -> bool:
        """Tell whether operations say when."""
        return self.moment is Moment.RELEASE

    def due_on(self, cleared_on: date, statement_day: int) -> date | None:
        """Return the day on which what cleared on a day is due, None where operations say when."""
        if self.moment is Moment.AFTER_DAYS:
            return cleared_on + timedelta(days=self.days)
        if self.moment is Moment.STATEMENT:
            return statement_after(cleared_on, statement_day)
        return None


def goes_by_statement(caps: Iterable[Cap], timings: Iterable[Timing]) -> bool:
    """Tell whether a cap counts by billing period or a rule posts on the statement date."""
    by_period = any(cap.period is CapPeriod.BILLING_PERIOD for cap in caps)
    return by_period or any(timing.moment is Moment.STATEMENT for timing in timings)
