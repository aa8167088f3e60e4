"""What an account held of soft rewards when a purchase happened, for rules that ask for it.

It is a fact of the member as others are: what is booked is so from the next second on, and a use, a refund or the last
day ends it.
So a purchase sees what was booked before it happened, whatever is booked afterwards.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import date
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from processor.core.holding import Holding, settled
from processor.core.person import Asked, Fact, FactKind, Member


class Entry(NamedTuple):
    """A booking of a soft reward: so many granted, or used, both below zero where that is undone.

    ``at`` is the first second in which it counts (since 1970 UTC); the rest is as in :class:`Holding`.
    """

    at: int
    purchase_id: bytes
    rule: str
    unit: str
    granted: int
    used: int
    last_day: date
    cycle: str = ""


class Seen(NamedTuple):
    """What a purchase was decided with: what its account held at the instant of its anchor."""

    at: int
    units: tuple[str, ...]


def first_second(booked_at: float) -> int:
    """Return the first second in which something counts that was booked at a time, in seconds since 1970."""
    return int(booked_at // 1) + 1


def held_facts(entries: Iterable[Entry], units: Collection[str], *, since: int) -> tuple[Fact, ...]:
    """Return what an account held of some rewards from an instant on, as facts: one after each booking.

    What was booked before ``since`` is summed up, for no purchase that is decided happened earlier.
    """
    found: list[Fact] = []
    for unit in sorted(units):
        of_unit = sorted((entry for entry in entries if entry.unit == unit), key=attrgetter("at"))
        holdings: dict[tuple[bytes, str], Holding] = {}
        begins: list[tuple[int, date]] = []
        for at, booked in groupby(of_unit, key=lambda entry: max(entry.at, since)):
            for entry in booked:
                _book(holdings, entry)
            last_day = last_usable(list(holdings.values()))
            if last_day is not None:
                begins.append((at, last_day))
            elif begins:
                begins.append((at, date.min))
        ends: list[int | None] = [at for at, _ in begins[1:]]
        for (at, last_day), until in zip(begins, [*ends, None], strict=False):
            if last_day > date.min:
                found.append(Fact(0, FactKind.HOLDS, f"{unit}/{last_day.isoformat()}", at, until))
    return tuple(found)


def _book(holdings: dict[tuple[bytes, str], Holding], entry: Entry) -> None:
    key = entry.purchase_id, entry.rule
    nothing = Holding(entry.purchase_id, entry.rule, entry.unit, 0, 0, 0, entry.last_day, entry.cycle)
    before = holdings.get(key, nothing)
    holdings[key] = before._replace(granted=before.granted + entry.granted, used=before.used + entry.used)


def last_usable(holdings: Sequence[Holding]) -> date | None:
    """Return the last day on which one reward of these holdings can be used, None where none can be at any time."""
    after = settled(holdings)
    there = sum(holding.left for holding in after if holding.left < 0)
    for holding in sorted(after, key=attrgetter("last_day"), reverse=True):
        there += max(0, holding.left)
        if there > 0:
            return holding.last_day
    return None


def facts_seen(facts: Sequence[Fact], seen: Seen | None, *, at: int) -> Sequence[Fact]:
    """Return the facts for a decision: what was seen when the purchase was decided for this instant is kept."""
    if seen is None or seen.at != at:
        return facts
    kept = [Fact(0, FactKind.HOLDS, f"{unit}/{date.max.isoformat()}", at) for unit in seen.units]
    return (*(fact for fact in facts if fact.kind is not FactKind.HOLDS), *kept)


def seen_by(asked: Asked | None, member: Member, *, at: int | None) -> Seen | None:
    """Return what a decision saw, to be kept with its purchase; None where no rule asks for anything that is held.

    ``at`` is None where nobody knows yet when the purchase happened: then nothing was looked at.
    """
    if asked is None or not asked.held or at is None:
        return None
    return Seen(at, tuple(sorted(member.holds)))
