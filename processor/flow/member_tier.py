"""Looking up a member's tier as it is now: what gives it, and how far the member is towards those that are computed."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection

from processor.core.programme import Programme
from processor.core.tier_standing import TierProgress, progress_at, tier_at
from processor.flow.snapshot import Snapshots
from processor.store.card_side import Key, load_counters
from processor.store.ledger import load_balance
from processor.store.member_facts import FactRow, list_facts


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberTier:
    """A member's tier under the revision in force, None before the first.

    ``row`` is the fact that gives it, None for the lowest tier of somebody of whom none is known.
    """

    programme: Programme | None
    tier: str
    row: FactRow | None
    progress: tuple[TierProgress, ...]


def member_tier(connection: Connection, snapshots: Snapshots, key: Key, now: datetime) -> MemberTier | None:
    """Return the tier of the member with an account, None where there is no such account.

    The current period is that of today where the account's bank is.
    """
    balance = load_balance(connection, key)
    if balance is None:
        return None
    snapshot = snapshots.refresh(connection)
    programme = None
    if balance.programme in snapshot.programmes:
        programme = snapshot.programme_at(balance.programme or "", int(now.timestamp()))
    if programme is None:
        return MemberTier(programme=None, tier="", row=None, progress=())
    cursor = connection.connection.cursor()
    known = {row.fact.number: row for row in list_facts(cursor, key)}
    standing = tier_at(programme, [row.fact for row in known.values()], int(now.timestamp()))
    progress: list[TierProgress] = []
    if programme.qualifications:
        calendar = programme.calendars.get(snapshot.bank_of(balance.product) or "")
        day = now.astimezone(calendar.time_zone if calendar is not None else UTC).date()
        periods = {entry.period for entry in progress_at(programme, {}, day)}
        progress = progress_at(programme, load_counters(cursor, [key], periods).get(key, {}), day)
    return MemberTier(
        programme=programme,
        tier=standing.tier,
        row=None if standing.fact is None else known[standing.fact.number],
        progress=tuple(progress),
    )
