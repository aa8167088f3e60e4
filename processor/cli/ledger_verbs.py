"""``cobrand ledger`` and ``cobrand adjust``: read the books, and give or take miles with a reason."""

import getpass
import uuid
from typing import Annotated

import typer

from processor.cli.client import ANSWER_SECONDS, DEFAULT_SERVER, ServerOption, book, connect, list_pages
from processor.cli.options import JsonOption, LimitOption, RequestIdOption
from processor.cli.output import amount_of_unit, document_of, instant, more_exist, say, show_json, show_table
from processor.v1.ledger_pb2 import GetBalanceRequest, ListLedgerAccountsRequest, ListStatementEntriesRequest
from processor.v1.ledger_pb2_grpc import LedgerServiceStub
from processor.v1.operations_pb2 import AdjustAccountRequest
from processor.v1.operations_pb2_grpc import OperationsServiceStub

AccountArgument = Annotated[
    str,
    typer.Argument(
        metavar="ACCOUNT", help="accounts/ID, or banks/BANK/accountReferences/REFERENCE; never a card number."
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this file to the command."""
    ledger = typer.Typer(help="Read the books.", no_args_is_help=True)
    ledger.command("balance", epilog="Example: cobrand ledger balance banks/alpha/accountReferences/A-1001")(balance)
    ledger.command("statement", epilog="Example: cobrand ledger statement banks/alpha/accountReferences/A-1001")(
        statement
    )
    ledger.command("accounts", epilog="Example: cobrand ledger accounts --programme skyways")(accounts)
    app.add_typer(ledger, name="ledger")
    app.command(
        "adjust",
        epilog="Example: cobrand adjust banks/alpha/accountReferences/A-1001 --miles -50 --reason 'Ticket 4711'",
    )(adjust)


def balance(account: AccountArgument, server: ServerOption = DEFAULT_SERVER, as_json: JsonOption = False) -> None:
    """Show an account's miles, pending and available, in the programme's smallest unit."""
    with connect(server) as channel:
        found = LedgerServiceStub(channel).GetBalance(GetBalanceRequest(name=account), timeout=ANSWER_SECONDS)
    if as_json:
        show_json(document_of(found))
        return
    row = (found.name, found.product, found.status, found.unit, found.pending, found.available)
    columns = ("account", "product", "status", "unit", "pending", "available")
    show_table("Balance", columns, [row], numbers=("pending", "available"))


def statement(
    account: AccountArgument,
    limit: LimitOption = 50,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """List an account's postings, newest first."""
    with connect(server) as channel:
        call = LedgerServiceStub(channel).ListStatementEntries
        entries, more = list_pages(call, ListStatementEntriesRequest(parent=account), "entries", limit)
    if as_json:
        show_json([document_of(entry) for entry in entries])
    else:
        rows = [
            (
                instant(entry.book_time),
                entry.business_date,
                entry.template,
                entry.debit,
                entry.credit,
                entry.unit,
                amount_of_unit(entry.amount, entry.unit),
                entry.rule,
            )
            for entry in entries
        ]
        columns = ("booked", "business date", "template", "debit", "credit", "unit", "amount", "rule")
        show_table(f"Statement of {account}", columns, rows, numbers=("amount",))
    more_exist(more)


def accounts(
    programme: Annotated[str, typer.Option("--programme", help="The programme.")],
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Sum every ledger account of a programme."""
    with connect(server) as channel:
        request = ListLedgerAccountsRequest(parent=f"programmes/{programme}")
        found = LedgerServiceStub(channel).ListLedgerAccounts(request, timeout=ANSWER_SECONDS).accounts
    if as_json:
        show_json([document_of(account) for account in found])
        return
    rows = [
        (
            account.account,
            account.unit,
            amount_of_unit(account.debit, account.unit),
            amount_of_unit(account.credit, account.unit),
            amount_of_unit(account.credit - account.debit, account.unit),
        )
        for account in found
    ]
    columns = ("ledger account", "unit", "debit", "credit", "balance")
    show_table(f"Ledger accounts of {programme}", columns, rows, numbers=columns[2:])


def adjust(
    account: AccountArgument,
    miles: Annotated[int, typer.Option("--miles", help="Signed miles in the smallest unit; not zero.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, for the auditor; 3 to 500 characters.")],
    actor: Annotated[str, typer.Option("--actor", help="Who asks for it; you, unless you say otherwise.")] = "",
    request_id: RequestIdOption = "",
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Give or take miles, with a reason."""
    if miles == 0:
        raise typer.BadParameter("zero changes nothing; give miles above or below it", param_hint="--miles")
    request = AdjustAccountRequest(
        name=account,
        miles=miles,
        reason=reason,
        actor=actor or getpass.getuser(),
        request_id=request_id or str(uuid.uuid4()),
    )
    response = book(server, request, lambda channel: OperationsServiceStub(channel).AdjustAccount)
    if as_json:
        show_json({**document_of(response), "request_id": request.request_id})
        return
    done = "was carried out before" if response.duplicate else "is booked"
    say(f"The adjustment {done} under request id {request.request_id}.")
    show_table("Adjustment", ("account", "miles", "available"), [(account, miles, response.available)])
