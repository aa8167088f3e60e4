"""``cobrand links``: review which messages are of one purchase."""

import getpass
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer

from processor.cli.client import ANSWER_SECONDS, DEFAULT_SERVER, ServerOption, connect, list_pages
from processor.cli.options import (
    ActorOption,
    DaysBackOption,
    JsonOption,
    LimitOption,
    ReasonOption,
)
from processor.cli.output import (
    document_of,
    instant,
    more_exist,
    show_json,
    show_table,
)
from processor.cli.sweep import sweep
from processor.v1.purchase_pb2 import (
    BreakLinkRequest,
    ConfirmLinkRequest,
    FindLinkReviewsRequest,
    LinkReview,
    ListLinkReviewsRequest,
)
from processor.v1.purchase_pb2_grpc import PurchaseServiceStub


class LinkVerdict(StrEnum):
    """What operations said of a link."""

    OPEN = "open"
    CONFIRMED = "confirmed"
    BROKEN = "broken"


ReviewArgument = Annotated[str, typer.Argument(metavar="NAME", help="accounts/ID/linkReviews/FIRST-SECOND.")]


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this file to the command."""
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


def find_links(
    days_back: DaysBackOption = 60, server: ServerOption = DEFAULT_SERVER, as_json: JsonOption = False
) -> None:
    """Look for messages that may be of one purchase, and list them for review; again it lists nothing twice."""
    with connect(server) as channel:
        request = FindLinkReviewsRequest(days_back=days_back)
        done = sweep(PurchaseServiceStub(channel).FindLinkReviews, request, ("examined", "found"))
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
