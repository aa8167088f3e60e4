"""Budgets as the contract shows them: what all accounts together took of each, and what is left."""

from collections.abc import Sequence

from processor.core.budget import HOLDERS
from processor.flow.snapshot import Snapshot
from processor.store.budget import BudgetRow
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
