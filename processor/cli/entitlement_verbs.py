"""``cobrand entitlements``: what an account holds of soft rewards, and using it up."""

import getpass
import uuid
from typing import Annotated

import typer

from processor.cli.client import ANSWER_SECONDS, DEFAULT_SERVER, ServerOption, book, connect
from processor.cli.ledger_verbs import AccountArgument
from processor.cli.options import JsonOption, RequestIdOption
from processor.cli.output import document_of, say, show_json, show_table
from processor.v1.entitlement_pb2 import ListEntitlementsRequest, UseEntitlementRequest
from processor.v1.entitlement_pb2_grpc import EntitlementServiceStub

_ACCOUNT = "banks/alpha/accountReferences/A-1001"


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this file to the command."""
    entitlements = typer.Typer(help="Soft rewards: what an account holds, and using it up.", no_args_is_help=True)
    entitlements.command("show", epilog=f"Example: cobrand entitlements show {_ACCOUNT}")(show)
    entitlements.command(
        "use", epilog=f"Example: cobrand entitlements use {_ACCOUNT} lounge-access --reason 'Vienna, lounge 2'"
    )(use)
    app.add_typer(entitlements, name="entitlements")


def show(account: AccountArgument, server: ServerOption = DEFAULT_SERVER, as_json: JsonOption = False) -> None:
    """Show what an account holds, purchase by purchase, and until when it is valid."""
    with connect(server) as channel:
        request = ListEntitlementsRequest(parent=account)
        found = EntitlementServiceStub(channel).ListEntitlements(request, timeout=ANSWER_SECONDS).entitlements
    if as_json:
        show_json([document_of(held) for held in found])
        return
    rows = [
        (
            held.entitlement,
            held.display_name,
            held.pending,
            held.granted,
            held.used,
            held.left,
            held.valid_until or "for ever",
            "yes" if held.valid else "no",
            held.rule,
            held.purchase,
        )
        for held in found
    ]
    columns = ("entitlement", "name", "pending", "granted", "used", "left", "valid until", "valid", "rule", "purchase")
    show_table(f"Entitlements of {account}", columns, rows, numbers=columns[2:6])


def use(
    account: AccountArgument,
    entitlement: Annotated[str, typer.Argument(metavar="ENTITLEMENT", help="What is used; it must be counted.")],
    reason: Annotated[str, typer.Option("--reason", help="What for, for the auditor; 3 to 500 characters.")],
    count: Annotated[int, typer.Option("--count", help="How many; below zero so many uses are taken back.")] = 1,
    actor: Annotated[str, typer.Option("--actor", help="Who asks for it; you, unless you say otherwise.")] = "",
    request_id: RequestIdOption = "",
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Use something counted, what expires first before the rest."""
    if count == 0:
        raise typer.BadParameter("zero uses nothing; give how many are used", param_hint="--count")
    request = UseEntitlementRequest(
        name=account,
        entitlement=entitlement,
        count=count,
        reason=reason,
        actor=actor or getpass.getuser(),
        request_id=request_id or str(uuid.uuid4()),
    )
    response = book(server, request, lambda channel: EntitlementServiceStub(channel).UseEntitlement)
    if as_json:
        show_json({**document_of(response), "request_id": request.request_id})
        return
    done = "was carried out before" if response.duplicate else "is booked"
    say(f"The use {done} under request id {request.request_id}.")
    show_table("Use", ("account", "entitlement", "count", "left"), [(account, entitlement, count, response.left)])
