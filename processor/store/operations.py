"""The statements of operations: what waits, what did not decode, why a decision was made, who changed what, who works.

What names one account or message names its bucket; lists and counts of what waits sweep every bucket, because that is
what they are for.
Nothing here commits.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from sqlalchemy import Connection, text

from processor.store.card_side import Key

BEFORE_EVERY_TIME: Final = datetime(1, 1, 1, tzinfo=UTC)
AFTER_EVERY_TIME: Final = datetime(9999, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedRow:
    """A message that waits; ``fields`` is its stored JSON, which holds the card's token."""

    bucket: int
    account: bytes
    message_id: bytes
    reason: int
    bank: str
    dialect: str
    parked_at: datetime
    fields: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UndecodableRow:
    """Bytes that did not decode: where and why."""

    id: bytes
    bank: str
    dialect: str
    source: str
    length_bytes: int
    field: str
    position: int
    problem: str
    digest: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRow:
    """A stored decision on a message; ``detail`` is its JSON text as it was written."""

    attempt: int
    account: bytes
    purchase_id: bytes | None
    outcome: int
    reason: int
    detail: str
    decided_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRow:
    """What a worker last wrote of itself; ``detail`` is as :func:`write_worker_status` says."""

    worker: str
    started_at: datetime
    seen_at: datetime
    detail: Mapping[str, Any]


# Read one page of what waits, oldest first; only then look up the page's messages.
LIST_PARKED: Final = text(
    "SELECT p.bucket, p.account, p.message_id, p.reason, m.bank, m.dialect, p.parked_at, m.fields::text AS fields"
    " FROM (SELECT * FROM parked WHERE (parked_at, bucket, message_id) > (:parked_at, :bucket, :message_id)"
    " ORDER BY parked_at, bucket, message_id LIMIT :limit) p"
    " JOIN message m ON m.bucket = p.bucket AND m.id = p.message_id"
    " ORDER BY p.parked_at, p.bucket, p.message_id"
)
# Read one message that waits.
LOAD_PARKED: Final = text(
    "SELECT p.bucket, p.account, p.message_id, p.reason, m.bank, m.dialect, p.parked_at, m.fields::text AS fields"
    " FROM parked p JOIN message m ON m.bucket = p.bucket AND m.id = p.message_id"
    " WHERE p.bucket = :bucket AND p.message_id = :message_id AND p.account = :account"
    " AND m.bucket = :bucket AND m.id = :message_id"
)
# Count what waits.
COUNT_PARKED: Final = text("SELECT count(*) FROM parked")
# Read one page of what did not decode, newest first.
LIST_UNDECODABLE: Final = text(
    "SELECT id, bank, dialect, source, length_bytes, field, position, problem, digest, received_at FROM undecodable"
    " WHERE (received_at, id) < (:received_at, :id) ORDER BY received_at DESC, id DESC LIMIT :limit"
)
# Read every decision on one message, in order.
LOAD_DECISIONS: Final = text(
    "SELECT t.attempt, t.account, t.purchase_id, t.outcome, t.reason, t.detail::text AS detail, t.decided_at"
    " FROM decision t WHERE t.bucket = :bucket AND t.message_id = :message_id ORDER BY t.attempt"
)
# Find what an audited action recorded of itself.
FIND_AUDIT: Final = text("SELECT detail::text AS detail FROM audit WHERE id = :id")
# Find who asked for audited actions.
FIND_ACTORS: Final = text("SELECT id, actor FROM audit WHERE id = ANY (:ids)")
# Record who did what to what, and why.
KEEP_AUDIT: Final = text(
    "INSERT INTO audit (id, actor, action, subject, reason, detail, at)"
    " VALUES (:id, :actor, :action, :subject, :reason, CAST(:detail AS json), :at)"
)
# Say that a worker lives, and what it has done.
WRITE_WORKER: Final = text(
    "INSERT INTO worker_status (worker, started_at, seen_at, detail)"
    " VALUES (:worker, :started_at, :seen_at, CAST(:detail AS json))"
    " ON CONFLICT (worker) DO UPDATE"
    " SET started_at = EXCLUDED.started_at, seen_at = EXCLUDED.seen_at, detail = EXCLUDED.detail"
)
# Take a worker that has ended off the list.
REMOVE_WORKER: Final = text("DELETE FROM worker_status WHERE worker = :worker")
# Read the workers that were seen since a moment.
LIST_WORKERS: Final = text(
    "SELECT worker, started_at, seen_at, detail::text AS detail FROM worker_status"
    " WHERE seen_at >= :since ORDER BY worker"
)


def list_parked(connection: Connection, *, after: tuple[datetime, int, bytes] | None, limit: int) -> list[ParkedRow]:
    """Return the messages that wait behind a (time, bucket, message id), oldest first."""
    parked_at, bucket, message_id = after or (BEFORE_EVERY_TIME, 0, b"")
    values = {"parked_at": parked_at, "bucket": bucket, "message_id": message_id, "limit": limit}
    return [_parked(row) for row in connection.execute(LIST_PARKED, values).mappings()]


def load_parked(connection: Connection, key: Key, account: bytes) -> ParkedRow | None:
    """Return a message of an account that waits, or None where it does not."""
    values = {"bucket": key[0], "message_id": key[1], "account": account}
    row = connection.execute(LOAD_PARKED, values).mappings().one_or_none()
    return None if row is None else _parked(row)


def _parked(row: Mapping[Any, Any]) -> ParkedRow:
    return ParkedRow(**{**row, "account": bytes(row["account"]), "message_id": bytes(row["message_id"])})


def count_parked(connection: Connection) -> int:
    """Return how many messages wait."""
    return int(connection.execute(COUNT_PARKED).scalar_one())


def list_undecodable(
    connection: Connection, *, before: tuple[datetime, bytes] | None, limit: int
) -> list[UndecodableRow]:
    """Return what did not decode before a (time, id), newest first."""
    received_at, id_ = before or (AFTER_EVERY_TIME, b"")
    rows = connection.execute(LIST_UNDECODABLE, {"received_at": received_at, "id": id_, "limit": limit}).mappings()
    return [UndecodableRow(**{**row, "id": bytes(row["id"]), "digest": bytes(row["digest"])}) for row in rows]


def load_decisions(connection: Connection, key: Key) -> list[DecisionRow]:
    """Return every decision made on a message, in order of the attempts."""
    rows = connection.execute(LOAD_DECISIONS, {"bucket": key[0], "message_id": key[1]})
    return [
        DecisionRow(
            attempt=row.attempt,
            account=bytes(row.account),
            purchase_id=None if row.purchase_id is None else bytes(row.purchase_id),
            outcome=row.outcome,
            reason=row.reason,
            detail=row.detail,
            decided_at=row.decided_at,
        )
        for row in rows
    ]


def find_audit(connection: Connection, audit_id: bytes) -> dict[str, Any] | None:
    """Return the detail of an audited action, or None where it never happened."""
    detail = connection.execute(FIND_AUDIT, {"id": audit_id}).scalar_one_or_none()
    return None if detail is None else dict(orjson.loads(detail))


def find_actors(connection: Connection, audit_ids: Collection[bytes]) -> dict[bytes, str]:
    """Return who asked for audited actions; those that never happened are left out."""
    if not audit_ids:
        return {}
    return {bytes(row.id): row.actor for row in connection.execute(FIND_ACTORS, {"ids": list(audit_ids)})}


def keep_audit(
    connection: Connection,
    *,
    audit_id: bytes,
    actor: str,
    action: str,
    subject: str,
    reason: str,
    detail: Mapping[str, Any],
    at: datetime,
) -> None:
    """Record an action; ``subject`` is the resource name of what it was done to."""
    connection.execute(
        KEEP_AUDIT,
        {
            "id": audit_id,
            "actor": actor,
            "action": action,
            "subject": subject,
            "reason": reason,
            "detail": orjson.dumps(detail).decode(),
            "at": at,
        },
    )


def write_worker_status(
    connection: Connection, worker: str, started_at: datetime, seen_at: datetime, detail: Mapping[str, Any]
) -> None:
    """Say that a worker lives.

    ``detail`` holds ``messages``, ``queued``, ``snapshot_version`` and ``streams``, all numbers, and ``links``: a list
    of ``[bank, dialect, messages, undecodable, time of the last message in ISO 8601 or None]``.
    ``tcp_links`` holds a document of every raw TCP link, written by ``rpc/tcp/server.py``, read by ``flow/status.py``.
    """
    values = {"worker": worker, "started_at": started_at, "seen_at": seen_at, "detail": orjson.dumps(detail).decode()}
    connection.execute(WRITE_WORKER, values)


def remove_worker_status(connection: Connection, worker: str) -> None:
    """Take a worker off the list; one that is not on it is no error."""
    connection.execute(REMOVE_WORKER, {"worker": worker})


def list_workers(connection: Connection, since: datetime) -> list[WorkerRow]:
    """Return the workers that were seen since a moment, by name."""
    return [
        WorkerRow(worker=row.worker, started_at=row.started_at, seen_at=row.seen_at, detail=orjson.loads(row.detail))
        for row in connection.execute(LIST_WORKERS, {"since": since})
    ]
