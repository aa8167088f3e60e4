"""What tier a member has at a moment, what gives it, and how far the member is towards those that are computed.

Operations and the member are told this; no decision reads it.
"""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import NamedTuple

from processor.core.cap import CounterKey, calendar_period
from processor.core.person import Fact, FactKind, in_force
from processor.core.programme import Programme
from processor.core.qualification import Qualification, reached_of


class TierStanding(NamedTuple):
    """A member's tier, and the fact that gives it; None for the lowest of somebody of whom none is known."""

    tier: str
    fact: Fact | None


class TierProgress(NamedTuple):
    """How far a member is in a period towards a tier: where the counter stands, and what is asked for."""

    asked: Qualification
    period: str
    stands: int

    @property
    def lacking(self) -> int:
        """What is lacking; nothing where the tier is reached."""
        return max(0, self.asked.least - self.stands)


def tier_at(programme: Programme, facts: Iterable[Fact], at: int) -> TierStanding:
    """Return the tier at a moment in seconds since 1970 UTC, empty where the programme has none.

    Of several facts that give the highest tier the one that lasts longest is named, and of those the first recorded.
    """
    places = {tier: place for place, tier in enumerate(programme.tiers)}
    found = TierStanding(next(iter(places), ""), None)
    best = (0, False, 0, 0)
    for fact in in_force(facts, at):
        if fact.kind not in {FactKind.TIER, FactKind.REACHED}:
            continue
        tier = reached_of(fact.value).tier if fact.kind is FactKind.REACHED else fact.value
        rank = (places.get(tier, -1), fact.until is None, fact.until or 0, -fact.number)
        if tier in places and (found.fact is None or rank > best):
            found, best = TierStanding(tier, fact), rank
    return found


def progress_at(programme: Programme, used: Mapping[CounterKey, int], day: date) -> list[TierProgress]:
    """Return how far an account is towards each tier that is computed, in the period of a day, the lowest first."""
    standing = []
    for entry in programme.qualifications:
        period = calendar_period(entry.measure.period, day)
        standing.append(TierProgress(entry, period, used.get((entry.measure.counter, period), 0)))
    return standing
