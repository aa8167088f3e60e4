"""What operations do besides: parked and undecodable messages, why a decision gave what it gave, the system's state."""

from enum import StrEnum
from typing import Annotated, Final

import orjson
import typer

from processor.cli.client import ANSWER_SECONDS, DEFAULT_SERVER, WORK_SECONDS, ServerOption, connect, list_pages
from processor.cli.failure import CommandError, ExitCode
from processor.cli.options import JsonOption, LimitOption
from processor.cli.output import document_of, instant, more_exist, say, show_json, show_table, show_text
from processor.v1.operations_pb2 import (
    AUDIENCE_MEMBER,
    AUDIENCE_OPERATIONS,
    ExplainDecisionRequest,
    GetParkedMessageRequest,
    GetStatusRequest,
    GetStatusResponse,
    ListParkedMessagesRequest,
    ListUndecodableMessagesRequest,
    ReplayParkedMessagesRequest,
    TcpLinkState,
)
from processor.v1.operations_pb2_grpc import OperationsServiceStub

_EXAMPLE_PARKED = "accounts/9f3a/parkedMessages/0b4e8f"


class Reader(StrEnum):
    """Whom an explanation is for."""

    OPERATIONS = "operations"
    MEMBER = "member"


_AUDIENCES: Final = {Reader.OPERATIONS: AUDIENCE_OPERATIONS, Reader.MEMBER: AUDIENCE_MEMBER}


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this file to the command."""
    parked = typer.Typer(help="See and replay messages that wait to be decided.", no_args_is_help=True)
    parked.command("list", epilog="Example: cobrand parked list --limit 200")(list_parked)
    parked.command("show", epilog=f"Example: cobrand parked show {_EXAMPLE_PARKED}")(show_parked)
    parked.command("replay", epilog="Example: cobrand parked replay --all")(replay)
    app.add_typer(parked, name="parked")
    undecodable = typer.Typer(help="See bytes that did not decode.", no_args_is_help=True)
    undecodable.command("list", epilog="Example: cobrand undecodable list")(list_undecodable)
    app.add_typer(undecodable, name="undecodable")
    app.command("explain", epilog="Example: cobrand explain accounts/9f3a/decisions/0b4e8f-1")(explain)
    app.command("status", epilog="Example: cobrand status --json")(status)


def list_parked(limit: LimitOption = 50, server: ServerOption = DEFAULT_SERVER, as_json: JsonOption = False) -> None:
    """List messages that wait to be decided, oldest first."""
    with connect(server) as channel:
        call = OperationsServiceStub(channel).ListParkedMessages
        messages, more = list_pages(call, ListParkedMessagesRequest(), "messages", limit)
    if as_json:
        show_json([document_of(message) for message in messages])
    else:
        rows = [(entry.name, entry.reason, entry.bank, entry.dialect, instant(entry.park_time)) for entry in messages]
        show_table("Parked messages", ("message", "reason", "bank", "dialect", "parked"), rows)
    more_exist(more)


def show_parked(
    name: Annotated[str, typer.Argument(metavar="NAME", help="accounts/ID/parkedMessages/ID.")],
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Show the stored fields of one parked message, the card number as its last four digits."""
    with connect(server) as channel:
        request = GetParkedMessageRequest(name=name)
        message = OperationsServiceStub(channel).GetParkedMessage(request, timeout=ANSWER_SECONDS)
    fields = orjson.loads(message.fields or "{}")
    if as_json:
        show_json({**document_of(message), "fields": fields})
        return
    say(f"{message.name} of {message.bank} waits since {instant(message.park_time)}: {message.reason}")
    rows = [(key, orjson.dumps(value).decode()) for key, value in fields.items() if value not in (None, "", [])]
    show_table("Fields", ("field", "value"), rows)


def replay(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="accounts/ID/parkedMessages/ID; or use --all.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Replay every parked message, 10,000 at most.")] = False,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Decide parked messages again from their stored fields; what still cannot be decided stays parked."""
    if bool(names) == everything:
        raise typer.BadParameter("name the messages, or give --all, and not both", param_hint="NAME")
    with connect(server) as channel:
        request = ReplayParkedMessagesRequest(names=names or [])
        response = OperationsServiceStub(channel).ReplayParkedMessages(request, timeout=WORK_SECONDS)
    if as_json:
        show_json(document_of(response))
        return
    show_table("Replay", ("decided", "still parked"), [(response.decided, response.still_parked)])


def list_undecodable(
    limit: LimitOption = 50, server: ServerOption = DEFAULT_SERVER, as_json: JsonOption = False
) -> None:
    """List bytes that did not decode, newest first: where each failed and why; the bytes themselves are not kept."""
    with connect(server) as channel:
        call = OperationsServiceStub(channel).ListUndecodableMessages
        messages, more = list_pages(call, ListUndecodableMessagesRequest(), "messages", limit)
    if as_json:
        show_json([document_of(message) for message in messages])
    else:
        rows = [
            (
                instant(entry.receive_time),
                entry.bank,
                entry.dialect,
                entry.source,
                entry.length_bytes,
                entry.field,
                entry.position,
                entry.problem,
                entry.digest[:12],
            )
            for entry in messages
        ]
        columns = ("received", "bank", "dialect", "source", "bytes", "field", "at byte", "problem", "digest")
        show_table("Undecodable messages", columns, rows, numbers=("bytes", "at byte"))
    more_exist(more)


def explain(
    name: Annotated[
        str,
        typer.Argument(
            metavar="AWARD",
            help="accounts/ID/awards/AWARD, or accounts/ID/decisions/MESSAGE-ATTEMPT, as an answer names it.",
        ),
    ],
    audience: Annotated[
        Reader, typer.Option("--for", help="In full for operations, or in plain words for the member.")
    ] = Reader.OPERATIONS,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Say why an award, or a decision, gave what it gave, recomputed from its stored inputs."""
    with connect(server) as channel:
        request = ExplainDecisionRequest(name=name, audience=_AUDIENCES[audience])
        response = OperationsServiceStub(channel).ExplainDecision(request, timeout=ANSWER_SECONDS)
    if as_json:
        show_json({**document_of(response), "detail": orjson.loads(response.detail or "null")})
    elif audience is Reader.MEMBER:
        for sentence in response.sentences:
            show_text(sentence)
    else:
        show_text(f"{response.reason}")
        for sentence in response.sentences:
            show_text(f"- {sentence}")
    if not response.reproduced:
        raise CommandError("Recomputing gives another result than the stored one: keep this decision for a developer.")


def status(server: ServerOption = DEFAULT_SERVER, as_json: JsonOption = False) -> None:
    """Show the workers, the banks' links, the raw TCP links among them, and what waits."""
    with connect(server) as channel:
        found = OperationsServiceStub(channel).GetStatus(GetStatusRequest(), timeout=ANSWER_SECONDS)
    if as_json:
        show_json(document_of(found))
    else:
        _show_status(found)
    if not found.workers:
        raise typer.Exit(ExitCode.FAILED)


def _show_status(found: GetStatusResponse) -> None:
    rows: list[tuple[object, ...]] = [
        (
            worker.worker,
            instant(worker.start_time),
            instant(worker.seen_time),
            worker.messages,
            worker.queued,
            worker.streams,
            worker.snapshot_version,
        )
        for worker in found.workers
    ]
    columns = ("worker", "started", "seen", "messages", "queued", "streams", "snapshot")
    show_table("Workers", columns, rows, numbers=columns[3:])
    rows = [
        (link.bank, link.dialect, link.messages, link.undecodable, instant(link.last_message_time))
        for link in found.links
    ]
    links = ("bank", "dialect", "messages", "undecodable", "last message")
    show_table("Links", links, rows, numbers=("messages", "undecodable"))
    if found.tcp_links:
        _show_tcp_links(found)
    say(f"Reference data version {found.reference_version}; {found.parked:,} messages parked.")


def _show_tcp_links(found: GetStatusResponse) -> None:
    rows: list[tuple[object, ...]] = [
        (
            link.link,
            link.address,
            TcpLinkState.Name(link.state).removeprefix("TCP_LINK_STATE_").lower().replace("_", " "),
            link.connections,
            link.messages,
            link.answered,
            link.undecodable,
            link.unanswered + link.refused,
            link.refused_connections + link.closed_connections,
            instant(link.last_message_time),
            instant(link.last_echo_time),
        )
        for link in found.tcp_links
    ]
    columns = (
        "link",
        "address",
        "state",
        "connections",
        "messages",
        "answered",
        "undecodable",
        "not taken",
        "cut off",
        "last message",
        "last echo",
    )
    show_table("TCP links", columns, rows, numbers=columns[3:9])
