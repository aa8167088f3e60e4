"""Folding a purchase: all the messages of one buy become what was authorized and what has cleared.

The fold is a pure function of the set of events: they are ordered by transmission time, kind and id, never by arrival,
so any order of arrival gives the same amounts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from processor.core.course import Course
from processor.core.event import Event, proportional
from processor.core.lifecycle import Effect, PurchaseState
from processor.core.message import MessageKind
from processor.core.money import Money
from processor.core.rule import AmountBase
from processor.core.standing import DECIDED, Counted, Standing, standing_of
from processor.core.taken_off import stated_parts


class Amounts(NamedTuple):
    """What a purchase amounts to in one currency, in minor units.

    ``open_minor`` is authorized and not yet cleared; ``cleared_minor`` is cleared less refunds and disputes, and may be
    negative.
    """

    currency: str
    open_minor: int
    cleared_minor: int


class Lowered(NamedTuple):
    """What was asked for of a purchase and lowered at the till, in one currency, in minor units.

    ``asked_minor`` is what the host asked for and then approved lowered by ``given_minor``.
    ``awaited_minor`` is what it asked for and has not decided; a quote alone counts it.
    """

    currency: str
    asked_minor: int
    given_minor: int
    awaited_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A part of a refund without a reference that counts against a purchase: how much, also as billed.

    ``purchase`` is the other side: kept with the purchase it is the refund, kept with the refund it is the purchase.
    """

    purchase: bytes
    amount: Money
    billing: Money


class Folded(NamedTuple):
    """A purchase's events, folded.

    ``anchor`` is the event that says where, when and with which product the purchase happened; None where only events
    that refer to an absent original have arrived.
    ``lowered`` is filled in for programmes with discounts at the till.
    ``course`` is how it has come along since it cleared, None where the programme's rules do not ask for it.
    ``product_codes`` are those of what was bought, where the programme's rules ask for them.
    ``taken_off`` are parts that are not for goods and that no amount counts: each with its currency and minor units.
    """

    anchor: Event | None
    transaction: tuple[Amounts, ...]
    billing: tuple[Amounts, ...]
    state: PurchaseState = PurchaseState.AWAITED
    lowered: tuple[Lowered, ...] = ()
    course: Course | None = None
    taken_off: tuple[tuple[str, str, int], ...] = ()
    product_codes: tuple[str, ...] = ()

    def amounts(self, base: AmountBase) -> tuple[Amounts, ...]:
        """Return the amounts a rule with this base measures."""
        return self.billing if base is AmountBase.BILLING else self.transaction


_ANCHORS: Final = frozenset({Effect.AUTHORIZED, Effect.FINAL, Effect.CLEARED, Effect.REQUESTED, Effect.DECLINED})

_EARNS: Final = frozenset({Effect.AUTHORIZED, Effect.FINAL, Effect.CLEARED})
"""What says that something was approved or cleared."""


def fold(
    events: Sequence[Event],
    *,
    as_if_approved: bool = False,
    refunded: Sequence[Placed] = (),
    placed: Sequence[Placed] = (),
) -> Folded:
    """Fold a purchase's events into what is authorized and what has cleared.

    ``as_if_approved`` counts requests that wait for their decision as approved: that is how a quote is computed; a
    booking never does.
    ``refunded`` are parts of other purchases' refunds that count here, ``placed`` the parts of this one's refunds that
    count elsewhere.
    """
    if len(events) == 1 and not (refunded or placed or as_if_approved):
        alone = _fold_alone(events[0])
        if alone is not None:
            return alone
    return _fold_all(events, as_if_approved=as_if_approved, refunded=refunded, placed=placed)


def _fold_all(
    events: Sequence[Event], *, as_if_approved: bool, refunded: Sequence[Placed], placed: Sequence[Placed]
) -> Folded:
    ordered = sorted(events, key=_order)
    if as_if_approved:
        ordered = _approved(ordered)
    anchor = anchor_of(ordered)
    standing = standing_of(ordered)
    totals = _totals(standing, refunded, placed)
    transaction = billing = _amounts(totals, closed=standing.closed)
    if refunded or placed or not all(event.billing is event.amount for event in ordered):
        billing = _amounts(_totals(standing, refunded, placed, billing=True), closed=standing.closed)
    is_open = any(amounts.open_minor for amounts in transaction)
    return Folded(
        anchor=anchor,
        transaction=transaction,
        billing=billing,
        state=_state(anchor, ordered, standing, totals, is_open=is_open),
        taken_off=_taken_off(standing) if any(event.taken_off for event in ordered) else (),
    )


def anchor_of(ordered: Iterable[Event]) -> Event | None:
    """Return the event that says where and when a purchase happened; the events come in their order.

    It is the first purchase event rather than the first refund, so that a refund that overtakes its purchase does not
    change where it happened, an authorization rather than a clearing record, whose time is local, and what was decided
    rather than what was asked.
    """
    return min((event for event in ordered if event.effect in _ANCHORS), key=_less_telling, default=None)


def moves_anchor(events: Iterable[Event], event: Event) -> bool:
    """Tell whether a new event says anew where and when a purchase happened of which something was approved or cleared.

    What the purchase earned depends on it, so it must then be granted afresh.
    """
    known = tuple(events)
    return any(entry.effect in _EARNS for entry in known) and anchor_of(sorted((*known, event), key=_order)) is event


def _fold_alone(event: Event) -> Folded | None:
    """Fold the first event of most purchases: an amount that is authorized or cleared, and nothing else to weigh.

    Returns None where more than that has to be said; what it returns is what the whole fold gives.
    """
    amount, billing = event.amount, event.billing
    if event.credit or event.estimated or event.part or amount is None or billing is None or not amount.amount_minor:
        return None
    if event.taken_off:
        return None
    if event.effect not in _EARNS:
        return None
    is_open = event.effect is Effect.AUTHORIZED
    transaction = (_alone(amount, is_open=is_open),)
    return Folded(
        event,
        transaction,
        transaction if billing is amount else (_alone(billing, is_open=is_open),),
        PurchaseState.AUTHORIZED if is_open else PurchaseState.CLEARED,
    )


def _alone(money: Money, *, is_open: bool) -> Amounts:
    open_minor, cleared_minor = (money.amount_minor, 0) if is_open else (0, money.amount_minor)
    return Amounts(money.currency, open_minor, cleared_minor)


def _order(event: Event) -> tuple[int, int, bytes]:
    return event.at, event.kind, event.message_id


def _approved(ordered: Sequence[Event]) -> list[Event]:
    """Return the events with every request approved that the host has not decided since."""
    decided = {event.trace: event.at for event in ordered if event.effect in DECIDED}
    return [
        event._replace(effect=Effect.AUTHORIZED)
        if event.effect is Effect.REQUESTED and (event.trace not in decided or decided[event.trace] < event.at)
        else event
        for event in ordered
    ]


def _less_telling(event: Event) -> tuple[bool, bool, bool]:
    """Order events by how well they say where a purchase happened and what became of it, the best first."""
    return event.credit, event.effect is Effect.CLEARED, event.effect is Effect.REQUESTED


@dataclass(slots=True, kw_only=True)
class _Total:
    """What a purchase comes to in one currency, in minor units."""

    held: int = 0
    posted: int = 0
    refunded: int = 0
    disputed: dict[MessageKind, int] = field(default_factory=dict)

    @property
    def charged_back(self) -> int:
        """What of the posted amount is in dispute: what was charged back, presented again, and charged back again.

        An arbitration chargeback implies a second presentment of at least its amount; nothing beyond what is posted is
        ever in dispute.
        """
        if not self.disputed:
            return 0
        first = self.disputed.get(MessageKind.CHARGEBACK, 0)
        again = self.disputed.get(MessageKind.SECOND_PRESENTMENT, 0)
        arbitration = self.disputed.get(MessageKind.ARBITRATION_CHARGEBACK, 0)
        disputed = first - min(first, max(again, arbitration)) + arbitration
        return min(disputed, max(0, self.posted - self.refunded))


def _totals(
    standing: Standing, refunded: Sequence[Placed], placed: Sequence[Placed], *, billing: bool = False
) -> dict[str, _Total]:
    """Add up what counts, by currency.

    A final single message takes the place of all that was authorized before it.
    Where a part of what cleared is not for goods, no refund takes back more than what is for goods.
    Clearing records outrank final single messages of the same purchase, which then count as authorized only.
    """
    totals: dict[str, _Total] = {}

    def total(entry: Counted) -> tuple[_Total, int]:
        money = _billed(entry, standing.presented or standing.final) if billing else entry.amount
        return totals.setdefault(money.currency, _Total()), money.amount_minor

    promised = [entry for entry in standing.authorized if not entry.event.estimated]
    for entry in standing.final if any(final.amount.amount_minor for final in standing.final) else promised:
        held, minor = total(entry)
        held.held += minor
    for entry in standing.presented or standing.final:
        posted, minor = total(entry)
        posted.posted += minor
    for entry in standing.refunded:
        given, minor = total(entry)
        given.refunded += minor
    for stage, entries in standing.disputes.items():
        for entry in entries:
            disputed, minor = total(entry)
            disputed.disputed[stage] = disputed.disputed.get(stage, 0) + minor
    for parts, sign in ((refunded, 1), (placed, -1)):
        for part in parts:
            money = part.billing if billing else part.amount
            totals.setdefault(money.currency, _Total()).refunded += sign * money.amount_minor
    if any(entry.event.taken_off for entry in standing.presented or standing.final):
        _limit_refunds(totals.values())
    return totals


def _limit_refunds(totals: Iterable[_Total]) -> None:
    """Let refunds take back no more than what is for goods, whatever they say."""
    for total in totals:
        if total.posted:
            total.refunded = min(total.refunded, total.posted)


def _taken_off(standing: Standing) -> tuple[tuple[str, str, int], ...]:
    """Return what is taken off the messages that say what a purchase comes to."""
    counted = standing.presented or standing.final or standing.authorized
    return stated_parts([entry.event for entry in (*counted, *standing.refunded)])


def _billed(entry: Counted, presented: Sequence[Counted]) -> Money:
    """Return a message's billing amount; a refund or a dispute that does not state it has its part of the purchase's.

    Of several presentments a dispute is of the one that it names.
    """
    if entry.billing is not None:
        return entry.billing
    alike = [whole for whole in presented if whole.amount.currency == entry.amount.currency]
    own = max(alike, key=lambda whole: _likeness(whole.event, entry.event), default=None)
    return (own and proportional(entry.amount, own.amount, own.billing)) or entry.amount


def billed_in(events: Iterable[Event], *, credit: bool) -> dict[str, tuple[int, Money]]:
    """Return what counts as cleared in each currency of the transaction, in minor units, and what was billed for it.

    ``credit`` asks for what paid the holder rather than for what the holder paid.
    """
    standing = standing_of(sorted(events, key=_order))
    found: dict[str, tuple[int, Money]] = {}
    for entry in standing.refunded if credit else standing.presented or standing.final:
        billing = _billed(entry, standing.presented)
        amount_minor, before = found.get(entry.amount.currency, (0, Money(amount_minor=0, currency=billing.currency)))
        if before.currency == billing.currency:
            billed = Money(amount_minor=before.amount_minor + billing.amount_minor, currency=billing.currency)
            found[entry.amount.currency] = (amount_minor + entry.amount.amount_minor, billed)
    return found


def _likeness(presentment: Event, other: Event) -> tuple[bool, bool]:
    """Return how well a presentment answers to a refund or a dispute: by the acquirer's reference, then by the part."""
    return presentment.acquirer_reference == other.acquirer_reference, presentment.part == other.part


def _amounts(totals: Mapping[str, _Total], *, closed: bool) -> tuple[Amounts, ...]:
    return tuple(
        [
            Amounts(
                currency=currency,
                open_minor=0 if closed else max(0, total.held - total.posted),
                cleared_minor=total.posted - total.refunded - total.charged_back,
            )
            for currency, total in sorted(totals.items())
        ]
    )


def _state(
    anchor: Event | None,
    ordered: Sequence[Event],
    standing: Standing,
    totals: Mapping[str, _Total],
    *,
    is_open: bool,
) -> PurchaseState:
    """Return what has become of the purchase; the guards stand in order of precedence."""
    if anchor is None:
        return PurchaseState.AWAITED
    if standing.presented or any(entry.amount.amount_minor for entry in standing.final):
        if any(total.charged_back for total in totals.values()):
            return PurchaseState.CHARGED_BACK
        if is_open:
            return PurchaseState.PARTLY_CLEARED
        refunded = any(total.refunded and total.posted <= total.refunded for total in totals.values())
        return PurchaseState.REFUNDED if refunded else PurchaseState.CLEARED
    if standing.refunded:
        return PurchaseState.REFUNDED
    if is_open:
        return PurchaseState.AUTHORIZED
    return _nothing_open(ordered, standing)


def _nothing_open(ordered: Sequence[Event], standing: Standing) -> PurchaseState:
    """Return why nothing is promised or cleared."""
    effects = {event.effect for event in ordered}
    if standing.expired:
        return PurchaseState.EXPIRED
    if standing.reversed and effects & {Effect.AUTHORIZED, Effect.FINAL, Effect.CLEARED}:
        return PurchaseState.REVERSED
    if standing.authorized:
        return PurchaseState.UNPROMISED
    if Effect.DECLINED in effects:
        return PurchaseState.DECLINED
    return PurchaseState.REQUESTED if Effect.REQUESTED in effects else PurchaseState.UNPROMISED
