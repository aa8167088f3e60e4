"""``cobrand purchases``, ``links`` and ``disputes``: see purchases, let them expire, review links, record disputes."""

import getpass
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Annotated, Any

import typer

from processor.cli.client import ANSWER_SECONDS, DEFAULT_SERVER, WORK_SECONDS, ServerOption, connect, list_pages
from processor.cli.failure import CommandError, UnavailableError
from processor.cli.ledger_verbs import AccountArgument
from processor.cli.options import JsonOption, LimitOption
from processor.cli.output import (
    amount_of_unit,
    document_of,
    instant,
    money,
    more_exist,
    progress_bar,
    say,
    show_json,
    show_table,
    show_text,
)
from processor.core.money import exponent
from processor.v1.purchase_pb2 import (
    BreakLinkRequest,
    ConfirmLinkRequest,
    ExpireAuthorizationsRequest,
    FindLinkReviewsRequest,
    GetPurchaseRequest,
    LinkReview,
    ListHeldAwardsRequest,
    ListLinkReviewsRequest,
    ListPurchasesRequest,
    PostDueRequest,
    Purchase,
    PurchaseAmounts,
    RecordDisputeRequest,
    RefuseAwardsRequest,
    ReleaseAwardsRequest,
)
from processor.v1.purchase_pb2_grpc import PurchaseServiceStub


class LinkVerdict(StrEnum):
    """What operations said of a link."""

    OPEN = "open"
    CONFIRMED = "confirmed"
    BROKEN = "broken"


class DisputeStage(StrEnum):
    """Which stage of a dispute is recorded."""

    CHARGEBACK = "chargeback"
    SECOND_PRESENTMENT = "second-presentment"
    ARBITRATION = "arbitration"


_STAGES = {
    DisputeStage.CHARGEBACK: RecordDisputeRequest.STAGE_CHARGEBACK,
    DisputeStage.SECOND_PRESENTMENT: RecordDisputeRequest.STAGE_SECOND_PRESENTMENT,
    DisputeStage.ARBITRATION: RecordDisputeRequest.STAGE_ARBITRATION_CHARGEBACK,
}
_MOST_CALLS = 100_000
"""Calls that one sweep makes at most."""

ReasonOption = Annotated[str, typer.Option("--reason", help="Why, for the auditor; 3 to 500 characters.")]
ActorOption = Annotated[str, typer.Option("--actor", help="Who says so; you, unless you say otherwise.")]
DaysBackOption = Annotated[
    int, typer.Option("--days-back", min=1, max=300, help="How many days before that to look; raise it after a pause.")
]
ReviewArgument = Annotated[str, typer.Argument(metavar="NAME", help="accounts/ID/linkReviews/FIRST-SECOND.")]


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
    awards = typer.Typer(help="Release or refuse what purchases earned and what waits for it.", no_args_is_help=True)
    awards.command("held", epilog="Example: cobrand awards held --days-back 7")(held_awards)
    awards.command(
        "refuse", epilog="Example: cobrand awards refuse accounts/9f3a/purchases/0b4e8f --reason 'Ticket 4711'"
    )(refuse_awards)
    awards.command(
        "release", epilog="Example: cobrand awards release accounts/9f3a/purchases/0b4e8f --reason 'Ticket 4711'"
    )(release_awards)
    app.add_typer(awards, name="awards")
    links = typer.Typer(help="Review which messages are of one purchase.", no_args_is_help=True)
    links.command("find", epilog="Example: cobrand links find")(find_links)
    links.command("list", epilog="Example: cobrand links list --verdict open")(list_links)
    links.command(
        "confirm", epilog="Example: cobrand links confirm accounts/9f3a/linkReviews/0b4e-0b51 --reason 'Ticket 4711'"
    )(confirm_link)
    links.command(
        "break",
        epilog="Example: cobrand links break --messages accounts/9f3a/messages/0b4e accounts/9f3a/messages/0b51"
        " --reason 'Ticket 4711'",
    )(break_link)
    app.add_typer(links, name="links")
    disputes = typer.Typer(help="Record stages of a dispute.", no_args_is_help=True)
    disputes.command(
        "record",
        epilog="Example: cobrand disputes record accounts/9f3a/messages/0b4e --stage chargeback --amount 12.34"
        " --currency EUR --reason 'Case 4711'",
    )(record_dispute)
    app.add_typer(disputes, name="disputes")


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
        request.as_of_time.FromDatetime(_moment(as_of))
    with connect(server) as channel:
        done = _sweep(PurchaseServiceStub(channel).ExpireAuthorizations, request, ("examined", "expired", "left"))
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
        request.as_of_time.FromDatetime(_moment(as_of))
    with connect(server) as channel:
        done = _sweep(PurchaseServiceStub(channel).PostDue, request, ("examined", "posted", "left"))
    if as_json:
        show_json(done)
    else:
        show_table("Due", tuple(done), [tuple(done.values())], numbers=tuple(done))
    if done["left"]:
        raise CommandError(f"{done['left']} purchases could not be decided now: run the command again.")


PurchasesArgument = Annotated[
    list[str], typer.Argument(metavar="PURCHASE...", help="One or more: accounts/ID/purchases/ID.")
]
RulesOption = Annotated[
    list[str] | None, typer.Option("--rule", help="Only miles of this rule; again for more. Every one if absent.")
]
RequestIdOption = Annotated[str, typer.Option("--request-id", help="A UUID; the same one again changes nothing.")]


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
        _tell(PurchaseServiceStub(channel).ReleaseAwards, requests, _uuid(request_id), as_json=as_json, what="released")


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
        _tell(PurchaseServiceStub(channel).RefuseAwards, requests, _uuid(request_id), as_json=as_json, what="refused")


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


def _uuid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text) if text else uuid.uuid4()
    except ValueError:
        raise typer.BadParameter("write a UUID", param_hint="--request-id") from None


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise typer.BadParameter("write a moment with its zone, such as 2026-11-20T00:00:00Z", param_hint="--as-of")
    return moment.astimezone(UTC).replace(tzinfo=None)


def _sweep(call: Any, request: Any, counted: Sequence[str]) -> dict[str, int]:
    """Call again until every bucket is done, and add up what was counted."""
    totals = dict.fromkeys(counted, 0)
    with progress_bar("Buckets", None) as bar:
        for _ in range(_MOST_CALLS):
            response = call(request, timeout=WORK_SECONDS)
            for name in counted:
                totals[name] += getattr(response, name)
            bar.reach(response.buckets_done)
            request.page_token = response.next_page_token
            if not request.page_token:
                return totals
    raise CommandError("The server never came to an end. Look at cobrand status, and try again.")


def find_links(
    days_back: DaysBackOption = 60, server: ServerOption = DEFAULT_SERVER, as_json: JsonOption = False
) -> None:
    """Look for messages that may be of one purchase, and list them for review; again it lists nothing twice."""
    with connect(server) as channel:
        request = FindLinkReviewsRequest(days_back=days_back)
        done = _sweep(PurchaseServiceStub(channel).FindLinkReviews, request, ("examined", "found"))
    if as_json:
        show_json(done)
    else:
        show_table("Weak links", tuple(done), [tuple(done.values())], numbers=tuple(done))


def list_links(
    verdict: Annotated[
        LinkVerdict | None, typer.Option("--verdict", help="Only those of this verdict; every one if absent.")
    ] = None,
    limit: LimitOption = 50,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """List pairs of messages for review, the latest found first, with what speaks for one purchase."""
    number = LinkReview.Verdict.Value(f"VERDICT_{verdict.name}" if verdict else "VERDICT_UNSPECIFIED")
    with connect(server) as channel:
        call = PurchaseServiceStub(channel).ListLinkReviews
        found, more = list_pages(call, ListLinkReviewsRequest(verdict=number), "reviews", limit)
    if as_json:
        show_json([document_of(review) for review in found])
    else:
        _show_reviews(found)
    more_exist(more)


def _show_reviews(found: Sequence[LinkReview]) -> None:
    rows = [
        (
            review.name,
            document_of(review)["verdict"].lower(),
            review.confidence,
            "; ".join(review.reasons),
            instant(review.find_time),
        )
        for review in found
    ]
    show_table("Link reviews", ("review", "verdict", "confidence", "why", "found"), rows)


def confirm_link(
    name: ReviewArgument,
    reason: ReasonOption,
    actor: ActorOption = "",
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Say that two messages are of one purchase, and let the books follow; again it changes nothing."""
    request = ConfirmLinkRequest(name=name, reason=reason, actor=actor or getpass.getuser())
    with connect(server) as channel:
        review = PurchaseServiceStub(channel).ConfirmLink(request, timeout=ANSWER_SECONDS)
    _show_review(review, as_json=as_json)


def break_link(
    reason: ReasonOption,
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="accounts/ID/linkReviews/FIRST-SECOND.")] = "",
    messages: Annotated[
        tuple[str, str] | None,
        typer.Option("--messages", help="Instead of a name, the two messages: accounts/ID/messages/ID twice."),
    ] = None,
    actor: ActorOption = "",
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Say that two messages are not of one purchase, and let the books follow; again it changes nothing."""
    if bool(name) == (messages is not None):
        raise typer.BadParameter("name a review, or give --messages, and not both", param_hint="NAME")
    if messages is not None:
        name = _review_of(*messages)
    request = BreakLinkRequest(name=name, reason=reason, actor=actor or getpass.getuser())
    with connect(server) as channel:
        review = PurchaseServiceStub(channel).BreakLink(request, timeout=ANSWER_SECONDS)
    _show_review(review, as_json=as_json)


def _review_of(one: str, other: str) -> str:
    """Return the name of the review of two messages of one account."""
    account, of_one, first = one.partition("/messages/")
    beside, of_other, second = other.partition("/messages/")
    if not of_one or not of_other or account != beside:
        problem = "write two messages of one account, each as accounts/ID/messages/ID"
        raise typer.BadParameter(problem, param_hint="--messages")
    return f"{account}/linkReviews/{first}-{second}"


def _show_review(review: LinkReview, *, as_json: bool) -> None:
    if as_json:
        show_json(document_of(review))
    else:
        _show_reviews([review])


def record_dispute(
    presentment: Annotated[
        str, typer.Argument(metavar="MESSAGE", help="accounts/ID/messages/ID of the first presentment.")
    ],
    stage: Annotated[DisputeStage, typer.Option("--stage", help="Which stage of the dispute it is.")],
    amount: Annotated[str, typer.Option("--amount", help="How much is in dispute, such as 12.34.")],
    currency: Annotated[str, typer.Option("--currency", help="The presentment's currency, such as EUR.")],
    reason: ReasonOption,
    actor: ActorOption = "",
    request_id: Annotated[str, typer.Option("--request-id", help="A UUID; the same one again changes nothing.")] = "",
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Record a stage of a presentment's dispute, and let the books follow."""
    request = RecordDisputeRequest(
        presentment=presentment,
        stage=_STAGES[stage],
        amount_minor=_minor_units(amount, currency),
        currency=currency,
        reason=reason,
        actor=actor or getpass.getuser(),
        request_id=request_id or str(uuid.uuid4()),
    )
    try:
        with connect(server) as channel:
            response = PurchaseServiceStub(channel).RecordDispute(request, timeout=ANSWER_SECONDS)
    except UnavailableError:
        say(f"It may or may not be booked: repeat the command with --request-id {request.request_id}")
        raise
    if as_json:
        show_json({**document_of(response), "request_id": request.request_id})
        return
    done = "was recorded before" if response.duplicate else "is recorded"
    say(f"The {stage.value} {done} under request id {request.request_id}.")
    columns = ("message", "reason", "decision")
    show_table("Dispute", columns, [(response.message, response.reason, response.decision)])


def _minor_units(amount: str, currency: str) -> int:
    """Return an amount in minor units; more decimals than the currency has are an error of usage."""
    try:
        minor = Decimal(amount).scaleb(exponent(currency))
    except InvalidOperation:
        raise typer.BadParameter("write a number such as 12.34", param_hint="--amount") from None
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--currency") from None
    if not minor.is_finite() or minor != minor.to_integral_value() or not 0 < minor < 2**63:
        raise typer.BadParameter(
            f"write an amount above zero with at most the decimals of {currency}", param_hint="--amount"
        )
    return int(minor)
