"""Releasing what a purchase earned and what waits for it: operations say that miles of a rule may be posted.

A release names the clearing messages whose miles it posts, so that what clears later waits for a release of its own.
First the request is checked and recorded under the account's lock, then its message is decided; a call that was cut off
between the two is repeated under the same request id, and does what is left.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from processor.core.due import held_for_review, waiting_for_release
from processor.core.kept_purchase import Purchase
from processor.core.message import CardMessage, MessageKind
from processor.core.outcome import Outcome
from processor.core.programme import Programme
from processor.flow.batch import BatchDecider
from processor.flow.event_message import (
    EventRefusal,
    EventRefused,
    account_refused,
    decide_event,
    digest_of,
    event_message,
)
from processor.flow.retry import retried
from processor.flow.snapshot import Snapshot
from processor.flow.submission import Verdict
from processor.store.card_side import AccountRow, Key, lock_accounts
from processor.store.directory import CardAddress
from processor.store.operations import find_audit, keep_audit
from processor.store.purchases import load_purchase


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What is released: a purchase's miles under some rules, none meaning all that wait; who says so and why.

    ``request_id`` makes it idempotent.
    ``refuses`` says that what is held for review is not to be given at all.
    """

    purchase: bytes
    rules: tuple[str, ...]
    reason: str
    actor: str
    request_id: UUID
    refuses: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """A recorded release: its message's id, and what was decided on it; ``duplicate`` where an earlier call did it."""

    message_id: bytes
    verdict: Verdict
    duplicate: bool


def release_awards(decider: BatchDecider, key: Key, release: Release) -> Released | EventRefused:
    """Release miles of a purchase in the account with this bucket and id, or say why not.

    Raises :class:`~processor.flow.event_message.EventNotBookedError`, and database errors that may pass.
    """
    now = decider.clock().astimezone(UTC)
    with decider.engine.connect() as connection:
        snapshot = decider.snapshots.refresh(connection)
    asked = retried("ask_release", lambda: _ask(decider, snapshot, key, release, now))
    if isinstance(asked, EventRefused):
        return asked
    verdict = decide_event(decider, asked, CardAddress(account=key[1], bucket=key[0]))
    if isinstance(verdict, EventRefused):
        return verdict
    duplicate = verdict.outcome is Outcome.DUPLICATE
    return Released(message_id=asked.message_id, verdict=verdict, duplicate=duplicate)


def _ask(
    decider: BatchDecider, snapshot: Snapshot, key: Key, release: Release, now: datetime
) -> CardMessage | EventRefused:
    """Refuse a release, or record who asks for it; the duplicate check stands before the guards that may change."""
    digest = digest_of(b"refuse" if release.refuses else b"release", key[1], release.request_id.bytes)
    audit_id = blake2b(digest, digest_size=16, person=b"cobrand-audit").digest()
    with decider.engine.begin() as connection:
        _, accounts = lock_accounts(connection.connection.cursor(), [key])
        account = accounts.get(key)
        recorded = find_audit(connection, audit_id) if account is not None else None
        if recorded is not None and not _said(release).items() <= recorded.items():
            problem = "another release was recorded under this request_id; take a new UUID for this one"
            return EventRefused(refusal=EventRefusal.REQUEST_ID_REUSED, explanation=problem)
        refused = account_refused(account)
        if refused is not None or account is None:
            return refused or _not_found()
        if recorded is None:
            waiting = _waiting(connection, snapshot, account, release)
            if isinstance(waiting, EventRefused):
                return waiting
            at = now.replace(microsecond=0)
            _keep(connection, audit_id, key, release, waiting, at)
        else:
            waiting = tuple(bytes.fromhex(message_id) for message_id in recorded["messages"])
            at = datetime.fromisoformat(recorded["at"])
        kind = MessageKind.AWARD_REFUSED if release.refuses else MessageKind.AWARD_RELEASED
        return event_message(kind, bank=account.bank, at=at, digest=digest, about=waiting, rules=release.rules)


def _keep(
    connection: Connection, audit_id: bytes, key: Key, release: Release, waiting: tuple[bytes, ...], at: datetime
) -> None:
    keep_audit(
        connection,
        audit_id=audit_id,
        actor=release.actor,
        action="refuse-awards" if release.refuses else "release-awards",
        subject=f"accounts/{key[1].hex()}/purchases/{release.purchase.hex()}",
        reason=release.reason,
        detail={
            "at": at.isoformat(),
            "messages": [message_id.hex() for message_id in waiting],
            **_said(release),
        },
        at=at,
    )


def _said(release: Release) -> dict[str, Any]:
    return {
        "purchase": release.purchase.hex(),
        "rules": list(release.rules),
        "request_id": str(release.request_id),
    }


def _waiting(
    connection: Connection, snapshot: Snapshot, account: AccountRow, release: Release
) -> tuple[bytes, ...] | EventRefused:
    """Return the clearing messages that the release is about, or why there is nothing to release."""
    purchase = load_purchase(connection, (account.bucket, release.purchase), account.id).get(release.purchase)
    if purchase is None:
        return _not_found()
    if purchase.merged_into is not None:
        problem = f"the purchase gave its messages to {purchase.merged_into.hex()}; release that one"
        return EventRefused(refusal=EventRefusal.PURCHASE_NOT_FOUND, explanation=problem)
    programme = _programme_of(snapshot, account, purchase)
    waiting: tuple[bytes, ...] = ()
    if release.refuses:
        waiting = held_for_review(purchase, release.rules)
    elif programme is not None:
        waiting = waiting_for_release(programme, purchase, release.rules)
    if not waiting:
        named = f" under {', '.join(release.rules)}" if release.rules else ""
        problem = (
            f"nothing of the purchase is held for review{named}; cobrand awards held lists what is"
            if release.refuses
            else f"nothing of the purchase that has cleared waits for a release{named}; cobrand purchases show says "
            "what is pending"
        )
        return EventRefused(refusal=EventRefusal.NOTHING_TO_RELEASE, explanation=problem)
    return waiting


def _programme_of(snapshot: Snapshot, account: AccountRow, purchase: Purchase) -> Programme | None:
    if account.programme is None or purchase.revision is None:
        return None
    return snapshot.revision(account.programme, purchase.revision)


def _not_found() -> EventRefused:
    problem = "the account has no such purchase; list its purchases to see their names"
    return EventRefused(refusal=EventRefusal.PURCHASE_NOT_FOUND, explanation=problem)
