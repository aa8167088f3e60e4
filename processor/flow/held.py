"""What accounts held of soft rewards, as facts for the rules of a batch: read from the postings under their locks."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from processor.core.held import Entry, first_second, held_facts
from processor.core.kept_purchase import Purchase
from processor.core.person import Fact, FactKind
from processor.flow.member_facts import facts_asked
from processor.flow.snapshot import Snapshot
from processor.flow.submission import Submission
from processor.store.card_side import AccountRow, Key
from processor.store.entitlements import BookingRow, load_bookings


def known_facts(
    cursor: Any,
    accounts: Mapping[Key, AccountRow],
    snapshot: Snapshot,
    submissions: Iterable[Submission],
    purchases: Iterable[Purchase],
) -> dict[Key, tuple[Fact, ...]]:
    """Return what a batch's rules ask of its accounts' members: the facts recorded, and what the accounts held."""
    facts = facts_asked(cursor, accounts, snapshot)
    if not any(asked.held for asked in snapshot.asked.values()):
        return facts
    moments = [int(entry.message.transmitted_at.timestamp()) for entry in submissions]
    moments += [event.at for purchase in purchases for event in purchase.events]
    held = _facts_held(cursor, accounts, snapshot, since=min(moments, default=0))
    return {key: (*facts.get(key, ()), *held.get(key, ())) for key in {*facts, *held}}


def statement_days(facts: Mapping[Key, tuple[Fact, ...]], purchases: Iterable[Purchase]) -> set[int]:
    """Return the statement days that accounts of a batch have, or had, of their own."""
    stated = {int(each.value) for known in facts.values() for each in known if each.kind is FactKind.STATEMENT_DAY}
    return stated | {purchase.statement_day for purchase in purchases if purchase.statement_day is not None}


def _facts_held(
    cursor: Any, accounts: Mapping[Key, AccountRow], snapshot: Snapshot, *, since: int
) -> dict[Key, tuple[Fact, ...]]:
    """Return what accounts held from an instant on, where their programmes' rules ask; no statement where none does."""
    asking = {
        key: (programme, snapshot.asked[programme].held)
        for key, account in accounts.items()
        if (programme := account.programme or "") in snapshot.asked and snapshot.asked[programme].held
    }
    if not asking:
        return {}
    booked = load_bookings(cursor, list(asking), {unit for _, units in asking.values() for unit in units})
    return {
        key: held_facts([_entry(row, snapshot, asking[key][0]) for row in rows], asking[key][1], since=since)
        for key, rows in booked.items()
    }


def _entry(row: BookingRow, snapshot: Snapshot, programme: str) -> Entry:
    last_day, cycle = validity_of(snapshot, programme, row.rule, row.revision, row.occurred_on)
    at = first_second(row.booked_at.timestamp())
    return Entry(at, row.purchase_id, row.rule, row.unit, row.granted, row.used, last_day, cycle)


def validity_of(
    snapshot: Snapshot, programme: str, rule: str, revision: int | None, occurred_on: date | None
) -> tuple[date, str]:
    """Return the last day of what a rule gave for a purchase, and the cycle that it is of, empty where of none.

    What a purchase was given that became part of another is valid no more.
    """
    if revision is None or occurred_on is None:
        return date.min, ""
    decided_under = snapshot.revision(programme, revision)
    if not decided_under.has(rule):
        return date.min, ""
    own = decided_under.rule(rule)
    cycle = "" if own.tally is None else "/".join(own.tally.counter(own.id, occurred_on))
    return own.validity.last_day(occurred_on), cycle
