"""Which tiers an account's counters give and take: a counter that passes a threshold either way changes facts.

A tier is reached under the revision in force when its counter moves, and given back once the counter falls below what
that same revision asked for.
Each period gives a tier by itself, so that one reached in an earlier period stays for as long as it is kept.
It takes values and returns values; the facts are recorded with the decision that moved the counter.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from processor.core.cap import CounterKey
from processor.core.person import Fact, FactKind
from processor.core.programme import Programme
from processor.core.qualification import COUNTERS, Qualification, Reached, reached_of


class TierChange(NamedTuple):
    """A tier that a counter gave (``holds``) or took, because it stands at ``stands`` where ``least`` is asked for.

    It takes effect at ``since`` and, where it was given, ends at ``until``, both in seconds since 1970 UTC.
    """

    reached: Reached
    counter: str
    stands: int
    least: int
    holds: bool
    since: int
    until: int | None

    def fact(self, number: int) -> Fact:
        """Return the fact that says so, under its number."""
        return Fact(number, FactKind.REACHED, self.reached.value, self.since, self.until, self.holds)


def moved_counters(before: Mapping[CounterKey, int], after: Mapping[CounterKey, int]) -> dict[CounterKey, int]:
    """Return where the counters of tiers stand that a decision moved."""
    return {
        key: stands for key, stands in after.items() if key[0].startswith(COUNTERS) and stands != before.get(key, 0)
    }


def tier_changes(
    moved: Mapping[CounterKey, int],
    facts: Sequence[Fact],
    *,
    bank: str,
    at: int,
    programme_at: Callable[[int], Programme | None],
    revision_of: Callable[[int], Programme],
) -> list[TierChange]:
    """Return what the counters that moved change of a member's computed tiers, from ``at`` on.

    ``facts`` are all of the member that are about computed tiers; ``bank`` is the one in whose time zone periods end.
    """
    latest = latest_reached(facts)
    changes: list[TierChange] = []
    programme = programme_at(at)
    for (counter, period), stands in sorted(moved.items()):
        held = {
            found: asked
            for found, fact in latest.items()
            if fact.holds and found.period == period
            if (asked := qualification_of(found.given_by, revision_of(found.revision))) is not None
            if asked.measure.counter == counter
        }
        changes += [
            TierChange(found, counter, stands, asked.least, holds=False, since=at, until=None)
            for found, asked in held.items()
            if stands < asked.least
        ]
        kept = {found.tier for found, asked in held.items() if stands >= asked.least and not found.after}
        if programme is not None:
            open_to = [
                entry
                for entry in programme.qualifications
                if entry.measure.counter == counter and entry.tier not in kept
            ]
            changes += _given(programme, bank, period, stands, open_to, at)
    places = {tier: place for place, tier in enumerate(programme.tiers if programme is not None else ())}
    changes.sort(key=lambda change: (places.get(change.reached.given_by, len(places)), bool(change.reached.after)))
    return [_behind(change, latest) for change in changes]


def with_changes(facts: Sequence[Fact], changes: Sequence[TierChange]) -> tuple[Fact, ...]:
    """Return facts with those that changes add, numbered on."""
    last = max((fact.number for fact in facts), default=0)
    return (*facts, *(change.fact(last + place) for place, change in enumerate(changes, start=1)))


def latest_reached(facts: Sequence[Fact]) -> dict[Reached, Fact]:
    """Return the last fact about each computed tier, by what it is about."""
    latest: dict[Reached, Fact] = {}
    for fact in facts:
        if fact.kind is FactKind.REACHED:
            found = reached_of(fact.value)
            before = latest.get(found)
            if before is None or (before.since, before.number) < (fact.since, fact.number):
                latest[found] = fact
    return latest


def qualification_of(tier: str, programme: Programme) -> Qualification | None:
    """Return what a tier is reached by under a revision, None where that revision does not compute it."""
    return next((entry for entry in programme.qualifications if entry.tier == tier), None)


def _given(
    programme: Programme, bank: str, period: str, stands: int, asked: Sequence[Qualification], at: int
) -> Iterator[TierChange]:
    """Yield the tiers that a counter has reached, each with what follows it; one that would be over is not given."""
    calendar = programme.calendars.get(bank)
    for entry in asked:
        if stands < entry.least or calendar is None:
            continue
        until = entry.ends(period, at, calendar.time_zone)
        if until is None or until > at:
            reached = Reached(entry.tier, period, programme.revision)
            yield TierChange(reached, entry.measure.counter, stands, entry.least, holds=True, since=at, until=until)
            if entry.falls_to and until is not None:
                yield TierChange(
                    reached._replace(tier=entry.falls_to, after=entry.tier),
                    entry.measure.counter,
                    stands,
                    entry.least,
                    holds=True,
                    since=until,
                    until=entry.ends(period, at, calendar.time_zone, again=1),
                )


def _behind(change: TierChange, latest: Mapping[Reached, Fact]) -> TierChange:
    """Let a change begin no earlier than what it changes, which a host's clock may have put ahead."""
    fact = latest.get(change.reached)
    return change if fact is None or fact.since <= change.since else change._replace(since=fact.since)
