"""The tier of a member over real gRPC: what gives it, by whom or by which message, and how far others are."""

from collections.abc import Iterator

import pytest

from processor.rpc.member_service import MemberService
from processor.v1 import member_pb2 as pb
from processor.v1.member_pb2_grpc import MemberServiceStub, add_MemberServiceServicer_to_server
from tests.conftest import Database
from tests.flow.conftest import BUCKETS, Pipeline, apply_skyways, make_pipeline
from tests.flow.test_tiers import FINAL, FOLDER, later, paid, reversed_
from tests.rpc.serving import failure_of, serving
from tests.rpc.test_member_service import asked


@pytest.fixture
def aurora(database: Database) -> Pipeline:
    """Build a pipeline under the programme with computed tiers."""
    apply_skyways(database, folder=FOLDER, document=FINAL)
    return make_pipeline(database)


@pytest.fixture
def stub(aurora: Pipeline) -> Iterator[MemberServiceStub]:
    """Give a client of a live service."""
    service = MemberService(
        engine=aurora.database.service, clock=aurora.clock, bucket_count=BUCKETS, snapshots=aurora.snapshots
    )
    with serving(lambda server: add_MemberServiceServicer_to_server(service, server)) as channel:
        yield MemberServiceStub(channel)


def test_a_tier_and_its_source_and_progress(aurora: Pipeline, stub: MemberServiceStub) -> None:
    """The lowest tier has no source; a reached one names its message, one by hand who asked; both fall back again."""
    answer = paid(aurora, 1, 1_500)
    name = "/".join(answer.explanation.split("/")[:2])
    request = pb.GetMemberTierRequest(name=name)
    tier = stub.GetMemberTier(request)
    assert ("classic", "Classic", False) == (tier.tier, tier.title, tier.HasField("fact"))
    silver = tier.progress[1]
    counted = "(other currencies counted in)"
    assert (
        "silver",
        "Silver",
        "2026",
        f"1,500.00 EUR {counted}",
        f"2,000.00 EUR {counted}",
        f"500.00 EUR {counted}",
    ) == (
        silver.tier,
        silver.title,
        silver.period,
        silver.counted,
        silver.asked_for,
        silver.lacking,
    )
    assert ["regular", "silver", "gold", "lifelong"] == [entry.tier for entry in tier.progress]
    assert ("0 purchases", "3 purchases", "2026-11") == (
        tier.progress[0].counted,
        tier.progress[0].asked_for,
        tier.progress[0].period,
    )

    reaching = paid(aurora, 2, 600)
    later(aurora)
    tier = stub.GetMemberTier(request)
    assert ("silver", pb.MEMBER_FACT_KIND_REACHED_TIER, "silver/2026/1") == (tier.tier, tier.fact.kind, tier.fact.value)
    assert tier.fact.recorded_by in reaching.explanation
    assert ("", 84_000_00, 80_000_00) == (
        tier.progress[1].lacking,
        tier.progress[1].counted_units,
        tier.progress[1].asked_for_units,
    )

    stub.RecordMemberFacts(asked(name))
    tier = stub.GetMemberTier(request)
    assert ("gold", "maria") == (tier.tier, tier.fact.recorded_by)
    listed = stub.ListMemberFacts(pb.ListMemberFactsRequest(parent=name)).facts
    assert [pb.MEMBER_FACT_KIND_REACHED_TIER, pb.MEMBER_FACT_KIND_TIER] == [fact.kind for fact in listed]

    end = pb.MemberFact(kind=pb.MEMBER_FACT_KIND_TIER, ended=True)
    later(aurora)
    stub.RecordMemberFacts(asked(name, end, request_id="7d1f3f7e-53a4-4d2c-9a52-0a4f3a3c8a12"))
    assert "silver" == stub.GetMemberTier(request).tier
    reversed_(aurora, 3, 600, original=2)
    later(aurora)
    assert "classic" == stub.GetMemberTier(request).tier


def test_a_reached_tier_is_not_recorded_by_a_call(aurora: Pipeline, stub: MemberServiceStub) -> None:
    """Nobody says by a call that a tier was reached; an account that is not there has no tier."""
    name = "/".join(paid(aurora, 1, 100).explanation.split("/")[:2])
    reached = pb.MemberFact(kind=pb.MEMBER_FACT_KIND_REACHED_TIER, value="gold/2026/1")
    failure = failure_of(stub.RecordMemberFacts, asked(name, reached))
    assert ("INVALID_FIELD", True) == (failure.reason, "facts[0].kind" in failure.text)
    missing = pb.GetMemberTierRequest(name=f"accounts/{'0' * 32}")
    assert "ACCOUNT_NOT_FOUND" == failure_of(stub.GetMemberTier, missing).reason
