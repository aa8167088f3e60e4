"""Who a rule is for: tier, segment, age of membership, birthday, an offer accepted or made, a soft reward held.

What is known of a member is a set of facts, each in force from a moment on, and until another one where it says so.
A purchase sees the facts that were in force at its anchor's instant, so that facts recorded later change nothing that
happened before; dates are compared with the anchor's local date.
"""

from calendar import monthrange
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

Window = tuple[int, int]
"""How many days before a birthday, and how many after it, a rule applies."""


class FactKind(StrEnum):
    """What a fact is about."""

    TIER = "tier"
    SEGMENT = "segment"
    OPTED_IN = "opted-in"
    LISTED = "listed"
    MEMBER_SINCE = "member-since"
    BIRTHDAY = "birthday"
    HOUSEHOLD = "household"
    REACHED = "reached-tier"
    """A tier that is computed; ``core/qualification.py`` says what its value holds."""
    STATEMENT_DAY = "statement-day"
    """The day of the month on which the account's statements are made, ``1`` to ``31``; no rule asks for it."""
    HOLDS = "holds"
    """Told by the ledger and recorded nowhere: a soft reward and its last day, as ``UNIT/YYYY-MM-DD``."""


NAMING: Final = frozenset({FactKind.SEGMENT, FactKind.OPTED_IN, FactKind.LISTED, FactKind.REACHED, FactKind.HOLDS})
"""Kinds of which a member can have several facts in force at once, each with a value of its own."""


class PersonUnmet(StrEnum):
    """What a member does not meet, by its key in the programme document."""

    TIERS = "tiers"
    TIER_FROM = "tier_from"
    SEGMENTS = "segments"
    MEMBER_FOR = "member_for"
    BIRTHDAY = "birthday"
    OPTED_IN = "opted_in"
    LISTED = "listed"
    HOLDS = "holds"


LATE: Final = frozenset(
    {PersonUnmet.MEMBER_FOR, PersonUnmet.BIRTHDAY, PersonUnmet.OPTED_IN, PersonUnmet.LISTED, PersonUnmet.HOLDS}
)
"""What differs from member to member, and so is not part of a purchase's kind."""


class Fact(NamedTuple):
    """One thing known of a member: ``value`` is a tier, a segment, a rule, a date, a birthday as MM-DD, a household.

    It is in force from ``since`` to before ``until`` (seconds since 1970 UTC; None is without end).
    ``number`` counts the member's facts in the order in which they were recorded.
    ``holds`` is false for one that ends another.
    """

    number: int
    kind: FactKind
    value: str
    since: int
    until: int | None = None
    holds: bool = True


class Member(NamedTuple):
    """What a purchase's rules may know of its member, as it was when the purchase happened.

    ``reached`` are the tier and all below it; of ``segments``, ``opted_in``, ``listed`` and the soft rewards that it
    ``holds`` it has what rules name.
    ``windows`` are those of the rules' birthday windows in which the purchase lies; the birthday itself is not here.
    ``household`` is the one whose caps count, empty where there is none or no cap counts households.
    """

    tier: str = ""
    reached: frozenset[str] = frozenset()
    segments: frozenset[str] = frozenset()
    opted_in: frozenset[str] = frozenset()
    listed: frozenset[str] = frozenset()
    member_since: date | None = None
    windows: frozenset[Window] = frozenset()
    holds: frozenset[str] = frozenset()
    household: str = ""


NOBODY: Final = Member()
"""Who is asked for nothing: the member of a programme whose rules are for everybody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Age:
    """How long somebody must have been a member: from so many whole days or months to less than so many."""

    at_least_days: int | None = None
    at_least_months: int | None = None
    less_than_days: int | None = None
    less_than_months: int | None = None

    def holds(self, since: date | None, on: date) -> bool:
        """Tell whether the membership is as old on a day as is asked for; one that is not known never is."""
        if since is None or on < since:
            return False
        days, months = (on - since).days, completed_months(since, on)
        return (
            (self.at_least_days is None or days >= self.at_least_days)
            and (self.at_least_months is None or months >= self.at_least_months)
            and (self.less_than_days is None or days < self.less_than_days)
            and (self.less_than_months is None or months < self.less_than_months)
        )


def completed_months(since: date, on: date) -> int:
    """Return how many whole months lie between two days; a month from the 31st ends with a shorter month."""
    whole = (on.year - since.year) * 12 + on.month - since.month
    return whole - (on.day < min(since.day, monthrange(on.year, on.month)[1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who a rule is for; what is left out asks for nothing.

    ``tiers`` are those one of which the member has, ``tier_from`` the lowest that will do; ``segments`` those of which
    the member is in one at least.
    ``opted_in`` and ``listed`` are the rule's own identifier where it asks for that.
    ``holds`` are the soft rewards one of which the member can use, or has where it is a status.
    """

    tiers: frozenset[str] = frozenset()
    tier_from: str = ""
    segments: frozenset[str] = frozenset()
    member_for: Age | None = None
    birthday: Window | None = None
    opted_in: str = ""
    listed: str = ""
    holds: frozenset[str] = frozenset()

    @property
    def is_late(self) -> bool:
        """Tell whether something is asked for that differs from member to member."""
        return bool(self.member_for or self.birthday is not None or self.opted_in or self.listed or self.holds)

    def unmet(self, member: Member, on: date) -> PersonUnmet | None:
        """Return the first thing asked for that a member does not meet on a day; what is late comes last."""
        if self.tiers and member.tier not in self.tiers:
            return PersonUnmet.TIERS
        if self.tier_from and self.tier_from not in member.reached:
            return PersonUnmet.TIER_FROM
        if self.segments and not self.segments & member.segments:
            return PersonUnmet.SEGMENTS
        return self.unmet_late(member, on) if self.is_late else None

    def unmet_late(self, member: Member, on: date) -> PersonUnmet | None:
        """Return the first thing a member does not meet of what differs from member to member."""
        if self.member_for and not self.member_for.holds(member.member_since, on):
            return PersonUnmet.MEMBER_FOR
        if self.birthday is not None and self.birthday not in member.windows:
            return PersonUnmet.BIRTHDAY
        if self.opted_in and self.opted_in not in member.opted_in:
            return PersonUnmet.OPTED_IN
        if self.listed and self.listed not in member.listed:
            return PersonUnmet.LISTED
        if self.holds and not self.holds & member.holds:
            return PersonUnmet.HOLDS
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a programme's rules ask of members, and its tiers, the lowest first.

    ``held`` are the soft rewards that rules ask for; ``by_statement`` says that accounts' own statement days count.
    ``by_household`` says that a cap counts households.
    ``below`` is each tier with those below it, ``unknown`` a member of whom nothing is known.
    """

    tiers: tuple[str, ...]
    segments: frozenset[str]
    opted_in: frozenset[str]
    listed: frozenset[str]
    windows: frozenset[Window]
    by_tier: bool
    by_age: bool
    held: frozenset[str] = frozenset()
    by_statement: bool = False
    by_household: bool = False
    below: Mapping[str, frozenset[str]] = field(init=False, repr=False, compare=False)
    unknown: Member = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        below = {tier: frozenset(self.tiers[:place]) for place, tier in enumerate(self.tiers, start=1)}
        object.__setattr__(self, "below", below)
        lowest = self.tiers[0] if self.tiers else ""
        unknown = Member(tier=lowest if self.by_tier else "", reached=below.get(lowest, frozenset()))
        object.__setattr__(self, "unknown", unknown)

    def kinds(self) -> frozenset[FactKind]:
        """Return the kinds of facts that are looked at whatever their value, as far as rules ask for them."""
        kinds = {
            FactKind.TIER: self.by_tier,
            FactKind.REACHED: self.by_tier,
            FactKind.MEMBER_SINCE: self.by_age,
            FactKind.BIRTHDAY: bool(self.windows),
            FactKind.STATEMENT_DAY: self.by_statement,
            FactKind.HOUSEHOLD: self.by_household,
        }
        return frozenset(kind for kind, wanted in kinds.items() if wanted)

    def values(self) -> frozenset[str]:
        """Return the segments and rules that are named, whose facts are looked at."""
        return self.segments | self.opted_in | self.listed


def asked_by(
    persons: Iterable[Person | None],
    tiers: tuple[str, ...],
    *,
    by_statement: bool = False,
    by_household: bool = False,
) -> Asked | None:
    """Return what is asked of members, None where rules are all for everybody and nothing else looks at facts.

    Accounts' own statement days do, and caps that count households.
    """
    stated = [person for person in persons if person is not None]
    if not (stated or by_statement or by_household):
        return None
    return Asked(
        tiers=tiers,
        segments=frozenset(segment for person in stated for segment in person.segments),
        opted_in=frozenset(person.opted_in for person in stated if person.opted_in),
        listed=frozenset(person.listed for person in stated if person.listed),
        windows=frozenset(person.birthday for person in stated if person.birthday is not None),
        by_tier=any(person.tiers or person.tier_from for person in stated),
        by_age=any(person.member_for for person in stated),
        held=frozenset(reward for person in stated for reward in person.holds),
        by_statement=by_statement,
        by_household=by_household,
    )


def member_at(asked: Asked, facts: Sequence[Fact], *, at: int, on: date) -> Member:
    """Return what a purchase's rules may know of its member: the facts in force at an instant, seen on a local date.

    Of several facts about one thing that are in force the one that began last counts, and of those the one recorded
    last; where it ends before another, the other counts again.
    A member has the highest of the tiers that were reached and the one that was recorded by hand; one without a tier,
    or with none that the revision declares, has the lowest.
    """
    if not facts:
        return asked.unknown
    alone: dict[str, str] = {}
    named: dict[str, set[str]] = {}
    for fact in in_force(facts, at):
        if fact.kind in NAMING:
            named.setdefault(fact.kind, set()).add(fact.value)
        else:
            alone[fact.kind] = fact.value
    tier, birthday, since = (alone.get(kind, "") for kind in (FactKind.TIER, FactKind.BIRTHDAY, FactKind.MEMBER_SINCE))
    if tier not in asked.below:
        tier = asked.tiers[0] if asked.tiers else ""
    if FactKind.REACHED in named:
        tier = _highest(asked, tier, named[FactKind.REACHED])
    return Member(
        tier=tier if asked.by_tier else "",
        reached=reached(asked, tier),
        segments=asked.segments.intersection(named.get(FactKind.SEGMENT, ())),
        opted_in=asked.opted_in.intersection(named.get(FactKind.OPTED_IN, ())),
        listed=asked.listed.intersection(named.get(FactKind.LISTED, ())),
        member_since=date.fromisoformat(since) if since and asked.by_age else None,
        windows=_windows(asked.windows, birthday, on) if birthday else frozenset(),
        holds=_held(asked, named.get(FactKind.HOLDS, ()), on),
        household=alone.get(FactKind.HOUSEHOLD, "") if asked.by_household else "",
    )


def _held(asked: Asked, told: Iterable[str], on: date) -> frozenset[str]:
    """Return the soft rewards that are asked for and valid on a day."""
    stated = (value.partition("/") for value in told)
    return asked.held.intersection(unit for unit, _, last_day in stated if on <= date.fromisoformat(last_day))


def statement_day_at(facts: Sequence[Fact], *, at: int) -> int | None:
    """Return the account's own statement day at an instant, None where it has none of its own."""
    stated = [fact for fact in facts if fact.kind is FactKind.STATEMENT_DAY]
    days = [int(fact.value) for fact in in_force(stated, at)] if stated else []
    return days[0] if days else None


def reached(asked: Asked, tier: str) -> frozenset[str]:
    """Return a tier and all below it."""
    return asked.below.get(tier, frozenset())


def _highest(asked: Asked, tier: str, reached_by: Iterable[str]) -> str:
    """Return the highest of a tier and those that were reached, as far as the revision declares them."""
    named = [value.partition("/")[0] for value in reached_by]
    return max((tier, *named), key=lambda each: len(asked.below.get(each, ())))


def in_force(facts: Iterable[Fact], at: int) -> list[Fact]:
    """Return the facts that count at an instant, one about each thing, those aside that end what was so."""
    ruling: dict[tuple[str, str], Fact] = {}
    for fact in facts:
        number, kind, value, since, until, _ = fact
        if since > at or (until is not None and until <= at):
            continue
        about = (kind, value if kind in NAMING else "")
        before = ruling.get(about)
        if before is None or (before.since, before.number) < (since, number):
            ruling[about] = fact
    return [fact for fact in ruling.values() if fact.holds]


@lru_cache(maxsize=4096)
def _windows(windows: frozenset[Window], birthday: str, on: date) -> frozenset[Window]:
    """Return the windows about a birthday in which a day lies; few days and birthdays are asked for by many."""
    return frozenset(window for window in windows if in_window(window, birthday, on))


def in_window(window: Window, birthday: str, on: date) -> bool:
    """Tell whether a day lies about a birthday, given as MM-DD, of its own year or of the one beside it.

    Who was born on 29 February has the 28th in years without one.
    """
    before, after = window
    month, day = int(birthday[:2]), int(birthday[3:])
    for year in range(max(date.min.year, on.year - 1), min(date.max.year, on.year + 1) + 1):
        days = (on - date(year, month, min(day, monthrange(year, month)[1]))).days
        if -before <= days <= after:
            return True
    return False
