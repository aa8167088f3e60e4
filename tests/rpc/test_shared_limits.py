"""How a budget lies, and what a household has used, over gRPC and by the command: shares, pools and caps add up."""

from collections.abc import Iterator
from typing import Any

import grpc
import orjson
import pytest
from typer.testing import CliRunner

from processor.cli.main import app
from processor.rpc.operations_service import OperationsService
from processor.v1 import operations_pb2 as pb
from processor.v1.operations_pb2_grpc import OperationsServiceStub, add_OperationsServiceServicer_to_server
from tests.conftest import Database
from tests.flow.conftest import BUCKETS, NOW, Pipeline
from tests.flow.test_budgets import bought
from tests.flow.test_household_caps import FAMILY, capped, of_household
from tests.flow.test_quotes import beta
from tests.rpc.serving import failure_of, serving

BUDGETS = f"{FAMILY}\nbudgets:\n  - {{id: launch, rules: [base], period: month, miles: 1000, holders: 20}}"


@pytest.fixture
def pipeline(database: Database) -> Pipeline:
    """Let three accounts of a household and one of none buy under a budget, and one quote hold a part of it."""
    found = capped(database, BUDGETS)
    of_household(found, "H-1", 1, 2, 3)
    found.now = NOW
    found.send(*(bought(number, number) for number in range(1, 5)))
    found.send(beta("0100", 7))
    return found


@pytest.fixture
def channel(pipeline: Pipeline) -> Iterator[grpc.Channel]:
    """Give a channel to a live service of operations."""

    def add(server: Any) -> None:
        operations = OperationsService(
            engine=pipeline.database.service,
            clock=pipeline.clock,
            bucket_count=BUCKETS,
            snapshots=pipeline.snapshots,
            decider=pipeline.decider,
            intake=pipeline.intake,
        )
        add_OperationsServiceServicer_to_server(operations, server)

    with serving(add) as channel:
        yield channel


def shares(channel: grpc.Channel, period: str = "") -> list[pb.BudgetShare]:
    """Return all shares, from pages of one share."""
    asked = pb.ListBudgetSharesRequest(programme="skyways", budget="launch", period=period, page_size=1)
    found: list[pb.BudgetShare] = []
    while not found or asked.page_token:
        answer = OperationsServiceStub(channel).ListBudgetShares(asked)
        if not answer.shares:
            return found
        found += answer.shares
        asked.page_token = answer.next_page_token
    return found


def command(channel: Any, *arguments: str) -> Any:
    """Run a verb against the live service, and return its JSON."""
    server = channel._channel.target().decode().rpartition("/")[2]
    result = CliRunner().invoke(app, [*arguments, "--server", server, "--json"], prog_name="cobrand")
    assert 0 == result.exit_code, result.output
    return orjson.loads(result.stdout)


def test_shares_and_pool_are_the_budget(pipeline: Pipeline, channel: grpc.Channel) -> None:
    """Each bucket is listed once; used and held are what was bought and quoted, reserved and pool the size."""
    found = shares(channel)
    (pool,) = OperationsServiceStub(channel).ListBudgets(pb.ListBudgetsRequest(budget="launch", page_size=1)).budgets

    miles = [share for share in found if share.budget == "launch"]
    assert sorted((share.budget, share.period, share.bucket) for share in found) == [
        (share.budget, share.period, share.bucket) for share in found
    ]
    assert (170, 50) == (sum(share.used for share in miles), sum(share.held for share in miles))
    assert 1000 == sum(share.reserved for share in miles) + pool.remaining
    assert all(share.free == share.reserved - share.used - share.held for share in miles)
    assert (4, 1) == tuple(
        sum(getattr(share, name) for share in found if share.budget == "launch/holders") for name in ("used", "held")
    )
    assert [] == shares(channel, "2026-12")
    assert len(found) == len(shares(channel, "2026-11"))


def test_the_command_shows_pools_and_shares(pipeline: Pipeline, channel: grpc.Channel) -> None:
    """The verb prints what the service says, as a table and as JSON."""
    shown = command(channel, "budgets", "show", "launch", "--programme", "skyways", "--period", "2026-11")

    assert ["launch", "launch/holders"] == [pool["budget"] for pool in shown["pools"]]
    assert len(shares(channel)) == len(shown["shares"])
    server = channel._channel.target().decode().rpartition("/")[2]  # type: ignore[attr-defined]
    arguments = ["budgets", "show", "launch", "--programme", "skyways", "--server", server]
    table = CliRunner().invoke(app, arguments, prog_name="cobrand")
    assert (0, True) == (table.exit_code, "in the pool" in table.output)
    none = CliRunner().invoke(app, [*arguments, "--period", "2026-12"], prog_name="cobrand")
    assert (True, True) == (none.exit_code != 0, "Nothing was asked of launch in 2026-12 yet" in none.output)


def test_the_command_shows_what_a_household_has_used(pipeline: Pipeline, channel: grpc.Channel) -> None:
    """Three accounts of a household used its cap up; one that nothing was counted for has used nothing."""
    shown = command(channel, "budgets", "household", "H-1", "--programme", "skyways")

    told = [(cap["cap"], cap["period"], cap["counts"], int(cap["used"])) for cap in shown]
    assert [("family", "2026-11", "SKY", 120)] == told
    assert [] == command(channel, "budgets", "household", "H-2", "--programme", "skyways")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("list", "--programme", "no-such"),
            "Nothing was asked of any budget of programme no-such yet, or there is no such programme.",
        ),
        (
            ("household", "H-2", "--programme", "skyways"),
            "Household H-2 has used nothing of any cap of programme skyways yet, or no account is of it.",
        ),
    ],
)
def test_the_command_says_that_nothing_was_found(
    pipeline: Pipeline, channel: grpc.Channel, arguments: tuple[str, ...], said: str
) -> None:
    """Where there is nothing to show, one sentence says so in the place of a table without rows."""
    server = channel._channel.target().decode().rpartition("/")[2]  # type: ignore[attr-defined]
    result = CliRunner().invoke(app, ["budgets", *arguments, "--server", server], prog_name="cobrand")
    assert (0, "", f"{said}\n") == (result.exit_code, result.stdout, result.stderr)


@pytest.mark.parametrize(
    ("call", "request_", "reason"),
    [
        ("ListBudgetShares", pb.ListBudgetSharesRequest(programme="skyways", budget="lunch"), "BUDGET_NOT_FOUND"),
        ("ListBudgetShares", pb.ListBudgetSharesRequest(programme="no-such", budget="launch"), "BUDGET_NOT_FOUND"),
        ("ListHouseholdCaps", pb.ListHouseholdCapsRequest(programme="skyways", household="a b"), "INVALID_FIELD"),
        ("ListHouseholdCaps", pb.ListHouseholdCapsRequest(programme="no-such", household="H"), "PROGRAMME_NOT_FOUND"),
    ],
)
def test_what_is_not_there_is_said(channel: grpc.Channel, call: str, request_: Any, reason: str) -> None:
    """A budget or a programme that is not known, and what can name no household, are refused."""
    assert reason == failure_of(getattr(OperationsServiceStub(channel), call), request_).reason
