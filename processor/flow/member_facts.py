"""Recording what is known of a member: facts that take effect now or later, each request once, audited.

One transaction: lock the account, look for the same request, refuse what may not be, record.
A fact never takes effect before it is recorded, so that no purchase that was decided is decided otherwise later.
A fact that says what is so already is not recorded again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Engine

from processor.core.member_fact import refusal_of
from processor.core.person import NAMING, Fact, FactKind
from processor.core.programme import Programme
from processor.core.qualification import reached_of
from processor.flow.retry import retried
from processor.flow.snapshot import Snapshot, Snapshots
from processor.store.card_side import AccountRow, Key, lock_accounts
from processor.store.member_facts import MOST_FACTS, FactRow, keep_facts, list_facts, load_facts
from processor.store.operations import find_audit, keep_audit


class RecordingRefusal(StrEnum):
    """Why facts are refused; the guards stand in this order."""

    ACCOUNT_NOT_FOUND = "ACCOUNT_NOT_FOUND"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    ACCOUNT_JOINED = "ACCOUNT_JOINED"
    ACCOUNT_PROVISIONAL = "ACCOUNT_PROVISIONAL"
    NO_PROGRAMME_IN_FORCE = "NO_PROGRAMME_IN_FORCE"
    FACT_REFUSED = "FACT_REFUSED"
    TOO_MANY_FACTS = "TOO_MANY_FACTS"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedFact:
    """A fact as it is asked for: ``since`` None is from now on, ``until`` None without end.

    ``holds`` is false for one that ends what is so; of a kind with one value at a time it needs no value.
    """

    kind: FactKind
    value: str
    since: datetime | None = None
    until: datetime | None = None
    holds: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What is asked for: facts of one member, why, by whom; ``request_id`` makes it idempotent."""

    facts: tuple[StatedFact, ...]
    reason: str
    actor: str
    request_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """How many facts were recorded, and how many said what was so already; ``duplicate`` tells of an earlier call."""

    recorded: int
    unchanged: int
    duplicate: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingRefused:
    """Facts that are not recorded: why, and what the caller can do; ``field`` names what is wrong in one of them."""

    refusal: RecordingRefusal
    explanation: str
    field: str = ""


def record_facts(
    engine: Engine, snapshots: Snapshots, key: Key, recording: Recording, *, clock: Callable[[], datetime]
) -> Recorded | RecordingRefused:
    """Record facts of the member whose account has this bucket and id, all of them, or say why none.

    Retryable database errors run it again.
    """

    def run() -> Recorded | RecordingRefused:
        with engine.begin() as connection:
            return _record(connection, snapshots, key, recording, clock)

    return retried("record_facts", run)


def facts_asked(cursor: Any, accounts: Mapping[Key, AccountRow], snapshot: Snapshot) -> dict[Key, tuple[Fact, ...]]:
    """Return the facts that the programmes' rules ask for of the accounts' members; no statement where none does."""
    asking = [key for key, account in accounts.items() if account.programme in snapshot.asked]
    if not asking:
        return {}
    asked = [snapshot.asked[programme] for programme in {accounts[key].programme or "" for key in asking}]
    kinds = {kind for entry in asked for kind in entry.kinds}
    return load_facts(cursor, asking, kinds, {value for entry in asked for value in entry.values})


def join_facts(cursor: Any, gone: AccountRow, taker: AccountRow) -> None:
    """Give an account what is known of the member of one that joins it, from the moments on that it was so there.

    A tier that was reached there says so, and counts in the same programme alone.
    A household or a statement day counts until the survivor had one of its own, so that what it bought keeps its own.
    """
    from_key, to_key = (gone.bucket, gone.id), (taker.bucket, taker.id)
    known = [row.fact for row in list_facts(cursor, to_key)]
    own = {kind: min((fact.since for fact in known if fact.kind is kind), default=None) for kind in _OF_THE_ACCOUNT}
    moved = [
        row
        for row in list_facts(cursor, from_key)
        if (row.fact.kind is not FactKind.REACHED or gone.programme == taker.programme)
        and ((since := own.get(row.fact.kind)) is None or row.fact.since < since)
    ]
    last = _last_number(known)
    facts = [
        _moved(row.fact, last + place, gone.id, own.get(row.fact.kind)) for place, row in enumerate(moved, start=1)
    ]
    keep_facts(cursor, to_key, [replace(row, fact=fact) for row, fact in zip(moved, facts, strict=True)])


_OF_THE_ACCOUNT: Final = (FactKind.HOUSEHOLD, FactKind.STATEMENT_DAY)
"""What limits an account's purchases, of which the survivor's own comes first."""


def _moved(fact: Fact, number: int, origin: bytes, ends: int | None) -> Fact:
    """Return a joined account's fact as the survivor's, which ends where the survivor has its own.

    A tier names where it was reached, unless it does already.
    """
    if ends is not None:
        fact = fact._replace(until=ends if fact.until is None else min(fact.until, ends))
    if fact.kind is not FactKind.REACHED:
        return fact._replace(number=number)
    found = reached_of(fact.value)
    named = found._replace(origin=found.origin or origin.hex()[:_NAMED_BY])
    return fact._replace(number=number, value=named.value)


_NAMED_BY: Final = 12
"""How many hexadecimal digits of a joined account's id name it in a tier that was reached there."""


def request_key(account: bytes, request_id: UUID) -> bytes:
    """Return the audit id of a request: it holds no day, so that a repeat on another day finds it."""
    named = b"member-facts\x00" + account + request_id.bytes
    return blake2b(named, digest_size=16, person=b"cobrand-audit").digest()


def _record(
    connection: Connection, snapshots: Snapshots, key: Key, recording: Recording, clock: Callable[[], datetime]
) -> Recorded | RecordingRefused:
    """Run the transaction; the clock is read under the lock, so that no purchase is decided between now and then."""
    cursor = connection.connection.cursor()
    version, accounts = lock_accounts(cursor, [key])
    account = accounts.get(key)
    if account is None:
        return _refused(RecordingRefusal.ACCOUNT_NOT_FOUND, "there is no such account; check its name")
    audit_id = request_key(account.id, recording.request_id)
    done = find_audit(connection, audit_id)
    if done is not None:
        return _recorded_before(done, recording)
    snapshot = snapshots.refresh(connection) if version > snapshots.current.version else snapshots.current
    refused = _refusal(account, snapshot)
    if refused is not None:
        return refused
    now = clock().astimezone(UTC)
    known = [row.fact for row in list_facts(cursor, key)]
    taken = _taken(recording.facts, known, snapshot.programmes[account.programme or ""], now)
    if isinstance(taken, RecordingRefused):
        return taken
    if _last_number(known) + len(taken) > MOST_FACTS:
        problem = f"the member would have more than {MOST_FACTS} facts; a fact is recorded once, not every night"
        return _refused(RecordingRefusal.TOO_MANY_FACTS, problem)
    keep_facts(cursor, key, [FactRow(fact=fact, recorded_at=now, audit_id=audit_id) for fact in taken])
    unchanged = len(recording.facts) - len(taken)
    keep_audit(
        connection,
        audit_id=audit_id,
        actor=recording.actor,
        action="member-facts",
        subject=f"accounts/{account.id.hex()}",
        reason=recording.reason,
        detail={
            "facts": _as_asked(recording),
            "recorded": len(taken),
            "unchanged": unchanged,
            "request_id": str(recording.request_id),
        },
        at=now,
    )
    return Recorded(recorded=len(taken), unchanged=unchanged, duplicate=False)


def _recorded_before(done: dict[str, Any], recording: Recording) -> Recorded | RecordingRefused:
    """Return what the same request was answered before, or refuse other facts under its id."""
    if done["facts"] != _as_asked(recording):
        problem = "other facts of this member were recorded under this request_id; take a new UUID for these"
        return _refused(RecordingRefusal.REQUEST_ID_REUSED, problem)
    return Recorded(recorded=done["recorded"], unchanged=done["unchanged"], duplicate=True)


def _as_asked(recording: Recording) -> list[list[Any]]:
    """Return what the audit keeps of the facts asked for: all but a birthday's day."""
    return [
        [
            fact.kind.value,
            "" if fact.kind is FactKind.BIRTHDAY else fact.value,
            fact.since and fact.since.astimezone(UTC).isoformat(),
            fact.until and fact.until.astimezone(UTC).isoformat(),
            fact.holds,
        ]
        for fact in recording.facts
    ]


def _refusal(account: AccountRow, snapshot: Snapshot) -> RecordingRefused | None:
    if account.superseded_by is not None:
        survivor = f"accounts/{account.superseded_by.hex()}"
        return _refused(RecordingRefusal.ACCOUNT_JOINED, f"the account was joined to {survivor}; name that one")
    if account.provisional:
        problem = "the account waits for its bank's card file; say what is known once the file has named it"
        return _refused(RecordingRefusal.ACCOUNT_PROVISIONAL, problem)
    if account.programme is None or account.programme not in snapshot.programmes:
        problem = "the account is in no programme that was applied; apply it first"
        return _refused(RecordingRefusal.NO_PROGRAMME_IN_FORCE, problem)
    return None


def _refused(refusal: RecordingRefusal, explanation: str, field: str = "") -> RecordingRefused:
    return RecordingRefused(refusal=refusal, explanation=explanation, field=field)


def _taken(
    stated: Sequence[StatedFact], known: Sequence[Fact], revisions: Sequence[Programme], now: datetime
) -> list[Fact] | RecordingRefused:
    """Return the facts that say something new, numbered on, or what is wrong with the first that is wrong."""
    begins = whole_second(now)
    taken: list[Fact] = []
    for place, entry in enumerate(stated):
        if entry.since is not None and any(_is_same(entry, fact) for fact in known):
            continue
        wrong = _wrong(entry, revisions, now)
        if wrong is not None:
            field, problem = wrong
            at = f"facts[{place}].{field}"
            return _refused(RecordingRefusal.FACT_REFUSED, f"{at} {problem}", at)
        fact = Fact(
            number=_last_number([*known, *taken]) + 1,
            kind=entry.kind,
            value=entry.value if entry.holds or entry.kind in NAMING else "",
            since=begins if entry.since is None else whole_second(entry.since),
            until=None if entry.until is None else whole_second(entry.until),
            holds=entry.holds,
        )
        if not _is_so_already(fact, [*known, *taken]):
            taken.append(fact)
    return taken


def _wrong(entry: StatedFact, revisions: Sequence[Programme], now: datetime) -> tuple[str, str] | None:
    """Return the field of a fact that is wrong, and what to write; the value of a birthday is not repeated."""
    if entry.since is not None and entry.since < now:
        return "start_time", "lies in the past; leave it out for now, or write a later time"
    if entry.until is not None and whole_second(entry.until) <= whole_second(entry.since or now):
        return "end_time", "lies not behind the start; write a later time, or leave it out"
    if not entry.holds and entry.kind not in NAMING:
        return None
    refused = refusal_of(entry.kind, entry.value, revisions, _tomorrow(now))
    if refused is None or (not entry.holds and entry.value):
        return None
    problem, expected = refused
    return "value", f"{problem}; {expected}"


def _is_same(entry: StatedFact, fact: Fact) -> bool:
    """Tell whether a fact was recorded as it is asked for, so that it may be told again when its time has come."""
    until = None if entry.until is None else whole_second(entry.until)
    since = None if entry.since is None else whole_second(entry.since)
    return (entry.kind, entry.value, since, until, entry.holds) == (
        fact.kind,
        fact.value,
        fact.since,
        fact.until,
        fact.holds,
    )


def _tomorrow(now: datetime) -> date:
    """Return the latest date that it is anywhere."""
    return (now + timedelta(hours=14)).date()


def whole_second(moment: datetime) -> int:
    """Return a moment in seconds since 1970, rounded up: purchases are timed to the second."""
    return -int(-moment.timestamp() // 1)


def _last_number(facts: Sequence[Fact]) -> int:
    return max((fact.number for fact in facts), default=0)


def _is_so_already(fact: Fact, known: Sequence[Fact]) -> bool:
    """Tell whether a fact says what holds at its time anyway, with nothing recorded to change that before it ends."""
    about = [
        other for other in known if other.kind is fact.kind and (fact.kind not in NAMING or other.value == fact.value)
    ]
    until = _FOREVER if fact.until is None else fact.until
    if any(fact.since < other.since < until for other in about):
        return False
    ruling = [
        other for other in about if other.since <= fact.since < (_FOREVER if other.until is None else other.until)
    ]
    if not ruling:
        return not fact.holds and not about
    rules = max(ruling, key=lambda other: (other.since, other.number))
    return (rules.value, rules.holds, rules.until) == (fact.value, fact.holds, fact.until)


_FOREVER: Final = 2**62
