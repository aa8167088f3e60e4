"""What one batch counts for households: their rows are locked behind the accounts, before anything is decided.

The accounts of one household lie in different buckets and are decided by different workers at once; whoever has locked
its row sees all that the others have committed, so that its caps are exact.
A batch whose accounts are of no household, or whose programmes have no cap for each household, asks for nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from processor.core.cap import CounterKey
from processor.core.household import household_in
from processor.core.person import Fact, FactKind
from processor.flow.snapshot import Snapshot
from processor.store.card_side import AccountRow, Key
from processor.store.directory import bucket_of
from processor.store.household import (
    HouseholdRow,
    household_id,
    load_household_counters,
    lock_households,
)

Reservation = list[Any]
"""A purchase id in hex, a counter, a period, units, and an expiry in seconds since 1970."""


@dataclass(slots=True, kw_only=True)
class HouseholdWork:
    """The households of a batch: ``rows`` by key, and by account the name and key of each that it was ever of."""

    rows: dict[Key, HouseholdRow]
    of_account: Mapping[Key, Mapping[str, Key]]
    now: datetime

    def counters(self, account: AccountRow) -> dict[CounterKey, int]:
        """Return what the households of an account have used."""
        return {key: units for row in self._rows(account) for key, units in row.counters.items()}

    def reserved(self, account: AccountRow, own: Collection[bytes]) -> dict[CounterKey, int]:
        """Return what open quotes hold of an account's households, those of the purchases in ``own`` aside."""
        reserved: dict[CounterKey, int] = {}
        for row in self._rows(account):
            for _, counter, period, units, _ in self._others(row, own):
                reserved[counter, period] = reserved.get((counter, period), 0) + units
        return reserved

    def take(self, account: AccountRow, key: CounterKey, units: int) -> None:
        """Let a household's counter stand at so many units, where ``key`` names one that has changed."""
        row = self.rows[self.of_account[account.bucket, account.id][household_in(key[0])]]
        if row.counters.get(key, 0) != units:
            row.counters[key] = units
            row.changed.add(key)

    def reserve(self, account: AccountRow, own: Collection[bytes], kept: Sequence[Reservation]) -> None:
        """Hold what a quote asks for, and give back what quotes of the purchases in ``own`` held."""
        for name, key in self.of_account.get((account.bucket, account.id), {}).items():
            row = self.rows[key]
            reservations = [*self._others(row, own), *(entry for entry in kept if household_in(entry[1]) == name)]
            if reservations != row.reservations:
                row.reservations = reservations
                row.reserved_anew = True

    def _rows(self, account: AccountRow) -> list[HouseholdRow]:
        return [self.rows[key] for key in self.of_account.get((account.bucket, account.id), {}).values()]

    def _others(self, row: HouseholdRow, own: Collection[bytes]) -> list[Reservation]:
        """Return what is still held, by quotes of other purchases."""
        now = self.now.timestamp()
        return [entry for entry in row.reservations if bytes.fromhex(entry[0]) not in own and entry[4] > now]


def load_households(
    cursor: Any,
    accounts: Mapping[Key, AccountRow],
    facts: Mapping[Key, Sequence[Fact]],
    snapshot: Snapshot,
    periods: Collection[str],
    *,
    bucket_count: int,
    now: datetime,
) -> HouseholdWork | None:
    """Lock the households that locked accounts are or were of, and read their counters; None where there are none."""
    of_account: dict[Key, dict[str, Key]] = {}
    named: dict[Key, tuple[str, str]] = {}
    for key, known in facts.items():
        programme = accounts[key].programme or ""
        if programme not in snapshot.shared:
            continue
        for name in {fact.value for fact in known if fact.kind is FactKind.HOUSEHOLD and fact.value}:
            identity = household_id(programme, name)
            household = (bucket_of(identity, bucket_count), identity)
            named[household] = (programme, name)
            of_account.setdefault(key, {})[name] = household
    if not named:
        return None
    rows = lock_households(cursor, named, now)
    load_household_counters(cursor, rows, periods)
    return HouseholdWork(rows=rows, of_account=of_account, now=now)
