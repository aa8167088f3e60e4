"""EntitlementService over real gRPC: what an account holds, using it, and every refusal with its reason."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import grpc
import pytest

from processor.rpc.entitlement_service import EntitlementService
from processor.v1.entitlement_pb2 import (
    HeldEntitlement,
    ListEntitlementsRequest,
    UseEntitlementRequest,
    UseEntitlementResponse,
)
from processor.v1.entitlement_pb2_grpc import EntitlementServiceStub, add_EntitlementServiceServicer_to_server
from tests.conftest import Database
from tests.flow.conftest import BUCKETS, Pipeline
from tests.rpc.serving import failure_of, serving
from tests.settlement.test_closed_club import DESK, clear, enrolled

MEMBER = "banks/rive/accountReferences/R-1"


@pytest.fixture
def club(database: Database) -> Pipeline:
    """Give a pipeline with one member who has paid the fee."""
    pipeline = enrolled(database)
    clear(pipeline, DESK, 1, 300_00)
    return pipeline


@pytest.fixture
def stub(club: Pipeline) -> Iterator[EntitlementServiceStub]:
    """Give a client of a live service."""
    service = EntitlementService(
        engine=club.database.service, bucket_count=BUCKETS, snapshots=club.snapshots, clock=club.clock
    )
    with serving(lambda server: add_EntitlementServiceServicer_to_server(service, server)) as channel:
        yield EntitlementServiceStub(channel)


def use(**changes: Any) -> UseEntitlementRequest:
    """Return a request to use one visit."""
    values = {
        "name": MEMBER,
        "entitlement": "lounge-access",
        "count": 1,
        "reason": "Vienna, lounge 2",
        "actor": "maria",
        "request_id": str(UUID(int=1)),
        **changes,
    }
    return UseEntitlementRequest(**values)


def test_what_is_held_and_used_is_shown(stub: EntitlementServiceStub) -> None:
    """A use answers what is left, a repeat says that it is one, and the list shows both holdings."""
    assert UseEntitlementResponse(left=1, duplicate=False) == stub.UseEntitlement(use())
    assert UseEntitlementResponse(left=1, duplicate=True) == stub.UseEntitlement(use())
    member, visits = sorted(
        stub.ListEntitlements(ListEntitlementsRequest(parent=MEMBER)).entitlements, key=lambda held: held.entitlement
    )
    assert member.purchase == visits.purchase
    assert (
        HeldEntitlement(
            entitlement="lounge-access",
            display_name="Airport lounge visit",
            rule="yearly-lounge",
            purchase=member.purchase,
            granted=2,
            used=1,
            left=1,
            valid_until="2027-11-19",
            valid=True,
        )
        == visits
    )


@pytest.mark.parametrize(
    ("changes", "code", "reason"),
    [
        ({"entitlement": ""}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
        ({"count": 0}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
        ({"count": 1001}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
        ({"reason": "x"}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
        ({"request_id": "one"}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
        ({"name": f"accounts/{'00' * 16}"}, grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND"),
        ({"entitlement": "spa"}, grpc.StatusCode.NOT_FOUND, "ENTITLEMENT_NOT_FOUND"),
        ({"entitlement": "club-member"}, grpc.StatusCode.FAILED_PRECONDITION, "NOT_COUNTED"),
        ({"count": 3}, grpc.StatusCode.FAILED_PRECONDITION, "NOT_ENOUGH_LEFT"),
        ({"count": -1}, grpc.StatusCode.FAILED_PRECONDITION, "NOT_USED"),
    ],
)
def test_a_refusal_has_its_reason(
    stub: EntitlementServiceStub, changes: dict[str, Any], code: grpc.StatusCode, reason: str
) -> None:
    """Every use that may not be ends with its code and reason."""
    failed = failure_of(stub.UseEntitlement, use(**changes))
    assert (code, reason) == (failed.code, failed.reason)


def test_an_unknown_account_is_refused(stub: EntitlementServiceStub) -> None:
    """A list of nobody's entitlements is an error."""
    failed = failure_of(stub.ListEntitlements, ListEntitlementsRequest(parent=f"accounts/{'00' * 16}"))
    assert (grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND") == (failed.code, failed.reason)
