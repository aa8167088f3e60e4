"""What a purchase counts towards tiers, and that it is counted once, exactly, and taken off again.

Part of the decision behind the grants: it reads what has cleared, which rules apply and what they have posted.
What a purchase counts is kept with it, by counter and period, so that whatever changes it takes off exactly that.
"""

from collections.abc import Collection, Iterable, Mapping, MutableMapping
from datetime import date
from typing import NamedTuple

from processor.core.cap import CounterKey, calendar_period
from processor.core.money import Rounding, divide
from processor.core.programme import Programme
from processor.core.purchase import Folded
from processor.core.qualification import Measure, Qualifying


class Counts(NamedTuple):
    """What one purchase counts in one counter of one period."""

    counter: str
    period: str
    progress: int


class Moved(NamedTuple):
    """What a decision did to one counter: where it stood, and what its purchase counted before and counts now."""

    counter: str
    period: str
    stood: int
    before: int
    now: int


def counts_of(
    programme: Programme,
    folded: Folded,
    *,
    product: str,
    day: date,
    applying: Collection[str],
    posted: Mapping[str, int],
) -> tuple[Counts, ...]:
    """Return what a purchase counts towards the tiers of its programme's revision, nothing left out but zeros.

    ``product`` is its card product and ``day`` its local date; ``applying`` are the rules that apply to it, ``posted``
    the miles that rules have posted for it.
    Amounts count as billed, before the bank's mark-up, in the currencies that the measure rates.
    """
    found = []
    for measure in programme.measures:
        progress = progress_of(measure, programme, folded, product, applying=applying, posted=posted)
        if progress:
            found.append(Counts(measure.counter, calendar_period(measure.period, day), progress))
    return tuple(found)


def nothing_of(folded: Folded) -> Folded:
    """Return a purchase that neither its amounts nor itself count, because it is of a kind that earns nothing.

    Miles that others' sums owe on its account, or that it owes them, are posted all the same and count.
    """
    return folded._replace(transaction=(), billing=())


def progress_of(
    measure: Measure,
    programme: Programme,
    folded: Folded,
    product: str,
    *,
    applying: Collection[str],
    posted: Mapping[str, int],
) -> int:
    """Return the progress that a purchase is by one measure; below zero for a refund that stands alone."""
    if measure.counts is Qualifying.MILES:
        return sum(miles for rule, miles in posted.items() if not measure.rules or rule in measure.rules)
    if measure.rules and measure.rules.isdisjoint(applying):
        return 0
    if measure.counts is Qualifying.PURCHASES:
        return int(any(entry.cleared_minor > 0 for entry in folded.transaction))
    left, paid = programme.before_mark_up(product), {entry.currency for entry in folded.transaction}
    spent = 0
    for entry in folded.billing:
        progress = entry.cleared_minor * measure.scale.get(entry.currency, 0)
        if left is not None and entry.currency not in paid:
            progress = divide(progress * left.numerator, left.denominator, Rounding.HALF_EVEN)
        spent += progress
    return spent


def recount(
    before: Iterable[Counts], now: Iterable[Counts], used: MutableMapping[CounterKey, int]
) -> tuple[Moved, ...]:
    """Take what a purchase counted off its counters, add what it counts now, and return what that moved."""
    counted = {(entry.counter, entry.period): entry.progress for entry in before}
    counts = {(entry.counter, entry.period): entry.progress for entry in now}
    moved = []
    for key in sorted({*counted, *counts}):
        old, new, stood = counted.get(key, 0), counts.get(key, 0), used.get(key, 0)
        moved.append(Moved(*key, stood, old, new))
        if new != old:
            used[key] = stood + new - old
    return tuple(moved)
