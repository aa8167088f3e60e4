"""``cobrand purchases``: see purchases, let authorizations expire, post what is due."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from processor.cli.client import ANSWER_SECONDS, DEFAULT_SERVER, ServerOption, connect, list_pages
from processor.cli.failure import CommandError
from processor.cli.ledger_verbs import AccountArgument
from processor.cli.options import DaysBackOption, JsonOption, LimitOption
from processor.cli.output import (
    amount_of_unit,
    document_of,
    instant,
    money,
    more_exist,
    show_json,
    show_table,
    show_text,
)
from processor.cli.sweep import moment_of, sweep
from processor.v1.purchase_pb2 import (
    ExpireAuthorizationsRequest,
    GetPurchaseRequest,
    ListPurchasesRequest,
    PostDueRequest,
    Purchase,
    PurchaseAmounts,
)
from processor.v1.purchase_pb2_grpc import PurchaseServiceStub


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this file to the command."""
    purchases = typer.Typer(help="See purchases, and let authorizations expire.", no_args_is_help=True)
    purchases.command("list", epilog="Example: cobrand purchases list banks/alpha/accountReferences/A-1001")(
        list_purchases
    )
    purchases.command("show", epilog="Example: cobrand purchases show accounts/9f3a/purchases/0b4e8f")(show_purchase)
    purchases.command("expire", epilog="Example: cobrand purchases expire --as-of 2026-11-20T00:00:00Z")(expire)
    purchases.command("post-due", epilog="Example: cobrand purchases post-due")(post_due)
    app.add_typer(purchases, name="purchases")


def list_purchases(
    account: AccountArgument,
    limit: LimitOption = 50,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """List an account's purchases, the latest first; those that merged into others are left out."""
    with connect(server) as channel:
        call = PurchaseServiceStub(channel).ListPurchases
        found, more = list_pages(call, ListPurchasesRequest(parent=account), "purchases", limit)
    if as_json:
        show_json([document_of(purchase) for purchase in found])
    else:
        rows = [
            (
                purchase.name,
                purchase.occur_date,
                _state(purchase),
                purchase.partner,
                _amounts(purchase.amounts, "open_minor"),
                _amounts(purchase.amounts, "cleared_minor"),
                len(purchase.events),
            )
            for purchase in found
        ]
        columns = ("purchase", "date", "state", "partner", "open", "cleared", "messages")
        show_table(f"Purchases of {account}", columns, rows, numbers=columns[4:])
    more_exist(more)


def _state(purchase: Purchase) -> str:
    return str(document_of(purchase)["state"]).lower().replace("_", "-")


def _amounts(amounts: Sequence[PurchaseAmounts], field: str) -> str:
    return ", ".join(f"{money(getattr(entry, field), entry.currency)} {entry.currency}" for entry in amounts)


def show_purchase(
    name: Annotated[str, typer.Argument(metavar="NAME", help="accounts/ID/purchases/ID.")],
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Show a purchase: what has become of it, what it earned, its messages and what ties each of them to it."""
    with connect(server) as channel:
        purchase = PurchaseServiceStub(channel).GetPurchase(GetPurchaseRequest(name=name), timeout=ANSWER_SECONDS)
    if as_json:
        show_json(document_of(purchase))
        return
    if purchase.merged_into:
        show_text(f"{purchase.name} gave its messages to {purchase.merged_into}.")
        return
    open_amount, cleared = _amounts(purchase.amounts, "open_minor"), _amounts(purchase.amounts, "cleared_minor")
    show_text(
        f"{purchase.name} is {_state(purchase)}: open {open_amount or 'nothing'}, cleared {cleared or 'nothing'}."
    )
    for other in purchase.parted_from:
        show_text(f"It shares a reference with {other} and is kept apart from it.")
    grants = [
        (entry.rule, entry.unit, *(amount_of_unit(units, entry.unit) for units in _units(entry)), entry.expected_date)
        for entry in purchase.grants
    ]
    columns = ("rule", "unit", "entitled", "granted", "pending", "available", "expected")
    show_table("Grants", columns, grants, numbers=columns[2:6])
    events = [
        (
            instant(event.send_time),
            event.kind,
            f"{money(event.amount_minor, event.currency)} {event.currency}" if event.currency else "",
            event.tie or "the first",
            event.message.rpartition("/")[2],
        )
        for event in purchase.events
    ]
    show_table("Messages", ("sent", "kind", "amount", "tied by", "message"), events, numbers=("amount",))


def _units(entry: Any) -> tuple[int, int, int, int]:
    return entry.entitled, entry.granted, entry.pending, entry.available


def expire(
    as_of: Annotated[
        str,
        typer.Option("--as-of", help="Count the days back from this moment, RFC 3339; the UTC day's start if absent."),
    ] = "",
    days_back: DaysBackOption = 60,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Let authorizations expire that did not clear in their programme's days; again it changes nothing."""
    request = ExpireAuthorizationsRequest(days_back=days_back)
    if as_of:
        request.as_of_time.FromDatetime(moment_of(as_of))
    with connect(server) as channel:
        done = sweep(PurchaseServiceStub(channel).ExpireAuthorizations, request, ("examined", "expired", "left"))
    if as_json:
        show_json(done)
    else:
        show_table("Expiry", tuple(done), [tuple(done.values())], numbers=tuple(done))
    if done["left"]:
        raise CommandError(f"{done['left']} purchases could not be decided now: run the command again.")


def post_due(
    as_of: Annotated[
        str, typer.Option("--as-of", help="Post what is due up to this moment's UTC day, RFC 3339; now if absent.")
    ] = "",
    days_back: DaysBackOption = 60,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Post miles whose days of return are over or whose statement date has come; again it changes nothing."""
    request = PostDueRequest(days_back=days_back)
    if as_of:
        request.as_of_time.FromDatetime(moment_of(as_of))
    with connect(server) as channel:
        done = sweep(PurchaseServiceStub(channel).PostDue, request, ("examined", "posted", "left"))
    if as_json:
        show_json(done)
    else:
        show_table("Due", tuple(done), [tuple(done.values())], numbers=tuple(done))
    if done["left"]:
        raise CommandError(f"{done['left']} purchases could not be decided now: run the command again.")
