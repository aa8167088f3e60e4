"""What an account's counters must hold: added up anew from its purchases, for the verification of the books."""

from collections.abc import Callable, Iterable, Iterator
from datetime import date

from processor.core.budget import HOLDERS
from processor.core.cap import CounterKey, calendar_period
from processor.core.household import OWN, household_in
from processor.core.kept_purchase import Purchase
from processor.core.programme import Programme
from processor.core.qualification import Qualifying
from processor.core.tally import Tally, cut_counter
from processor.core.velocity import VELOCITY

RevisionOf = Callable[[str, int], Programme]
"""Returns a programme's revision by number; raises ``LookupError`` for one that is not known."""

Decided = tuple[Purchase, Programme, date]
"""A decided purchase, its revision, and the local date whose periods it counts in."""


def decided_purchases(purchases: Iterable[Purchase], programme: str, revision_of: RevisionOf) -> Iterator[Decided]:
    """Yield the purchases that were decided; a revision that is not known leaves its own out, which then differ."""
    for purchase in purchases:
        if purchase.revision is None or purchase.occurred_on is None:
            continue
        try:
            revision = revision_of(programme, purchase.revision)
        except LookupError:
            continue
        yield purchase, revision.of_statement_day(purchase.statement_day), purchase.occurred_on


def counters_of(decided: Iterable[Decided]) -> dict[CounterKey, int]:
    """Return what purchases have used of caps and of pools of holders, and counted in tallies and towards tiers."""
    used: dict[CounterKey, int] = {}

    def add(key: CounterKey, units: int) -> None:
        used[key] = used.get(key, 0) + units

    for purchase, programme, day in decided:
        for key, progress in _towards_tiers(purchase, programme, day):
            add(key, progress)
        for grant in purchase.grants:
            for pool, period, units in grant.budgets:
                if pool.endswith((HOLDERS, OWN, VELOCITY)) and not household_in(pool):
                    add((pool, period), units)
            for cap in programme.caps_on(grant.rule, grant.unit):
                add(cap.counter(day, purchase.id, purchase.card), cap.usage(grant.granted))
            tally = programme.tallies.get(grant.rule)
            if tally is not None:
                add(tally.counter(grant.rule, day), grant.counted.progress)
                add(cut_counter(tally.counter(grant.rule, day)), grant.counted.cut)
    return used


def _towards_tiers(purchase: Purchase, programme: Programme, day: date) -> Iterator[tuple[CounterKey, int]]:
    """Yield what a purchase counts towards tiers: miles as its grants have posted them, all else as it is kept."""
    of_miles = [measure for measure in programme.measures if measure.counts is Qualifying.MILES]
    known = {measure.counter for measure in of_miles}
    for entry in purchase.qualifying:
        if entry.counter not in known:
            yield (entry.counter, entry.period), entry.progress
    for measure in of_miles:
        posted = sum(
            grant.available
            for grant in purchase.grants
            if grant.unit == programme.unit and (not measure.rules or grant.rule in measure.rules)
        )
        yield (measure.counter, calendar_period(measure.period, day)), posted


def tallies_of(decided: Iterable[Decided]) -> tuple[dict[str, int], dict[str, int]]:
    """Return, by rule, what purchases have earned by tallies, and what their progress is worth."""
    earned: dict[str, int] = {}
    progress: dict[tuple[str, CounterKey], tuple[Tally, int]] = {}
    for purchase, programme, day in decided:
        for grant in purchase.grants:
            if grant.counted.earned:
                earned[grant.rule] = earned.get(grant.rule, 0) + grant.counted.earned
            tally = programme.tallies.get(grant.rule)
            if tally is not None:
                key = grant.rule, tally.counter(grant.rule, day)
                progress[key] = tally, progress.get(key, (tally, 0))[1] + grant.counted.progress
    worth: dict[str, int] = {}
    for (rule, _), (tally, stands) in progress.items():
        worth[rule] = worth.get(rule, 0) + tally.worth(stands)
    return earned, worth
