"""What of a purchase's amounts a rule counts as cleared: what is due under its own terms; the rest is promised still.

Between the fold and the entitlement.
What was refunded comes off what is not due yet, so that nothing is posted to be taken back; only what is more than that
takes back what was posted.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import date, timedelta
from typing import Protocol

from processor.core.clawback import gross_of, in_proportion
from processor.core.contest import Entitlement
from processor.core.course import Course
from processor.core.grant import Grant
from processor.core.programme import Programme
from processor.core.purchase import Amounts, Folded
from processor.core.rule import AmountBase, Clawback
from processor.core.statement import LAST_DAY
from processor.core.timing import Timing


class Weighed(Protocol):
    """A rule that was weighed, and what it has granted."""

    @property
    def rule(self) -> str:
        """The rule."""

    @property
    def grant(self) -> Grant:
        """What it has granted."""


def statement_day_of(programme: Programme, product: str) -> int:
    """Return the statement day of a card product; one that the revision does not know ends with the month.

    An account's own day holds whatever its product is.
    """
    if programme.account_day is not None:
        return programme.account_day
    found = programme.products.get(product)
    return (found and found.statement_day) or LAST_DAY


def follow(
    programme: Programme,
    folded: Folded,
    product: str,
    given: Sequence[Entitlement],
    measure: Callable[[Folded], Sequence[Entitlement]],
) -> list[Entitlement]:
    """Return what rules give as the purchase has come along: less what refunds take in proportion, and what is not due.

    ``measure`` returns what all of them give for other amounts than the purchase's own.
    """
    if not programme.in_proportion:
        return _by_timing(programme, folded, product, given, measure)
    left = in_proportion(folded, given, measure)
    return _by_timing(programme, folded, product, left, measure) if programme.timings else left


def _by_timing(
    programme: Programme,
    folded: Folded,
    product: str,
    given: Sequence[Entitlement],
    measure: Callable[[Folded], Sequence[Entitlement]],
) -> list[Entitlement]:
    """Return what rules give, of which only that is cleared which is due under each rule's own timing."""
    day = statement_day_of(programme, product)
    ripe: dict[tuple[Timing, str, Clawback], dict[tuple[str, str], int]] = {}
    timed: list[Entitlement] = []
    for entry in given:
        rule, timing = entry.rule, entry.rule.timing
        if timing is None:
            timed.append(entry)
            continue
        key = timing, rule.id if timing.is_on_release else "", rule.clawback
        if key not in ripe:
            whole = folded if rule.clawback is Clawback.EXACT else gross_of(folded)
            measured = measure(_ripe_folded(whole, timing, rule.id, day))
            ripe[key] = {(other.rule.id, other.unit): other.cleared for other in measured}
        due = ripe[key][rule.id, entry.unit]
        timed.append(entry._replace(cleared=due if rule.clawback is Clawback.EXACT else min(due, entry.cleared)))
    return timed


def _ripe_folded(folded: Folded, timing: Timing, rule: str, statement_day: int) -> Folded:
    """Return a purchase with what is not due yet counted as not cleared yet."""
    course = folded.course or Course()
    paid: dict[str, int] = {}
    billed: dict[str, int] = {}
    for part in course.cleared:
        if course.is_due(part, timing, rule, statement_day):
            paid[part.amount.currency] = paid.get(part.amount.currency, 0) + part.amount.amount_minor
            billed[part.billing.currency] = billed.get(part.billing.currency, 0) + part.billing.amount_minor
    return folded._replace(
        transaction=tuple([_ripe(entry, paid.get(entry.currency, 0)) for entry in folded.transaction]),
        billing=tuple([_ripe(entry, billed.get(entry.currency, 0)) for entry in folded.billing]),
    )


def _ripe(entry: Amounts, due_minor: int) -> Amounts:
    waiting = max(0, entry.cleared_minor - due_minor)
    if not waiting:
        return entry
    return Amounts(
        currency=entry.currency,
        open_minor=entry.open_minor + waiting,
        cleared_minor=entry.cleared_minor - waiting,
    )


def ripe_by(
    programme: Programme, folded: Folded, timing: Timing, product: str, through: date
) -> tuple[tuple[Amounts, ...], tuple[Amounts, ...]]:
    """Return a purchase's amounts as paid and as billed, with what is not due by a day counted as not cleared yet."""
    course = (folded.course or Course())._replace(due_through=through)
    ripe = _ripe_folded(folded._replace(course=course), timing, "", statement_day_of(programme, product))
    return ripe.transaction, ripe.billing


def due_days(programme: Programme, folded: Folded, product: str) -> list[date]:
    """Return the days on which something that has cleared is or was due by itself, the earliest first."""
    if folded.course is None:
        return []
    day = statement_day_of(programme, product)
    found = {timing.due_on(part.on, day) for timing in programme.timings for part in folded.course.cleared}
    return sorted(due_on for due_on in found if due_on is not None)


def expected_days(
    programme: Programme, folded: Folded, weighed: Iterable[Weighed], held: Collection[str] = ()
) -> dict[str, date]:
    """Return the day on which all that each rule has pending is expected to be posted.

    What is authorized is expected to clear in the programme's days for it.
    A rule that waits for a release, is ``held`` for review or has nothing pending, has none; a multiplier has that of
    what it multiplies.
    """
    found: dict[str, date] = {}
    clears: dict[AmountBase, date | None] = {}
    for entry in weighed:
        if not entry.grant.pending or entry.rule in held or not programme.has(entry.rule):
            continue
        rule = programme.rule(entry.rule)
        bases = (rule,) if rule.multiplication is None else map(programme.rule, rule.multiplication.rules)
        days = []
        for base in bases:
            if base.base not in clears:
                clears[base.base] = _clears_on(programme, folded, base.base)
            on = clears[base.base]
            days.append(on if base.timing is None else _due_on(programme, base.id, base.timing, folded, on))
        if None not in days:
            found[rule.id] = max(day for day in days if day is not None)
    return found


def _clears_on(programme: Programme, folded: Folded, base: AmountBase) -> date | None:
    """Return the day on which what is authorized is expected to clear, None where nothing is."""
    if folded.anchor is None or not any(entry.open_minor for entry in folded.amounts(base)):
        return None
    return folded.anchor.local_date + timedelta(days=programme.clearing_days)


def _due_on(programme: Programme, rule: str, timing: Timing, folded: Folded, clears: date | None) -> date | None:
    course = folded.course or Course()
    day = statement_day_of(programme, folded.anchor.product if folded.anchor else "")
    waiting = [part.on for part in course.cleared if not course.is_due(part, timing, rule, day)]
    if clears is not None:
        waiting.append(clears)
    return timing.due_on(max(waiting), day) if waiting else None
