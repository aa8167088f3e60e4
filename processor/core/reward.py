"""Soft rewards: a status, or something that can be used so many times, with the days that it is valid.

A reward is counted in a unit of its own, the identifier of what the programme lets a holder have, which begins with a
small letter as no currency and no miles do.
What is granted, taken back and used is posted in that unit; how long it is valid follows from the rule and the day of
the purchase, and is stored nowhere.
"""

from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a funder pays the owner for one unit of a reward, in minor units."""

    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftReward:
    """What a holder can have: a status, or what is ``counted`` and used up; ``price`` is None where it is free."""

    id: str
    name: str
    counted: bool
    price: Price | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """How long a reward is valid: so many days after its purchase, until a day, or to the end of its year.

    One of the three is stated; what states none is valid for ever.
    """

    days: int | None = None
    until: date | None = None
    end_of_year: bool = False

    def last_day(self, granted_on: date) -> date:
        """Return the last day on which a reward of a purchase of this local date is valid."""
        if self.days is not None:
            return granted_on + timedelta(days=self.days)
        if self.end_of_year:
            return date(granted_on.year, 12, 31)
        return self.until or date.max


def is_reward(unit: str) -> bool:
    """Tell whether a unit counts a soft reward."""
    return unit[:1].islower()
