"""Folding a purchase: all the messages of one buy become what was authorized and what has cleared.

The fold is a pure function of the set of events: they are ordered by transmission time, kind and id, never by arrival,
so any order of arrival gives the same amounts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
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
        trace=message.trace if _is_refund(message) else message.original_trace or message.trace,
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


def _is_refund(message: CardMessage) -> bool:
    """Tell whether a message pays the holder itself; the reversal of a refund repeats its processing code."""
    return message.credit and message.kind is not MessageKind.REVERSAL


def _proportional(replacement: Money, amount: Money | None, billing: Money | None) -> Money | None:
    """Return what of the billing amount remains when ``replacement`` remains of the transaction amount."""
    if billing is None or amount is None or amount.amount_minor == 0:
        return None
    remaining = divide(replacement.amount_minor * billing.amount_minor, amount.amount_minor, Rounding.HALF_EVEN)
    return Money(amount_minor=remaining, currency=billing.currency)


def _order(event: Event) -> tuple[int, int, bytes]:
    return event.at, event.kind, event.message_id


_ANCHORS: Final = frozenset({Effect.AUTHORIZED, Effect.FINAL, Effect.CLEARED, Effect.REQUESTED, Effect.DECLINED})
_DECIDED: Final = frozenset({Effect.AUTHORIZED, Effect.FINAL, Effect.DECLINED})


def fold(events: Iterable[Event], *, as_if_approved: bool = False) -> Folded:
    """Fold a purchase's events into what is authorized and what has cleared.

    ``as_if_approved`` counts requests that wait for their decision as approved: that is how a quote is computed; a
    booking never does.
    The anchor is the first purchase event rather than the first refund, so that a refund that overtakes its purchase
    does not change where it happened, an authorization rather than a clearing record, whose time is local, and what was
    decided rather than what was asked.
    """
    ordered = sorted(events, key=_order)
    if as_if_approved:
        ordered = _approved(ordered)
    anchors = [event for event in ordered if event.effect in _ANCHORS]
    anchor = min(anchors, key=_less_telling, default=None)
    transaction = _amounts(ordered, billing=False)
    same = all(event.billing is event.amount for event in ordered)
    billing = transaction if same else _amounts(ordered, billing=True)
    return Folded(anchor=anchor, transaction=transaction, billing=billing)


def _approved(ordered: Sequence[Event]) -> list[Event]:
    """Return the events with every request approved that the host has not decided since."""
    decided = {event.trace: event.at for event in ordered if event.effect in _DECIDED}
    return [
        replace(event, effect=Effect.AUTHORIZED)
        if event.effect is Effect.REQUESTED and (event.trace not in decided or decided[event.trace] < event.at)
        else event
        for event in ordered
    ]


def _less_telling(event: Event) -> tuple[bool, bool, bool]:
    """Order events by how well they say where a purchase happened and what became of it, the best first."""
    return event.credit, event.effect is Effect.CLEARED, event.effect is Effect.REQUESTED


@dataclass(slots=True, kw_only=True)
class _Groups:
    """A purchase's events sorted by what they do, one amount and one reversal per authorization trace."""

    billing: bool
    authorized: dict[str, tuple[Event, Money]] = field(default_factory=dict)
    final: dict[str, tuple[Event, Money]] = field(default_factory=dict)
    credited: dict[str, tuple[Event, Money]] = field(default_factory=dict)
    reversals: dict[str, Event] = field(default_factory=dict)
    presented: list[tuple[Event, Money]] = field(default_factory=list)
    refunded: list[Money] = field(default_factory=list)

    def left(self, event: Event, money: Money) -> Money:
        """Return what a group amounts to after its last reversal: all of it, its replacement amount, or nothing."""
        reversal = self.reversals.get(event.trace)
        if reversal is None:
            return money
        left = _billing_left(event, reversal) if self.billing else reversal.replacement
        amount_minor = min(left.amount_minor, money.amount_minor) if left and left.currency == money.currency else 0
        return Money(amount_minor=amount_minor, currency=money.currency)


def _billing_left(event: Event, reversal: Event) -> Money | None:
    """Return what a reversal leaves of a message's billing amount, None where it leaves nothing.

    A reversal that does not say it, or says it in another currency, leaves the same part as of the transaction amount.
    """
    left, stated = reversal.replacement, reversal.replacement_billing
    if left is None or event.amount is None or event.billing is None:
        return stated
    if stated is not None and stated.currency == event.billing.currency:
        return stated
    return _proportional(left, event.amount, event.billing) if left.currency == event.amount.currency else None


def _grouped(ordered: Sequence[Event], *, billing: bool) -> _Groups:
    """Sort the events into groups; of several messages with one trace the last says the amount."""
    groups = _Groups(billing=billing)
    withdrawn = {(event.acquirer_reference, event.part) for event in ordered if event.effect is Effect.UNCLEARED}
    for event in ordered:
        money = event.billing if billing else event.amount
        effect = event.effect
        if effect is Effect.REVERSED:
            groups.reversals[event.trace] = event
        elif money is None:
            continue
        elif effect is Effect.AUTHORIZED and not event.credit:
            groups.authorized[event.trace] = event, money
        elif effect is Effect.FINAL:
            (groups.credited if event.credit else groups.final)[event.trace] = event, money
        elif effect is Effect.CLEARED and (event.acquirer_reference, event.part) not in withdrawn:
            if event.credit:
                groups.refunded.append(money)
            else:
                groups.presented.append((event, money))
    return groups


def _amounts(ordered: Sequence[Event], *, billing: bool) -> tuple[Amounts, ...]:
    """Add up one base amount per currency: what is authorized, what has cleared, what was refunded.

    A final single message takes the place of all that was authorized before it.
    Clearing records outrank final single messages of the same purchase, which then count as authorized only.
    """
    groups = _grouped(ordered, billing=billing)
    finals = [groups.left(*of) for of in groups.final.values()]
    credited = [groups.left(*of) for of in groups.credited.values()]
    authorized = [groups.left(*of) for trace, of in groups.authorized.items() if trace not in groups.final]
    held = _totals(finals if any(money.amount_minor for money in finals) else authorized)
    posted = _totals([money for _, money in groups.presented] or finals)
    refunded = _totals(groups.refunded or credited)
    closed = _is_complete([event for event, _ in groups.presented])
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
