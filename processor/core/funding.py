"""Who pays for what a rule gives where several do: each its percentage, in whole units.

The shares are of what is posted in all, so that undo gives each party back exactly what it paid.
"""

from collections.abc import Iterator
from typing import Final

from processor.core.grant import Grant
from processor.core.money import Rounding, divide
from processor.core.posting import UNITS_POSTED, Posting, payer_of
from processor.core.programme import Partner, Programme
from processor.core.rule import Benefit, Rule

Payers = tuple[tuple[str, int], ...]
"""Parties with their percentages, 100 in all; the first pays what the rounding of the others leaves as well."""

_WHOLE: Final = 100


def payers_of(programme: Programme, rule: Rule, *, bank: str, partner: Partner | None) -> Payers:
    """Return who pays together for what a rule gives on one purchase, nobody where one party pays alone."""
    return tuple(
        [
            (payer_of(programme, rule, bank=bank, partner=partner, funder=funder), percent)
            for funder, percent in rule.split
        ]
    )


def parts_of(grant: Grant, funder: str, payers: Payers) -> Iterator[tuple[str, Grant]]:
    """Yield what each party pays of what is posted of a grant, as a grant of which nothing is pending.

    Every share but the first is rounded towards nothing, and the first is the rest.
    """
    units = grant.available
    others = [(party, divide(units * percent, _WHOLE, Rounding.DOWN)) for party, percent in payers[1:]]
    first = payers[0][0] if payers else funder
    for party, part in ((first, units - sum(part for _, part in others)), *others):
        yield party, Grant(rule=grant.rule, unit=grant.unit, granted=part, available=part)


def unit_postings(benefit: Benefit, before: Grant, after: Grant, funder: str, payers: Payers) -> Iterator[Posting]:
    """Yield the postings that turn one grant of miles or rewards into another, issued at the cost of who pays."""
    posted = UNITS_POSTED[benefit]
    if not payers:
        yield from posted(before, after, funder)
        return
    promised = after._replace(granted=before.available + after.pending, available=before.available)
    yield from posted(before, promised, funder)
    old, new = parts_of(before, funder, payers), parts_of(after, funder, payers)
    for (party, stood), (_, stands) in zip(old, new, strict=True):
        yield from posted(stood, stands, party)
