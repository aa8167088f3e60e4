"""``cobrand awards``: release or refuse what purchases earned and what waits for it."""

import getpass
import uuid
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from processor.cli.client import ANSWER_SECONDS, DEFAULT_SERVER, ServerOption, connect, list_pages
from processor.cli.failure import CommandError
from processor.cli.options import (
    ActorOption,
    JsonOption,
    LimitOption,
    ReasonOption,
    RequestIdOption,
    request_id_of,
)
from processor.cli.output import (
    amount_of_unit,
    document_of,
    more_exist,
    say,
    show_json,
    show_table,
)
from processor.v1.purchase_pb2 import (
    ListHeldAwardsRequest,
    RefuseAwardsRequest,
    ReleaseAwardsRequest,
)
from processor.v1.purchase_pb2_grpc import PurchaseServiceStub

PurchasesArgument = Annotated[
    list[str], typer.Argument(metavar="PURCHASE...", help="One or more: accounts/ID/purchases/ID.")
]
RulesOption = Annotated[
    list[str] | None, typer.Option("--rule", help="Only miles of this rule; again for more. Every one if absent.")
]


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this file to the command."""
    awards = typer.Typer(help="Release or refuse what purchases earned and what waits for it.", no_args_is_help=True)
    awards.command("held", epilog="Example: cobrand awards held --days-back 7")(held_awards)
    awards.command(
        "refuse", epilog="Example: cobrand awards refuse accounts/9f3a/purchases/0b4e8f --reason 'Ticket 4711'"
    )(refuse_awards)
    awards.command(
        "release", epilog="Example: cobrand awards release accounts/9f3a/purchases/0b4e8f --reason 'Ticket 4711'"
    )(release_awards)
    app.add_typer(awards, name="awards")


def release_awards(
    purchases: PurchasesArgument,
    reason: ReasonOption,
    rules: RulesOption = None,
    actor: ActorOption = "",
    request_id: RequestIdOption = "",
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Release miles of purchases that wait for it, or were held for review, so that they are posted."""
    requests = [_request(ReleaseAwardsRequest, name, rules, reason, actor) for name in purchases]
    with connect(server) as channel:
        _tell(
            PurchaseServiceStub(channel).ReleaseAwards,
            requests,
            request_id_of(request_id),
            as_json=as_json,
            what="released",
        )


def refuse_awards(
    purchases: PurchasesArgument,
    reason: ReasonOption,
    rules: RulesOption = None,
    actor: ActorOption = "",
    request_id: RequestIdOption = "",
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Refuse miles of purchases that are held for review; caps and budgets get them back."""
    requests = [_request(RefuseAwardsRequest, name, rules, reason, actor) for name in purchases]
    with connect(server) as channel:
        _tell(
            PurchaseServiceStub(channel).RefuseAwards,
            requests,
            request_id_of(request_id),
            as_json=as_json,
            what="refused",
        )


def _request(kind: Any, name: str, rules: list[str] | None, reason: str, actor: str) -> Any:
    return kind(purchase=name, rules=rules or (), reason=reason, actor=actor or getpass.getuser())


def _tell(call: Any, requests: Sequence[Any], asked: uuid.UUID, *, as_json: bool, what: str) -> None:
    """Send requests one by one under ids that follow from one; say how to go on where one of them fails."""
    told: list[tuple[str, Any]] = []
    try:
        for request in requests:
            request.request_id = str(uuid.uuid5(asked, request.purchase))
            told.append((request.purchase, call(request, timeout=ANSWER_SECONDS)))
    except CommandError:
        say(f"{len(told)} of {len(requests)} are done; repeat the command with --request-id {asked}")
        raise
    if as_json:
        show_json([{"purchase": name, **document_of(done)} for name, done in told])
        return
    say(f"{what.capitalize()} under request id {asked}.")
    rows = [(name, "before" if done.duplicate else "now", done.reason, done.decision) for name, done in told]
    show_table("Awards", ("purchase", what, "reason", "decision"), rows)


def held_awards(
    days_back: Annotated[int, typer.Option("--days-back", min=1, max=300, help="How many days back to look.")] = 60,
    limit: LimitOption = 50,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """List what is held for review, the latest purchases first."""
    with connect(server) as channel:
        call = PurchaseServiceStub(channel).ListHeldAwards
        found, more = list_pages(call, ListHeldAwardsRequest(days_back=days_back), "held_awards", limit)
    if as_json:
        show_json([document_of(held) for held in found])
        return
    rows = [
        (held.purchase, held.rule, held.limit, f"{amount_of_unit(held.held, held.unit)} {held.unit}") for held in found
    ]
    show_table("Held for review", ("purchase", "rule", "limit", "held"), rows, numbers=("held",))
    more_exist(more)
