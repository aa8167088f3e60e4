"""What a refund takes back: exactly what the rest no longer gives, or its part of what the whole purchase gave.

Beside the entitlement, for rules that take back in proportion: what they give is measured on the purchase before
refunds and disputes, and each of those takes the part of it that its amount is of the purchase.
It is a function of the purchase's events, so the order of refunds changes nothing, and all of them together take all.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from operator import attrgetter
from typing import NamedTuple

from processor.core.contest import Entitlement
from processor.core.course import Course
from processor.core.money import divide
from processor.core.purchase import Amounts, Folded
from processor.core.rule import AmountBase, Clawback, Rule


class GivenBack(NamedTuple):
    """Which part of a purchase was given back or is in dispute: of all of it, and of what has cleared of it."""

    of_whole: Fraction
    of_cleared: Fraction


def gross_of(folded: Folded) -> Folded:
    """Return a purchase as it was before refunds and disputes; one that never cleared is as it is."""
    course = folded.course or Course()
    return folded._replace(
        transaction=tuple([_gross(entry, course, AmountBase.TRANSACTION) for entry in folded.transaction]),
        billing=tuple([_gross(entry, course, AmountBase.BILLING) for entry in folded.billing]),
    )


def whole_of(folded: Folded) -> Folded:
    """Return the purchase that rules which take back in proportion give for; a refund that stands alone is its own."""
    return gross_of(folded) if _has_cleared(folded) else folded


def _has_cleared(folded: Folded) -> bool:
    return any(part.amount.amount_minor for part in (folded.course or Course()).cleared)


def _gross(entry: Amounts, course: Course, base: AmountBase) -> Amounts:
    presented = course.cleared_minor(entry.currency, billing=base is AmountBase.BILLING)
    return entry._replace(cleared_minor=max(presented, entry.cleared_minor))


def given_back(folded: Folded, base: AmountBase) -> GivenBack:
    """Return which part of a purchase was given back; of several currencies the one with the least part counts."""
    course, parts = folded.course or Course(), list[GivenBack]()
    for entry in folded.amounts(base):
        presented = _gross(entry, course, base).cleared_minor
        back = min(presented - entry.cleared_minor, presented)
        if presented > 0:
            parts.append(GivenBack(Fraction(back, presented + entry.open_minor), Fraction(back, presented)))
    return min(parts, default=GivenBack(Fraction(0), Fraction(0)))


def in_proportion(
    folded: Folded, given: Sequence[Entitlement], measure: Callable[[Folded], Sequence[Entitlement]]
) -> list[Entitlement]:
    """Return what rules give, of which those that take back in proportion lose the part that was given back.

    ``measure`` returns what all rules give for other amounts than the purchase's own.
    """
    exact = [entry for entry in given if entry.rule.clawback is Clawback.EXACT]
    if not _has_cleared(folded):
        return list(given)
    whole = [entry for entry in measure(gross_of(folded)) if entry.rule.clawback is Clawback.PROPORTIONAL]
    backs = {base: given_back(folded, base) for base in AmountBase}
    reduced = [_reduced(entry, backs[entry.rule.base]) for entry in whole]
    return sorted([*exact, *reduced], key=attrgetter("rule.order"))


def _reduced(entry: Entitlement, back: GivenBack) -> Entitlement:
    total = entry.total - _part(entry.rule, entry.total, back.of_whole)
    cleared = entry.cleared - _part(entry.rule, entry.cleared, back.of_cleared)
    return entry._replace(total=total, cleared=min(cleared, total))


def _part(rule: Rule, units: int, part: Fraction) -> int:
    return divide(units * part.numerator, part.denominator, rule.rounding)
