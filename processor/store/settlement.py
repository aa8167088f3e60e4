"""The statements of settlement: closing a cycle, summing it, reading it for files, and keeping what files were made.

Settlement sweeps over every bucket of a bank's programme by design; its joins between sharded tables are on the bucket
and the posting, so that each shard finishes its own part.
Nothing here commits.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import orjson
from sqlalchemy import Connection, Row, RowMapping, text

ROWS_A_FETCH: Final = 5000
"""How many rows of a sweep are in memory at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleKey:
    """What names a cycle: a bank, a programme, a business date."""

    bank: str
    programme: str
    business_date: date


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleRow:
    """A cycle; ``closed_at`` is None while it is open; ``postings`` counts the postings it settles."""

    key: CycleKey
    state: str
    closed_at: datetime | None
    postings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRow:
    """A settlement file as it was first made; ``totals`` lists (currency, debit, credit) in minor units."""

    party: str
    sequence: int
    name: str
    layout: str
    size_bytes: int
    sha256: bytes
    record_count: int
    hash_total: int
    totals: tuple[tuple[str, int, int], ...]


_CYCLE: Final = (
    "SELECT bank, programme, business_date, state, closed_at,"
    " (SELECT COALESCE(sum(o.postings), 0) FROM cycle_obligation o WHERE o.bank = c.bank"
    "  AND o.programme = c.programme AND o.business_date = c.business_date) AS postings FROM cycle c"
)

# Whether this bank and programme has a cycle.
HAS_CYCLE: Final = text("SELECT EXISTS (SELECT FROM cycle WHERE bank = :bank AND programme = :programme)")
# Make those who close a date of this bank and programme wait for each other: its first cycle stands for all of them.
LOCK_FIRST_CYCLE: Final = text(
    "SELECT business_date FROM cycle WHERE bank = :bank AND programme = :programme"
    " ORDER BY business_date LIMIT 1 FOR UPDATE"
)
# Before there is a first cycle no row can be locked; this happens once for each bank and programme.
LOCK_CYCLES: Final = text("LOCK TABLE cycle IN EXCLUSIVE MODE")
# Open a cycle unless it is there.
OPEN_CYCLE: Final = text(
    "INSERT INTO cycle (bank, programme, business_date, state, opened_at)"
    " VALUES (:bank, :programme, :business_date, 'open', :now) ON CONFLICT DO NOTHING"
)
# Close an open cycle.
CLOSE_CYCLE: Final = text(
    "UPDATE cycle SET state = 'closed', closed_at = :now"
    " WHERE bank = :bank AND programme = :programme AND business_date = :business_date AND state = 'open'"
)
# Find one cycle.
LOAD_CYCLE: Final = text(f"{_CYCLE} WHERE bank = :bank AND programme = :programme AND business_date = :business_date")
# The latest closed cycles of a bank and programme, newest date first.
LOAD_CLOSED: Final = text(
    f"{_CYCLE} WHERE bank = :bank AND programme = :programme AND state = 'closed'"
    " ORDER BY business_date DESC LIMIT :limit"
)
# A page of cycles, newest date first.
LIST_CYCLES: Final = text(
    f"{_CYCLE}"
    " WHERE (CAST(:bank AS text) IS NULL OR bank = :bank)"
    " AND (CAST(:programme AS text) IS NULL OR programme = :programme)"
    " AND (CAST(:after_date AS date) IS NULL OR business_date < :after_date"
    "      OR business_date = :after_date AND (programme, bank) > (:after_programme, :after_bank))"
    " ORDER BY business_date DESC, programme, bank LIMIT :limit"
)
# Closed cycles up to a date whose files were never made, oldest first.
LOAD_CYCLES_WITHOUT_FILES: Final = text(
    f"{_CYCLE} WHERE bank = :bank AND programme = :programme AND business_date <= :business_date"
    " AND state = 'closed' AND NOT EXISTS (SELECT FROM settlement_file f"
    "  WHERE f.bank = c.bank AND f.programme = c.programme AND f.business_date = c.business_date)"
    " ORDER BY business_date"
)
# Every closed cycle, oldest first.
LOAD_ALL_CLOSED: Final = text(f"{_CYCLE} WHERE state = 'closed' ORDER BY bank, programme, business_date")
# Make the unassigned postings between two parties, dated up to the day, members of the cycle. A posting dated after
# ``floor`` can only be in a cycle after ``floor``, so that older members need not be looked at.
ASSIGN_POSTINGS: Final = text(
    "INSERT INTO cycle_posting (bucket, posting_id, bank, programme, business_date)"
    " SELECT p.bucket, p.id, p.bank, p.programme, :business_date"
    " FROM posting p"
    " WHERE p.between_parties AND p.bank = :bank AND p.programme = :programme"
    " AND p.business_date > :floor AND p.business_date <= :business_date"
    " AND NOT EXISTS (SELECT FROM cycle_posting m WHERE m.bucket = p.bucket AND m.posting_id = p.id"
    "  AND m.bank = :bank AND m.programme = :programme AND m.business_date > :floor)"
)
# Add up a cycle's postings for each ordered pair of parties and currency.
SUM_OBLIGATIONS: Final = text(
    "SELECT split_part(p.debit, '/', 2) AS debtor, split_part(p.credit, '/', 2) AS creditor, p.unit AS currency,"
    " CAST(sum(p.amount) AS bigint) AS amount_minor, CAST(count(*) AS integer) AS postings"
    " FROM cycle_posting m JOIN posting p ON p.bucket = m.bucket AND p.id = m.posting_id"
    " WHERE m.bank = :bank AND m.programme = :programme AND m.business_date = :business_date"
    " GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
)
# Keep a cycle's obligations.
KEEP_OBLIGATION: Final = text(
    "INSERT INTO cycle_obligation (bank, programme, business_date, debtor, creditor, currency, amount_minor, postings)"
    " VALUES (:bank, :programme, :business_date, :debtor, :creditor, :currency, :amount_minor, :postings)"
)
# What each party owes each other in a cycle.
LOAD_OBLIGATIONS: Final = text(
    "SELECT debtor, creditor, currency, amount_minor, postings FROM cycle_obligation"
    " WHERE bank = :bank AND programme = :programme AND business_date = :business_date"
    ' ORDER BY debtor COLLATE "C", creditor COLLATE "C", currency COLLATE "C"'
)
# A cycle's postings in the order of its files. The partner is that of the awards which the same message gave the same
# purchase in the same transaction: their ids begin with the message's. A change of price alone charges without an
# award; then the message's decision says it. Rows of one transaction never change, nor does what is read here.
STREAM_POSTINGS: Final = text(
    "SELECT p.id, p.purchase_id, p.template, p.rule, p.debit, p.credit, p.unit, p.amount, p.booked_at, p.business_date,"
    " COALESCE("
    "  (SELECT max(a.partner) FROM award a WHERE a.bucket = p.bucket AND a.id > p.message_id"
    r"   AND a.id <= p.message_id || '\xffff'::bytea AND a.purchase_id = p.purchase_id AND a.booked_at = p.booked_at),"
    "  (SELECT d.detail ->> 'partner' FROM decision d WHERE d.bucket = p.bucket AND d.message_id = p.message_id"
    "   AND d.purchase_id = p.purchase_id AND d.decided_at = p.booked_at), '') AS partner"
    " FROM cycle_posting m JOIN posting p ON p.bucket = m.bucket AND p.id = m.posting_id"
    " WHERE m.bank = :bank AND m.programme = :programme AND m.business_date = :business_date"
    " ORDER BY p.business_date, p.id, p.bucket"
)
# The files of a cycle, by party.
LOAD_FILES: Final = text(
    "SELECT party, sequence, name, layout, size_bytes, sha256, record_count, hash_total, totals FROM settlement_file"
    " WHERE bank = :bank AND programme = :programme AND business_date = :business_date"
    ' ORDER BY party COLLATE "C"'
)
# The last sequence number of every party's files of a bank and programme.
LOAD_SEQUENCES: Final = text(
    "SELECT party, max(sequence) AS sequence FROM settlement_file WHERE bank = :bank AND programme = :programme"
    " GROUP BY party"
)
# Keep what a file is.
KEEP_FILE: Final = text(
    "INSERT INTO settlement_file (bank, programme, business_date, party, sequence, name, layout, size_bytes, sha256,"
    " record_count, hash_total, totals, made_at)"
    " VALUES (:bank, :programme, :business_date, :party, :sequence, :name, :layout, :size_bytes, :sha256,"
    " :record_count, :hash_total, CAST(:totals AS json), :now)"
)


def lock_cycles(connection: Connection, bank: str, programme: str) -> None:
    """Wait for whoever closes a date of this bank and programme or makes its files, and keep others waiting.

    The lock lasts until the transaction ends; read what it protects in statements that follow.
    """
    pair = {"bank": bank, "programme": programme}
    if not connection.execute(HAS_CYCLE, pair).scalar_one():
        connection.execute(LOCK_CYCLES)
    connection.execute(LOCK_FIRST_CYCLE, pair)


def open_cycle(connection: Connection, key: CycleKey, now: datetime) -> None:
    """Open a cycle unless it is there."""
    connection.execute(OPEN_CYCLE, {**_named(key), "now": now})


def close_cycle(connection: Connection, key: CycleKey, now: datetime) -> None:
    """Set a cycle closed."""
    connection.execute(CLOSE_CYCLE, {**_named(key), "now": now})


def load_cycle(connection: Connection, key: CycleKey) -> CycleRow | None:
    """Return one cycle, or None where there is none."""
    row = connection.execute(LOAD_CYCLE, _named(key)).first()
    return None if row is None else _cycle_row(row)


def load_closed(connection: Connection, bank: str, programme: str, limit: int) -> list[CycleRow]:
    """Return the latest closed cycles, newest date first."""
    values = {"bank": bank, "programme": programme, "limit": limit}
    return [_cycle_row(row) for row in connection.execute(LOAD_CLOSED, values)]


def list_cycles(
    connection: Connection, *, bank: str | None, programme: str | None, after: CycleKey | None, limit: int
) -> list[CycleRow]:
    """Return a page of cycles, newest date first; None stands for every bank or programme, and for the first page."""
    values = {
        "bank": bank,
        "programme": programme,
        "after_date": after and after.business_date,
        "after_programme": after and after.programme,
        "after_bank": after and after.bank,
        "limit": limit,
    }
    return [_cycle_row(row) for row in connection.execute(LIST_CYCLES, values)]


def load_cycles_without_files(connection: Connection, key: CycleKey) -> list[CycleRow]:
    """Return the closed cycles of a bank and programme up to a date whose files were never made, oldest first."""
    return [_cycle_row(row) for row in connection.execute(LOAD_CYCLES_WITHOUT_FILES, _named(key))]


def load_all_closed(connection: Connection) -> list[CycleRow]:
    """Return every closed cycle, oldest first for each bank and programme."""
    return [_cycle_row(row) for row in connection.execute(LOAD_ALL_CLOSED)]


def assign_postings(connection: Connection, key: CycleKey, floor: date) -> int:
    """Make every unassigned posting dated after ``floor`` and up to the cycle's day its member; return how many."""
    return connection.execute(ASSIGN_POSTINGS, {**_named(key), "floor": floor}).rowcount


def sum_obligations(connection: Connection, key: CycleKey) -> Sequence[RowMapping]:
    """Return a cycle's sums: debtor, creditor, currency, amount_minor, postings."""
    return connection.execute(SUM_OBLIGATIONS, _named(key)).mappings().all()


def keep_obligations(connection: Connection, key: CycleKey, obligations: Iterable[Mapping[str, Any]]) -> None:
    """Keep a cycle's obligations."""
    rows = [{**_named(key), **obligation} for obligation in obligations]
    if rows:
        connection.execute(KEEP_OBLIGATION, rows)


def load_obligations(connection: Connection, key: CycleKey) -> Sequence[RowMapping]:
    """Return a cycle's kept obligations: debtor, creditor, currency, amount_minor, postings."""
    return connection.execute(LOAD_OBLIGATIONS, _named(key)).mappings().all()


def stream_postings(connection: Connection, key: CycleKey) -> Iterator[Row[Any]]:
    """Yield a cycle's postings in the order of its files, a few thousand in memory at a time."""
    return iter(connection.execute(STREAM_POSTINGS, _named(key), execution_options={"yield_per": ROWS_A_FETCH}))


def load_files(connection: Connection, key: CycleKey) -> list[FileRow]:
    """Return what the files of a cycle were when they were first made, by party."""
    return [
        FileRow(
            party=row.party,
            sequence=row.sequence,
            name=row.name,
            layout=row.layout,
            size_bytes=row.size_bytes,
            sha256=bytes(row.sha256),
            record_count=row.record_count,
            hash_total=row.hash_total,
            totals=tuple((currency, debit, credit) for currency, debit, credit in row.totals),
        )
        for row in connection.execute(LOAD_FILES, _named(key))
    ]


def load_sequences(connection: Connection, bank: str, programme: str) -> dict[str, int]:
    """Return the last sequence number of each party's files of a bank and programme."""
    rows = connection.execute(LOAD_SEQUENCES, {"bank": bank, "programme": programme})
    return {row.party: row.sequence for row in rows}


def keep_files(connection: Connection, key: CycleKey, files: Sequence[FileRow], now: datetime) -> None:
    """Keep what the files of a cycle are."""
    rows = [
        {
            **_named(key),
            "party": file.party,
            "sequence": file.sequence,
            "name": file.name,
            "layout": file.layout,
            "size_bytes": file.size_bytes,
            "sha256": file.sha256,
            "record_count": file.record_count,
            "hash_total": file.hash_total,
            "totals": orjson.dumps(file.totals).decode(),
            "now": now,
        }
        for file in files
    ]
    connection.execute(KEEP_FILE, rows)


def _named(key: CycleKey) -> dict[str, Any]:
    return {"bank": key.bank, "programme": key.programme, "business_date": key.business_date}


def _cycle_row(row: Row[Any]) -> CycleRow:
    key = CycleKey(bank=row.bank, programme=row.programme, business_date=row.business_date)
    return CycleRow(key=key, state=row.state, closed_at=row.closed_at, postings=int(row.postings))
