"""A plain model of an account: all its messages at once, in one thread, without a database.

It says what must be so in the end, whatever order the messages came in: which of them are one purchase, what each
purchase is granted where no cap binds, and what the account holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from processor.core.accrual import entitle
from processor.core.decision import Purchase
from processor.core.event import event_of
from processor.core.links import purchases_in, traces_of
from processor.core.message import CardMessage
from processor.core.programme import Benefit, Link, Programme
from processor.core.purchase import fold
from processor.core.refund_match import place_refunds

Granted = tuple[str, str, int, int]
"""Rule, unit, what is entitled, what of it has cleared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What an account comes to: its purchases as (message ids, grants), and its pending and available miles."""

    purchases: frozenset[tuple[frozenset[bytes], frozenset[Granted]]]
    pending: int
    available: int


def expected(
    messages: Sequence[CardMessage], programme: Programme, link: Link, product: str, surviving: tuple[str, ...]
) -> Expected:
    """Return what these messages of one account come to."""
    events = {message.message_id: event_of(message, link, product, surviving) for message in messages}
    groups = [
        group for family in _families(messages, surviving) for group in purchases_in(events[id_] for id_ in family)
    ]
    bought = [Purchase(id=min(event.message_id for event in group), events=group) for group in groups]
    placement = place_refunds(bought, lambda _at: programme)
    purchases = []
    pending = available = 0
    for purchase in map(placement.applied_to, bought):
        granted = _granted(purchase, programme)
        miles = [entry for entry in granted if programme.rule(entry[0]).benefit is Benefit.MILES]
        pending += sum(total - cleared for _, _, total, cleared in miles)
        available += sum(cleared for _, _, _, cleared in miles)
        purchases.append((frozenset(event.message_id for event in purchase.events), frozenset(granted)))
    return Expected(purchases=frozenset(purchases), pending=pending, available=available)


def _families(messages: Sequence[CardMessage], surviving: tuple[str, ...]) -> list[set[bytes]]:
    """Return the messages that share any trace, directly or through others, or that others are about."""
    families: list[tuple[set[str], set[bytes]]] = []
    for message in messages:
        ties = {value for _, value in traces_of(message, surviving)} | {f"message/{message.message_id.hex()}"}
        ties |= {f"message/{named.hex()}" for named in message.refers_to}
        ids = {message.message_id}
        apart = []
        for known_ties, known_ids in families:
            if known_ties.isdisjoint(ties):
                apart.append((known_ties, known_ids))
            else:
                ties, ids = ties | known_ties, ids | known_ids
        families = [*apart, (ties, ids)]
    return [ids for _, ids in families]


def _granted(purchase: Purchase, programme: Programme) -> list[Granted]:
    folded = fold(purchase.events, refunded=purchase.refunded, placed=purchase.placed)
    entitled = entitle(programme, folded)
    return [
        (entry.rule.id, entry.unit, entry.total, min(entry.total, entry.cleared))
        for entry in entitled.entitlements
        if entry.total or entry.cleared
    ]
