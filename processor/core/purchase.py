"""Folding a purchase: all the messages of one buy become what was authorized and what has cleared.

The fold is a pure function of the set of events: they are ordered by transmission time, kind and id, never by arrival,
so any order of arrival gives the same amounts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import IntEnum
from typing import Final

from processor.core.message import CardMessage, Direction, MessageKind
from processor.core.money import Money, Rounding, divide
from processor.core.programme import AmountBase, FinancialMeaning, Link

APPROVED_RESPONSES: Final = frozenset({"00", "08", "10", "11", "16", "85"})
"""Response codes (DE39) of ISO 8583:1987 that approve: wholly, with identification, in part, VIP, update, no reason."""


class Effect(IntEnum):
    """What an event does to its purchase; the numbers are stored."""

    NONE = 0
    REQUESTED = 1
    AUTHORIZED = 2
    FINAL = 3
    CLEARED = 4
    REVERSED = 5
    UNCLEARED = 6
    DECLINED = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What one message contributes to a purchase, kept with the purchase for every later fold.

    ``at`` is the transmission time in seconds since 1970 UTC.
    ``trace`` groups the messages of one authorization: the message's own trace, or that of the original it refers to;
    a refund keeps its own, because several refunds may refer to one original.
    Amounts are never negative; ``credit`` turns their meaning round.
    ``part`` is (sequence, count) of a presentment in several parts.
    """

    message_id: bytes
    at: int
    kind: MessageKind
    effect: Effect
    trace: str
    credit: bool
    amount: Money | None
    billing: Money | None
    replacement: Money | None
    replacement_billing: Money | None
    part: tuple[int, int] | None
    acquirer_reference: str
    product: str
    processing_code: str
    acquirer: str
    acceptor: str
    terminal: str
    mcc: str
    local_date: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """What a purchase amounts to in one currency, in minor units.

    ``open_minor`` is authorized and not yet cleared; ``cleared_minor`` is cleared less refunds, and may be negative.
    """

    currency: str
    open_minor: int
    cleared_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """A purchase's events, folded.

    ``anchor`` is the event that says where, when and with which product the purchase happened; None where only events
    that refer to an absent original have arrived.
    """

    anchor: Event | None
    transaction: tuple[Amounts, ...]
    billing: tuple[Amounts, ...]

    def amounts(self, base: AmountBase) -> tuple[Amounts, ...]:
        """Return the amounts a rule with this base measures."""
        return self.billing if base is AmountBase.BILLING else self.transaction


def is_approved(response_code: str) -> bool:
    """Tell whether a response code approves: listed two digits of 1987, or 000-099 of 1993 (ISO 8583:1993 table 1)."""
    return response_code in APPROVED_RESPONSES or (len(response_code) == 3 and response_code[0] == "0")


def effect_of(message: CardMessage, financial: FinancialMeaning) -> Effect:
    """Return what a message does to its purchase, by its kind, direction and the host's decision."""
    if message.kind is MessageKind.PRESENTMENT:
        return Effect.CLEARED
    if message.kind is MessageKind.PRESENTMENT_REVERSAL:
        return Effect.UNCLEARED
    answered = message.direction in {Direction.RESPONSE, Direction.ADVICE_RESPONSE}
    if message.kind is MessageKind.REVERSAL:
        if answered and (message.original_trace is None or not is_approved(message.response_code)):
            return Effect.NONE
        return Effect.REVERSED
    if message.direction is Direction.ADVICE_RESPONSE:
        return Effect.NONE
    if message.direction is Direction.REQUEST:
        return Effect.REQUESTED
    if not message.response_code and message.direction is Direction.RESPONSE:
        return Effect.NONE
    if message.response_code and not is_approved(message.response_code):
        return Effect.DECLINED
    if message.kind is MessageKind.FINANCIAL and financial is FinancialMeaning.FINAL:
        return Effect.FINAL
    return Effect.AUTHORIZED


def event_of(message: CardMessage, link: Link, product: str) -> Event:
    """Return the event a message contributes; ``product`` is the card product its account had when it arrived."""
    billing = message.billing or message.amount
    replacement_billing = message.replacement_billing
    if replacement_billing is None and message.replacement is not None:
        replacement_billing = _proportional(message.replacement, message.amount, billing)
    return Event(
        message_id=message.message_id,
        at=int(message.transmitted_at.timestamp()),
        kind=message.kind,
        effect=effect_of(message, link.financial),
        trace=message.trace if message.credit else message.original_trace or message.trace,
        credit=message.credit,
        amount=message.amount,
        billing=billing,
        replacement=message.replacement,
        replacement_billing=replacement_billing,
        part=message.clearing_part,
        acquirer_reference=message.acquirer_reference,
        product=product,
        processing_code=message.processing_code,
        acquirer=message.acquirer,
        acceptor=message.acceptor,
        terminal=message.terminal,
        mcc=message.mcc,
        local_date=message.local_date or message.transmitted_at.date(),
    )


def _proportional(replacement: Money, amount: Money | None, billing: Money | None) -> Money | None:
    """Return what of the billing amount remains when ``replacement`` remains of the transaction amount."""
    if billing is None or amount is None or amount.amount_minor == 0:
        return None
    remaining = divide(replacement.amount_minor * billing.amount_minor, amount.amount_minor, Rounding.HALF_EVEN)
    return Money(amount_minor=remaining, currency=billing.currency)


def _order(event: Event) -> tuple[int, int, bytes]:
    return event.at, event.kind, event.message_id


_ANCHORS: Final = frozenset({Effect.AUTHORIZED, Effect.FINAL, Effect.CLEARED, Effect.REQUESTED, Effect.DECLINED})
_BOOKED: Final = frozenset({Effect.AUTHORIZED})
_QUOTED: Final = frozenset({Effect.AUTHORIZED, Effect.REQUESTED})


def fold(events: Iterable[Event], *, as_if_approved: bool = False) -> Folded:
    """Fold a purchase's events into what is authorized and what has cleared.

    ``as_if_approved`` counts requests as approved: that is how a quote is computed; a booking never does.
    The anchor is the first purchase event rather than the first refund, so that a refund that overtakes its purchase
    does not change where it happened, an authorization rather than a clearing record, whose time is local, and what was
    decided rather than what was asked.
    """
    ordered = sorted(events, key=_order)
    counted = _QUOTED if as_if_approved else _BOOKED
    anchors = [event for event in ordered if event.effect in _ANCHORS]
    anchor = min(anchors, key=_less_telling, default=None)
    transaction = _amounts(ordered, counted, billing=False)
    same = all(event.billing is event.amount for event in ordered)
    billing = transaction if same else _amounts(ordered, counted, billing=True)
    return Folded(anchor=anchor, transaction=transaction, billing=billing)


def _less_telling(event: Event) -> tuple[bool, bool, bool]:
    """Order events by how well they say where a purchase happened and what became of it, the best first."""
    return event.credit, event.effect is Effect.CLEARED, event.effect is Effect.REQUESTED


@dataclass(slots=True, kw_only=True)
class _Groups:
    """A purchase's events sorted by what they do, one amount per authorization trace."""

    authorized: dict[str, Money] = field(default_factory=dict)
    final: dict[str, Money] = field(default_factory=dict)
    credited: dict[str, Money] = field(default_factory=dict)
    remaining: dict[str, Money | None] = field(default_factory=dict)
    presented: list[tuple[Event, Money]] = field(default_factory=list)
    refunded: list[Money] = field(default_factory=list)

    def left(self, money: Money, trace: str) -> Money:
        """Return what a group amounts to after its last reversal: all of it, its replacement amount, or nothing."""
        if trace not in self.remaining:
            return money
        left = self.remaining[trace]
        amount_minor = min(left.amount_minor, money.amount_minor) if left and left.currency == money.currency else 0
        return Money(amount_minor=amount_minor, currency=money.currency)


def _grouped(ordered: Sequence[Event], counted: frozenset[Effect], *, billing: bool) -> _Groups:
    """Sort the events into groups; of several messages with one trace the last says the amount."""
    groups = _Groups()
    withdrawn = {(event.acquirer_reference, event.part) for event in ordered if event.effect is Effect.UNCLEARED}
    for event in ordered:
        money = event.billing if billing else event.amount
        effect = event.effect
        if effect is Effect.REVERSED:
            groups.remaining[event.trace] = event.replacement_billing if billing else event.replacement
        elif money is None:
            continue
        elif effect in counted and not event.credit:
            groups.authorized[event.trace] = money
        elif effect is Effect.FINAL:
            (groups.credited if event.credit else groups.final)[event.trace] = money
        elif effect is Effect.CLEARED and (event.acquirer_reference, event.part) not in withdrawn:
            if event.credit:
                groups.refunded.append(money)
            else:
                groups.presented.append((event, money))
    return groups


def _amounts(ordered: Sequence[Event], counted: frozenset[Effect], *, billing: bool) -> tuple[Amounts, ...]:
    """Add up one base amount per currency: what is authorized, what has cleared, what was refunded.

    Clearing records outrank final single messages of the same purchase, which then count as authorized only.
    """
    groups = _grouped(ordered, counted, billing=billing)
    finals = [groups.left(money, trace) for trace, money in groups.final.items()]
    credited = [groups.left(money, trace) for trace, money in groups.credited.items()]
    held = _totals(groups.left(money, trace) for trace, money in groups.authorized.items() if trace not in groups.final)
    posted = _totals([money for _, money in groups.presented] or finals)
    refunded = _totals(groups.refunded or credited)
    closed = _is_complete([event for event, _ in groups.presented]) or any(money.amount_minor for money in finals)
    return tuple(
        Amounts(
            currency=currency,
            open_minor=0 if closed else max(0, held.get(currency, 0) - posted.get(currency, 0)),
            cleared_minor=posted.get(currency, 0) - refunded.get(currency, 0),
        )
        for currency in sorted({*held, *posted, *refunded})
    )


def _totals(amounts: Iterable[Money]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for money in amounts:
        totals[money.currency] = totals.get(money.currency, 0) + money.amount_minor
    return totals


def _is_complete(presented: Sequence[Event]) -> bool:
    """Tell whether presentments have settled the authorization: one that stands alone, or every part of several."""
    if any(event.part is None for event in presented):
        return True
    sequences = {event.part[0] for event in presented if event.part}
    counts = {event.part[1] for event in presented if event.part}
    return bool(counts) and len(sequences) >= max(counts)
