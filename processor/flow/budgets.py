"""Budgets that many accounts share: a batch takes of its buckets' shares, which are dealt anew where they are short.

In the normal path a batch reads nothing of a budget before it decides, and locks the shares it changed just before it
writes.
Where they are short the batch rolls back, a rebalance in a transaction of its own deals the bucket more, and the batch
runs again.
A budget that a rebalance could not serve from its pool is scarce from then on: batches read what is left of it anywhere
before they decide, so that they give all of it and refuse only when nothing is left.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from time import monotonic, sleep
from typing import Any, Final, TypeVar

from sqlalchemy import Engine

from processor.core.budget import pools_of
from processor.core.budget_shares import Change, Share, collect, settle, step
from processor.core.programme import LinkMode
from processor.flow.budget_work import BudgetWork, shares_of
from processor.flow.retry import retried
from processor.flow.snapshot import Snapshot
from processor.store.budget import (
    BudgetKey,
    ShareKey,
    deal_shares,
    drop_holds,
    keep_holds,
    load_left,
    lock_all_shares,
    lock_pool,
    lock_shares,
    update_pool,
    update_shares,
)

MOST_RUNS: Final = 64
"""How often a batch runs again because shares are short; beyond it the host is asked to send again."""
PATIENT_RUNS: Final = 16
"""How many of these runs leave to other batches what they were dealt and have not used yet."""
LEASE: Final = timedelta(seconds=1)
"""How long what a rebalance dealt is left to the batch it was dealt for."""
PAUSE_S: Final = 0.01
"""How long a batch waits for another one that was dealt what it needs, the first time; each further time longer."""
SCARCE_S: Final = 3600.0
"""How long a budget counts as scarce after it last was, so that memory of periods long past ends."""

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a batch's buckets lack together of a pool: one of them is to have ``units`` free."""

    key: BudgetKey
    bucket: int
    buckets: frozenset[int]
    units: int
    size: int


class BudgetShortError(Exception):
    """The shares of a batch's buckets are short; deal them more and run the batch again."""

    def __init__(self, needs: Iterable[Need]) -> None:
        self.needs = tuple(needs)
        super().__init__(f"{len(self.needs)} budgets are short in this batch's buckets")


class BudgetContendedError(Exception):
    """Other batches took what this one was dealt, again and again; send the messages again after a pause."""


@dataclass(slots=True, kw_only=True)
class Budgets:
    """Runs transactions that take of budgets; it remembers which budgets were scarce, and nothing else."""

    _scarce: dict[BudgetKey, float] = field(default_factory=dict)

    def within(self, engine: Engine, clock: Callable[[], datetime], run: Callable[[], _Result]) -> _Result:
        """Run a transaction, and again after a rebalance wherever it finds the shares of a budget short."""
        for attempt in range(MOST_RUNS):
            try:
                return run()
            except BudgetShortError as short:
                now = clock().astimezone(UTC)
                served = [
                    self._dealt(engine, need, now, patient=attempt < PATIENT_RUNS)
                    for need in sorted(short.needs, key=attrgetter("key"))
                ]
                if not all(served):
                    sleep(PAUSE_S * min(attempt + 1, 10))
        raise BudgetContendedError("a budget's last units were contended for too long; send the messages again")

    def load(self, cursor: Any, snapshot: Snapshot, programmes: Collection[str], now: datetime) -> BudgetWork | None:
        """Return what is left of the scarce budgets of some programmes; None where none of them has a budget."""
        budgeted = snapshot.budgeted.intersection(programmes)
        if not budgeted:
            return None
        self._scarce = {key: since for key, since in self._scarce.items() if monotonic() - since < SCARCE_S}
        scarce = sorted(key for key in self._scarce if key[0] in budgeted)
        left: dict[str, dict[tuple[str, str], int]] = {}
        for key, pool in (load_left(cursor, scarce, now) if scarce else {}).items():
            programme, name, period = key
            size = size_of(snapshot, key, now)
            left.setdefault(programme, {})[name, period] = pool.remaining + size - pool.size
        return BudgetWork(now=now, left=left)

    def write(self, cursor: Any, work: BudgetWork, snapshot: Snapshot) -> None:
        """Settle with the locked shares what a batch took; raises :class:`BudgetShortError` where they are short."""
        if not work.changes:
            return
        quoted = any(link.mode is LinkMode.INLINE for link in snapshot.links.values())
        locked = lock_shares(cursor, shares_of(work.changes), work.now, quoted=quoted or bool(work.dropped))
        needs: list[Need] = []
        changed: dict[ShareKey, Share] = {}
        for key, changes in work.changes.items():
            own = {bucket: locked[(bucket, *key)] for bucket in changes}
            size = size_of(snapshot, key, work.now)
            settled = settle(own, changes, size)
            if isinstance(settled, int):
                needs.append(_need(key, own, changes, settled, size))
            else:
                changed |= {(bucket, *key): share for bucket, share in settled.items()}
        if needs:
            raise BudgetShortError(needs)
        update_shares(cursor, changed, work.now)
        if work.dropped:
            drop_holds(cursor, work.dropped)
        if work.kept:
            keep_holds(cursor, work.kept)

    def _dealt(self, engine: Engine, need: Need, now: datetime, *, patient: bool) -> bool:
        """Deal a bucket what it lacks, or all that there is; return False where others were dealt what it lacks."""
        return retried("rebalance", lambda: self._rebalance(engine, need, now, patient=patient))

    def _rebalance(self, engine: Engine, need: Need, now: datetime, *, patient: bool) -> bool:
        """Run the transaction; without patience what others were dealt a moment ago is taken back as well."""
        with engine.begin() as connection:
            cursor = connection.connection.cursor()
            pool = lock_pool(cursor, need.key, need.size, now)
            lease = {need.bucket: now + LEASE}
            if pool.size == need.size and pool.remaining > 0:
                share = lock_shares(cursor, [(need.bucket, *need.key)], now, quoted=True)[(need.bucket, *need.key)]
                dealt = step(pool, share, need.units)
                if dealt is not None:
                    update_pool(cursor, need.key, dealt[0], now)
                    deal_shares(cursor, need.key, {need.bucket: dealt[1]}, lease, now)
                    return True
            shares, leased = lock_all_shares(cursor, need.key, now, own=need.bucket)
            leased = leased - need.buckets if patient else set()
            left, after = collect(pool, shares, need.size, bucket=need.bucket, units=need.units, leased=leased)
            update_pool(cursor, need.key, left, now)
            changed = {bucket: share for bucket, share in after.items() if share != shares.get(bucket)}
            deal_shares(cursor, need.key, {**changed, need.bucket: after[need.bucket]}, lease, now)
        self._scarce = {**self._scarce, need.key: monotonic()}
        served = after[need.bucket].free >= need.units
        return served or not any(shares[bucket].free > 0 for bucket in leased)


def _need(key: BudgetKey, own: dict[int, Share], changes: dict[int, Change], lacking: int, size: int) -> Need:
    """Return what one of a batch's buckets must have free for the batch, the first of those that take something."""
    asking = [bucket for bucket, change in changes.items() if change.used + change.held > 0] or list(changes)
    bucket = min(asking)
    return Need(
        key=key,
        bucket=bucket,
        buckets=frozenset(changes),
        units=max(0, own[bucket].free) + lacking,
        size=size,
    )


def size_of(snapshot: Snapshot, key: BudgetKey, now: datetime) -> int:
    """Return the size of a pool in the revision in force, or in the latest that has it."""
    programme, pool, _ = key
    in_force = snapshot.programme_at(programme, int(now.timestamp()))
    revisions = reversed(snapshot.programmes[programme])
    for revision in (*filter(None, [in_force]), *revisions):
        for budget in revision.budgets:
            if pool in (sizes := pools_of(budget)):
                return sizes[pool]
    raise LookupError(f"no revision of programme {programme} has a budget {pool}")
