"""Reviewing weak links: find pairs that may be one purchase, and let operations confirm or break a link.

What operations say is an event of the account, decided like a message; the list of reviews shows what the events say.
Three steps, each of its own transaction: under the account's lock refuse what may not be, and record who asked and why;
decide the event; set the list's verdict to what the account's events say now.
A call that was cut off between them is repeated, and does what is left.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, Final

from sqlalchemy import Connection

from processor.core.event import Event
from processor.core.kept_purchase import Purchase
from processor.core.lifecycle import Effect
from processor.core.links import OPERATIONS, Confidence, purchases_in, ties_of
from processor.core.message import MessageKind
from processor.core.weak_links import WeakLink, weak_links
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
from processor.flow.sweep import PAGE, Sweep, day_of, days_between
from processor.store.card_side import AccountRow, Key, lock_accounts
from processor.store.directory import CardAddress
from processor.store.operations import find_audit, keep_audit, load_decisions
from processor.store.purchases import (
    LinkReviewRow,
    OwnedPurchase,
    find_alone,
    keep_reviews,
    load_family,
    load_of_days,
    load_review,
    set_verdict,
)

DAYS_BACK: Final = 60
"""How many days back a run looks for messages that stand alone, unless it is told otherwise."""

OPEN: Final = "open"
CONFIRMED: Final = "confirmed"
BROKEN: Final = "broken"
VERDICT_OF: Final[Mapping[MessageKind, str]] = {
    MessageKind.LINK_CONFIRMED: CONFIRMED,
    MessageKind.LINK_BROKEN: BROKEN,
}
_ACTIONS: Final[Mapping[MessageKind, str]] = {
    MessageKind.LINK_CONFIRMED: "confirm-link",
    MessageKind.LINK_BROKEN: "break-link",
}
_IN_WORDS: Final[Mapping[Confidence, str]] = {
    Confidence.LIFECYCLE: "the network's life cycle identification",
    Confidence.REFERENCE: "original data elements or an acquirer's reference",
}
_MOVES_NONE: Final = frozenset({Effect.EXPIRED, Effect.DUE, Effect.RELEASED, Effect.REFUSED, Effect.NONE})
"""What is said of a purchase by the processor, by operations, or for information."""
_NAMED: Final = {"reasons": ["operations named the two messages"]}

Pair = tuple[bytes, bytes]
"""Two messages' ids in order."""


@dataclass(slots=True, kw_only=True)
class FoundLinks:
    """What a run did: purchases it looked at, and pairs it listed that were not listed before."""

    examined: int = 0
    found: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What operations say of a link: ``kind`` confirms or breaks it; who says so, and why."""

    kind: MessageKind
    reason: str
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What is known of two messages: the events of their families, what operations said of them last."""

    account: AccountRow
    events: tuple[Event, ...]
    one: Event
    other: Event
    said: Event | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """An event that is to be decided, with the bank whose account it is of; ``at`` and ``digest`` are its own."""

    bank: str
    at: datetime
    digest: bytes


def find_links(decider: BatchDecider, sweep: Sweep, *, days_back: int = DAYS_BACK) -> FoundLinks:
    """List pairs of messages that may be of one purchase, as far as ``sweep`` allows; again it lists nothing twice.

    It looks at purchases of the last days that were never authorized, and sets each beside its account's purchases of
    the programme's days around it.
    """
    now = decider.clock().astimezone(UTC)
    with decider.engine.connect() as connection:
        snapshot = decider.snapshots.refresh(connection)
    window = days_between(now.date() - timedelta(days=days_back), now.date() + timedelta(days=1))
    result = FoundLinks()
    for bucket, after in sweep.pages():
        with decider.engine.begin() as connection:
            found = find_alone(connection, bucket, window, after=after, limit=PAGE)
            for rows in _by_account(found):
                result.found += keep_reviews(connection, _reviews(connection, snapshot, rows, now))
        result.examined += len(found)
        sweep.reached([row.purchase.id for row in found])
    return result


def _by_account(found: Iterable[OwnedPurchase]) -> Iterable[Sequence[OwnedPurchase]]:
    accounts: dict[bytes, list[OwnedPurchase]] = {}
    for row in found:
        accounts.setdefault(row.account, []).append(row)
    return [accounts[account] for account in sorted(accounts)]


def _reviews(
    connection: Connection, snapshot: Snapshot, alone: Sequence[OwnedPurchase], now: datetime
) -> list[LinkReviewRow]:
    """Return the pairs among an account's purchases around those that stand alone."""
    row = alone[0]
    if row.programme is None or row.programme not in snapshot.programmes:
        return []
    link_days = snapshot.latest(row.programme).link_days
    around = timedelta(days=link_days + 1)
    first, last = day_of(alone[0].purchase.id), day_of(alone[-1].purchase.id)
    near = load_of_days(connection, (row.bucket, row.account), days_between(first - around, last + around))
    wanted = {event.message_id for entry in alone for event in entry.purchase.events}
    return [
        LinkReviewRow(
            bucket=row.bucket,
            account=row.account,
            first=link.first,
            second=link.second,
            confidence=int(Confidence.WEAK),
            verdict=OPEN,
            detail=_detail(link),
            found_at=now,
            updated_at=now,
        )
        for link in weak_links(_standing(near), link_days)
        if link.first in wanted or link.second in wanted
    ]


def _detail(link: WeakLink) -> dict[str, Any]:
    return {
        "alone": link.alone.value,
        "amount": [link.amount.amount_minor, link.amount.currency],
        "apart_s": link.apart_s,
        "alternatives": link.alternatives,
        "reasons": list(link.reasons),
    }


def _standing(purchases: Iterable[Purchase]) -> list[Purchase]:
    return [purchase for purchase in purchases if purchase.merged_into is None]


def review_name(account: bytes, pair: Pair) -> str:
    """Return the resource name of a pair."""
    return f"accounts/{account.hex()}/linkReviews/{pair[0].hex()}-{pair[1].hex()}"


def rule_on_link(decider: BatchDecider, key: Key, pair: Pair, ruling: Ruling) -> LinkReviewRow | EventRefused:
    """Confirm or break the link between two messages of an account, and return what the list says then.

    Said again it changes nothing; of two rulings at once the one that was recorded later counts, and a broken link
    where that is the same second.
    Raises :class:`~processor.flow.event_message.EventNotBookedError`, and database errors that may pass.
    """
    now = decider.clock().astimezone(UTC)
    ordered = (min(pair), max(pair))
    asked = retried("ask_link", lambda: _ask(decider, key, ordered, ruling, now))
    if isinstance(asked, EventRefused):
        return asked
    if asked is not None:
        message = event_message(ruling.kind, bank=asked.bank, at=asked.at, digest=asked.digest, about=ordered)
        decided = decide_event(decider, message, CardAddress(account=key[1], bucket=key[0]))
        if isinstance(decided, EventRefused):
            return decided
    return retried("settle_link", lambda: _settle(decider, key, ordered, now))


def _ask(decider: BatchDecider, key: Key, pair: Pair, ruling: Ruling, now: datetime) -> _Asked | EventRefused | None:
    """Refuse a ruling, or record who asks for it; None where operations have said the same last."""
    with decider.engine.begin() as connection:
        known = _load(connection, key, pair)
        if isinstance(known, EventRefused):
            return known
        if known.said is not None and known.said.kind is ruling.kind:
            return None
        refused = _refused(known, pair, ruling.kind, now)
        if refused is not None:
            return refused
        before = known.said.message_id if known.said else b""
        digest = digest_of(b"link", key[1], *pair, bytes([ruling.kind]), before)
        audit_id = blake2b(digest, digest_size=16, person=b"cobrand-audit").digest()
        recorded = find_audit(connection, audit_id)
        if recorded is not None:
            return _Asked(bank=known.account.bank, at=datetime.fromisoformat(recorded["at"]), digest=digest)
        at = now.replace(microsecond=0)
        if known.said is not None:
            at = max(at, datetime.fromtimestamp(known.said.at + 1, UTC))
        asked = _Asked(bank=known.account.bank, at=at, digest=digest)
        keep_audit(
            connection,
            audit_id=audit_id,
            actor=ruling.actor,
            action=_ACTIONS[ruling.kind],
            subject=review_name(key[1], pair),
            reason=ruling.reason,
            detail={"at": at.isoformat(), "messages": [message_id.hex() for message_id in pair]},
            at=now,
        )
        return asked


def _load(connection: Connection, key: Key, pair: Pair) -> _Known | EventRefused:
    """Lock the account, and read the families of two of its messages."""
    _, accounts = lock_accounts(connection.connection.cursor(), [key])
    account = accounts.get(key)
    refused = account_refused(account)
    if refused is not None:
        return refused
    assert account is not None  # noqa: S101 - refused above.
    events = events_around(connection, key, pair)
    found = {event.message_id: event for event in events}
    if not all(message_id in found for message_id in pair) or pair[0] == pair[1]:
        problem = "these are no two messages of purchases of this account; see cobrand purchases show"
        return EventRefused(refusal=EventRefusal.MESSAGE_NOT_FOUND, explanation=problem)
    said = [event for event in events if event.kind in OPERATIONS and set(event.refers_to) == set(pair)]
    return _Known(
        account=account,
        events=events,
        one=found[pair[0]],
        other=found[pair[1]],
        said=max(said, key=lambda event: event.order, default=None),
    )


def events_around(connection: Connection, key: Key, messages: Iterable[bytes]) -> tuple[Event, ...]:
    """Return the events of the families that an account's messages are of; a message of another account is of none."""
    ids: set[bytes] = set()
    for message_id in messages:
        decisions = load_decisions(connection, (key[0], message_id))
        if decisions and decisions[-1].account == key[1] and decisions[-1].purchase_id is not None:
            ids.add(decisions[-1].purchase_id)
    family = load_family(connection, key[0], ids)
    return tuple(event for purchase in _standing(family.values()) for event in purchase.events)


def _refused(known: _Known, pair: Pair, kind: MessageKind, now: datetime) -> EventRefused | None:
    """Return why a link may not be confirmed or broken; the guards stand in the refusals' order."""
    if any(event.kind in OPERATIONS or event.effect in _MOVES_NONE for event in (known.one, known.other)):
        problem = (
            "a link is between two messages of a purchase, and one of these moves none; name the messages themselves"
        )
        return EventRefused(refusal=EventRefusal.MESSAGE_NOT_OF_PURCHASE, explanation=problem)
    if kind is MessageKind.LINK_CONFIRMED:
        return _confirm_refused(known)
    tie = ties_of(known.events, pair[0]).get(pair[1])
    if tie is not None and tie in _IN_WORDS:
        problem = f"{_IN_WORDS[tie]} ties these messages, which is certain, so the link cannot be broken"
        return EventRefused(refusal=EventRefusal.LINK_CERTAIN, explanation=problem)
    broken = known.one._replace(
        message_id=bytes(16),
        at=max(int(now.timestamp()), *(event.at for event in known.events)) + 1,
        kind=kind,
        effect=Effect.NONE,
        refers_to=pair,
        lifecycle="",
        original="",
        trace="",
        acceptor="",
    )
    if any({*pair} <= {event.message_id for event in group} for group in purchases_in((*known.events, broken))):
        problem = "another confirmed link ties these messages, through others of their purchase; break that one first"
        return EventRefused(refusal=EventRefusal.LINK_HELD, explanation=problem)
    return None


def _confirm_refused(known: _Known) -> EventRefused | None:
    groups = purchases_in(known.events)
    named = [
        {event.lifecycle for event in next(group for group in groups if message in group)} - {""}
        for message in (known.one, known.other)
    ]
    if all(named) and named[0].isdisjoint(named[1]):
        problem = "the network's life cycle identifications of these messages differ, so they are of two purchases"
        return EventRefused(refusal=EventRefusal.LINK_CERTAIN, explanation=problem)
    return None


def _settle(decider: BatchDecider, key: Key, pair: Pair, now: datetime) -> LinkReviewRow | EventRefused:
    """Set the listed verdict to what the account's events say, and return the pair as it is listed then."""
    with decider.engine.begin() as connection:
        known = _load(connection, key, pair)
        if isinstance(known, EventRefused):
            return known
        tie = ties_of(known.events, pair[0]).get(pair[1], Confidence.WEAK)
        set_verdict(
            connection,
            LinkReviewRow(
                bucket=key[0],
                account=key[1],
                first=pair[0],
                second=pair[1],
                confidence=int(tie),
                verdict=VERDICT_OF[known.said.kind] if known.said else OPEN,
                detail=_NAMED,
                found_at=now,
                updated_at=now,
            ),
        )
        row = load_review(connection, key, pair)
        assert row is not None  # noqa: S101 - it was just written.
        return row
