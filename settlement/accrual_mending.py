"""The way out of suspense: operations name another member, send an accrual again, or write it off with a second person.

Each is one transaction under the desk's lock, with a reason and who asked for it in the audit.
A request that was carried out before changes nothing and is answered as it stands.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, Engine

from processor.core.business_calendar import business_date
from processor.core.owner_accrual import AccrualState, Step
from processor.core.programme import Programme
from processor.store import accrual as store
from processor.store.accrual_state import AccrualRow, Pair, StandingRow, load_accrual, set_state
from processor.store.card_side import BatchWrites, Key, write_batch
from processor.store.operations import find_audit, keep_audit
from settlement.accrual_answers import add_step, audit_id, locked
from settlement.accrual_file import reference_of


class MendAction(StrEnum):
    """What operations ask for."""

    MEND = "mend"
    RESEND = "resend"
    ASK_WRITE_OFF = "ask-write-off"
    APPROVE_WRITE_OFF = "approve-write-off"


class MendRefusal(StrEnum):
    """Why it is refused; the guards stand in this order."""

    ACCRUAL_NOT_FOUND = "ACCRUAL_NOT_FOUND"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    ACCRUAL_NOT_SUSPENDED = "ACCRUAL_NOT_SUSPENDED"
    WRITE_OFF_NOT_ASKED = "WRITE_OFF_NOT_ASKED"
    SECOND_PERSON_NEEDED = "SECOND_PERSON_NEEDED"


@dataclass(frozen=True, slots=True, kw_only=True)
class MendRequest:
    """What is asked for one accrual, why and by whom; ``member`` is the one that a mending names, else None."""

    action: MendAction
    member: str | None
    reason: str
    actor: str
    request_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class MendRefused:
    """What is not done: why, and what the caller can do."""

    refusal: MendRefusal
    explanation: str


_MENDABLE: Final = frozenset({AccrualState.WAITING, AccrualState.SUSPENDED})
"""States in which the member may be named; one that waits may wait for just that."""


def mend_accrual(
    engine: Engine, programme: Programme, bank: str, key: Key, request: MendRequest, *, now: datetime
) -> AccrualRow | MendRefused:
    """Do what is asked for an accrual and return it as it stands then, or say why not."""
    pair = Pair(programme=programme.id, bank=bank)
    now = now.astimezone(UTC)
    with engine.begin() as connection:
        store.lock_desk(connection, pair)
        row = load_accrual(connection, key)
        if row is None or (row.programme, row.bank) != (pair.programme, pair.bank):
            return _refused(MendRefusal.ACCRUAL_NOT_FOUND, "this bank and programme have no such accrual")
        audited = audit_id(b"mend", reference_of(*key), request.request_id.bytes)
        before = find_audit(connection, audited)
        if before is not None and before["action"] != request.action:
            problem = "another request for this accrual has this request_id; take a new UUID for this one"
            return _refused(MendRefusal.REQUEST_ID_REUSED, problem)
        if before is not None:
            return row
        refused = _refusal(row, request)
        if refused is not None:
            return refused
        _carry_out(connection, programme, row, request, now)
        _audit(connection, audited, row, request, now)
        changed = load_accrual(connection, key)
    assert changed is not None  # noqa: S101 - it was there, and an accrual never goes.
    return changed


def _refusal(row: AccrualRow, request: MendRequest) -> MendRefused | None:
    state = AccrualState(row.state)
    may = _MENDABLE if request.action is MendAction.MEND else {AccrualState.SUSPENDED}
    if state not in may:
        problem = f"the accrual is {state}; only one in suspense is mended, sent again or written off"
        return _refused(MendRefusal.ACCRUAL_NOT_SUSPENDED, problem)
    if request.action is MendAction.APPROVE_WRITE_OFF:
        if row.asked_by is None:
            problem = "nobody has asked to write this accrual off; ask first, and let another person approve"
            return _refused(MendRefusal.WRITE_OFF_NOT_ASKED, problem)
        if row.asked_by == request.actor:
            problem = "who asked to write it off cannot approve it; let another person do so"
            return _refused(MendRefusal.SECOND_PERSON_NEEDED, problem)
    return None


def _refused(refusal: MendRefusal, explanation: str) -> MendRefused:
    return MendRefused(refusal=refusal, explanation=explanation)


def _carry_out(
    connection: Connection, programme: Programme, row: AccrualRow, request: MendRequest, now: datetime
) -> None:
    state, member, asked_by = AccrualState(row.state), row.member, row.asked_by
    if request.action is MendAction.MEND:
        member = request.member
    elif request.action is MendAction.ASK_WRITE_OFF:
        asked_by = request.actor
    else:
        step = Step.RESEND if request.action is MendAction.RESEND else Step.WRITE_OFF
        state = _post(connection, programme, row, step, now)
        asked_by = None if step is Step.RESEND else asked_by
    key = row.bucket, row.id
    set_state(connection, key, state=state, member=member, asked_by=asked_by, now=now)


def _post(connection: Connection, programme: Programme, row: AccrualRow, step: Step, now: datetime) -> AccrualState:
    """Post a step of one accrual, and return the state it leads to."""
    accounts = locked(connection, {(row.bucket, row.account)})
    writes = BatchWrites(now=now)
    standing = StandingRow(
        key=(row.bucket, row.id),
        account=row.account,
        purchase_id=row.purchase_id,
        unit=row.unit,
        miles=row.miles,
        state=row.state,
        attempt=row.attempt,
        answered={},
    )
    today = business_date(programme.calendars[row.bank], now)
    state = add_step(writes, accounts[row.bucket, row.account], standing, programme, step, today)
    write_batch(connection.connection.cursor(), writes, accounts.values())
    return state


def _audit(connection: Connection, audited: bytes, row: AccrualRow, request: MendRequest, now: datetime) -> None:
    keep_audit(
        connection,
        audit_id=audited,
        actor=request.actor,
        action=f"accrual-{request.action}",
        subject=f"programmes/{row.programme}/banks/{row.bank}/accruals/{reference_of(row.bucket, row.id).hex()}",
        reason=request.reason,
        detail={
            "action": request.action,
            "state": row.state,
            "attempt": row.attempt,
            "member_before": row.member,
            "member": request.member,
            "miles": row.miles,
            "request_id": str(request.request_id),
        },
        at=now,
    )
