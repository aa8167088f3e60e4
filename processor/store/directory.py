"""The card directory: which account, in which bucket, a card token or a bank's account reference leads to.

Directory rows are keyed by what a message or a card file names, not by bucket: they are how the bucket is found.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from hashlib import blake2b
from typing import Any, Final

from psycopg2.extras import execute_values

from processor.store.copy_text import binary_array


@dataclass(frozen=True, slots=True, kw_only=True)
class CardAddress:
    """Where a card leads: its account and that account's bucket.

    ``card`` is the card's name among those of its account, empty where an account is meant rather than a card.
    """

    account: bytes
    bucket: int
    card: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCard:
    """A card to be put into the directory, with the account it opens if that is not there yet.

    ``provisional`` accounts wait for the bank's card file; they have no product's terms yet.
    """

    token: bytes
    key_id: str
    bank: str
    product: str | None
    last_four: str
    account: bytes
    bucket: int
    programme: str | None
    provisional: bool
    role: str = "primary"
    status: str = "active"
    status_from: date | None = None
    predecessor: bytes | None = None


def account_id_of_token(token: bytes) -> bytes:
    """Return the account id that an unseen card's token opens, the same however often it is asked for."""
    return blake2b(token, digest_size=16, person=b"cobrand-account").digest()


def name_of_token(token: bytes) -> str:
    """Return the name that a card is given with its first token: it keeps it when the token keys change."""
    return blake2b(token, digest_size=6, person=b"cobrand-card").hexdigest()


def account_id_of_reference(bank: str, reference: str) -> bytes:
    """Return the account id that a bank's account reference opens."""
    return blake2b(f"{bank}\x00{reference}".encode(), digest_size=16, person=b"cobrand-account").digest()


def bucket_of(account: bytes, bucket_count: int) -> int:
    """Return an account's bucket: a stable hash of its id, frozen for life."""
    return int.from_bytes(blake2b(account, digest_size=4, person=b"cobrand-bucket").digest(), "big") % bucket_count


# Find cards by token.
FIND_CARDS: Final = "SELECT token, account, bucket, name FROM card WHERE token = ANY (%(tokens)s::bytea[])"

# Open accounts that are not there yet.
OPEN_ACCOUNTS: Final = """
INSERT INTO account (bucket, id, bank, programme, product, status, provisional, pending, available, updated_at)
VALUES %s ON CONFLICT (bucket, id) DO NOTHING
"""

# Name cards that are not there yet; where another worker was quicker, its row stays.
NAME_CARDS: Final = """
INSERT INTO card (token, key_id, bank, account, bucket, product, last_four, role, status, status_from, predecessor,
                  name, updated_at)
VALUES %s ON CONFLICT (token) DO NOTHING
"""


def find_cards(cursor: Any, tokens: Sequence[bytes]) -> dict[bytes, CardAddress]:
    """Return where known tokens lead."""
    cursor.execute(FIND_CARDS, {"tokens": binary_array(tokens)})
    return {
        bytes(token): CardAddress(account=bytes(account), bucket=bucket, card=name)
        for token, account, bucket, name in cursor.fetchall()
    }


def open_cards(cursor: Any, cards: Sequence[NewCard], now: datetime) -> None:
    """Open the accounts of unseen cards and name the cards, in key order, keeping whatever is there already."""
    ordered = sorted(cards, key=lambda card: card.token)
    accounts = sorted(
        {
            (card.bucket, card.account, card.bank, card.programme, card.product, _status(card), card.provisional)
            for card in ordered
        },
        key=lambda row: row[:2],
    )
    execute_values(cursor, OPEN_ACCOUNTS, [(*row, 0, 0, now) for row in accounts], page_size=len(accounts))
    execute_values(
        cursor,
        NAME_CARDS,
        [
            (
                card.token,
                card.key_id,
                card.bank,
                card.account,
                card.bucket,
                card.product,
                card.last_four,
                card.role,
                card.status,
                card.status_from,
                card.predecessor,
                name_of_token(card.token),
                now,
            )
            for card in ordered
        ],
        page_size=len(ordered),
    )


def _status(card: NewCard) -> str:
    return "provisional" if card.provisional else "active"
