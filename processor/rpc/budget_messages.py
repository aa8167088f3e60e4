"""Limits that accounts share, as the contract shows them: budgets, their shares, and the caps of households."""

from collections.abc import Iterator, Sequence

from processor.core.budget import HOLDERS
from processor.core.draw import counted_in
from processor.core.household import cap_in
from processor.core.programme import Programme
from processor.flow.snapshot import Snapshot
from processor.rpc.timestamps import timestamp
from processor.store.budget import BudgetRow
from processor.store.budget_shares import ShareRow
from processor.v1 import operations_pb2 as pb


def budget_messages(rows: Sequence[BudgetRow], snapshot: Snapshot) -> list[pb.Budget]:
    """Return budgets with the unit that the latest revision which has them counts in."""
    return [
        pb.Budget(
            programme=row.key[0],
            budget=row.key[1],
            period=row.key[2],
            counts=_counts(row, snapshot),
            size=row.size,
            used=row.used,
            held=row.held,
            reserved=row.reserved,
            left=max(0, row.size - row.used - row.held),
            buckets=row.buckets,
            remaining=row.remaining,
        )
        for row in rows
    ]


def _counts(row: BudgetRow, snapshot: Snapshot) -> str:
    programme, pool, _ = row.key
    if pool.endswith(HOLDERS):
        return "holders"
    for revision in reversed(snapshot.programmes.get(programme, ())):
        for budget in revision.budgets:
            if budget.id == pool:
                return budget.currency or revision.unit
    return ""


def share_messages(rows: Sequence[ShareRow]) -> list[pb.BudgetShare]:
    """Return the shares of a budget's buckets."""
    return [
        pb.BudgetShare(
            budget=row.key[0],
            period=row.key[1],
            bucket=row.key[2],
            size=row.share.size,
            reserved=row.share.reserved,
            used=row.share.used,
            held=row.share.held,
            free=max(0, row.share.free),
            lease_end_time=None if row.leased_until is None else timestamp(row.leased_until),
        )
        for row in rows
    ]


def household_caps(
    counters: Sequence[tuple[str, str, int]], revisions: Sequence[Programme]
) -> Iterator[pb.HouseholdCap]:
    """Yield what a household has used of each cap, by the latest revision that has it."""
    caps = {cap.id: (cap, counted_in(revision, cap)) for revision in revisions for cap in revision.caps}
    for counter, period, used in counters:
        cap, counts = caps[cap_in(counter)]
        left = max(0, cap.limit - used)
        yield pb.HouseholdCap(cap=cap.id, period=period, counts=counts, size=cap.limit, used=used, left=left)
