"""Clearing files: which were taken and how far, what of them waits, and which of their records went wrong.

A file's records wait in chunks, tokenised, until they are decided; a lease says which worker decides them.
Nothing here commits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
from psycopg2.extras import execute_values
from sqlalchemy import Connection, text

from processor.store.card_side import Key, day_range, on_one_bucket
from processor.store.copy_text import binary_array, integer_array

TAKING: Final = "taking"
TAKEN: Final = "taken"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearingFileRow:
    """A clearing file that was accepted.

    ``staging`` names its chunks, of which ``chunks`` were written and the first ``decided_chunks`` are decided.
    ``decided`` counts records; ``outcomes`` counts those by outcome and reason.
    ``totals`` are the sums of the trailer, in minor units by currency.
    """

    bank: str
    file_id: str
    sha256: bytes
    dialect: str
    state: str
    records: int
    decided: int
    outcomes: dict[str, int]
    totals: dict[str, int]
    staging: bytes
    chunks: int
    decided_chunks: int
    received_at: datetime
    completed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExceptionRow:
    """A record of a clearing file that was parked or refused: its number and place in the file, and why."""

    number: int
    place: str
    outcome: int
    reason: int
    problem: str


# Keep one chunk of a file that is being read; it counts for nothing until the file is accepted.
STAGE_CHUNK: Final = text("INSERT INTO clearing_chunk (staging, number, content) VALUES (:staging, :number, :content)")
# Accept a file whose chunks are staged; where its id is known already nothing changes.
ACCEPT: Final = text(
    "INSERT INTO clearing_file (bank, file_id, sha256, dialect, state, records, decided, outcomes, totals, staging,"
    " chunks, decided_chunks, received_at) VALUES (:bank, :file_id, :sha256, :dialect, :state, :records, 0, '{}',"
    " CAST(:totals AS json), :staging, :chunks, 0, :received_at) ON CONFLICT (bank, file_id) DO NOTHING"
)
# Find one file of a bank.
FIND: Final = text("SELECT * FROM clearing_file WHERE bank = :bank AND file_id = :file_id")
# A bank's files, newest first, after the last one of the page before.
LIST: Final = text(
    "SELECT * FROM clearing_file WHERE bank = :bank AND (received_at, file_id) < (:before, :before_id)"
    " ORDER BY received_at DESC, file_id DESC LIMIT :limit"
)
# Lease the file that has waited longest among those that nobody else decides now; one that was tried before, because
# its worker failed, comes behind those that never were.
LEASE_NEXT: Final = text(
    "UPDATE clearing_file SET leased_by = :worker, leased_until = :until WHERE (bank, file_id) IN"
    " (SELECT bank, file_id FROM clearing_file WHERE state = 'taking'"
    " AND (leased_until IS NULL OR leased_until < :now OR leased_by = :worker)"
    " ORDER BY leased_until NULLS FIRST, received_at, bank, file_id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING *"
)
# Read one chunk of a file.
LOAD_CHUNK: Final = text("SELECT content FROM clearing_chunk WHERE staging = :staging AND number = :number")
# Say that the next chunk is decided, and lengthen the lease; nothing changes where another worker was quicker.
ADVANCE: Final = text(
    "UPDATE clearing_file SET decided = decided + :records, outcomes = CAST(:outcomes AS json),"
    " decided_chunks = decided_chunks + 1, leased_until = :until"
    " WHERE bank = :bank AND file_id = :file_id AND decided_chunks = :number AND state = 'taking'"
)
# Forget a chunk that is decided.
DELETE_CHUNK: Final = text("DELETE FROM clearing_chunk WHERE staging = :staging AND number = :number")
# Keep records that were parked or refused; one that is kept already stays as it is.
KEEP_EXCEPTIONS: Final = """
INSERT INTO clearing_exception (bank, file_id, number, place, outcome, reason, problem)
VALUES %s ON CONFLICT (bank, file_id, number) DO NOTHING
"""
# Say that every record of a file is decided or parked.
COMPLETE: Final = text(
    "UPDATE clearing_file SET state = 'taken', completed_at = :now, leased_by = NULL, leased_until = NULL"
    " WHERE bank = :bank AND file_id = :file_id AND state = 'taking' AND decided_chunks = chunks"
)
# Give a lease back before it ends.
RELEASE: Final = text(
    "UPDATE clearing_file SET leased_by = NULL, leased_until = NULL"
    " WHERE bank = :bank AND file_id = :file_id AND leased_by = :worker"
)
# Read which clearing record each message was that was taken.
LOAD_ORIGINS: Final = """
SELECT t.bucket, t.id, t.fields ->> 'clearing_file', (t.fields ->> 'record_number')::bigint
FROM unnest(%(buckets)s::smallint[], %(ids)s::bytea[]) AS k (bucket, id)
JOIN message t ON t.bucket = k.bucket AND t.id = k.id
WHERE t.id >= %(low)s AND t.id < %(high)s{bucket}
"""
# A page of a file's records that were parked or refused, in the file's order.
LIST_EXCEPTIONS: Final = text(
    "SELECT number, place, outcome, reason, problem FROM clearing_exception"
    " WHERE bank = :bank AND file_id = :file_id AND number > :after ORDER BY number LIMIT :limit"
)


def stage_chunk(connection: Connection, staging: bytes, number: int, content: bytes) -> None:
    """Keep one chunk of a file that is being read; chunks are numbered from 0."""
    connection.execute(STAGE_CHUNK, {"staging": staging, "number": number, "content": content})


def accept(connection: Connection, row: ClearingFileRow) -> ClearingFileRow:
    """Accept a file, and return what is known of it: itself, or what was accepted under its id before."""
    values = {
        "bank": row.bank,
        "file_id": row.file_id,
        "sha256": row.sha256,
        "dialect": row.dialect,
        "state": row.state,
        "records": row.records,
        "totals": orjson.dumps(row.totals).decode(),
        "staging": row.staging,
        "chunks": row.chunks,
        "received_at": row.received_at,
    }
    connection.execute(ACCEPT, values)
    return _row(connection.execute(FIND, {"bank": row.bank, "file_id": row.file_id}).one())


def find_file(connection: Connection, bank: str, file_id: str) -> ClearingFileRow | None:
    """Return a file of a bank, or None where none of that id was accepted."""
    row = connection.execute(FIND, {"bank": bank, "file_id": file_id}).one_or_none()
    return None if row is None else _row(row)


def list_files(connection: Connection, bank: str, before: tuple[datetime, str], limit: int) -> list[ClearingFileRow]:
    """Return a page of a bank's files, newest first, those before the position given."""
    values = {"bank": bank, "before": before[0], "before_id": before[1], "limit": limit}
    return [_row(row) for row in connection.execute(LIST, values)]


def lease_next(connection: Connection, *, worker: str, now: datetime, until: datetime) -> ClearingFileRow | None:
    """Lease the file that has waited longest, or return None where none waits."""
    row = connection.execute(LEASE_NEXT, {"worker": worker, "now": now, "until": until}).one_or_none()
    return None if row is None else _row(row)


def load_chunk(connection: Connection, staging: bytes, number: int) -> bytes | None:
    """Return a chunk, or None where it was decided already."""
    content = connection.execute(LOAD_CHUNK, {"staging": staging, "number": number}).scalar_one_or_none()
    return None if content is None else bytes(content)


def advance(
    connection: Connection, row: ClearingFileRow, *, records: int, outcomes: Mapping[str, int], until: datetime
) -> bool:
    """Say that the chunk behind ``row``'s decided ones is decided; return False where another worker said so first.

    ``outcomes`` are those of all records so far.
    """
    values = {
        "bank": row.bank,
        "file_id": row.file_id,
        "number": row.decided_chunks,
        "records": records,
        "outcomes": orjson.dumps(dict(outcomes)).decode(),
        "until": until,
    }
    if connection.execute(ADVANCE, values).rowcount == 0:
        return False
    connection.execute(DELETE_CHUNK, {"staging": row.staging, "number": row.decided_chunks})
    return True


def keep_exceptions(cursor: Any, row: ClearingFileRow, exceptions: Sequence[ExceptionRow]) -> None:
    """Keep records that were parked or refused, each once."""
    if exceptions:
        values = [
            (row.bank, row.file_id, one.number, one.place, one.outcome, one.reason, one.problem) for one in exceptions
        ]
        execute_values(cursor, KEEP_EXCEPTIONS, values, page_size=len(values))


def load_origins(cursor: Any, keys: Sequence[Key]) -> dict[Key, tuple[str, int | None]]:
    """Return the file and the record number of messages that were taken; another message has no file and none."""
    low, high = day_range([id_ for _, id_ in keys])
    values = {
        "buckets": integer_array(bucket for bucket, _ in keys),
        "ids": binary_array(id_ for _, id_ in keys),
        "low": low,
        "high": high,
    }
    cursor.execute(on_one_bucket(LOAD_ORIGINS, {bucket for bucket, _ in keys}), values)
    return {(bucket, bytes(id_)): (file or "", number) for bucket, id_, file, number in cursor.fetchall()}


def complete(connection: Connection, row: ClearingFileRow, now: datetime) -> ClearingFileRow:
    """Say that a file is taken if every chunk is decided, and return it as it is now."""
    connection.execute(COMPLETE, {"bank": row.bank, "file_id": row.file_id, "now": now})
    return _row(connection.execute(FIND, {"bank": row.bank, "file_id": row.file_id}).one())


def release(connection: Connection, row: ClearingFileRow, worker: str) -> None:
    """Give a lease back, so that another worker need not wait for its end."""
    connection.execute(RELEASE, {"bank": row.bank, "file_id": row.file_id, "worker": worker})


def list_exceptions(connection: Connection, bank: str, file_id: str, after: int, limit: int) -> list[ExceptionRow]:
    """Return a page of a file's records that were parked or refused, those behind a number."""
    values = {"bank": bank, "file_id": file_id, "after": after, "limit": limit}
    return [ExceptionRow(**row) for row in connection.execute(LIST_EXCEPTIONS, values).mappings()]


def _row(row: Any) -> ClearingFileRow:
    return ClearingFileRow(
        bank=row.bank,
        file_id=row.file_id,
        sha256=bytes(row.sha256),
        dialect=row.dialect,
        state=row.state,
        records=row.records,
        decided=row.decided,
        outcomes=row.outcomes,
        totals=row.totals,
        staging=bytes(row.staging),
        chunks=row.chunks,
        decided_chunks=row.decided_chunks,
        received_at=row.received_at,
        completed_at=row.completed_at,
    )
