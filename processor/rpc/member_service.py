# ruff: noqa: N802 - the contract names the methods.
"""MemberService: what is known of members is recorded and listed.

It reads requests, refuses what is malformed, and leaves the work to ``flow/member_facts.py``.
No error repeats what was sent: a birthday is nobody's business, and any text may hold a card number.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Engine

from processor.core.card import holds_card_number
from processor.core.person import FactKind
from processor.flow.explain_tier_change import progress_text
from processor.flow.member_facts import Recording, RecordingRefused, StatedFact, record_facts
from processor.flow.member_tier import MemberTier, member_tier
from processor.flow.snapshot import Snapshots
from processor.rpc.errors import CallError, ErrorReason, ErrorsAnswered
from processor.rpc.paging import cut, page_size_of, page_token, position_of
from processor.rpc.request_fields import invalid_field, reason_and_actor, request_id_of
from processor.rpc.resource_names import account_key_of
from processor.rpc.timestamps import timestamp
from processor.store.member_facts import FactRow, list_facts
from processor.store.operations import find_actors
from processor.v1 import member_pb2 as pb
from processor.v1 import member_pb2_grpc as pb_grpc

MOST_STATED: Final = 100
"""Facts that one call records."""
LONGEST_VALUE: Final = 32

_LIST: Final = "memberFacts"
_KINDS: Final = {
    pb.MEMBER_FACT_KIND_TIER: FactKind.TIER,
    pb.MEMBER_FACT_KIND_SEGMENT: FactKind.SEGMENT,
    pb.MEMBER_FACT_KIND_OPTED_IN: FactKind.OPTED_IN,
    pb.MEMBER_FACT_KIND_LISTED: FactKind.LISTED,
    pb.MEMBER_FACT_KIND_MEMBER_SINCE: FactKind.MEMBER_SINCE,
    pb.MEMBER_FACT_KIND_BIRTHDAY: FactKind.BIRTHDAY,
    pb.MEMBER_FACT_KIND_STATEMENT_DAY: FactKind.STATEMENT_DAY,
    pb.MEMBER_FACT_KIND_HOUSEHOLD: FactKind.HOUSEHOLD,
}
_NAMES: Final = {kind: number for number, kind in _KINDS.items()} | {FactKind.REACHED: pb.MEMBER_FACT_KIND_REACHED_TIER}


class MemberService(pb_grpc.MemberServiceServicer):
    """Answers the contract's MemberService."""

    def __init__(
        self, *, engine: Engine, clock: Callable[[], datetime], bucket_count: int, snapshots: Snapshots
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._bucket_count = bucket_count
        self._snapshots = snapshots

    async def RecordMemberFacts(
        self, request: pb.RecordMemberFactsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.RecordMemberFactsResponse:
        """Record facts of one member."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._record, request)

    async def ListMemberFacts(
        self, request: pb.ListMemberFactsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ListMemberFactsResponse:
        """List what was recorded of one member."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._list, request)

    async def GetMemberTier(
        self, request: pb.GetMemberTierRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.MemberTier:
        """Return one member's tier, what gives it and the progress towards others."""
        async with ErrorsAnswered(context):
            return await asyncio.to_thread(self._tier, request)

    def _record(self, request: pb.RecordMemberFactsRequest) -> pb.RecordMemberFactsResponse:
        recording = _recording(request)
        with self._engine.connect() as connection:
            key = account_key_of(connection, request.name, self._bucket_count)
        done = record_facts(self._engine, self._snapshots, key, recording, clock=self._clock)
        if isinstance(done, RecordingRefused):
            metadata = {"field": done.field} if done.field else {}
            raise CallError(ErrorReason(done.refusal.value), done.explanation, **metadata)
        return pb.RecordMemberFactsResponse(recorded=done.recorded, unchanged=done.unchanged, duplicate=done.duplicate)

    def _list(self, request: pb.ListMemberFactsRequest) -> pb.ListMemberFactsResponse:
        size = page_size_of(request.page_size)
        position = position_of(request.page_token, _LIST, [_number_part])
        with self._engine.connect() as connection:
            key = account_key_of(connection, request.parent, self._bucket_count)
            after = position[0] if position else 0
            page, more = cut(list_facts(connection.connection.cursor(), key, after=after, limit=size + 1), size)
            actors = find_actors(connection, {row.audit_id for row in page})
        token = page_token(_LIST, str(page[-1].fact.number)) if more else ""
        return pb.ListMemberFactsResponse(facts=[_fact(row, actors) for row in page], next_page_token=token)

    def _tier(self, request: pb.GetMemberTierRequest) -> pb.MemberTier:
        with self._engine.connect() as connection:
            key = account_key_of(connection, request.name, self._bucket_count)
            found = member_tier(connection, self._snapshots, key, self._clock())
            if found is None:
                raise CallError(ErrorReason.ACCOUNT_NOT_FOUND, "there is no such account; check its name")
            actors = find_actors(connection, {found.row.audit_id}) if found.row is not None else {}
        return _member_tier(found, actors)


def _number_part(text: str) -> int:
    """Read the part of a position that is a fact's number."""
    number = int(text)
    if not 0 <= number < 2**31:
        raise ValueError("no number of a fact")
    return number


def _recording(request: pb.RecordMemberFactsRequest) -> Recording:
    """Return what is asked for; raises :class:`CallError` naming the first field that is wrong."""
    if not 1 <= len(request.facts) <= MOST_STATED:
        raise invalid_field("facts", f"does not hold 1 to {MOST_STATED} facts; send several calls")
    facts = tuple(_stated(place, fact) for place, fact in enumerate(request.facts))
    reason, actor = reason_and_actor(request.reason, request.actor)
    return Recording(facts=facts, reason=reason, actor=actor, request_id=request_id_of(request.request_id))


def _stated(place: int, fact: pb.MemberFact) -> StatedFact:
    at = f"facts[{place}]"
    kind = _KINDS.get(fact.kind)
    if kind is None:
        raise invalid_field(f"{at}.kind", "is not stated; say what the fact is about")
    if len(fact.value) > LONGEST_VALUE or holds_card_number(fact.value):
        raise invalid_field(f"{at}.value", f"is no identifier or date of at most {LONGEST_VALUE} characters")
    return StatedFact(
        kind=kind,
        value=fact.value,
        since=_instant(f"{at}.start_time", fact.start_time) if fact.HasField("start_time") else None,
        until=_instant(f"{at}.end_time", fact.end_time) if fact.HasField("end_time") else None,
        holds=not fact.ended,
    )


def _instant(field: str, stated: Timestamp) -> datetime:
    try:
        return stated.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise invalid_field(field, "is no time of the calendar; write one") from None


def _member_tier(found: MemberTier, actors: Mapping[bytes, str]) -> pb.MemberTier:
    programme = found.programme
    if programme is None:
        return pb.MemberTier()
    return pb.MemberTier(
        tier=found.tier,
        title=programme.tiers.get(found.tier, ""),
        fact=None if found.row is None else _fact(found.row, actors),
        progress=[
            pb.TierProgress(
                tier=entry.asked.tier,
                title=programme.tiers[entry.asked.tier],
                period=entry.period,
                counted=progress_text(programme, entry.asked.measure, entry.stands),
                asked_for=progress_text(programme, entry.asked.measure, entry.asked.least),
                lacking=progress_text(programme, entry.asked.measure, entry.lacking) if entry.lacking else "",
                counted_units=entry.stands,
                asked_for_units=entry.asked.least,
            )
            for entry in found.progress
        ],
    )


def _fact(row: FactRow, actors: Mapping[bytes, str]) -> pb.MemberFact:
    """Return a fact with who asked for it; nobody did for a tier that was reached, which names its message."""
    fact = row.fact
    return pb.MemberFact(
        kind=_NAMES[fact.kind],
        value=fact.value,
        start_time=timestamp(datetime.fromtimestamp(fact.since, UTC)),
        end_time=None if fact.until is None else timestamp(datetime.fromtimestamp(fact.until, UTC)),
        ended=not fact.holds,
        number=fact.number,
        record_time=timestamp(row.recorded_at),
        recorded_by=row.audit_id.hex() if fact.kind is FactKind.REACHED else actors.get(row.audit_id, ""),
    )
