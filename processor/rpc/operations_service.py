# ruff: noqa: N802 - the contract names the methods.
"""OperationsService: what waits, what did not decode, corrections, explanations, and the state of the system.

It reads requests, refuses what is malformed, and leaves the work to ``flow/``.
It never shows a card's token or the id of the key that made it.
"""

import asyncio
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import grpc
import orjson
from sqlalchemy import Engine

from processor.core.outcome import Reason
from processor.flow.adjust import Adjustment, AdjustmentRefused, adjust
from processor.flow.batch import BatchDecider
from processor.flow.booking import NUMBERS_OF_A_JOIN, NUMBERS_OF_AN_ATTEMPT
from processor.flow.explain import explain_decision
from processor.flow.intake import Intake
from processor.flow.replay import replay
from processor.flow.snapshot import Snapshots
from processor.flow.status import LinkState, TcpLinkState, load_status
from processor.rpc.errors import CallError, ErrorReason, ErrorsAnswered
from processor.rpc.limit_lists import LimitLists
from processor.rpc.paging import bucket_part, cut, instant_part, page_size_of, page_token, position_of
from processor.rpc.request_fields import invalid_field, reason_and_actor, request_id_of
from processor.rpc.resource_names import account_key_of, id_of, parts_of
from processor.rpc.timestamps import timestamp
from processor.store.card_side import Key
from processor.store.directory import bucket_of
from processor.store.operations import (
    ParkedRow,
    UndecodableRow,
    WorkerRow,
    list_parked,
    list_undecodable,
    load_parked,
)
from processor.v1 import operations_pb2
from processor.v1.operations_pb2_grpc import OperationsServiceServicer

LARGEST_REPLAY: Final = 10_000
"""Parked messages that one call decides again."""

_PARKED: Final = "accounts/{account}/parkedMessages/{message}"
_AWARD: Final = "accounts/{account}/awards/{award}"
_AWARD_ID: Final = re.compile(r"([0-9a-f]{32})([0-9a-f]{4})")
_DECISION: Final = "accounts/{account}/decisions/{decision}"
_ATTEMPT: Final = re.compile(r"([0-9a-f]{32})-([1-9][0-9]{0,3})")
_LIST_PARKED: Final = "parkedMessages"
_LIST_UNDECODABLE: Final = "undecodableMessages"


class OperationsService(OperationsServiceServicer):
    """Answers the contract's OperationsService; replays wait for each other, because a decider serves one at a time."""

    def __init__(
        self,
        *,
        engine: Engine,
        clock: Callable[[], datetime],
        bucket_count: int,
        snapshots: Snapshots,
        decider: BatchDecider,
        intake: Intake,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._bucket_count = bucket_count
        self._snapshots = snapshots
        self._limits = LimitLists(engine=engine, clock=clock, bucket_count=bucket_count, snapshots=snapshots)
        self._decider = decider
        self._intake = intake
        self._replaying = asyncio.Lock()

    async def ListParkedMessages(
        self, request: operations_pb2.ListParkedMessagesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> operations_pb2.ListParkedMessagesResponse:
        """List messages that wait to be decided, oldest first."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._list_parked, request)

    async def GetParkedMessage(
        self, request: operations_pb2.GetParkedMessageRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> operations_pb2.ParkedMessage:
        """Show one parked message, masked."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._parked, request.name)

    async def ReplayParkedMessages(
        self, request: operations_pb2.ReplayParkedMessagesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> operations_pb2.ReplayParkedMessagesResponse:
        """Decide parked messages again."""
        async with ErrorsAnswered(context):
            if len(request.names) > LARGEST_REPLAY:
                problem = f"names holds more than {LARGEST_REPLAY} messages; replay them in several calls"
                raise CallError(ErrorReason.INVALID_FIELD, problem, field="names")
            keys = [self._message_key(name)[0] for name in request.names] or None
            async with self._replaying:
                result = await asyncio.to_thread(replay, self._decider, self._intake, keys, LARGEST_REPLAY)
            return operations_pb2.ReplayParkedMessagesResponse(decided=result.decided, still_parked=result.still_parked)

    async def ListUndecodableMessages(
        self, request: operations_pb2.ListUndecodableMessagesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> operations_pb2.ListUndecodableMessagesResponse:
        """List bytes that did not decode, newest first."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._list_undecodable, request)

    async def ListBudgets(
        self, request: operations_pb2.ListBudgetsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> operations_pb2.ListBudgetsResponse:
        """List budgets, with what is used and left."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._limits.budgets, request)

    async def ListBudgetShares(
        self, request: operations_pb2.ListBudgetSharesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> operations_pb2.ListBudgetSharesResponse:
        """List what each bucket has of one budget."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._limits.shares, request)

    async def ListHouseholdCaps(
        self, request: operations_pb2.ListHouseholdCapsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> operations_pb2.ListHouseholdCapsResponse:
        """List what one household has used of caps."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._limits.household, request)

    async def AdjustAccount(
        self, request: operations_pb2.AdjustAccountRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> operations_pb2.AdjustAccountResponse:
        """Give or take miles, with a reason."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._adjust, request)

    async def ExplainDecision(
        self, request: operations_pb2.ExplainDecisionRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> operations_pb2.ExplainDecisionResponse:
        """Recompute a stored decision and say why it gave what it gave."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._explain, request)

    async def GetStatus(
        self, _request: operations_pb2.GetStatusRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> operations_pb2.GetStatusResponse:
        """Return the state of workers, links and what waits."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._status)

    def _list_parked(
        self, request: operations_pb2.ListParkedMessagesRequest
    ) -> operations_pb2.ListParkedMessagesResponse:
        size = page_size_of(request.page_size)
        after = position_of(request.page_token, _LIST_PARKED, [instant_part, bucket_part, bytes.fromhex])
        with self._engine.connect() as connection:
            page, more = cut(list_parked(connection, after=after, limit=size + 1), size)
        token = ""
        if more:
            last = page[-1]
            token = page_token(_LIST_PARKED, last.parked_at.isoformat(), str(last.bucket), last.message_id.hex())
        return operations_pb2.ListParkedMessagesResponse(messages=map(_parked, page), next_page_token=token)

    def _parked(self, name: str) -> operations_pb2.ParkedMessage:
        key, account = self._message_key(name)
        with self._engine.connect() as connection:
            row = load_parked(connection, key, account)
        if row is None:
            problem = "no such message waits; it was decided meanwhile, or never parked"
            raise CallError(ErrorReason.PARKED_MESSAGE_NOT_FOUND, problem)
        shown = _parked(row)
        shown.fields = masked_fields(row.fields)
        return shown

    def _message_key(self, name: str) -> tuple[Key, bytes]:
        """Return the key of a parked message's name, and its account."""
        account_part, message_part = parts_of(name, _PARKED)
        account = id_of(account_part, "account")
        return (bucket_of(account, self._bucket_count), id_of(message_part, "message")), account

    def _list_undecodable(
        self, request: operations_pb2.ListUndecodableMessagesRequest
    ) -> operations_pb2.ListUndecodableMessagesResponse:
        size = page_size_of(request.page_size)
        before = position_of(request.page_token, _LIST_UNDECODABLE, [instant_part, bytes.fromhex])
        with self._engine.connect() as connection:
            page, more = cut(list_undecodable(connection, before=before, limit=size + 1), size)
        token = page_token(_LIST_UNDECODABLE, page[-1].received_at.isoformat(), page[-1].id.hex()) if more else ""
        return operations_pb2.ListUndecodableMessagesResponse(messages=map(_undecodable, page), next_page_token=token)

    def _adjust(self, request: operations_pb2.AdjustAccountRequest) -> operations_pb2.AdjustAccountResponse:
        adjustment = _adjustment(request)
        with self._engine.connect() as connection:
            key = account_key_of(connection, request.name, self._bucket_count)
        done = adjust(self._engine, self._snapshots, key, adjustment, clock=self._clock)
        if isinstance(done, AdjustmentRefused):
            raise CallError(ErrorReason(done.refusal.value), done.explanation)
        return operations_pb2.AdjustAccountResponse(available=done.available, duplicate=done.duplicate)

    def _explain(self, request: operations_pb2.ExplainDecisionRequest) -> operations_pb2.ExplainDecisionResponse:
        account, message_id, attempt = decision_named(request.name)
        key = (bucket_of(account, self._bucket_count), message_id)
        explanation = explain_decision(self._engine, self._snapshots, key, account, attempt)
        if explanation is None:
            problem = "there is no such decision; copy its name from an answer's explanation"
            raise CallError(ErrorReason.DECISION_NOT_FOUND, problem)
        if request.audience == operations_pb2.AUDIENCE_MEMBER:
            return operations_pb2.ExplainDecisionResponse(
                sentences=explanation.for_member, reproduced=explanation.reproduced
            )
        return operations_pb2.ExplainDecisionResponse(
            reason=explanation.reason.name,
            sentences=explanation.sentences,
            detail=explanation.detail,
            reproduced=explanation.reproduced,
        )

    def _status(self) -> operations_pb2.GetStatusResponse:
        state = load_status(self._engine, self._clock())
        return operations_pb2.GetStatusResponse(
            workers=map(_worker, state.workers),
            links=map(_link, state.links),
            reference_version=state.reference_version,
            parked=state.parked,
            tcp_links=map(_tcp_link, state.tcp_links),
        )


def decision_named(name: str) -> tuple[bytes, bytes, int]:
    """Return the account, message and attempt of the decision that a name leads to.

    An award's id, as a posting's, is its message's and a number that tells which decision on the message made it.
    """
    if "/awards/" in name:
        account, award = parts_of(name, _AWARD)
        match = _AWARD_ID.fullmatch(award)
        if match is None:
            problem = "the name's award is not 36 lower-case hexadecimal digits; copy it from a statement's posting"
            raise CallError(ErrorReason.INVALID_NAME, problem)
        number = int(match.group(2), 16)
        if number >= NUMBERS_OF_A_JOIN:
            problem = "the award was taken back because its account was joined to another; explain one of that account"
            raise CallError(ErrorReason.DECISION_NOT_FOUND, problem)
        attempt = max(number - 1, 0) // NUMBERS_OF_AN_ATTEMPT + 1
        return id_of(account, "account"), bytes.fromhex(match.group(1)), attempt
    account, decision = parts_of(name, _DECISION)
    match = _ATTEMPT.fullmatch(decision)
    if match is None:
        problem = "the name's decision is not of the form {message}-{attempt}; copy it from an answer's explanation"
        raise CallError(ErrorReason.INVALID_NAME, problem)
    return id_of(account, "account"), bytes.fromhex(match.group(1)), int(match.group(2))


def masked_fields(fields: str) -> str:
    """Return a message's stored fields as JSON, the card as its last four digits alone."""
    document = orjson.loads(fields)
    if document.get("card") is not None:
        _, _, last_four, _, _ = document["card"]
        document["card"] = f"****{last_four}"
    return orjson.dumps(document).decode()


def _adjustment(request: operations_pb2.AdjustAccountRequest) -> Adjustment:
    """Return what is asked for; raises :class:`CallError` naming the first field that is wrong."""
    if request.miles == 0:
        raise invalid_field("miles", "is zero; write how many to give, or a negative number to take")
    reason, actor = reason_and_actor(request.reason, request.actor)
    return Adjustment(miles=request.miles, reason=reason, actor=actor, request_id=request_id_of(request.request_id))


def _parked(row: ParkedRow) -> operations_pb2.ParkedMessage:
    return operations_pb2.ParkedMessage(
        name=f"accounts/{row.account.hex()}/parkedMessages/{row.message_id.hex()}",
        reason=Reason(row.reason).name,
        bank=row.bank,
        dialect=row.dialect,
        park_time=timestamp(row.parked_at),
    )


def _undecodable(row: UndecodableRow) -> operations_pb2.UndecodableMessage:
    return operations_pb2.UndecodableMessage(
        bank=row.bank,
        dialect=row.dialect,
        length_bytes=row.length_bytes,
        field=row.field,
        position=row.position,
        problem=row.problem,
        digest=row.digest.hex(),
        receive_time=timestamp(row.received_at),
        source=row.source,
    )


def _worker(row: WorkerRow) -> operations_pb2.WorkerStatus:
    return operations_pb2.WorkerStatus(
        worker=row.worker,
        start_time=timestamp(row.started_at),
        seen_time=timestamp(row.seen_at),
        messages=row.detail["messages"],
        queued=row.detail["queued"],
        snapshot_version=row.detail["snapshot_version"],
        streams=row.detail["streams"],
    )


def _link(link: LinkState) -> operations_pb2.LinkStatus:
    return operations_pb2.LinkStatus(
        bank=link.bank,
        dialect=link.dialect,
        messages=link.messages,
        undecodable=link.undecodable,
        last_message_time=None if link.last_at is None else timestamp(link.last_at),
    )


def _tcp_link(link: TcpLinkState) -> operations_pb2.TcpLinkStatus:
    state = operations_pb2.TCP_LINK_STATE_CONNECTED
    if not link.connections:
        state = operations_pb2.TCP_LINK_STATE_LISTENING
    elif link.signed_on:
        state = operations_pb2.TCP_LINK_STATE_SIGNED_ON
    elif link.signed_off == link.connections:
        state = operations_pb2.TCP_LINK_STATE_SIGNED_OFF
    return operations_pb2.TcpLinkStatus(
        link=link.name,
        bank=link.bank,
        dialect=link.dialect,
        address=link.address,
        state=state,
        connections=link.connections,
        signed_on_connections=link.signed_on,
        peers=link.peers,
        messages=link.messages,
        answered=link.answered,
        undecodable=link.undecodable,
        unanswered=link.unanswered,
        refused=link.refused,
        refused_connections=link.refused_connections,
        closed_connections=link.closed,
        last_message_time=None if link.last_message_at is None else timestamp(link.last_message_at),
        last_echo_time=None if link.last_echo_at is None else timestamp(link.last_echo_at),
    )
