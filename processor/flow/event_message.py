"""Events of operations and of the processor as messages, which are decided, kept and explained like every other.

Such a message has no dialect and no card; it names the account it is of and the messages it is about.
What makes it the same message again is in its id, so that repeating it changes nothing.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b

from processor.core.links import trace_hashes
from processor.core.message import CardMessage, Direction, MessageKind
from processor.core.outcome import Outcome
from processor.flow.batch import BatchDecider
from processor.flow.intake import clearing_link
from processor.flow.submission import Submission, Verdict
from processor.store.card_side import AccountRow
from processor.store.directory import CardAddress
from processor.store.schema import id_of_day
from processor.wire.stored import message_to_json


class EventRefusal(StrEnum):
    """Why operations are refused an event; the guards stand in this order."""

    ACCOUNT_NOT_FOUND = "ACCOUNT_NOT_FOUND"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    ACCOUNT_JOINED = "ACCOUNT_JOINED"
    ACCOUNT_PROVISIONAL = "ACCOUNT_PROVISIONAL"
    MESSAGE_NOT_FOUND = "MESSAGE_NOT_FOUND"
    MESSAGE_NOT_OF_PURCHASE = "MESSAGE_NOT_OF_PURCHASE"
    NOT_PRESENTED = "NOT_PRESENTED"
    DISPUTE_AMOUNT_WRONG = "DISPUTE_AMOUNT_WRONG"
    PURCHASE_NOT_FOUND = "PURCHASE_NOT_FOUND"
    NOTHING_TO_RELEASE = "NOTHING_TO_RELEASE"
    LINK_CERTAIN = "LINK_CERTAIN"
    LINK_HELD = "LINK_HELD"
    NO_PROGRAMME_IN_FORCE = "NO_PROGRAMME_IN_FORCE"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRefused:
    """An event that is not booked: why, and what the caller can do."""

    refusal: EventRefusal
    explanation: str


class EventNotBookedError(Exception):
    """The database did not take an event; its text says what the caller can do."""

    def __init__(self) -> None:
        super().__init__("the database did not answer, or the account was just joined to another; repeat the call")


def digest_of(*parts: bytes) -> bytes:
    """Return 13 bytes over parts of any length, each with its length before it."""
    named = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return blake2b(named, digest_size=13, person=b"cobrand-event").digest()


def event_message(
    kind: MessageKind,
    *,
    bank: str,
    at: datetime,
    digest: bytes,
    about: tuple[bytes, ...],
    rules: tuple[str, ...] = (),
) -> CardMessage:
    """Return an event's message: sent at a moment, known by its day and a digest, about other messages.

    What it says is what its digest was made of, so the digest tells its content as well.
    """
    return CardMessage(
        message_id=id_of_day(at.date()) + digest,
        content=blake2b(digest, digest_size=16, person=b"cobrand-content").digest(),
        bank=bank,
        dialect="",
        mti="",
        kind=kind,
        direction=Direction.ADVICE,
        card=None,
        transmitted_at=at,
        refers_to=about,
        rules=rules,
    )


def submission_of(message: CardMessage, address: CardAddress) -> Submission:
    """Return an event's way to a decision."""
    return Submission(
        message=message,
        fields=message_to_json(message),
        link=clearing_link(message.bank, message.dialect),
        traces=trace_hashes(message, ()),
        age_days=0,
        address=address,
    )


def decide_event(decider: BatchDecider, message: CardMessage, address: CardAddress) -> Verdict | EventRefused:
    """Decide one event; raises :class:`EventNotBookedError` where that is not known to be durable."""
    (verdict,) = decider.decide([submission_of(message, address)])
    if verdict.outcome is Outcome.UNAVAILABLE:
        raise EventNotBookedError
    if verdict.outcome is Outcome.PARKED or (verdict.outcome is Outcome.DUPLICATE and verdict.reason >= 40):
        problem = (
            "no programme decides it now, so it waits among the parked messages; apply the programme that was in force "
            "then, and replay it"
        )
        return EventRefused(refusal=EventRefusal.NO_PROGRAMME_IN_FORCE, explanation=problem)
    return verdict


def account_refused(account: AccountRow | None) -> EventRefused | None:
    """Return why an account takes no events of operations, or None where it does."""
    if account is None:
        problem = "there is no such account; check its name"
        return EventRefused(refusal=EventRefusal.ACCOUNT_NOT_FOUND, explanation=problem)
    if account.superseded_by is not None:
        problem = f"the account was joined to accounts/{account.superseded_by.hex()}; use that one"
        return EventRefused(refusal=EventRefusal.ACCOUNT_JOINED, explanation=problem)
    if account.provisional:
        problem = "the account waits for its bank's card file, and so do its messages; hand in a file that names it"
        return EventRefused(refusal=EventRefusal.ACCOUNT_PROVISIONAL, explanation=problem)
    return None
