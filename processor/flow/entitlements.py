"""What an account holds of soft rewards, and using some of it: a visit to a lounge, a fitting.

One transaction: lock the account, look for the same request, refuse what may not be, post, record.
A request that was carried out before gets the answer it got then, and changes nothing.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine

from processor.core.business_calendar import business_date
from processor.core.holding import Drawn, Holding, draw, settled, usable
from processor.core.posting import MEMBER_REWARDS, PROGRAMME_REWARDS_USED, Template, move
from processor.core.programme import Programme
from processor.flow.booking import numbered
from processor.flow.held import validity_of
from processor.flow.retry import retried
from processor.flow.snapshot import Snapshot, Snapshots
from processor.store.card_side import AccountRow, BatchWrites, Key, lock_accounts, write_batch
from processor.store.entitlements import HoldingRow, list_holdings
from processor.store.operations import find_audit, keep_audit
from processor.store.schema import id_of_day


class UseRefusal(StrEnum):
    """Why a use is refused; the guards stand in this order."""

    ACCOUNT_NOT_FOUND = "ACCOUNT_NOT_FOUND"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    ACCOUNT_JOINED = "ACCOUNT_JOINED"
    ACCOUNT_PROVISIONAL = "ACCOUNT_PROVISIONAL"
    NO_PROGRAMME_IN_FORCE = "NO_PROGRAMME_IN_FORCE"
    ENTITLEMENT_NOT_FOUND = "ENTITLEMENT_NOT_FOUND"
    NOT_COUNTED = "NOT_COUNTED"
    NOT_ENOUGH_LEFT = "NOT_ENOUGH_LEFT"
    NOT_USED = "NOT_USED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What is asked for: ``count`` of an entitlement are used, below zero so many uses are taken back; not zero."""

    entitlement: str
    count: int
    reason: str
    actor: str
    request_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """A booked use, and how many can be used after it; ``duplicate`` tells that an earlier call booked it."""

    left: int
    duplicate: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UseRefused:
    """A use that is not booked: why, and what the caller can do."""

    refusal: UseRefusal
    explanation: str


def holdings_of(connection: Connection, snapshot: Snapshot, programme: str, key: Key) -> list[Holding]:
    """Return what an account holds, each with the day on which it is valid for the last time."""
    return settled([_holding(row, snapshot, programme) for row in list_holdings(connection, key)])


def _holding(row: HoldingRow, snapshot: Snapshot, programme: str) -> Holding:
    """Return a holding; one whose purchase became part of another has nothing left and is valid no more."""
    last_day, cycle = validity_of(snapshot, programme, row.rule, row.revision, row.occurred_on)
    return Holding(row.purchase_id, row.rule, row.unit, row.pending, row.granted, row.used, last_day, cycle)


def use_entitlement(
    engine: Engine, snapshots: Snapshots, key: Key, use: Use, *, clock: Callable[[], datetime]
) -> Used | UseRefused:
    """Book a use by the account with this bucket and id, or say why not.

    Many callers with one request at once end in one use, and all get its answer; many requests at once never use more
    than there is. Retryable database errors run it again.
    """

    def run() -> Used | UseRefused:
        with engine.begin() as connection:
            return _use(connection, snapshots, key, use, clock().astimezone(UTC))

    return retried("use", run)


def request_key(account: bytes, request_id: UUID) -> bytes:
    """Return the audit id of a request: it holds no day, so that a repeat on another day finds it."""
    named = b"entitlement-use\x00" + account + request_id.bytes
    return blake2b(named, digest_size=16, person=b"cobrand-audit").digest()


def use_id(booked_at: datetime, account: bytes, request_id: UUID) -> bytes:
    """Return the id a use is booked under: its day, as every id of a dated table begins, then a digest."""
    digest = blake2b(account + request_id.bytes, digest_size=13, person=b"cobrand-use").digest()
    return id_of_day(booked_at.date()) + digest


def _use(connection: Connection, snapshots: Snapshots, key: Key, use: Use, now: datetime) -> Used | UseRefused:
    """Run the transaction; the guards stand in the refusals' order, the duplicate check before any that may change."""
    version, accounts = lock_accounts(connection.connection.cursor(), [key])
    account = accounts.get(key)
    if account is None:
        return _refused(UseRefusal.ACCOUNT_NOT_FOUND, "there is no such account; check its name")
    booked = find_audit(connection, request_key(account.id, use.request_id))
    if booked is not None:
        return _booked_before(booked, use)
    snapshot = snapshots.refresh(connection) if version > snapshots.current.version else snapshots.current
    programme = _programme_of(account, snapshot, now)
    refused = _refusal(account, programme, use.entitlement)
    if refused is not None or programme is None:
        return refused or _refused(UseRefusal.NO_PROGRAMME_IN_FORCE, _NO_PROGRAMME)
    on = now.astimezone(snapshot.calendars[account.bank].time_zone).date()
    holdings = holdings_of(connection, snapshot, programme.id, key)
    drawn = draw(holdings, use.entitlement, use.count, on)
    if not drawn:
        return _too_many(holdings, use, on)
    left = usable(_after(holdings, drawn), use.entitlement, on)
    _book(connection, account, programme, use, drawn, left, business_date(snapshot.calendars[account.bank], now), now)
    return Used(left=left, duplicate=False)


_NO_PROGRAMME = "no revision of the account's programme is in force; apply one first"


def _booked_before(booked: dict[str, Any], use: Use) -> Used | UseRefused:
    """Return what the same request was answered before, or refuse another use under its id."""
    if (booked["entitlement"], booked["count"]) != (use.entitlement, use.count):
        problem = "another use by this account was booked under this request_id; take a new UUID for this one"
        return _refused(UseRefusal.REQUEST_ID_REUSED, problem)
    return Used(left=booked["left"], duplicate=True)


def _refusal(account: AccountRow, programme: Programme | None, entitlement: str) -> UseRefused | None:
    if account.superseded_by is not None:
        survivor = f"accounts/{account.superseded_by.hex()}"
        return _refused(UseRefusal.ACCOUNT_JOINED, f"the account was joined to {survivor}; use what that one holds")
    if account.provisional:
        return _refused(UseRefusal.ACCOUNT_PROVISIONAL, "the account waits for its bank's card file, and holds nothing")
    if programme is None:
        return _refused(UseRefusal.NO_PROGRAMME_IN_FORCE, _NO_PROGRAMME)
    reward = programme.rewards.get(entitlement)
    if reward is None:
        return _refused(UseRefusal.ENTITLEMENT_NOT_FOUND, "the programme has no such entitlement; list the account's")
    if not reward.counted:
        return _refused(UseRefusal.NOT_COUNTED, f"{reward.id} is a status, which is held and not used up")
    return None


def _too_many(holdings: Sequence[Holding], use: Use, on: date) -> UseRefused:
    if use.count < 0:
        return _refused(UseRefusal.NOT_USED, "fewer uses were made than are to be taken back; list what was used")
    left = usable(holdings, use.entitlement, on)
    problem = f"{left} can be used on {on.isoformat()}; what is expired, taken back or pending cannot be used"
    return _refused(UseRefusal.NOT_ENOUGH_LEFT, problem)


def _refused(refusal: UseRefusal, explanation: str) -> UseRefused:
    return UseRefused(refusal=refusal, explanation=explanation)


def _programme_of(account: AccountRow, snapshot: Snapshot, now: datetime) -> Programme | None:
    if account.programme is None or account.programme not in snapshot.programmes:
        return None
    return snapshot.programme_at(account.programme, int(now.timestamp()))


def _after(holdings: Iterable[Holding], drawn: Sequence[Drawn]) -> list[Holding]:
    """Return holdings as they are after some of them are used."""
    used = {(entry.holding.purchase_id, entry.holding.rule, entry.holding.unit): entry.units for entry in drawn}
    return [
        holding._replace(used=holding.used + used.get((holding.purchase_id, holding.rule, holding.unit), 0))
        for holding in holdings
    ]


def _book(
    connection: Connection,
    account: AccountRow,
    programme: Programme,
    use: Use,
    drawn: Sequence[Drawn],
    left: int,
    today: date,
    now: datetime,
) -> None:
    """Append a posting for each holding that is drawn on, and record who used it and why."""
    id_ = use_id(now, account.id, use.request_id)
    writes = BatchWrites(now=now)
    for number, (holding, count) in enumerate(drawn, start=1):
        (posting,) = move(
            Template.REWARD_USED, MEMBER_REWARDS, PROGRAMME_REWARDS_USED, holding.unit, count, holding.rule
        )
        writes.add_posting(
            (account.bucket, numbered(id_, number)),
            id_,
            account.id,
            holding.purchase_id,
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
    write_batch(connection.connection.cursor(), writes, [])
    keep_audit(
        connection,
        audit_id=request_key(account.id, use.request_id),
        actor=use.actor,
        action="use",
        subject=f"accounts/{account.id.hex()}",
        reason=use.reason,
        detail={
            "entitlement": use.entitlement,
            "count": use.count,
            "left": left,
            "use": id_.hex(),
            "request_id": str(use.request_id),
        },
        at=now,
    )
