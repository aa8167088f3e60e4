"""What a simulation's lines say of purchases by themselves: that a day has come, or that operations release miles.

The service finds the first by looking for what is due, and is told the second; a simulation is told both.
"""

from hashlib import blake2b
from typing import Final

from processor.core.course import start_of
from processor.core.due import day_to_post, held_for_review, waiting_for_release
from processor.core.kept_purchase import Purchase
from processor.core.message import CardMessage, Direction, MessageKind
from processor.core.programme import Link, Programme
from processor.core.transaction_file import Transaction, TransactionType

SAID_OF_PURCHASES: Final = frozenset({TransactionType.POST_DUE, TransactionType.RELEASE, TransactionType.REFUSE})
"""The types that stand for no message of a host or a clearing file."""


def named_id(name: str) -> bytes:
    """Return the message id that a name in a file of transactions stands for."""
    return blake2b(name.encode(), digest_size=16).digest()


def message_about(transaction: Transaction, purchase: Purchase, programme: Programme, link: Link) -> CardMessage | None:
    """Return what a line says of a purchase as the service's own event, None where it would change nothing."""
    at, about = transaction.at, waiting_for_release(programme, purchase, transaction.rules)
    kind = MessageKind.AWARD_RELEASED
    if transaction.type is TransactionType.POST_DUE:
        due = day_to_post(programme, purchase, transaction.at.date())
        about = () if due is None else (due.message_id,)
        at, kind = at if due is None else start_of(due.day), MessageKind.DUE
    if transaction.type is TransactionType.REFUSE:
        about, kind = held_for_review(purchase, transaction.rules), MessageKind.AWARD_REFUSED
    if not about:
        return None
    return CardMessage(
        message_id=named_id(transaction.id),
        content=named_id(transaction.id),
        bank=link.bank,
        dialect="",
        mti="",
        kind=kind,
        direction=Direction.ADVICE,
        card=None,
        transmitted_at=at,
        refers_to=about,
        rules=transaction.rules,
    )
