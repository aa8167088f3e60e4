"""PurchaseService over real gRPC: purchases with their ties, expiry call by call, the review of links, disputes."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from processor.rpc.purchase_service import PurchaseService
from processor.v1 import purchase_pb2 as pb
from processor.v1.purchase_pb2_grpc import PurchaseServiceStub, add_PurchaseServiceServicer_to_server
from tests.conftest import Database
from tests.flow.audit import assert_books_agree, rows, totals
from tests.flow.clearing_records import clear, presentment
from tests.flow.conftest import BUCKETS, NOW, SKYWAYS, Pipeline, apply_skyways, iso87, make_pipeline
from tests.rpc.serving import failure_of, serving

GOLD = "4000000000000002"
SAID = {"reason": "Ticket 4711", "actor": "maria"}
INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
ID = "0" * 32


@pytest.fixture
def pipeline(database: Database) -> Pipeline:
    """Give a pipeline with the example programme in force."""
    apply_skyways(database)
    return make_pipeline(database)


@pytest.fixture
def stub(pipeline: Pipeline) -> Iterator[PurchaseServiceStub]:
    """Give a client of a live service."""
    service = PurchaseService(
        engine=pipeline.database.service, clock=pipeline.clock, bucket_count=BUCKETS, decider=pipeline.decider
    )
    with serving(lambda server: add_PurchaseServiceServicer_to_server(service, server)) as channel:
        yield PurchaseServiceStub(channel)


def approve(pipeline: Pipeline, number: int = 1, **fields: str) -> str:
    """Send an approved authorization of 100.00 EUR and return its account's name."""
    message = iso87("0110", response_code="00", trace_number=f"{number:06d}", retrieval_reference="", **fields)
    (answer,) = pipeline.send(message)
    return "/".join(answer.explanation.split("/")[:2])


def sweep(call: Any, request: Any) -> list[Any]:
    """Repeat a call until every bucket is done, and return its answers."""
    answers: list[Any] = []
    while not answers or request.page_token:
        answers.append(call(request))
        request.page_token = answers[-1].next_page_token
    return answers


def moment(at: datetime) -> Timestamp:
    """Return a moment as the contract writes it."""
    written = Timestamp()
    written.FromDatetime(at.astimezone(UTC).replace(tzinfo=None))
    return written


def test_a_purchase_says_what_ties_its_messages(pipeline: Pipeline, stub: PurchaseServiceStub) -> None:
    """State, amounts, grants and each message's tie are there; neither the card's number nor its token is."""
    parent = approve(pipeline, approval_code="APPR01")
    clear(pipeline, presentment(approval_code="APPR01", amount="4000", clearing_part="0102"))
    (listed,) = stub.ListPurchases(pb.ListPurchasesRequest(parent=parent)).purchases
    shown = stub.GetPurchase(pb.GetPurchaseRequest(name=listed.name))
    assert (pb.Purchase.STATE_PARTLY_CLEARED, "2026-11-20", 1) == (shown.state, shown.occur_date, shown.revision)
    assert [pb.PurchaseAmounts(currency="EUR", open_minor=60_00, cleared_minor=40_00)] == list(shown.amounts)
    assert {("base", 50, 30, 20), ("premium", 25, 15, 10)} == {
        (grant.rule, grant.granted, grant.pending, grant.available) for grant in shown.grants
    }
    said = {(event.kind, event.tie, event.amount_minor) for event in shown.events}
    assert {("AUTHORIZATION", "", 100_00), ("PRESENTMENT", "strong", 40_00)} == said
    assert all(event.decision.endswith("-1") for event in shown.events)
    ((token,),) = rows(pipeline.database, "SELECT encode(token, 'hex') FROM card")
    assert [] == [secret for secret in (GOLD, token) if secret in str(shown)]


def test_purchases_are_listed_page_by_page(pipeline: Pipeline, stub: PurchaseServiceStub) -> None:
    """Pages of two add up to all of one account's purchases, each once, the latest first."""
    (parent,) = {approve(pipeline, number) for number in range(1, 6)}
    request = pb.ListPurchasesRequest(parent=parent, page_size=2)
    pages = sweep(stub.ListPurchases, request)
    names = [purchase.name for page in pages for purchase in page.purchases]
    assert ([2, 2, 1], 5) == ([len(page.purchases) for page in pages], len(set(names)))
    assert sorted(names, reverse=True) == names


def test_a_purchase_that_merged_leads_on(pipeline: Pipeline, stub: PurchaseServiceStub) -> None:
    """After a link is confirmed the other purchase names its survivor; after it is broken each names the other."""
    parent = approve(pipeline)
    clear(pipeline, presentment())
    before = {purchase.name for purchase in stub.ListPurchases(pb.ListPurchasesRequest(parent=parent)).purchases}
    answers = sweep(stub.FindLinkReviews, pb.FindLinkReviewsRequest())
    assert (1, 1, BUCKETS) == (
        sum(answer.examined for answer in answers),
        sum(answer.found for answer in answers),
        answers[-1].buckets_done,
    )
    (review,) = stub.ListLinkReviews(pb.ListLinkReviewsRequest(verdict=pb.LinkReview.VERDICT_OPEN)).reviews
    assert ("weak", 3) == (review.confidence, len(review.reasons))
    confirmed = stub.ConfirmLink(pb.ConfirmLinkRequest(name=review.name, **SAID))
    assert pb.LinkReview.VERDICT_CONFIRMED == confirmed.verdict
    (survivor,) = stub.ListPurchases(pb.ListPurchasesRequest(parent=parent)).purchases
    (gone,) = before - {survivor.name}
    assert survivor.name == stub.GetPurchase(pb.GetPurchaseRequest(name=gone)).merged_into
    assert {"", "reference", "confirmed by operations"} == {event.tie for event in survivor.events}
    broken = stub.BreakLink(pb.BreakLinkRequest(name=review.name, **SAID))
    assert pb.LinkReview.VERDICT_BROKEN == broken.verdict
    one, other = stub.ListPurchases(pb.ListPurchasesRequest(parent=parent)).purchases
    assert [other.name] == list(stub.GetPurchase(pb.GetPurchaseRequest(name=one.name)).parted_from)
    assert [one.name] == list(stub.GetPurchase(pb.GetPurchaseRequest(name=other.name)).parted_from)
    assert [] == list(stub.ListLinkReviews(pb.ListLinkReviewsRequest(verdict=pb.LinkReview.VERDICT_OPEN)).reviews)
    assert [review.name] == [entry.name for entry in stub.ListLinkReviews(pb.ListLinkReviewsRequest()).reviews]
    assert_books_agree(pipeline)


def test_reviews_are_listed_page_by_page(pipeline: Pipeline, stub: PurchaseServiceStub) -> None:
    """Pages of one add up to all reviews, each once."""
    approve(pipeline)
    clear(pipeline, presentment(), presentment(2))
    sweep(stub.FindLinkReviews, pb.FindLinkReviewsRequest())
    pages = sweep(stub.ListLinkReviews, pb.ListLinkReviewsRequest(page_size=1))
    assert (2, 2) == (len(pages), len({page.reviews[0].name for page in pages}))


def test_authorizations_expire_call_by_call(pipeline: Pipeline, stub: PurchaseServiceStub) -> None:
    """The calls go through all buckets; without a moment the start of the clock's day counts."""
    for number in range(1, 4):
        approve(pipeline, number)
    pipeline.now = NOW + timedelta(days=30)
    assert 0 == sum(done.expired for done in sweep(stub.ExpireAuthorizations, pb.ExpireAuthorizationsRequest()))
    request = pb.ExpireAuthorizationsRequest(as_of_time=moment(pipeline.now))
    answers = sweep(stub.ExpireAuthorizations, request)
    assert (3, 0) == (sum(done.expired for done in answers), sum(done.left for done in answers))
    assert (BUCKETS, True) == (answers[-1].buckets_done, len(answers) > 1)
    assert (0, 0) == totals(pipeline.database)


def test_a_dispute_is_recorded_once(pipeline: Pipeline, stub: PurchaseServiceStub) -> None:
    """A chargeback takes the miles; the same request again says that it was recorded before."""
    clear(pipeline, presentment())
    parent = approve(pipeline, 9)
    purchases = stub.ListPurchases(pb.ListPurchasesRequest(parent=parent)).purchases
    (paid,) = [purchase for purchase in purchases if purchase.state == pb.Purchase.STATE_CLEARED]
    request = pb.RecordDisputeRequest(
        presentment=paid.events[0].message,
        stage=pb.RecordDisputeRequest.STAGE_CHARGEBACK,
        amount_minor=100_00,
        currency="EUR",
        request_id=str(UUID(int=1)),
        **SAID,
    )
    first, again = stub.RecordDispute(request), stub.RecordDispute(request)
    assert ("TAKEN_BACK", False) == (first.reason, first.duplicate)
    assert (first.message, first.decision, True) == (again.message, again.decision, again.duplicate)
    assert pb.Purchase.STATE_CHARGED_BACK == stub.GetPurchase(pb.GetPurchaseRequest(name=paid.name)).state
    assert (75, 0) == totals(pipeline.database)


REFUSED: list[tuple[str, Any, grpc.StatusCode, str]] = [
    ("ListPurchases", pb.ListPurchasesRequest(parent=f"accounts/{ID}"), NOT_FOUND, "ACCOUNT_NOT_FOUND"),
    ("ListPurchases", pb.ListPurchasesRequest(parent="accounts/4000000000000002"), INVALID, "INVALID_NAME"),
    ("GetPurchase", pb.GetPurchaseRequest(name=f"accounts/{ID}/purchases/{ID}"), NOT_FOUND, "PURCHASE_NOT_FOUND"),
    ("GetPurchase", pb.GetPurchaseRequest(name=f"accounts/{ID}"), INVALID, "INVALID_NAME"),
    ("ExpireAuthorizations", pb.ExpireAuthorizationsRequest(days_back=301), INVALID, "INVALID_FIELD"),
    (
        "ExpireAuthorizations",
        pb.ExpireAuthorizationsRequest(as_of_time=moment(NOW + timedelta(seconds=1))),
        INVALID,
        "INVALID_FIELD",
    ),
    ("ExpireAuthorizations", pb.ExpireAuthorizationsRequest(page_token="x"), INVALID, "INVALID_PAGE_TOKEN"),
    ("FindLinkReviews", pb.FindLinkReviewsRequest(days_back=-1), INVALID, "INVALID_FIELD"),
    ("ConfirmLink", pb.ConfirmLinkRequest(name=f"accounts/{ID}/linkReviews/{ID}", **SAID), INVALID, "INVALID_NAME"),
    (
        "ConfirmLink",
        pb.ConfirmLinkRequest(name=f"accounts/{ID}/linkReviews/{ID}-{ID}", reason="no", actor="x"),
        INVALID,
        "INVALID_FIELD",
    ),
    (
        "BreakLink",
        pb.BreakLinkRequest(name=f"accounts/{ID}/linkReviews/{ID}-{ID}", **SAID),
        NOT_FOUND,
        "ACCOUNT_NOT_FOUND",
    ),
    ("RecordDispute", pb.RecordDisputeRequest(presentment=f"accounts/{ID}/messages/{ID}"), INVALID, "INVALID_FIELD"),
]


@pytest.mark.parametrize(("method", "request_", "code", "reason"), REFUSED)
def test_what_cannot_be_done_is_refused(
    stub: PurchaseServiceStub, method: str, request_: Any, code: grpc.StatusCode, reason: str
) -> None:
    """Each refusal has its code and reason, and no text repeats a card number."""
    failure = failure_of(getattr(stub, method), request_)
    assert (code, reason) == (failure.code, failure.reason)
    assert GOLD not in failure.text


def test_a_card_number_as_a_reason_is_refused(pipeline: Pipeline, stub: PurchaseServiceStub) -> None:
    """What looks like a card number goes into no audit row."""
    account = approve(pipeline)
    request = pb.BreakLinkRequest(name=f"{account}/linkReviews/{ID}-{ID}", reason=f"card {GOLD}", actor="maria")
    failure = failure_of(stub.BreakLink, request)
    assert (INVALID, "INVALID_FIELD") == (failure.code, failure.reason)
    assert GOLD not in failure.text


RETURNS = SKYWAYS.parent / "programmes" / "returns"


@pytest.fixture
def returns(database: Database) -> Pipeline:
    """Give a pipeline with a programme in force whose miles wait."""
    apply_skyways(database, folder=RETURNS)
    return make_pipeline(database)


def bought(pipeline: Pipeline, acceptor: str) -> str:
    """Clear a purchase of 100.00 EUR and return its name."""
    (verdict,) = clear(pipeline, presentment(acquirer="412345", acceptor=acceptor), bank="delta")
    account, _, decision = verdict.explanation.partition("/decisions/")
    return f"{account}/purchases/{decision.partition('-')[0]}"


def serve(pipeline: Pipeline) -> Any:
    """Serve a pipeline's purchases."""
    service = PurchaseService(
        engine=pipeline.database.service, clock=pipeline.clock, bucket_count=BUCKETS, decider=pipeline.decider
    )
    return serving(lambda server: add_PurchaseServiceServicer_to_server(service, server))


def test_what_is_due_is_posted_call_by_call(returns: Pipeline) -> None:
    """A purchase says when its miles are expected; on that day a sweep posts them, and a moment ahead is refused."""
    name = bought(returns, "PARADE01")
    with serve(returns) as channel:
        live = PurchaseServiceStub(channel)
        (grant,) = live.GetPurchase(pb.GetPurchaseRequest(name=name)).grants
        assert ("2026-12-04", 100, 0) == (grant.expected_date, grant.pending, grant.available)
        ahead = pb.PostDueRequest(as_of_time=moment(NOW + timedelta(days=30)))
        assert "INVALID_FIELD" == failure_of(live.PostDue, ahead).reason
        returns.now = NOW + timedelta(days=14)
        answers = sweep(live.PostDue, pb.PostDueRequest())
        assert (1, 1, 0) == tuple(
            sum(getattr(answer, field) for answer in answers) for field in ("examined", "posted", "left")
        )
        (grant,) = live.GetPurchase(pb.GetPurchaseRequest(name=name)).grants
        assert ("", 0, 100) == (grant.expected_date, grant.pending, grant.available)
    assert_books_agree(returns)


def test_a_release_is_recorded_once(returns: Pipeline) -> None:
    """A release posts what waits, once under its request id; another finds nothing, and 21 rules are too many."""
    name = bought(returns, "JOURNAL")
    request = pb.ReleaseAwardsRequest(purchase=name, request_id=str(UUID(int=1)), rules=["subscriber"], **SAID)
    with serve(returns) as channel:
        live = PurchaseServiceStub(channel)
        assert ("EARNED", False) == ((done := live.ReleaseAwards(request)).reason, done.duplicate)
        assert ("EARNED", True) == ((done := live.ReleaseAwards(request)).reason, done.duplicate)
        again = pb.ReleaseAwardsRequest(purchase=name, request_id=str(UUID(int=2)), **SAID)
        assert "NOTHING_TO_RELEASE" == failure_of(live.ReleaseAwards, again).reason
        many = pb.ReleaseAwardsRequest(
            purchase=name, request_id=str(UUID(int=3)), rules=[f"r{number}" for number in range(21)], **SAID
        )
        assert "INVALID_FIELD" == failure_of(live.ReleaseAwards, many).reason
    assert (0, 500) == totals(returns.database)
