"""Recording a stage of a dispute by hand: a chargeback, a second presentment, an arbitration chargeback.

The stage becomes a message of the presentment's purchase, as the clearing record of the same stage would.
First the request is checked and recorded under the account's lock, then its message is decided; a call that was cut off
between the two is repeated under the same request id, and does what is left.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from processor.core.event import Event
from processor.core.lifecycle import Effect
from processor.core.message import CardMessage, MessageKind
from processor.core.money import Money
from processor.core.outcome import Outcome
from processor.flow.batch import BatchDecider
from processor.flow.event_message import (
    EventRefusal,
    EventRefused,
    account_refused,
    decide_event,
    digest_of,
    event_message,
)
from processor.flow.link_review import events_around
from processor.flow.retry import retried
from processor.flow.submission import Verdict
from processor.store.card_side import Key, lock_accounts
from processor.store.directory import CardAddress
from processor.store.operations import find_audit, keep_audit


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeStage:
    """What is recorded: a stage of the dispute of a presentment, who records it and why.

    ``request_id`` makes it idempotent.
    """

    presentment: bytes
    kind: MessageKind
    amount: Money
    reason: str
    actor: str
    request_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedDispute:
    """A recorded stage: its message's id, and what was decided on it; ``duplicate`` where an earlier call did it."""

    message_id: bytes
    verdict: Verdict
    duplicate: bool


def record_dispute(decider: BatchDecider, key: Key, stage: DisputeStage) -> RecordedDispute | EventRefused:
    """Record a stage of a dispute in the account with this bucket and id, or say why not.

    Raises :class:`~processor.flow.event_message.EventNotBookedError`, and database errors that may pass.
    """
    now = decider.clock().astimezone(UTC)
    asked = retried("ask_dispute", lambda: _ask(decider, key, stage, now))
    if isinstance(asked, EventRefused):
        return asked
    verdict = decide_event(decider, asked, CardAddress(account=key[1], bucket=key[0]))
    if isinstance(verdict, EventRefused):
        return verdict
    duplicate = verdict.outcome is Outcome.DUPLICATE
    return RecordedDispute(message_id=asked.message_id, verdict=verdict, duplicate=duplicate)


def _ask(decider: BatchDecider, key: Key, stage: DisputeStage, now: datetime) -> CardMessage | EventRefused:
    """Refuse a stage, or record who asks for it; the duplicate check stands before the guards that may change."""
    digest = digest_of(b"dispute", key[1], stage.request_id.bytes)
    audit_id = blake2b(digest, digest_size=16, person=b"cobrand-audit").digest()
    with decider.engine.begin() as connection:
        _, accounts = lock_accounts(connection.connection.cursor(), [key])
        account = accounts.get(key)
        if account is None:
            return account_refused(account) or _not_found()
        recorded = find_audit(connection, audit_id)
        if recorded is not None and not _says(recorded, stage):
            problem = "another stage was recorded under this request_id; take a new UUID for this one"
            return EventRefused(refusal=EventRefusal.REQUEST_ID_REUSED, explanation=problem)
        refused = account_refused(account)
        if refused is not None:
            return refused
        presentment = _presentment(connection, key, stage.presentment)
        if isinstance(presentment, EventRefused):
            return presentment
        refused = _amount_refused(presentment, stage.amount)
        if refused is not None:
            return refused
        at = datetime.fromisoformat(recorded["at"]) if recorded else now.replace(microsecond=0)
        if recorded is None:
            _keep(connection, audit_id, key, stage, at)
        message = event_message(
            stage.kind,
            bank=account.bank,
            at=at,
            digest=digest,
            about=(stage.presentment,),
        )
        return replace(message, amount=stage.amount, acquirer_reference=presentment.acquirer_reference)


def _keep(connection: Connection, audit_id: bytes, key: Key, stage: DisputeStage, at: datetime) -> None:
    keep_audit(
        connection,
        audit_id=audit_id,
        actor=stage.actor,
        action="record-dispute",
        subject=f"accounts/{key[1].hex()}/messages/{stage.presentment.hex()}",
        reason=stage.reason,
        detail={"at": at.isoformat(), **_said(stage)},
        at=at,
    )


def _said(stage: DisputeStage) -> dict[str, Any]:
    return {
        "presentment": stage.presentment.hex(),
        "stage": stage.kind.name,
        "amount_minor": stage.amount.amount_minor,
        "currency": stage.amount.currency,
        "request_id": str(stage.request_id),
    }


def _says(recorded: dict[str, Any], stage: DisputeStage) -> bool:
    return _said(stage).items() <= recorded.items()


def _presentment(connection: Connection, key: Key, message_id: bytes) -> Event | EventRefused:
    events = events_around(connection, key, [message_id])
    found = next((event for event in events if event.message_id == message_id), None)
    if found is None:
        return _not_found()
    if found.effect is not Effect.CLEARED or found.credit:
        problem = "a dispute is about a first presentment, and this message is none; name the presentment itself"
        return EventRefused(refusal=EventRefusal.NOT_PRESENTED, explanation=problem)
    return found


def _not_found() -> EventRefused:
    problem = "this is no message of a purchase of this account; see cobrand purchases show"
    return EventRefused(refusal=EventRefusal.MESSAGE_NOT_FOUND, explanation=problem)


def _amount_refused(presentment: Event, amount: Money) -> EventRefused | None:
    """Refuse an amount in another currency than was presented, none at all, and more than was presented."""
    presented = presentment.amount
    if (
        presented is not None
        and amount.currency == presented.currency
        and 0 < amount.amount_minor <= presented.amount_minor
    ):
        return None
    most = "an amount" if presented is None else f"{presented.amount_minor} minor units of {presented.currency}"
    problem = f"the amount of a dispute is above zero and at most {most}, as was presented; mend it"
    return EventRefused(refusal=EventRefusal.DISPUTE_AMOUNT_WRONG, explanation=problem)
