# ruff: noqa: N802 - the contract names the methods.
"""EntitlementService: what accounts hold of soft rewards, and using it up."""

import asyncio
from collections.abc import Callable
from datetime import date, datetime
from typing import Any, Final

import grpc
from sqlalchemy import Engine

from processor.core.holding import Holding
from processor.core.programme import Programme
from processor.flow.entitlements import Use, UseRefused, holdings_of, use_entitlement
from processor.flow.snapshot import Snapshots
from processor.rpc.errors import CallError, ErrorReason, ErrorsAnswered
from processor.rpc.request_fields import invalid_field, reason_and_actor, request_id_of
from processor.rpc.resource_names import account_key_of
from processor.store.ledger import load_balance
from processor.v1 import entitlement_pb2
from processor.v1.entitlement_pb2_grpc import EntitlementServiceServicer

LARGEST_USE: Final = 1000


class EntitlementService(EntitlementServiceServicer):
    """Answers the contract's EntitlementService."""

    def __init__(
        self, *, engine: Engine, bucket_count: int, snapshots: Snapshots, clock: Callable[[], datetime]
    ) -> None:
        self._engine = engine
        self._bucket_count = bucket_count
        self._snapshots = snapshots
        self._clock = clock

    async def ListEntitlements(
        self, request: entitlement_pb2.ListEntitlementsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> entitlement_pb2.ListEntitlementsResponse:
        """List what an account holds."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._list, request.parent)

    async def UseEntitlement(
        self, request: entitlement_pb2.UseEntitlementRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> entitlement_pb2.UseEntitlementResponse:
        """Use something counted, or take a use back."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._use, request)

    def _list(self, parent: str) -> entitlement_pb2.ListEntitlementsResponse:
        with self._engine.connect() as connection:
            key = account_key_of(connection, parent, self._bucket_count)
            balance = load_balance(connection, key)
            if balance is None:
                raise CallError(ErrorReason.ACCOUNT_NOT_FOUND, "there is no such account; check its name")
            snapshot = self._snapshots.refresh(connection)
            if balance.programme is None or balance.programme not in snapshot.programmes:
                return entitlement_pb2.ListEntitlementsResponse()
            programme = snapshot.latest(balance.programme)
            holdings = holdings_of(connection, snapshot, programme.id, key)
        product = programme.products.get(balance.product or "")
        today = self._clock().date()
        if product is not None:
            today = self._clock().astimezone(snapshot.calendars[product.bank].time_zone).date()
        return entitlement_pb2.ListEntitlementsResponse(
            entitlements=[_held(programme, holding, today) for holding in holdings]
        )

    def _use(self, request: entitlement_pb2.UseEntitlementRequest) -> entitlement_pb2.UseEntitlementResponse:
        use = _asked(request)
        with self._engine.connect() as connection:
            key = account_key_of(connection, request.name, self._bucket_count)
        done = use_entitlement(self._engine, self._snapshots, key, use, clock=self._clock)
        if isinstance(done, UseRefused):
            raise CallError(ErrorReason(done.refusal.value), done.explanation)
        return entitlement_pb2.UseEntitlementResponse(left=done.left, duplicate=done.duplicate)


def _asked(request: entitlement_pb2.UseEntitlementRequest) -> Use:
    """Return what is asked for; raises :class:`CallError` naming the first field that is wrong."""
    if not request.entitlement:
        raise invalid_field("entitlement", "is empty; write the identifier of one that the account holds")
    if not 0 < abs(request.count) <= LARGEST_USE:
        problem = f"is not 1 to {LARGEST_USE}; write how many are used, below zero to take uses back"
        raise invalid_field("count", problem)
    reason, actor = reason_and_actor(request.reason, request.actor)
    return Use(
        entitlement=request.entitlement,
        count=request.count,
        reason=reason,
        actor=actor,
        request_id=request_id_of(request.request_id),
    )


def _held(programme: Programme, holding: Holding, today: date) -> entitlement_pb2.HeldEntitlement:
    reward = programme.rewards.get(holding.unit)
    return entitlement_pb2.HeldEntitlement(
        entitlement=holding.unit,
        display_name=reward.name if reward else "",
        rule=holding.rule,
        purchase=holding.purchase_id.hex(),
        pending=holding.pending,
        granted=holding.granted,
        used=holding.used,
        left=holding.left,
        valid_until="" if holding.last_day == date.max else holding.last_day.isoformat(),
        valid=holding.left > 0 and holding.last_day >= today,
    )
