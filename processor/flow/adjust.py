"""Adjusting an account: operations give or take miles, with a reason, and the books and the audit say so.

One transaction: lock the account, look for the same request, refuse what may not be, post, record.
A request that was carried out before gets the answer it got then, and changes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Engine

from processor.core.business_calendar import business_date
from processor.core.owner_accrual import at_owner
from processor.core.posting import MEMBER_AVAILABLE, PROGRAMME_ADJUSTED, Template, move
from processor.core.programme import Programme
from processor.flow.booking import numbered
from processor.flow.retry import retried
from processor.flow.snapshot import Snapshot, Snapshots
from processor.store.card_side import AccountRow, BatchWrites, Key, lock_accounts, write_batch
from processor.store.operations import find_audit, keep_audit
from processor.store.schema import id_of_day

LARGEST_MILES: Final = 2**63 - 1
"""The ledger keeps amounts and balances in 64 bits."""


class AdjustmentRefusal(StrEnum):
    """Why an adjustment is refused; the guards stand in this order."""

    ACCOUNT_NOT_FOUND = "ACCOUNT_NOT_FOUND"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    ACCOUNT_JOINED = "ACCOUNT_JOINED"
    ACCOUNT_PROVISIONAL = "ACCOUNT_PROVISIONAL"
    NO_PROGRAMME_IN_FORCE = "NO_PROGRAMME_IN_FORCE"
    BALANCE_OUT_OF_RANGE = "BALANCE_OUT_OF_RANGE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjustment:
    """What is asked for: signed ``miles`` in the smallest unit, not zero; ``request_id`` makes it idempotent."""

    miles: int
    reason: str
    actor: str
    request_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjusted:
    """A booked adjustment, and the account's miles after it; ``duplicate`` tells that an earlier call booked it."""

    available: int
    duplicate: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AdjustmentRefused:
    """An adjustment that is not booked: why, and what the caller can do."""

    refusal: AdjustmentRefusal
    explanation: str


def adjust(
    engine: Engine, snapshots: Snapshots, key: Key, adjustment: Adjustment, *, clock: Callable[[], datetime]
) -> Adjusted | AdjustmentRefused:
    """Book an adjustment of the account with this bucket and id, or say why not.

    Many callers with one request at once end in one adjustment, and all get its answer.
    Retryable database errors run it again.
    """

    def run() -> Adjusted | AdjustmentRefused:
        with engine.begin() as connection:
            return _adjust(connection, snapshots, key, adjustment, clock().astimezone(UTC))

    return retried("adjust", run)


def request_key(account: bytes, request_id: UUID) -> bytes:
    """Return the audit id of a request: it holds no day, so that a repeat on another day finds it."""
    named = b"adjustment\x00" + account + request_id.bytes
    return blake2b(named, digest_size=16, person=b"cobrand-audit").digest()


def adjustment_id(booked_at: datetime, account: bytes, request_id: UUID) -> bytes:
    """Return the id an adjustment is booked under: its day, as every id of a dated table begins, then a digest."""
    digest = blake2b(account + request_id.bytes, digest_size=13, person=b"cobrand-adjust").digest()
    return id_of_day(booked_at.date()) + digest


def _adjust(
    connection: Connection, snapshots: Snapshots, key: Key, adjustment: Adjustment, now: datetime
) -> Adjusted | AdjustmentRefused:
    """Run the transaction; the guards stand in the refusals' order, the duplicate check before any that may change."""
    version, accounts = lock_accounts(connection.connection.cursor(), [key])
    account = accounts.get(key)
    if account is None:
        return _refused(AdjustmentRefusal.ACCOUNT_NOT_FOUND, "there is no such account; check its name")
    booked = find_audit(connection, request_key(account.id, adjustment.request_id))
    if booked is not None:
        return _booked_before(booked, adjustment)
    snapshot = snapshots.refresh(connection) if version > snapshots.current.version else snapshots.current
    refused = _refusal(account)
    if refused is not None:
        return refused
    programme = _programme_of(account, snapshot, now)
    if programme is None:
        problem = "no revision of the account's programme is in force; apply one first"
        return _refused(AdjustmentRefusal.NO_PROGRAMME_IN_FORCE, problem)
    # Where the owner keeps the ledger, an adjustment too is provisional until the owner has accepted it.
    available = account.available + (adjustment.miles if programme.accruals is None else 0)
    if abs(adjustment.miles) > LARGEST_MILES or abs(available) > LARGEST_MILES:
        problem = "the adjustment or the balance after it does not fit into 64 bits; adjust by less"
        return _refused(AdjustmentRefusal.BALANCE_OUT_OF_RANGE, problem)
    account.available = available
    today = business_date(snapshot.calendars[account.bank], now)
    _book(connection, account, programme, adjustment, today, now)
    return Adjusted(available=available, duplicate=False)


def _booked_before(booked: dict[str, Any], adjustment: Adjustment) -> Adjusted | AdjustmentRefused:
    """Return what the same request was answered before, or refuse another adjustment under its id."""
    if booked["miles"] != adjustment.miles:
        problem = "another adjustment of this account was booked under this request_id; take a new UUID for this one"
        return _refused(AdjustmentRefusal.REQUEST_ID_REUSED, problem)
    return Adjusted(available=booked["available"], duplicate=True)


def _refusal(account: AccountRow) -> AdjustmentRefused | None:
    if account.superseded_by is not None:
        survivor = f"accounts/{account.superseded_by.hex()}"
        return _refused(AdjustmentRefusal.ACCOUNT_JOINED, f"the account was joined to {survivor}; adjust that one")
    if account.provisional:
        problem = "the account waits for its bank's card file; adjust it once the file has named it"
        return _refused(AdjustmentRefusal.ACCOUNT_PROVISIONAL, problem)
    return None


def _refused(refusal: AdjustmentRefusal, explanation: str) -> AdjustmentRefused:
    return AdjustmentRefused(refusal=refusal, explanation=explanation)


def _programme_of(account: AccountRow, snapshot: Snapshot, now: datetime) -> Programme | None:
    if account.programme is None or account.programme not in snapshot.programmes:
        return None
    return snapshot.programme_at(account.programme, int(now.timestamp()))


def _book(
    connection: Connection,
    account: AccountRow,
    programme: Programme,
    adjustment: Adjustment,
    today: date,
    now: datetime,
) -> None:
    """Append the posting, bring the cached balance up to date, and record who asked for it and why."""
    id_ = adjustment_id(now, account.id, adjustment.request_id)
    (posting,) = move(Template.ADJUSTMENT_GIVEN, PROGRAMME_ADJUSTED, MEMBER_AVAILABLE, programme.unit, adjustment.miles)
    if programme.accruals is not None:
        (posting,) = at_owner([posting])
    writes = BatchWrites(now=now)
    writes.add_posting(
        (account.bucket, numbered(id_, 1)),
        id_,
        account.id,
        id_,
        (
            account.bank,
            programme.id,
            int(posting.template),
            posting.debit,
            posting.credit,
            posting.unit,
            posting.amount,
            posting.rule,
            posting.between_parties,
            today,
        ),
    )
    account.changed = True
    write_batch(connection.connection.cursor(), writes, [account])
    keep_audit(
        connection,
        audit_id=request_key(account.id, adjustment.request_id),
        actor=adjustment.actor,
        action="adjust",
        subject=f"accounts/{account.id.hex()}",
        reason=adjustment.reason,
        detail={
            "miles": adjustment.miles,
            "available": account.available,
            "day": now.date().isoformat(),
            "posting": numbered(id_, 1).hex(),
            "request_id": str(adjustment.request_id),
        },
        at=now,
    )
