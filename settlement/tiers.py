"""Which computed tiers an account's counters give, compared with what was recorded, for the verification of the books.

A tier that holds must be given by its counter under the revision that it was reached under.
A counter must have given its tier where every revision of the programme computes it so and the tier was not over yet
when a decision last moved anything of the account.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from processor.core.cap import CounterKey
from processor.core.person import Fact
from processor.core.programme import Programme
from processor.core.qualification import COUNTERS, Qualification
from processor.core.tier_change import latest_reached, qualification_of
from settlement.counters import RevisionOf

MOST_REVISIONS: Final = 10_000
"""Revisions of one programme that are looked at."""

REACHED: Final = "reached"


def tiers_of(
    facts: Sequence[Fact],
    used: Mapping[CounterKey, int],
    *,
    programme: str,
    bank: str,
    last: datetime | None,
    revision_of: RevisionOf,
) -> tuple[dict[str, str], dict[str, str]]:
    """Return what is recorded of an account's computed tiers and what its counters give, by tier, period and revision.

    ``used`` are its counters; ``last`` is when a decision last moved anything of it.
    """
    stated: dict[str, str] = {}
    calculated: dict[str, str] = {}
    held: set[tuple[str, str]] = set()
    for found, fact in latest_reached(facts).items():
        if not fact.holds:
            continue
        if not found.after:
            held.add((found.tier, found.period))
        stated[found.value] = REACHED
        asked = _asked(revision_of, programme, found.revision, found.given_by)
        if asked is not None:
            stands = used.get((asked.measure.counter, found.period), 0)
            calculated[found.value] = REACHED if stands >= asked.least else f"{stands} of {asked.least}"
    if last is not None and any(counter.startswith(COUNTERS) for counter, _ in used):
        for tier, period in _given(list(_revisions(revision_of, programme)), used, bank, last):
            if (tier, period) not in held:
                calculated[f"{tier}/{period}"] = REACHED
    return stated, calculated


def _asked(revision_of: RevisionOf, programme: str, revision: int, tier: str) -> Qualification | None:
    try:
        known = revision_of(programme, revision)
    except LookupError:
        return None
    return qualification_of(tier, known)


def _revisions(revision_of: RevisionOf, programme: str) -> Iterator[Programme]:
    for revision in range(1, MOST_REVISIONS):
        try:
            yield revision_of(programme, revision)
        except LookupError:
            return


def _given(
    revisions: Sequence[Programme], used: Mapping[CounterKey, int], bank: str, last: datetime
) -> Iterator[tuple[str, str]]:
    """Yield the tiers, with their periods, that counters give under every revision and that were not over yet."""
    latest = revisions[-1] if revisions else None
    calendar = latest.calendars.get(bank) if latest is not None else None
    if latest is None or calendar is None:
        return
    moment = int(last.timestamp())
    for entry in latest.qualifications:
        terms = [qualification_of(entry.tier, revision) for revision in revisions]
        for (counter, period), stands in used.items():
            if any(term is None or term.measure.counter != counter or stands < term.least for term in terms):
                continue
            until = entry.ends(period, moment, calendar.time_zone)
            if until is None or until > moment:
                yield entry.tier, period
