"""Which authorization of a purchase a threshold lets expire; the pure part of ``flow/expire.py``.

It asks the fold itself, so that an expiry is booked where it takes something off, and nowhere else.
"""

from collections.abc import Sequence
from typing import Final

from processor.core.event import Event
from processor.core.lifecycle import Effect
from processor.core.message import MessageKind
from processor.core.purchase import Folded, fold
from processor.core.standing import standing_of

_LAST: Final = b"\xff" * 16


def expiring(events: Sequence[Event], threshold: int) -> Event | None:
    """Return the first authorization that is awaited still, was sent up to the threshold and promises something.

    ``threshold`` is in seconds since 1970 UTC.
    None where nothing is, so that an expiry would change nothing; an estimated authorization promises nothing.
    """
    ordered = sorted(events, key=lambda event: event.order)
    awaited = [entry.event for entry in standing_of(ordered).authorized if entry.event.at <= threshold]
    if not awaited:
        return None
    first = min(awaited, key=lambda event: event.order)
    expiry = first._replace(
        message_id=_LAST, at=threshold, kind=MessageKind.EXPIRY, effect=Effect.EXPIRED, trace="", original=""
    )
    return None if _open(fold(ordered)) == _open(fold([*ordered, expiry])) else first


def _open(folded: Folded) -> list[tuple[str, int]]:
    return [
        (amounts.currency, amounts.open_minor)
        for amounts in (*folded.transaction, *folded.billing)
        if amounts.open_minor
    ]
