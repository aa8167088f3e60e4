"""Caps: how much some rules may grant in one period, and which period a purchase counts in."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

CounterKey = tuple[str, str]
"""A counter's key: the cap's id and the period it counts, as ``period_of`` names it."""


class CapPeriod(StrEnum):
    """Over which purchases a cap adds up: one, those of one local calendar period (weeks of ISO 8601), or all."""

    PURCHASE = "purchase"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"
    LIFETIME = "lifetime"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """How much the rules it names may grant one account in one period, in units of their benefit.

    Miles caps count miles; discount caps count minor units of ``currency``.
    """

    id: str
    rules: frozenset[str]
    period: CapPeriod
    limit: int
    currency: str | None


class Limit(NamedTuple):
    """A cap as one day's purchases meet it: the counter that it looks at, and the most that it may hold.

    ``key`` is None where each purchase has a counter of its own.
    """

    cap: str
    key: CounterKey | None
    most: int


def limits_of(caps: Iterable[Cap], day: date) -> tuple[Limit, ...]:
    """Return what caps mean for purchases of one local day."""
    return tuple(
        [
            Limit(
                cap.id,
                None if cap.period is CapPeriod.PURCHASE else (cap.id, calendar_period(cap.period, day)),
                cap.limit,
            )
            for cap in caps
        ]
    )


def period_of(cap: Cap, occurred_on: date, purchase_id: bytes) -> str:
    """Return the name of the period a purchase counts in, under one cap."""
    if cap.period is CapPeriod.PURCHASE:
        return purchase_id.hex()
    return calendar_period(cap.period, occurred_on)


@lru_cache(maxsize=8192)
def calendar_period(period: CapPeriod, day: date) -> str:
    """Return the name of a period of the calendar; few days are asked for, each by many purchases."""
    match period:
        case CapPeriod.DAY:
            return day.isoformat()
        case CapPeriod.WEEK:
            year, week, _ = day.isocalendar()
            return f"{year}-W{week:02d}"
        case CapPeriod.MONTH:
            return day.isoformat()[:7]
        case CapPeriod.YEAR:
            return day.isoformat()[:4]
    return "lifetime"
