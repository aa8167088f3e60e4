"""What all accounts together took of the budgets of offers, how one budget lies, and what households used of caps."""

from typing import Annotated, Any

import typer

from processor.cli.client import ANSWER_SECONDS, DEFAULT_SERVER, ServerOption, connect, list_pages
from processor.cli.failure import CommandError
from processor.cli.options import JsonOption, LimitOption
from processor.cli.output import amount_of_unit, document_of, instant, more_exist, say, show_json, show_table
from processor.v1.operations_pb2 import (
    Budget,
    BudgetShare,
    HouseholdCap,
    ListBudgetSharesRequest,
    ListBudgetsRequest,
    ListHouseholdCapsRequest,
)
from processor.v1.operations_pb2_grpc import OperationsServiceStub

_NUMBERS = ("size", "used", "held", "left")
_OF_SHARES = ("reserved", "used", "held", "free")
_MOST_POOLS = 1000
ProgrammeOption = Annotated[str, typer.Option("--programme", help="The programme it is of.")]


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this file to the command."""
    budgets = typer.Typer(help="See what is left of limits that accounts share.", no_args_is_help=True)
    budgets.command("list", epilog="Example: cobrand budgets list --programme skyways")(list_budgets)
    budgets.command("show", epilog="Example: cobrand budgets show launch --programme skyways --period 2026-11")(show)
    budgets.command("household", epilog="Example: cobrand budgets household H-12 --programme skyways")(household)
    app.add_typer(budgets, name="budgets")


def list_budgets(
    programme: Annotated[str, typer.Option("--programme", help="Only those of this programme.")] = "",
    limit: LimitOption = 50,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """List the budgets that anything was asked of: their size, what is used, held by quotes and left."""
    with connect(server) as channel:
        call = OperationsServiceStub(channel).ListBudgets
        found, more = list_pages(call, ListBudgetsRequest(programme=programme), "budgets", limit)
    if as_json:
        show_json([document_of(budget) for budget in found])
    elif not found:
        whose = f" of programme {programme}" if programme else ""
        say(f"Nothing was asked of any budget{whose} yet{', or there is no such programme' if programme else ''}.")
    else:
        columns = ("programme", "budget", "period", "counts", *_NUMBERS, "buckets")
        show_table("Budgets", columns, [_row(budget) for budget in found], numbers=(*_NUMBERS, "buckets"))
    more_exist(more)


def _row(budget: Budget) -> tuple[object, ...]:
    return budget.programme, budget.budget, budget.period, budget.counts, *_amounts(budget), budget.buckets


def _amounts(budget: Budget) -> list[object]:
    return [amount_of_unit(units, budget.counts) for units in (budget.size, budget.used, budget.held, budget.left)]


def show(
    budget: Annotated[str, typer.Argument(help="The budget's identifier.")],
    programme: ProgrammeOption,
    period: Annotated[str, typer.Option("--period", help="Only this period, as budgets list writes it.")] = "",
    limit: LimitOption = 200,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Show how a budget lies: its pool, and what each bucket has reserved, used and free of it."""
    with connect(server) as channel:
        stub = OperationsServiceStub(channel)
        asked = ListBudgetSharesRequest(programme=programme, budget=budget, period=period)
        shares, more = list_pages(stub.ListBudgetShares, asked, "shares", limit)
        named = ListBudgetsRequest(programme=programme, budget=budget)
        found, _ = list_pages(stub.ListBudgets, named, "budgets", _MOST_POOLS)
    pools: list[Budget] = [pool for pool in found if period in {"", pool.period}]
    if not pools:
        raise CommandError(f"Nothing was asked of {budget} in {period or 'any period'} yet, so that it lies nowhere.")
    if as_json:
        show_json({"pools": [document_of(pool) for pool in pools], "shares": [document_of(share) for share in shares]})
    else:
        counts = {(pool.budget, pool.period): pool.counts for pool in pools}
        _show_pools(pools)
        columns = ("budget", "period", "bucket", "dealt by", *_OF_SHARES, "leased until")
        rows = [_share_row(share, counts.get((share.budget, share.period), "")) for share in shares]
        show_table("Shares", columns, rows, numbers=("bucket", "dealt by", *_OF_SHARES))
    more_exist(more)


def _show_pools(pools: list[Budget]) -> None:
    numbers = (*_NUMBERS, "reserved", "in the pool")
    rows = [
        (
            pool.budget,
            pool.period,
            pool.counts,
            *_amounts(pool),
            amount_of_unit(pool.reserved, pool.counts),
            amount_of_unit(pool.remaining, pool.counts),
        )
        for pool in pools
    ]
    show_table("Pools", ("budget", "period", "counts", *numbers), rows, numbers=numbers)


def _share_row(share: BudgetShare, counts: str) -> tuple[Any, ...]:
    units = (share.reserved, share.used, share.held, share.free)
    return (
        share.budget,
        share.period,
        share.bucket,
        amount_of_unit(share.size, counts) if share.size >= 0 else "closed",
        *(amount_of_unit(number, counts) for number in units),
        instant(share.lease_end_time) if share.HasField("lease_end_time") else "",
    )


def household(
    key: Annotated[str, typer.Argument(help="The household's key.")],
    programme: ProgrammeOption,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Show what all accounts of a household have used of the caps for each household."""
    asked = ListHouseholdCapsRequest(programme=programme, household=key)
    with connect(server) as channel:
        found = OperationsServiceStub(channel).ListHouseholdCaps(asked, timeout=ANSWER_SECONDS).caps
    if as_json:
        show_json([document_of(cap) for cap in found])
        return
    if not found:
        say(f"Household {key} has used nothing of any cap of programme {programme} yet, or no account is of it.")
        return
    numbers = ("size", "used", "left")
    show_table(f"Household {key}", ("cap", "period", "counts", *numbers), list(map(_cap_row, found)), numbers=numbers)


def _cap_row(cap: HouseholdCap) -> tuple[object, ...]:
    units = (cap.size, cap.used, cap.left)
    return cap.cap, cap.period, cap.counts, *(amount_of_unit(number, cap.counts) for number in units)
