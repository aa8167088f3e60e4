"""Clearing files: which were taken, so that the same file is recognised and a changed one refused."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
from sqlalchemy import Connection, text

TAKING: Final = "taking"
TAKEN: Final = "taken"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearingFileRow:
    """A clearing file; ``outcomes`` counts its records by outcome and reason once all are taken."""

    bank: str
    file_id: str
    sha256: bytes
    dialect: str
    state: str
    records: int
    outcomes: dict[str, int]
    received_at: datetime


# Announce a file before its records are decided; where it is known already nothing changes.
ANNOUNCE: Final = text(
    "INSERT INTO clearing_file (bank, file_id, sha256, dialect, state, records, outcomes, received_at)"
    " VALUES (:bank, :file_id, :sha256, :dialect, 'taking', :records, '{}', :now)"
    " ON CONFLICT (bank, file_id) DO NOTHING"
)
# Find one file of a bank.
FIND: Final = text("SELECT * FROM clearing_file WHERE bank = :bank AND file_id = :file_id")
# Say that every record of a file is decided or parked.
COMPLETE: Final = text(
    "UPDATE clearing_file SET state = 'taken', outcomes = CAST(:outcomes AS json), completed_at = :now"
    " WHERE bank = :bank AND file_id = :file_id"
)
# A bank's files, newest first, after the last one of the page before.
LIST: Final = text(
    "SELECT * FROM clearing_file WHERE bank = :bank AND (received_at, file_id) < (:before, :before_id)"
    " ORDER BY received_at DESC, file_id DESC LIMIT :limit"
)


def announce(connection: Connection, row: ClearingFileRow) -> ClearingFileRow:
    """Keep a file that is about to be taken, and return what is known of it: itself, or what was there before."""
    values = {
        "bank": row.bank,
        "file_id": row.file_id,
        "sha256": row.sha256,
        "dialect": row.dialect,
        "records": row.records,
        "now": row.received_at,
    }
    connection.execute(ANNOUNCE, values)
    return _row(connection.execute(FIND, {"bank": row.bank, "file_id": row.file_id}).one())


def complete(connection: Connection, bank: str, file_id: str, outcomes: dict[str, int], now: datetime) -> None:
    """Say that a file is taken."""
    values = {"bank": bank, "file_id": file_id, "outcomes": orjson.dumps(outcomes).decode(), "now": now}
    connection.execute(COMPLETE, values)


def list_files(connection: Connection, bank: str, before: tuple[datetime, str], limit: int) -> list[ClearingFileRow]:
    """Return a page of a bank's files, newest first, those before the position given."""
    values = {"bank": bank, "before": before[0], "before_id": before[1], "limit": limit}
    return [_row(row) for row in connection.execute(LIST, values)]


def _row(row: Any) -> ClearingFileRow:
    return ClearingFileRow(
        bank=row.bank,
        file_id=row.file_id,
        sha256=bytes(row.sha256),
        dialect=row.dialect,
        state=row.state,
        records=row.records,
        outcomes=row.outcomes,
        received_at=row.received_at,
    )
