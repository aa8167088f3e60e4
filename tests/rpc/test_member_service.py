"""MemberService over real gRPC: facts recorded and listed, and what is refused with its field."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from processor.rpc.member_service import MOST_STATED, MemberService
from processor.rpc.timestamps import timestamp
from processor.v1 import member_pb2 as pb
from processor.v1.member_pb2_grpc import MemberServiceStub, add_MemberServiceServicer_to_server
from tests.conftest import Database
from tests.flow.conftest import BUCKETS, NOW, Pipeline, apply_skyways, make_pipeline
from tests.flow.test_member_facts import AIRLINE, account_of
from tests.rpc.serving import failure_of, serving

REQUEST = "7d1f3f7e-53a4-4d2c-9a52-0a4f3a3c8a11"
GOLD = pb.MemberFact(kind=pb.MEMBER_FACT_KIND_TIER, value="gold")
BIRTHDAY = pb.MemberFact(kind=pb.MEMBER_FACT_KIND_BIRTHDAY, value="02-29")


@pytest.fixture
def pipeline(database: Database) -> Pipeline:
    """Give a pipeline under the airline's programme with tiers."""
    apply_skyways(database, folder=AIRLINE)
    return make_pipeline(database)


@pytest.fixture
def stub(pipeline: Pipeline) -> Iterator[MemberServiceStub]:
    """Give a client of a live service."""
    service = MemberService(
        engine=pipeline.database.service,
        clock=pipeline.clock,
        bucket_count=BUCKETS,
        snapshots=pipeline.snapshots,
    )
    with serving(lambda server: add_MemberServiceServicer_to_server(service, server)) as channel:
        yield MemberServiceStub(channel)


@pytest.fixture
def name(pipeline: Pipeline) -> str:
    """Open an account, and return its name."""
    return f"accounts/{account_of(pipeline)[1].hex()}"


def asked(name: str, *facts: pb.MemberFact, **fields: Any) -> pb.RecordMemberFactsRequest:
    """Build a sound request, with some fields changed."""
    values = {"reason": "Nightly file", "actor": "maria", "request_id": REQUEST, **fields}
    return pb.RecordMemberFactsRequest(name=name, facts=facts or [GOLD], **values)


def test_facts_are_recorded_once_and_listed(stub: MemberServiceStub, name: str) -> None:
    """What was recorded is listed page by page, in the order of recording, with its times; a repeat changes nothing."""
    later, end = timestamp(NOW + timedelta(days=1)), timestamp(NOW + timedelta(days=2))
    silver = pb.MemberFact(kind=pb.MEMBER_FACT_KIND_TIER, value="silver", start_time=later, end_time=end)
    request = asked(name, GOLD, BIRTHDAY, silver)
    assert pb.RecordMemberFactsResponse(recorded=3) == stub.RecordMemberFacts(request)
    assert pb.RecordMemberFactsResponse(recorded=3, duplicate=True) == stub.RecordMemberFacts(request)

    now = timestamp(NOW)
    recorded: dict[str, Any] = {"record_time": now, "recorded_by": "maria"}
    expected = [
        pb.MemberFact(kind=GOLD.kind, value="gold", start_time=now, number=1, **recorded),
        pb.MemberFact(kind=BIRTHDAY.kind, value="02-29", start_time=now, number=2, **recorded),
        pb.MemberFact(kind=GOLD.kind, value="silver", start_time=later, end_time=end, number=3, **recorded),
    ]
    first = stub.ListMemberFacts(pb.ListMemberFactsRequest(parent=name, page_size=2))
    rest = stub.ListMemberFacts(pb.ListMemberFactsRequest(parent=name, page_token=first.next_page_token))
    assert expected == [*first.facts, *rest.facts]
    assert (2, "") == (len(first.facts), rest.next_page_token)


@pytest.mark.parametrize(
    ("fields", "code", "reason", "text"),
    [
        ({"facts": []}, "INVALID_ARGUMENT", "INVALID_FIELD", "facts does not hold 1 to 100 facts"),
        ({"facts": [GOLD] * (MOST_STATED + 1)}, "INVALID_ARGUMENT", "INVALID_FIELD", "facts does not hold 1 to 100"),
        ({"facts": [GOLD, pb.MemberFact(value="gold")]}, "INVALID_ARGUMENT", "INVALID_FIELD", "facts[1].kind is not"),
        ({"facts": [pb.MemberFact(kind=99)]}, "INVALID_ARGUMENT", "INVALID_FIELD", "facts[0].kind is not stated"),  # type: ignore[arg-type]
        (
            {"facts": [pb.MemberFact(kind=GOLD.kind, value="x" * 33)]},
            "INVALID_ARGUMENT",
            "INVALID_FIELD",
            "facts[0].value is no identifier",
        ),
        (
            {"facts": [pb.MemberFact(kind=GOLD.kind, value="4000 0000 0000 0002")]},
            "INVALID_ARGUMENT",
            "INVALID_FIELD",
            "facts[0].value is no identifier",
        ),
        (
            {"facts": [pb.MemberFact(kind=GOLD.kind, value="gold", start_time=Timestamp(seconds=2**62))]},
            "INVALID_ARGUMENT",
            "INVALID_FIELD",
            "facts[0].start_time is no time",
        ),
        (
            {"facts": [pb.MemberFact(kind=GOLD.kind, value="golden")]},
            "INVALID_ARGUMENT",
            "FACT_REFUSED",
            "facts[0].value is no tier of the programme; did you mean 'gold'?",
        ),
        ({"reason": "x"}, "INVALID_ARGUMENT", "INVALID_FIELD", "reason is not 3 to 500 characters"),
        ({"actor": ""}, "INVALID_ARGUMENT", "INVALID_FIELD", "actor is not 1 to 100 characters"),
        ({"request_id": "1"}, "INVALID_ARGUMENT", "INVALID_FIELD", "request_id is no UUID"),
        ({"name": "members/1"}, "INVALID_ARGUMENT", "INVALID_NAME", "is neither of the form"),
        ({"name": f"accounts/{'0' * 32}"}, "NOT_FOUND", "ACCOUNT_NOT_FOUND", "there is no such account"),
    ],
)
def test_a_wrong_request_is_refused(
    stub: MemberServiceStub, name: str, fields: dict[str, Any], code: str, reason: str, text: str
) -> None:
    """Each field is checked, and the error says which one and what to write."""
    request = asked(fields.pop("name", name), **{key: value for key, value in fields.items() if key != "facts"})
    if "facts" in fields:
        del request.facts[:]
        request.facts.extend(fields["facts"])
    failure = failure_of(stub.RecordMemberFacts, request)
    assert (grpc.StatusCode[code], reason) == (failure.code, failure.reason)
    assert text in failure.text
    assert [] == list(stub.ListMemberFacts(pb.ListMemberFactsRequest(parent=name)).facts)


@pytest.mark.parametrize("token", ["x", "WyJtZW1iZXJGYWN0cyIsIi0xIl0=", "WyJtZW1iZXJGYWN0cyIsIjk5OTk5OTk5OTkiXQ=="])
def test_a_list_refuses_tokens_it_did_not_give(stub: MemberServiceStub, name: str, token: str) -> None:
    """What is no token of this list is refused, also one whose number no fact can have."""
    failure = failure_of(stub.ListMemberFacts, pb.ListMemberFactsRequest(parent=name, page_token=token))
    assert ("INVALID_PAGE_TOKEN", grpc.StatusCode.INVALID_ARGUMENT) == (failure.reason, failure.code)
