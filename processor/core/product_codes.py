"""Which products a purchase is of: the codes that any of its messages lists, whichever came first.

A pump lists what was filled only when it clears, so that all messages of the purchase count and not its anchor alone.
"""

from collections.abc import Iterable
from typing import Final

from processor.core.event import Event
from processor.core.lifecycle import Effect

_BOUGHT: Final = frozenset({Effect.AUTHORIZED, Effect.FINAL, Effect.CLEARED, Effect.REQUESTED})


def products_of(events: Iterable[Event]) -> tuple[str, ...]:
    """Return the codes of a purchase, in order; those of refunds and of what was declined are not of it."""
    codes: set[str] = set()
    for event in events:
        if event.product_codes and event.effect in _BOUGHT and not event.credit:
            codes.update(event.product_codes)
    return tuple(sorted(codes))
