"""Caps: how much some rules may grant in one period, and which period a purchase counts in."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from processor.core.statement import LAST_DAY, statement_after

CounterKey = tuple[str, str]
"""A counter's key: the cap's id, with a card where it counts cards, and the period, as ``period_of`` names it."""


class CapPeriod(StrEnum):
    """Over which purchases a cap adds up.

    One, those of one local calendar period (weeks of ISO 8601), those from one of the card's statements to the next, or
    all.
    """

    PURCHASE = "purchase"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    BILLING_PERIOD = "billing-period"
    YEAR = "year"
    LIFETIME = "lifetime"


class CapHolder(StrEnum):
    """Whose purchases a cap adds up: those of an account, of each of its cards, or of all accounts of a household."""

    ACCOUNT = "account"
    CARD = "card"
    HOUSEHOLD = "household"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """How much the rules it names may grant one account, card or household in one period, in units of their benefit.

    It counts miles, or minor units of ``currency``: what discounts give, and what the funder of miles pays for them.
    ``statement_day`` is that of all cards whose purchases it counts, where it adds up by billing period.
    A cap that is of ``purchases`` counts those that were granted anything, whatever the unit.
    """

    id: str
    rules: frozenset[str]
    period: CapPeriod
    limit: int
    currency: str | None
    statement_day: int | None = None
    purchases: bool = False
    per: CapHolder = CapHolder.ACCOUNT

    def counter(self, day: date, purchase_id: bytes, card: str) -> CounterKey:
        """Return the counter of a purchase of one local day with one card, which is named in it where cards count.

        A card's counters are the account's own, with the card behind the cap, so that they are loaded by their period.
        """
        counts_card = card and self.per is CapHolder.CARD
        return f"{self.id}#{card}" if counts_card else self.id, period_of(self, day, purchase_id)

    def usage(self, granted: int) -> int:
        """Return what a grant uses of the cap; only what is granted above zero counts."""
        return usage(granted, purchases=self.purchases)


def with_statement_day(cap: Cap, day: int) -> Cap:
    """Return a cap as it counts for an account with a statement day of its own."""
    return replace(cap, statement_day=day) if cap.period is CapPeriod.BILLING_PERIOD else cap


def usage(granted: int, *, purchases: bool) -> int:
    """Return what a grant uses: itself, or one where purchases are counted; below zero it uses nothing."""
    return int(granted > 0) if purchases else max(granted, 0)


class Limit(NamedTuple):
    """A cap as one day's purchases meet it: the counter that it looks at, and the most that it may hold.

    ``key`` is None where each purchase has a counter of its own; ``purchases`` says that these are counted.
    """

    cap: str
    key: CounterKey | None
    most: int
    purchases: bool


def limits_of(caps: Iterable[Cap], day: date, card: str) -> tuple[Limit, ...]:
    """Return what caps mean for purchases of one local day with one card, empty where no cap counts cards."""
    return tuple(
        [
            Limit(
                cap.id,
                None if cap.period is CapPeriod.PURCHASE else cap.counter(day, b"", card),
                cap.limit,
                cap.purchases,
            )
            for cap in caps
        ]
    )


def period_of(cap: Cap, occurred_on: date, purchase_id: bytes) -> str:
    """Return the name of the period a purchase counts in, under one cap."""
    if cap.period is CapPeriod.PURCHASE:
        return purchase_id.hex()
    return calendar_period(cap.period, occurred_on, cap.statement_day or LAST_DAY)


@lru_cache(maxsize=8192)
def calendar_period(period: CapPeriod, day: date, statement_day: int = LAST_DAY) -> str:
    """Return the name of a period of the calendar; few days are asked for, each by many purchases."""
    match period:
        case CapPeriod.BILLING_PERIOD:
            return f"S{statement_after(day, statement_day).isoformat()}"
        case CapPeriod.DAY:
            return day.isoformat()
        case CapPeriod.WEEK:
            year, week, _ = day.isocalendar()
            return f"{year}-W{week:02d}"
        case CapPeriod.MONTH:
            return day.isoformat()[:7]
        case CapPeriod.QUARTER:
            return f"{day.year:04d}-Q{(day.month + 2) // 3}"
        case CapPeriod.YEAR:
            return day.isoformat()[:4]
    return "lifetime"
