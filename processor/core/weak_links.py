"""Which purchases of an account may be one although no reference ties them: pairs for operations to look at.

A presentment, a refund or a reversal that stands alone is set beside the purchases it may belong to: at the same card
acceptor, of the same amount, within days.
Such a pair is a suggestion; it changes nothing until operations confirm it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from processor.core.event import Event
from processor.core.kept_purchase import Purchase
from processor.core.lifecycle import Effect, PurchaseState
from processor.core.message import MessageKind
from processor.core.money import Money, decimal_amount
from processor.core.purchase import Folded, fold

MOST_SUGGESTED: Final = 3
"""How many purchases are suggested for one message, the nearest in time first."""
DAY_S: Final = 86_400


class Alone(StrEnum):
    """What stands alone, in words."""

    PRESENTMENT = "presentment"
    REFUND = "refund"
    REVERSAL = "reversal"


@dataclass(frozen=True, slots=True, kw_only=True)
class WeakLink:
    """Two messages that may be of one purchase.

    ``first`` and ``second`` are their ids in order; ``amount`` is what both say; ``apart_s`` is how far apart they were
    sent; ``alternatives`` how many other purchases the message that stands alone may belong to as well.
    ``reasons`` are plain sentences.
    """

    first: bytes
    second: bytes
    alone: Alone
    amount: Money
    apart_s: int
    alternatives: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """A purchase as one side of a pair: the message that stands for it, and the amount it would match."""

    purchase: Purchase
    event: Event
    amount: Money

    @property
    def place(self) -> tuple[str, str, Money]:
        return self.event.acquirer, self.event.acceptor, self.amount


def weak_links(purchases: Iterable[Purchase], link_days: int) -> list[WeakLink]:
    """Return the pairs among an account's purchases, those of each message that stands alone nearest first."""
    alone: list[tuple[Alone, _Side]] = []
    awaiting: list[_Side] = []
    paid: list[_Side] = []
    for purchase in purchases:
        folded = fold(purchase.events, refunded=purchase.refunded, placed=purchase.placed)
        found = _alone(purchase, folded)
        if found is not None:
            alone.append(found)
        awaiting.extend(_awaiting(purchase, folded))
        paid.extend(_paid(purchase, folded))
    links: list[WeakLink] = []
    for what, side in alone:
        beside = [other for other in (paid if what is Alone.REFUND else awaiting) if _match(side, other, link_days)]
        beside.sort(key=lambda other: (_apart(side, other), other.event.message_id))
        links.extend(_link(what, side, other, len(beside) - 1) for other in beside[:MOST_SUGGESTED])
    return links


def _side(purchase: Purchase, event: Event | None, amount: Money | None) -> _Side | None:
    if event is None or amount is None or amount.amount_minor <= 0 or not (event.acquirer and event.acceptor):
        return None
    return _Side(purchase=purchase, event=event, amount=amount)


def _alone(purchase: Purchase, folded: Folded) -> tuple[Alone, _Side] | None:
    """Return what stands alone in a purchase: cleared without an authorization, or a reversal without its original."""
    effects = {event.effect for event in purchase.events}
    if effects & {Effect.AUTHORIZED, Effect.FINAL} or purchase.placed or purchase.refunded:
        return None
    if folded.state is PurchaseState.AWAITED:
        reversal = next((event for event in _ordered(purchase) if event.effect is Effect.REVERSED), None)
        side = _side(purchase, reversal, reversal.amount if reversal else None)
        return None if side is None else (Alone.REVERSAL, side)
    if Effect.CLEARED not in effects or len(folded.transaction) != 1:
        return None
    (amounts,) = folded.transaction
    what = Alone.REFUND if folded.state is PurchaseState.REFUNDED else Alone.PRESENTMENT
    minor = -amounts.cleared_minor if what is Alone.REFUND else amounts.cleared_minor
    side = _side(purchase, folded.anchor, Money(amount_minor=minor, currency=amounts.currency))
    return None if side is None else (what, side)


def _awaiting(purchase: Purchase, folded: Folded) -> Iterable[_Side]:
    """Yield a purchase that a presentment or a reversal may belong to: authorized, also long ago or by estimate."""
    approved = [event for event in _ordered(purchase) if event.effect is Effect.AUTHORIZED and not event.credit]
    if not approved or folded.anchor is None:
        return
    amount = approved[-1].amount
    if folded.state in {PurchaseState.AUTHORIZED, PurchaseState.PARTLY_CLEARED} and len(folded.transaction) == 1:
        (amounts,) = folded.transaction
        amount = Money(amount_minor=amounts.open_minor, currency=amounts.currency)
    elif folded.state not in {PurchaseState.EXPIRED, PurchaseState.UNPROMISED}:
        return
    side = _side(purchase, folded.anchor, amount)
    if side is not None:
        yield side


def _paid(purchase: Purchase, folded: Folded) -> Iterable[_Side]:
    """Yield a purchase that a refund may belong to: what is left of it has cleared."""
    if folded.state not in {PurchaseState.CLEARED, PurchaseState.PARTLY_CLEARED} or len(folded.transaction) != 1:
        return
    (amounts,) = folded.transaction
    side = _side(purchase, folded.anchor, Money(amount_minor=amounts.cleared_minor, currency=amounts.currency))
    if side is not None:
        yield side


def _ordered(purchase: Purchase) -> Sequence[Event]:
    return sorted(purchase.events, key=lambda event: event.order)


def _apart(one: _Side, other: _Side) -> int:
    return abs(one.event.at - other.event.at)


def _match(side: _Side, other: _Side, link_days: int) -> bool:
    """Tell whether two sides agree, and neither a life cycle nor operations keep them apart."""
    if side.purchase.id == other.purchase.id or side.place != other.place:
        return False
    if _apart(side, other) > link_days * DAY_S:
        return False
    named = [{event.lifecycle for event in one.purchase.events} - {""} for one in (side, other)]
    return not all(named) and not _is_broken(side.purchase, other.purchase)


def _is_broken(one: Purchase, other: Purchase) -> bool:
    ours, theirs = ({event.message_id for event in purchase.events} for purchase in (one, other))
    return any(
        event.kind is MessageKind.LINK_BROKEN and not ours.isdisjoint(event.refers_to)
        for event in (*one.events, *other.events)
        if not theirs.isdisjoint(event.refers_to)
    )


def _link(what: Alone, side: _Side, other: _Side, alternatives: int) -> WeakLink:
    first, second = sorted((side.event.message_id, other.event.message_id))
    return WeakLink(
        first=first,
        second=second,
        alone=what,
        amount=side.amount,
        apart_s=_apart(side, other),
        alternatives=alternatives,
        reasons=_reasons(what, side, other, alternatives),
    )


def _reasons(what: Alone, side: _Side, other: _Side, alternatives: int) -> tuple[str, ...]:
    """Say why two purchases may be one, and what speaks against it."""
    amount = f"{decimal_amount(side.amount.amount_minor, side.amount.currency)} {side.amount.currency}"
    reasons = [
        f"the {what} shares no reference with any other purchase",
        f"both are of {amount} at card acceptor {side.event.acceptor.strip()} of acquirer {side.event.acquirer}",
        f"they were sent {_in_words(_apart(side, other))} apart",
    ]
    if side.event.terminal and side.event.terminal == other.event.terminal:
        reasons.append("they come from the same terminal")
    if alternatives:
        reasons.append(f"the {what} may belong to {alternatives} other purchase{'s' * (alternatives > 1)} as well")
    return tuple(reasons)


def _in_words(apart_s: int) -> str:
    for unit_s, unit in ((DAY_S, "day"), (3600, "hour"), (60, "minute")):
        count = apart_s // unit_s
        if count:
            return f"{count} {unit}{'s' * (count > 1)}"
    return "less than a minute"
