"""Held awards and budgets over real gRPC: listed in pages, released or refused once, and what budgets have left."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import grpc
import pytest

from processor.rpc.operations_service import OperationsService
from processor.rpc.purchase_service import PurchaseService
from processor.v1 import operations_pb2, purchase_pb2
from processor.v1.operations_pb2_grpc import OperationsServiceStub, add_OperationsServiceServicer_to_server
from processor.v1.purchase_pb2_grpc import PurchaseServiceStub, add_PurchaseServiceServicer_to_server
from tests.conftest import Database
from tests.flow.audit import assert_books_agree, totals
from tests.flow.conftest import BUCKETS, SKYWAYS, Pipeline, apply_skyways, make_pipeline
from tests.flow.test_budgets import bought, given
from tests.rpc.serving import failure_of, serving

SAID = {"reason": "Ticket 4711", "actor": "ann"}
LIMITS = """
velocity:
  - {id: burst, rules: [base], awards: 2, within: {hours: 24}}
budgets:
  - {id: launch, rules: [base], miles: 260, holders: 5}
"""


@pytest.fixture
def pipeline(database: Database) -> Pipeline:
    """Hold what goes beyond two awards of a day, under a budget of 260 miles and five holders."""
    apply_skyways(database, document=(SKYWAYS / "programme.yaml").read_text() + LIMITS)
    return make_pipeline(database)


@pytest.fixture
def channel(pipeline: Pipeline) -> Iterator[grpc.Channel]:
    """Give a channel to live services of purchases and of operations."""

    def add(server: Any) -> None:
        decider, engine = pipeline.decider, pipeline.database.service
        purchases = PurchaseService(engine=engine, clock=pipeline.clock, bucket_count=BUCKETS, decider=decider)
        add_PurchaseServiceServicer_to_server(purchases, server)
        operations = OperationsService(
            engine=engine,
            clock=pipeline.clock,
            bucket_count=BUCKETS,
            snapshots=pipeline.snapshots,
            decider=decider,
            intake=pipeline.intake,
        )
        add_OperationsServiceServicer_to_server(operations, server)

    with serving(add) as channel:
        yield channel


def launch(channel: grpc.Channel) -> list[tuple[str, str, int, int]]:
    """Return each budget, what it counts, what is used of it and what is left."""
    asked = operations_pb2.ListBudgetsRequest(programme="skyways", page_size=1)
    found: list[operations_pb2.Budget] = []
    while not found or asked.page_token:
        answer = OperationsServiceStub(channel).ListBudgets(asked)
        found += answer.budgets
        asked.page_token = answer.next_page_token
    return [(budget.budget, budget.counts, budget.used, budget.left) for budget in found]


def listed(stub: PurchaseServiceStub) -> list[purchase_pb2.ListHeldAwardsResponse.HeldAward]:
    """Return what is held, from pages of one purchase."""
    asked = purchase_pb2.ListHeldAwardsRequest(page_size=1)
    found: list[purchase_pb2.ListHeldAwardsResponse.HeldAward] = []
    for _ in range(10):
        answer = stub.ListHeldAwards(asked)
        found += answer.held_awards
        asked.page_token = answer.next_page_token
        if not asked.page_token:
            return found
    raise AssertionError("ten pages do not end")


def test_held_awards_are_listed_released_and_refused(pipeline: Pipeline, channel: grpc.Channel) -> None:
    """Of two held awards one is released and one refused, each once; the list, the balance and the budget follow."""
    stub = PurchaseServiceStub(channel)
    pipeline.send(*(bought(number, 1) for number in range(1, 5)))
    held = listed(stub)
    assert {("base", "burst", "SKY", 50)} == {(entry.rule, entry.limit, entry.unit, entry.held) for entry in held}
    assert (2, (300, 0)) == (len({entry.purchase for entry in held}), totals(pipeline.database))
    assert [("launch", "SKY", 200, 60), ("launch/holders", "holders", 1, 4)] == launch(channel)

    release = purchase_pb2.ReleaseAwardsRequest(purchase=held[0].purchase, request_id=str(UUID(int=1)), **SAID)
    refuse = purchase_pb2.RefuseAwardsRequest(purchase=held[1].purchase, request_id=str(UUID(int=2)), **SAID)
    assert [False, True] == [stub.ReleaseAwards(release).duplicate for _ in range(2)]
    assert [held[1]] == listed(stub)
    assert [("TAKEN_BACK", False), ("TAKEN_BACK", True)] == [
        (answer.reason, answer.duplicate) for answer in (stub.RefuseAwards(refuse), stub.RefuseAwards(refuse))
    ]

    assert [] == listed(stub)
    assert (250, 0) == totals(pipeline.database)
    assert [("launch", "SKY", 150, 110), ("launch/holders", "holders", 1, 4)] == launch(channel)
    refuse.request_id = str(UUID(int=3))
    assert "NOTHING_TO_RELEASE" == failure_of(stub.RefuseAwards, refuse).reason
    assert [50, 50, 10] == given(pipeline.send(*(bought(number, number) for number in range(5, 8))))
    assert ("launch", "SKY", 260, 0) == launch(channel)[0]
    assert_books_agree(pipeline)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"request_id": "once"}, "INVALID_FIELD"),
        ({"reason": ""}, "INVALID_FIELD"),
        ({"actor": ""}, "INVALID_FIELD"),
        ({"purchase": "accounts/x/purchases/y"}, "INVALID_NAME"),
        ({"purchase": f"accounts/{'0' * 32}/purchases/{'0' * 32}"}, "ACCOUNT_NOT_FOUND"),
    ],
)
def test_a_wrong_refusal_changes_nothing(
    pipeline: Pipeline, channel: grpc.Channel, changed: dict[str, str], reason: str
) -> None:
    """A call that lacks something, or names what is not there, is refused and what is held stays held."""
    stub = PurchaseServiceStub(channel)
    pipeline.send(*(bought(number, 1) for number in range(1, 4)))
    (held,) = listed(stub)

    values = {"purchase": held.purchase, "request_id": str(UUID(int=1)), **SAID, **changed}

    assert reason == failure_of(stub.RefuseAwards, purchase_pb2.RefuseAwardsRequest(**values)).reason
    assert [held] == listed(stub)
