"""The statements behind a bank's card file: references, cards, profiles, and joining one account to another."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, NamedTuple

from psycopg2.extras import execute_values

from processor.core.outcome import Reason
from processor.store.card_side import on_one_bucket
from processor.store.copy_text import binary_array
from processor.store.directory import CardAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class CardRow:
    """What a card file says of one card, tokenised; ``account`` and ``bucket`` are where it belongs."""

    token: bytes
    key_id: str
    bank: str
    account: bytes
    bucket: int
    product: str
    last_four: str
    role: str
    status: str
    status_from: date | None
    predecessor: bytes | None
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileRow:
    """What a card file says of an account's holder; kept apart from the ledger."""

    bucket: int
    account: bytes
    reference: str
    member_number: str | None
    opened_on: date | None


class Adoption(NamedTuple):
    """The terms of an account that waits no longer; a product that does not lead counts where there is none yet."""

    bank: str
    programme: str
    product: str
    leads: bool


# Find the accounts that a bank's references lead to.
FIND_REFERENCES: Final = """
SELECT reference, account, bucket FROM account_reference WHERE bank = %(bank)s AND reference = ANY (%(references)s)
"""

# Bind references to accounts; where another file was quicker, its row stays.
KEEP_REFERENCES: Final = """
INSERT INTO account_reference (bank, reference, account, bucket) VALUES %s ON CONFLICT (bank, reference) DO NOTHING
"""

# Tell which accounts a bank's reference leads to.
FIND_REFERENCED: Final = "SELECT account FROM account_reference WHERE account = ANY (%(accounts)s::bytea[])"

# Open accounts that are not there yet.
OPEN_ACCOUNTS: Final = """
INSERT INTO account (bucket, id, bank, programme, product, status, provisional, pending, available, updated_at)
VALUES %s ON CONFLICT (bucket, id) DO NOTHING
"""

# Give accounts their programme and product; a provisional one, on which nothing was booked, becomes this bank's.
ADOPT_ACCOUNTS: Final = """
UPDATE account t SET programme = k.programme, status = 'active', provisional = false, updated_at = k.now,
                     bank = CASE WHEN t.provisional THEN k.bank ELSE t.bank END,
                     product = CASE WHEN k.leads OR t.product IS NULL THEN k.product ELSE t.product END
FROM (VALUES %s) AS k (bucket, id, bank, programme, product, leads, now)
WHERE t.bucket = k.bucket AND t.id = k.id AND t.superseded_by IS NULL{bucket}
"""

# Name cards, or bring what the bank says of them up to date; a known token keeps its account and its key.
KEEP_CARDS: Final = """
INSERT INTO card (token, key_id, bank, account, bucket, product, last_four, role, status, status_from, predecessor,
                  name, updated_at)
VALUES %s
ON CONFLICT (token) DO UPDATE SET product = EXCLUDED.product, role = EXCLUDED.role, status = EXCLUDED.status,
       status_from = EXCLUDED.status_from, predecessor = EXCLUDED.predecessor, name = EXCLUDED.name,
       updated_at = EXCLUDED.updated_at
"""

# Keep what the bank says of holders.
KEEP_PROFILES: Final = """
INSERT INTO member_profile (bucket, account, bank_reference, member_number, opened_on, updated_at) VALUES %s
ON CONFLICT (bucket, account) DO UPDATE SET bank_reference = EXCLUDED.bank_reference,
       member_number = coalesce(EXCLUDED.member_number, member_profile.member_number),
       opened_on = coalesce(EXCLUDED.opened_on, member_profile.opened_on), updated_at = EXCLUDED.updated_at
"""

# Close the cards of a bank that a full file, begun at the time given, left out; those that wait for a file stay.
CLOSE_MISSING: Final = """
UPDATE card SET status = 'closed', status_from = %(today)s, updated_at = %(now)s
WHERE bank = %(bank)s AND updated_at < %(now)s AND status <> 'closed'
  AND NOT EXISTS (SELECT FROM account a WHERE a.bucket = card.bucket AND a.id = card.account AND a.provisional)
"""

# Find what waits for an account: for its card alone, or for whatever reason.
FIND_PARKED: Final = """
SELECT t.bucket, t.message_id FROM parked t
WHERE t.bucket = %(bucket)s AND t.account = %(account)s AND t.reason = ANY (%(reasons)s)
ORDER BY t.parked_at, t.message_id
"""

# Find every purchase of an account.
FIND_PURCHASES: Final = """
SELECT t.id FROM purchase t WHERE t.bucket = %(bucket)s AND t.account = %(account)s
"""

# Point every card of an account that was joined to another to that one.
POINT_CARDS: Final = """
UPDATE card SET account = %(account)s, bucket = %(bucket)s, updated_at = %(now)s WHERE account = %(joined)s
"""

# Mark an account as joined to another; its open quotes end.
SUPERSEDE: Final = """
UPDATE account t SET superseded_by = %(account)s, status = 'joined', provisional = false, updated_at = %(now)s
WHERE t.bucket = %(joined_bucket)s AND t.id = %(joined)s
"""

# Let what still waits for a joined account wait for the other one in its bucket.
MOVE_PARKED: Final = """
UPDATE parked t SET account = %(account)s WHERE t.bucket = %(joined_bucket)s AND t.account = %(joined)s
"""

# Take everything that waited for a joined account off the list, where the other one's bucket has its own.
UNPARK_ACCOUNT: Final = "DELETE FROM parked t WHERE t.bucket = %(bucket)s AND t.account = %(account)s"

# Read stored messages by id.
LOAD_MESSAGES: Final = """
SELECT t.id, t.fields::text FROM message t
WHERE t.bucket = %(bucket)s AND t.id = ANY (%(ids)s::bytea[]) ORDER BY t.received_at, t.id
"""


def find_references(cursor: Any, bank: str, references: Sequence[str]) -> dict[str, CardAddress]:
    """Return the accounts of known references."""
    cursor.execute(FIND_REFERENCES, {"bank": bank, "references": list(references)})
    return {
        reference: CardAddress(account=bytes(account), bucket=bucket)
        for reference, account, bucket in cursor.fetchall()
    }


def referenced(cursor: Any, accounts: Sequence[bytes]) -> set[bytes]:
    """Return those of the accounts that some reference of a bank leads to."""
    cursor.execute(FIND_REFERENCED, {"accounts": binary_array(accounts)})
    return {bytes(row[0]) for row in cursor.fetchall()}


def keep_references(cursor: Any, bank: str, references: dict[str, CardAddress]) -> None:
    """Bind new references to accounts, in order."""
    if references:
        rows = [(bank, reference, to.account, to.bucket) for reference, to in sorted(references.items())]
        execute_values(cursor, KEEP_REFERENCES, rows, page_size=len(rows))


def open_accounts(cursor: Any, bank: str, addresses: Sequence[CardAddress], now: datetime) -> int:
    """Open accounts that are not there yet, provisional until they are adopted; return how many there were not."""
    if not addresses:
        return 0
    rows = [
        (to.bucket, to.account, bank, None, None, "provisional", True, 0, 0, now)
        for to in sorted(addresses, key=lambda to: (to.bucket, to.account))
    ]
    execute_values(cursor, OPEN_ACCOUNTS, rows, page_size=len(rows))
    return int(cursor.rowcount)


def adopt_accounts(cursor: Any, terms: Mapping[CardAddress, Adoption], now: datetime) -> None:
    """Give locked accounts their terms."""
    if terms:
        rows = [(to.bucket, to.account, *of_account, now) for to, of_account in terms.items()]
        template = "(%s::smallint, %s::bytea, %s::text, %s::text, %s::text, %s::boolean, %s::timestamptz)"
        statement = on_one_bucket(ADOPT_ACCOUNTS, {to.bucket for to in terms})
        execute_values(cursor, statement, rows, template=template, page_size=len(rows))


def keep_cards(cursor: Any, cards: Sequence[CardRow], now: datetime) -> None:
    """Name cards, or bring them up to date, in order of their tokens."""
    rows = [
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
            card.name,
            now,
        )
        for card in sorted(cards, key=lambda card: card.token)
    ]
    if rows:
        execute_values(cursor, KEEP_CARDS, rows, page_size=len(rows))


def keep_profiles(cursor: Any, profiles: Sequence[ProfileRow], now: datetime) -> None:
    """Keep what the bank says of holders."""
    rows = [
        (profile.bucket, profile.account, profile.reference, profile.member_number, profile.opened_on, now)
        for profile in sorted(profiles, key=lambda profile: (profile.bucket, profile.account))
    ]
    if rows:
        execute_values(cursor, KEEP_PROFILES, rows, page_size=len(rows))


def close_missing(cursor: Any, bank: str, now: datetime) -> int:
    """Close the cards a full file left out; return how many."""
    cursor.execute(CLOSE_MISSING, {"bank": bank, "now": now, "today": now.date()})
    return int(cursor.rowcount)


def parked_of(cursor: Any, address: CardAddress, reasons: Iterable[Reason]) -> list[tuple[int, bytes]]:
    """Return the keys of an account's messages that wait for one of these reasons, oldest first."""
    values = {"bucket": address.bucket, "account": address.account, "reasons": [int(reason) for reason in reasons]}
    cursor.execute(FIND_PARKED, values)
    return [(bucket, bytes(message_id)) for bucket, message_id in cursor.fetchall()]


def purchases_of(cursor: Any, address: CardAddress) -> list[bytes]:
    """Return the ids of an account's purchases."""
    cursor.execute(FIND_PURCHASES, {"bucket": address.bucket, "account": address.account})
    return [bytes(row[0]) for row in cursor.fetchall()]


def load_fields(cursor: Any, bucket: int, ids: Sequence[bytes]) -> list[str]:
    """Return the stored fields of messages of one bucket, in order of their arrival."""
    cursor.execute(LOAD_MESSAGES, {"bucket": bucket, "ids": binary_array(ids)})
    return [fields for _, fields in cursor.fetchall()]


def supersede(cursor: Any, joined: CardAddress, survivor: CardAddress, now: datetime) -> None:
    """Point the cards of a joined account to its survivor, and mark it as joined; nothing waits for it any more.

    A message that waits on has a row of its own in the survivor's bucket, or keeps its row where both are one.
    """
    values = {
        "account": survivor.account,
        "bucket": survivor.bucket,
        "joined": joined.account,
        "joined_bucket": joined.bucket,
        "now": now,
    }
    cursor.execute(POINT_CARDS, values)
    cursor.execute(SUPERSEDE, values)
    if joined.bucket == survivor.bucket:
        cursor.execute(MOVE_PARKED, values)
    else:
        cursor.execute(UNPARK_ACCOUNT, {"bucket": joined.bucket, "account": joined.account})
