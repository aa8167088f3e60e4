"""A purchase as it is kept: its events, and what it was granted and charged because of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from processor.core.event import Event
from processor.core.grant import Grant
from processor.core.held import Seen
from processor.core.posting import ChargeKey
from processor.core.purchase import Placed
from processor.core.qualifying import Counts
from processor.core.spent import Kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """All that is kept of one purchase: its events, and what it was granted and charged because of them.

    ``revision`` is that it was last decided under, None before; ``occurred_on`` is the local date
    whose periods its grants count in, ``card`` the card whose caps they count in, empty where no cap counts cards.
    ``seen`` is what its account held when it happened, None where no rule asks for it.
    ``statement_day`` is its account's own that it was decided with, None for that of its card product.
    ``kept`` is what its holder keeps of what refunds took back.
    ``merged_into`` names the purchase that took over its events, None while it stands for itself.
    Where a family of linked messages is more than one purchase, ``head`` names the one that its traces lead to, None
    for that one itself, whose ``siblings`` are all others; ``parted`` is true for one that parted from another.
    ``refunded`` are parts of refunds without a reference that count against this purchase, ``placed`` the parts of this
    one's refunds that count against others.
    ``qualifying`` is what it counts towards tiers.
    """

    id: bytes
    events: tuple[Event, ...] = ()
    revision: int | None = None
    occurred_on: date | None = None
    partner: str | None = None
    grants: tuple[Grant, ...] = ()
    charges: Mapping[ChargeKey, int] = field(default_factory=dict)
    kept: tuple[Kept, ...] = ()
    merged_into: bytes | None = None
    head: bytes | None = None
    siblings: tuple[bytes, ...] = ()
    parted: bool = False
    refunded: tuple[Placed, ...] = ()
    placed: tuple[Placed, ...] = ()
    card: str = ""
    qualifying: tuple[Counts, ...] = ()
    seen: Seen | None = None
    statement_day: int | None = None
