"""How a tier is reached: what a member must do in a period, and how long the tier is kept then.

A programme's tiers that state it are computed; ``core/qualifying.py`` says what a purchase counts towards them, and
``core/tier_change.py`` which tiers a counter gives and takes.
"""

from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum
from hashlib import blake2b
from typing import Final, NamedTuple

from processor.core.cap import CapPeriod

COUNTERS: Final = "tiers/"
"""What the names of the counters begin with that tiers are computed from; no cap and no rule has such a name."""


class Qualifying(StrEnum):
    """What counts towards a tier: amounts that cleared, miles that were posted, or purchases."""

    SPEND = "spend"
    MILES = "miles"
    PURCHASES = "purchases"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """What counts in one counter of each account and period; tiers that count the same share it.

    ``scale`` says how much progress a minor unit of each currency is, empty where no amount counts.
    ``rules`` are those whose miles count, or one of which must apply to a purchase; empty for all.
    ``counter`` names the counter by all of this, so that other terms in a later revision count anew.
    """

    counts: Qualifying
    period: CapPeriod
    scale: Mapping[str, int] = field(default_factory=dict)
    rules: frozenset[str] = frozenset()
    counter: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        stated = repr((self.counts.value, self.period.value, sorted(self.scale.items()), sorted(self.rules)))
        digest = blake2b(stated.encode(), digest_size=6).hexdigest()
        object.__setattr__(self, "counter", COUNTERS + digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Qualification:
    """What reaches a tier: at least so much progress of its measure in one period.

    The tier is kept to the end of that period and of ``further_periods`` behind it or, where ``months`` says so, for
    so many months from the day on which it was reached; for good where the period is a lifetime.
    ``falls_to`` is the lower tier that follows it then for one more period, or for as many months again.
    """

    tier: str
    measure: Measure
    least: int
    further_periods: int = 0
    months: int | None = None
    falls_to: str = ""

    def ends(self, period: str, reached: int, zone: tzinfo, *, again: int = 0) -> int | None:
        """Return until when the tier is kept that a period gives, in seconds since 1970 UTC; None where for good.

        ``reached`` is the moment from which on it is in force; days begin in ``zone``.
        ``again`` asks how long it would be kept for one more period, or for as many months once more.
        """
        if self.months is not None:
            on = datetime.fromtimestamp(reached, UTC).astimezone(zone).date()
            return _midnight(_months_later(on, self.months * (1 + again)) + timedelta(days=1), zone)
        behind = first_day_behind(self.measure.period, period, self.further_periods + again)
        return None if behind is None else _midnight(behind, zone)


def first_day_behind(kind: CapPeriod, name: str, further: int = 0) -> date | None:
    """Return the first day behind a named period of the calendar and so many more; None where it has no end."""
    match kind:
        case CapPeriod.DAY:
            return date.fromisoformat(name) + timedelta(days=1 + further)
        case CapPeriod.WEEK:
            year, _, week = name.partition("-W")
            return date.fromisocalendar(int(year), int(week), 1) + timedelta(weeks=1 + further)
        case CapPeriod.MONTH:
            return _months_later(date.fromisoformat(f"{name}-01"), 1 + further)
        case CapPeriod.QUARTER:
            year, _, quarter = name.partition("-Q")
            return _months_later(date(int(year), 3 * int(quarter) - 2, 1), 3 + 3 * further)
        case CapPeriod.YEAR:
            return date(int(name) + 1 + further, 1, 1)
    return None


def _months_later(day: date, months: int) -> date:
    """Return the same day so many months later, the last of a shorter month."""
    month = day.month - 1 + months
    year, month = day.year + month // 12, month % 12 + 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))


def _midnight(day: date, zone: tzinfo) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())


class Reached(NamedTuple):
    """What a fact about a computed tier says: the tier, the period that gave it, and under which revision.

    ``origin`` names the joined account that it was reached in, empty where it is the account's own.
    ``after`` is the tier that was reached where this one is the lower that follows it, empty where it is itself.
    """

    tier: str
    period: str
    revision: int
    origin: str = ""
    after: str = ""

    @property
    def given_by(self) -> str:
        """The tier whose qualification gives it."""
        return self.after or self.tier

    @property
    def value(self) -> str:
        """The value of the fact: its parts between slashes, the tier that it follows behind the period."""
        period = f"{self.period}~{self.after}" if self.after else self.period
        return "/".join((self.tier, period, str(self.revision), *filter(None, (self.origin,))))


def reached_of(value: str) -> Reached:
    """Return what the value of a fact about a computed tier says."""
    tier, when, revision, *origin = value.split("/")
    period, _, after = when.partition("~")
    return Reached(tier, period, int(revision), "".join(origin), after)
