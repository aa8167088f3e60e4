"""The statements that read the books: an account's balance, its postings, and a programme's ledger accounts.

Everything about one account names its bucket; the sum over a programme sweeps every bucket by design, and each finishes
its own part.
Nothing here writes.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from sqlalchemy import Connection, text

from processor.store.card_side import Key

AFTER_EVERY_ID: Final = b"\xff"
"""Sorts after every id: ids begin with their day, whose number starts with 0x37 in the year 9999."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceRow:
    """An account's cached balances and what they are balances of; ``programme`` is None before it is known."""

    programme: str | None
    product: str | None
    status: str
    pending: int
    available: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PostingRow:
    """One posting of an account; ``template`` is the number ``docs/ledger.md`` names."""

    id: bytes
    template: int
    debit: str
    credit: str
    unit: str
    amount: int
    rule: str
    booked_at: datetime
    business_date: date
    purchase_id: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerAccountRow:
    """What was debited and credited to one ledger account in one unit."""

    account: str
    unit: str
    debit: int
    credit: int


# Find the account that a bank's reference leads to.
FIND_REFERENCE: Final = text(
    "SELECT bucket, account FROM account_reference WHERE bank = :bank AND reference = :reference"
)
# Read one account's balances.
LOAD_BALANCE: Final = text(
    "SELECT t.programme, t.product, t.status, t.pending, t.available FROM account t"
    " WHERE t.bucket = :bucket AND t.id = :account"
)
# Read one page of an account's postings, newest first.
LIST_POSTINGS: Final = text(
    "SELECT t.id, t.template, t.debit, t.credit, t.unit, t.amount, t.rule, t.booked_at, t.business_date, t.purchase_id"
    " FROM posting t WHERE t.bucket = :bucket AND t.account = :account AND t.id < :before"
    " ORDER BY t.id DESC LIMIT :limit"
)
# Sum a programme's postings by ledger account and unit; each pair of accounts is summed once and then taken apart.
SUM_LEDGER_ACCOUNTS: Final = text(
    "WITH moved AS (SELECT t.debit, t.credit, t.unit, sum(t.amount) AS amount FROM posting t"
    " WHERE t.programme = :programme GROUP BY t.debit, t.credit, t.unit)"
    " SELECT account, unit, sum(debited) AS debit, sum(credited) AS credit FROM ("
    " SELECT debit AS account, unit, amount AS debited, 0 AS credited FROM moved"
    " UNION ALL SELECT credit, unit, 0, amount FROM moved) side"
    ' GROUP BY account, unit ORDER BY account COLLATE "C", unit COLLATE "C"'
)


def find_reference(connection: Connection, *, bank: str, reference: str) -> Key | None:
    """Return the bucket and id of the account a bank's reference leads to, or None where none was named."""
    row = connection.execute(FIND_REFERENCE, {"bank": bank, "reference": reference}).one_or_none()
    return None if row is None else (row.bucket, bytes(row.account))


def load_balance(connection: Connection, key: Key) -> BalanceRow | None:
    """Return an account's balances, or None where there is no such account."""
    row = connection.execute(LOAD_BALANCE, {"bucket": key[0], "account": key[1]}).mappings().one_or_none()
    return None if row is None else BalanceRow(**row)


def list_postings(connection: Connection, key: Key, *, before: bytes, limit: int) -> list[PostingRow]:
    """Return an account's postings with ids below ``before``, highest first."""
    rows = connection.execute(
        LIST_POSTINGS, {"bucket": key[0], "account": key[1], "before": before, "limit": limit}
    ).mappings()
    return [PostingRow(**{**row, "id": bytes(row["id"]), "purchase_id": bytes(row["purchase_id"])}) for row in rows]


def sum_ledger_accounts(connection: Connection, programme: str) -> list[LedgerAccountRow]:
    """Return every ledger account of a programme with its sums, by name and unit."""
    rows = connection.execute(SUM_LEDGER_ACCOUNTS, {"programme": programme})
    return [
        LedgerAccountRow(account=row.account, unit=row.unit, debit=int(row.debit), credit=int(row.credit))
        for row in rows
    ]
