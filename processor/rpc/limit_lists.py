"""Lists of the limits that accounts share: budgets, how one of them lies, and what a household has used of its caps.

It reads requests, refuses what is malformed, and asks the store.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Engine

from processor.core.household import is_household
from processor.core.member_fact import HOUSEHOLD_FORM
from processor.flow.snapshot import Snapshots
from processor.rpc.budget_messages import budget_messages, household_caps, share_messages
from processor.rpc.errors import CallError, ErrorReason
from processor.rpc.paging import bucket_part, cut, page_size_of, page_token, position_of
from processor.rpc.request_fields import invalid_field
from processor.store.budget import list_budgets
from processor.store.budget_shares import list_shares
from processor.store.directory import bucket_of
from processor.store.household import household_id, list_household_counters
from processor.v1 import operations_pb2 as pb

MOST_CAPS: Final = 1000
"""Caps and periods of one household that are listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitLists:
    """Answers the calls of the contract that list shared limits."""

    engine: Engine
    clock: Callable[[], datetime]
    bucket_count: int
    snapshots: Snapshots

    def budgets(self, request: pb.ListBudgetsRequest) -> pb.ListBudgetsResponse:
        """List budgets that anything was asked of."""
        size, scope = page_size_of(request.page_size), f"budgets/{request.programme}/{request.budget}"
        position = position_of(request.page_token, scope, [str, str, str])
        after = (position[0], position[1], position[2]) if position else ("", "", "")
        with self.engine.connect() as connection:
            snapshot = self.snapshots.refresh(connection)
            cursor = connection.connection.cursor()
            found = list_budgets(
                cursor, request.programme, self.clock(), after=after, limit=size + 1, named=request.budget
            )
        page, more = cut(found, size)
        token = page_token(scope, *page[-1].key) if more else ""
        return pb.ListBudgetsResponse(budgets=budget_messages(page, snapshot), next_page_token=token)

    def shares(self, request: pb.ListBudgetSharesRequest) -> pb.ListBudgetSharesResponse:
        """List what each bucket has of one budget."""
        size = page_size_of(request.page_size)
        scope = f"budgetShares/{request.programme}/{request.budget}/{request.period}"
        position = position_of(request.page_token, scope, [str, str, bucket_part])
        after = (position[0], position[1], position[2]) if position else ("", "", -1)
        with self.engine.connect() as connection:
            revisions = self.snapshots.refresh(connection).programmes.get(request.programme, ())
            if not any(budget.id == request.budget for revision in revisions for budget in revision.budgets):
                problem = "no revision of this programme has such a budget; `cobrand budgets list` shows those in use"
                raise CallError(ErrorReason.BUDGET_NOT_FOUND, problem)
            cursor = connection.connection.cursor()
            key = (request.programme, request.budget, request.period)
            found = list_shares(cursor, *key, self.clock(), after=after, limit=size + 1)
        page, more = cut(found, size)
        token = page_token(scope, *map(str, page[-1].key)) if more else ""
        return pb.ListBudgetSharesResponse(shares=share_messages(page), next_page_token=token)

    def household(self, request: pb.ListHouseholdCapsRequest) -> pb.ListHouseholdCapsResponse:
        """List what one household has used of caps."""
        if not is_household(request.household):
            raise invalid_field("household", f"names no household; {HOUSEHOLD_FORM}")
        identity = household_id(request.programme, request.household)
        key = (bucket_of(identity, self.bucket_count), identity)
        with self.engine.connect() as connection:
            revisions = self.snapshots.refresh(connection).programmes.get(request.programme)
            if revisions is None:
                raise CallError(ErrorReason.PROGRAMME_NOT_FOUND, "there is no such programme; check its identifier")
            found = list_household_counters(connection.connection.cursor(), key, limit=MOST_CAPS)
        return pb.ListHouseholdCapsResponse(caps=household_caps(found, revisions))
