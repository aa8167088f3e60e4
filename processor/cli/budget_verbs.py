"""What all accounts together took of the budgets of offers, and what is left of them."""

from typing import Annotated

import typer

from processor.cli.client import DEFAULT_SERVER, ServerOption, connect, list_pages
from processor.cli.options import JsonOption, LimitOption
from processor.cli.output import amount_of_unit, document_of, more_exist, show_json, show_table
from processor.v1.operations_pb2 import Budget, ListBudgetsRequest
from processor.v1.operations_pb2_grpc import OperationsServiceStub

_NUMBERS = ("size", "used", "held", "left")


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this file to the command."""
    budgets = typer.Typer(help="See what is left of offers' budgets.", no_args_is_help=True)
    budgets.command("list", epilog="Example: cobrand budgets list --programme skyways")(list_budgets)
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
    else:
        columns = ("programme", "budget", "period", "counts", *_NUMBERS, "buckets")
        show_table("Budgets", columns, [_row(budget) for budget in found], numbers=(*_NUMBERS, "buckets"))
    more_exist(more)


def _row(budget: Budget) -> tuple[object, ...]:
    amounts = (amount_of_unit(units, budget.counts) for units in (budget.size, budget.used, budget.held, budget.left))
    return budget.programme, budget.budget, budget.period, budget.counts, *amounts, budget.buckets
