"""Refunds without a reference: which purchases they count against, the newest at the brand first.

A step between the family and the decision, for programmes that state ``refund_days``: what a refund gives back is taken
from purchases at the same brand of so many days before it, and only what they do not cover is a negative award.
It is a function of all of an account's purchases, so the order of arrival does not matter.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from processor.core.accrual import is_excluded, partner_of
from processor.core.event import Event
from processor.core.kept_purchase import Purchase
from processor.core.money import Money, Rounding, divide
from processor.core.programme import Programme
from processor.core.purchase import Amounts, Folded, Placed, billed_in, fold
from processor.core.taken_off import counting

Brand = tuple[str, ...]
"""What a refund and its purchases share: the partner, or, where none matches, the card acceptor."""


@dataclass(slots=True, kw_only=True)
class _Side:
    """One purchase while refunds are placed: what it can take, or, for a refund, what it still gives back.

    ``left_minor`` is by currency of the transaction; ``billed`` says what each currency was billed, where there are
    several; ``days`` is how far back a refund reaches, None for a purchase.
    """

    id: bytes
    anchor: Event
    brand: Brand
    days: int | None
    amounts: tuple[Amounts, ...]
    billing: tuple[Amounts, ...]
    left_minor: dict[str, int]
    billed: Mapping[str, tuple[int, Money]]
    parts: list[Placed] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """How the refunds of an account count: ``refunded`` and ``placed`` of each purchase by its id.

    ``refunds_from`` is the local date of the first refund, None where there is none.
    """

    refunded: Mapping[bytes, tuple[Placed, ...]]
    placed: Mapping[bytes, tuple[Placed, ...]]
    refunds_from: date | None

    def applies_to(self, purchase: Purchase) -> bool:
        """Tell whether a purchase already has the parts that are its own."""
        own = self.refunded.get(purchase.id, ()), self.placed.get(purchase.id, ())
        return (purchase.refunded, purchase.placed) == own

    def applied_to(self, purchase: Purchase) -> Purchase:
        """Return a purchase with the parts that are its own."""
        refunded, placed = self.refunded.get(purchase.id, ()), self.placed.get(purchase.id, ())
        return replace(purchase, refunded=refunded, placed=placed)


def place_refunds(purchases: Iterable[Purchase], programme_at: Callable[[int], Programme | None]) -> Placement:
    """Return what each refund of an account counts against; ``purchases`` are all that its refunds can reach."""
    sides = [side for purchase in purchases if (side := _side(purchase, programme_at)) is not None]
    refunds = sorted((side for side in sides if side.anchor.credit), key=lambda side: side.anchor.order)
    bought = sorted(
        (side for side in sides if not side.anchor.credit), key=lambda side: side.anchor.order, reverse=True
    )
    for refund in refunds:
        for purchase in bought:
            if _reaches(refund, purchase):
                _place(refund, purchase)
    return Placement(
        refunded={side.id: tuple(side.parts) for side in bought if side.parts},
        placed={side.id: tuple(side.parts) for side in refunds if side.parts},
        refunds_from=min((refund.anchor.local_date for refund in refunds), default=None),
    )


def _side(purchase: Purchase, programme_at: Callable[[int], Programme | None]) -> _Side | None:
    """Return a purchase as it stands without any placed part, None where it has nothing to give or take.

    What the programme excludes, such as cash, earned nothing, so no refund counts against it.
    """
    if purchase.merged_into is not None or not purchase.events:
        return None
    folded = fold(purchase.events)
    programme = programme_at(folded.anchor.at) if folded.anchor is not None else None
    if programme is None or folded.anchor is None:
        return None
    events = purchase.events
    if programme.parts_included and (events := counting(events, programme.parts_included)) is not purchase.events:
        folded = fold(events)
    assert folded.anchor is not None  # noqa: S101 - what the programme includes moves no anchor.
    if is_excluded(programme, mcc=folded.anchor.mcc, processing_code=folded.anchor.processing_code):
        return None
    sign = -1 if folded.anchor.credit else 1
    left = {
        amounts.currency: sign * amounts.cleared_minor
        for amounts in folded.transaction
        if sign * amounts.cleared_minor > 0
    }
    return _Side(
        id=purchase.id,
        anchor=folded.anchor,
        brand=_brand(programme, folded),
        days=programme.refund_days if folded.anchor.credit else None,
        amounts=folded.transaction,
        billing=folded.billing,
        left_minor=left,
        billed=billed_in(events, credit=folded.anchor.credit) if _has_several(folded.transaction) else {},
    )


def _brand(programme: Programme, folded: Folded) -> Brand:
    assert folded.anchor is not None  # noqa: S101 - looked at by the caller.
    partner = partner_of(programme, folded.anchor)
    return ("partner", partner.id) if partner else ("acceptor", folded.anchor.acquirer, folded.anchor.acceptor)


def _reaches(refund: _Side, purchase: _Side) -> bool:
    """Tell whether a refund can count against a purchase: of its brand, before it, and not too long before it."""
    if refund.days is None or refund.brand != purchase.brand or purchase.anchor.order > refund.anchor.order:
        return False
    return (refund.anchor.local_date - purchase.anchor.local_date).days <= refund.days


def _place(refund: _Side, purchase: _Side) -> None:
    """Let as much of a refund count against a purchase as one has left to give back and the other to take.

    Each side gives up its own part of its own billing amount, so that a refund at another day's rate undoes exactly.
    """
    for currency in sorted(refund.left_minor.keys() & purchase.left_minor.keys()):
        part_minor = min(refund.left_minor[currency], purchase.left_minor[currency])
        if part_minor <= 0:
            continue
        for side, other in ((refund, purchase), (purchase, refund)):
            billing = _billed(side, currency, part_minor)
            amount = Money(amount_minor=part_minor, currency=currency)
            side.parts.append(Placed(purchase=other.id, amount=amount, billing=billing))
            side.left_minor[currency] -= part_minor


def _billed(side: _Side, currency: str, part_minor: int) -> Money:
    """Return what of a side's billing amount a part has, so that all parts together have all of it.

    Where several currencies cleared, each has what was billed for its own.
    """
    whole = of_minor = _cleared(side.amounts, currency)
    billing = next((amounts for amounts in side.billing if amounts.cleared_minor), None)
    if billing is None or whole == 0:
        return Money(amount_minor=part_minor, currency=currency)
    billed_minor, unit = abs(billing.cleared_minor), billing.currency
    if currency in side.billed and side.billed[currency][0]:
        of_minor, billed = side.billed[currency]
        billed_minor, unit = billed.amount_minor, billed.currency
    before_minor = whole - side.left_minor[currency]
    shares = [
        divide(billed_minor * minor, of_minor, Rounding.HALF_EVEN)
        for minor in (before_minor, before_minor + part_minor)
    ]
    return Money(amount_minor=shares[1] - shares[0], currency=unit)


def _has_several(amounts: Sequence[Amounts]) -> bool:
    return sum(bool(entry.cleared_minor) for entry in amounts) > 1


def _cleared(amounts: Sequence[Amounts], currency: str) -> int:
    return abs(next((entry.cleared_minor for entry in amounts if entry.currency == currency), 0))
