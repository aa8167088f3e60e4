"""What one message contributes to its purchase: the event that is kept with the purchase for every later fold.

First step of a decision behind the message: what it does, by ``core/lifecycle.py``, and what it is known by to the
other messages of its purchase.
"""

from collections.abc import Collection
from datetime import date
from typing import Final, NamedTuple

from processor.core.lifecycle import Effect, effect_of
from processor.core.message import CardMessage, Direction, MessageKind
from processor.core.money import Money, Rounding, divide
from processor.core.programme import Link, LinkMode

CLEARING_KINDS: Final = frozenset(
    {
        MessageKind.PRESENTMENT,
        MessageKind.CHARGEBACK,
        MessageKind.SECOND_PRESENTMENT,
        MessageKind.ARBITRATION_CHARGEBACK,
        MessageKind.FEE_COLLECTION,
        MessageKind.PRESENTMENT_REVERSAL,
        MessageKind.CHARGEBACK_REVERSAL,
        MessageKind.SECOND_PRESENTMENT_REVERSAL,
        MessageKind.ARBITRATION_CHARGEBACK_REVERSAL,
        MessageKind.FEE_COLLECTION_REVERSAL,
    }
)
"""Kinds of clearing records, which carry the acquirer's reference (DE31) of their purchase."""


class Event(NamedTuple):
    """What one message contributes to a purchase.

    ``at`` is the transmission time in seconds since 1970 UTC.
    ``trace`` names the message, ``original`` the message it refers to, empty where there is none.
    Amounts are never negative; ``credit`` turns their meaning round; ``billing`` is None where a refund or a dispute
    does not state it.
    ``part`` is (sequence, count) of a presentment in several parts.
    ``lifecycle``, ``approval``, ``retrieval`` and ``trace_number`` are the references that survive to clearing in the
    message's dialect, empty otherwise.
    ``refers_to`` holds the ids of messages that an event of operations or of the processor is about, ``rules`` the
    rules that it is about, empty for all.
    ``asked`` says that the host asked, on an inline link, what the purchase would earn before it decided.
    ``local_time`` is HHMM at the card acceptor and ``channel`` how the card was used, empty where the message does not
    say.
    ``taken_off`` holds the parts of the amount that are not for goods, each with its minor units.
    ``product_codes`` are the codes of what was bought, as far as the message lists them.
    ``card`` is the card's name in the directory, empty where no cap of the programme counts cards.
    """

    message_id: bytes
    at: int
    kind: MessageKind
    effect: Effect
    trace: str
    original: str
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
    lifecycle: str = ""
    approval: str = ""
    retrieval: str = ""
    trace_number: str = ""
    estimated: bool = False
    supersedes: bool = False
    refers_to: tuple[bytes, ...] = ()
    local_time: str = ""
    channel: str = ""
    asked: bool = False
    country: str = ""
    rules: tuple[str, ...] = ()
    taken_off: tuple[tuple[str, int], ...] = ()
    card: str = ""
    product_codes: tuple[str, ...] = ()

    @property
    def order(self) -> tuple[int, int, bytes]:
        """Where the event stands among the others: by transmission time, kind and id, never by arrival."""
        return self.at, self.kind, self.message_id


def event_of(message: CardMessage, link: Link, product: str, surviving: Collection[str] = (), card: str = "") -> Event:
    """Return the event a message contributes; ``product`` is the card product its account had when it arrived.

    ``card`` names the card in the directory, where caps count cards.
    ``surviving`` names the references that the message's dialect says an authorization shares with its clearing record.
    """
    billing = message.billing
    if billing is None and not message.credit and message.kind not in _DISPUTES:
        billing = message.amount
    replacement_billing = message.replacement_billing
    if replacement_billing is None and message.replacement is not None:
        replacement_billing = proportional(message.replacement, message.amount, billing)
    return Event(  # Its fields in their order, without names: every message comes here.
        message.message_id,
        int(message.transmitted_at.timestamp()),
        message.kind,
        effect_of(message, link.financial),
        message.trace,
        message.original_trace or "",
        message.credit,
        message.amount,
        billing,
        message.replacement,
        replacement_billing,
        message.clearing_part,
        message.acquirer_reference,
        product,
        message.processing_code,
        message.acquirer,
        message.acceptor,
        message.terminal,
        message.mcc,
        message.local_date or message.transmitted_at.date(),
        message.lifecycle_id if "lifecycle_id" in surviving else "",
        message.approval_code if "approval_code" in surviving else "",
        message.retrieval_reference if "retrieval_reference" in surviving else "",
        message.trace_number if "trace_number" in surviving else "",
        message.estimated,
        message.supersedes,
        message.refers_to,
        message.local_time,
        message.channel,
        is_asked(message, link),
        message.country,
        message.rules,
        message.taken_off,
        card,
        message.product_codes,
    )


def is_asked(message: CardMessage, link: Link) -> bool:
    """Tell whether a host asks, on an inline link, what a purchase would earn before it decides."""
    return (
        link.mode is LinkMode.INLINE
        and message.direction is Direction.REQUEST
        and message.kind in {MessageKind.AUTHORIZATION, MessageKind.FINANCIAL}
    )


_DISPUTES: Final = frozenset(
    {MessageKind.CHARGEBACK, MessageKind.SECOND_PRESENTMENT, MessageKind.ARBITRATION_CHARGEBACK}
)


def proportional(part: Money, whole: Money | None, billing: Money | None) -> Money | None:
    """Return what of a billing amount belongs to ``part`` of the transaction amount ``whole``, rounded half-even."""
    if billing is None or whole is None or whole.amount_minor == 0:
        return None
    share = divide(part.amount_minor * billing.amount_minor, whole.amount_minor, Rounding.HALF_EVEN)
    return Money(amount_minor=share, currency=billing.currency)
