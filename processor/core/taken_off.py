"""What of an amount is not for goods, and earns nothing unless a programme includes it: cashback and surcharges.

The message states each part of its own amount; the fold takes it off, as paid and as billed.
It takes the same part off what a reversal leaves, so that undoing stays exact in any order.
"""

from collections.abc import Collection, Sequence
from enum import StrEnum

from processor.core.event import Event
from processor.core.money import Money, Rounding, divide


class Part(StrEnum):
    """A part of an amount that is not for goods, by its name in a programme document."""

    CASHBACK = "cashback"
    SURCHARGES = "surcharges"


def counting(events: tuple[Event, ...], included: Collection[str]) -> tuple[Event, ...]:
    """Return a purchase's events as a programme reads them, which includes some of the parts."""
    if not any(event.taken_off for event in events):
        return events
    return tuple([_including(event, included) if event.taken_off else event for event in events])


def _including(event: Event, included: Collection[str]) -> Event:
    return event._replace(taken_off=tuple([entry for entry in event.taken_off if entry[0] not in included]))


def for_goods(event: Event, money: Money) -> Money:
    """Return what of an event's amount, as paid, as billed or as reversals left it, is for goods.

    The whole loses just what is stated, any other amount the same part, rounded half-even.
    """
    amount = event.amount
    if amount is None or amount.amount_minor == 0:
        return money
    left = max(0, amount.amount_minor - sum(minor for _, minor in event.taken_off))
    goods = divide(money.amount_minor * left, amount.amount_minor, Rounding.HALF_EVEN)
    return Money(amount_minor=goods, currency=money.currency)


def stated_parts(events: Sequence[Event]) -> tuple[tuple[str, str, int], ...]:
    """Return what messages state besides goods: each part with its currency and its sum in minor units."""
    sums: dict[tuple[str, str], int] = {}
    for event in events:
        for part, minor in event.taken_off:
            if event.amount is not None:
                key = part, event.amount.currency
                sums[key] = sums.get(key, 0) + minor
    return tuple((part, currency, minor) for (part, currency), minor in sorted(sums.items()))
