"""``cobrand accruals``: send miles to the owner's ledger, take its answers, and deal with what it rejected."""

import getpass
import uuid
from typing import Annotated, Any

import typer

from processor.cli.client import ANSWER_SECONDS, DEFAULT_SERVER, WORK_SECONDS, ServerOption, connect, list_pages
from processor.cli.options import ActorOption, BankOption, JsonOption, LimitOption, ReasonOption, open_input
from processor.cli.output import amount_of_unit, document_of, more_exist, say, show_json, show_table
from processor.v1.accrual_pb2 import (
    Accrual,
    GetAccrualRequest,
    ListAccrualsRequest,
    MakeAccrualFilesRequest,
    MendAccrualRequest,
    ResendAccrualRequest,
    SubmitAccrualResponseRequest,
    WriteOffAccrualRequest,
)
from processor.v1.accrual_pb2_grpc import AccrualServiceStub

ProgrammeOption = Annotated[str, typer.Option("--programme", help="The programme.")]
AccrualArgument = Annotated[
    str, typer.Argument(metavar="ACCRUAL", help="programmes/PROGRAMME/banks/BANK/accruals/ACCRUAL.")
]
RequestOption = Annotated[str, typer.Option("--request-id", help="A UUID; the same one again changes nothing.")]

_WHOSE = "--programme skyways --bank alpha"
_ONE = "programmes/skyways/banks/alpha/accruals/00070b4a64a1b2c3d4e5f60718293a4b5c6d"


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this file to the command."""
    accruals = typer.Typer(help="Send miles to the owner's ledger.", no_args_is_help=True)
    accruals.command("make", epilog=f"Example: cobrand accruals make {_WHOSE}")(make)
    accruals.command("acknowledge", epilog=f"Example: cobrand accruals acknowledge response.csv {_WHOSE}")(acknowledge)
    accruals.command("list", epilog=f"Example: cobrand accruals list {_WHOSE} --state sent")(list_accruals)
    accruals.command("suspense", epilog=f"Example: cobrand accruals suspense {_WHOSE}")(suspense)
    accruals.command("show", epilog=f"Example: cobrand accruals show {_ONE}")(show)
    accruals.command("mend", epilog=f"Example: cobrand accruals mend {_ONE} --member SK1000028 --reason 'Ticket 4711'")(
        mend
    )
    accruals.command("resend", epilog=f"Example: cobrand accruals resend {_ONE} --reason 'Ticket 4711'")(resend)
    accruals.command("write-off", epilog=f"Example: cobrand accruals write-off {_ONE} --reason 'Ticket 4711'")(
        write_off
    )
    app.add_typer(accruals, name="accruals")


def _parent(programme: str, bank: str) -> str:
    return f"programmes/{programme}/banks/{bank}"


def make(
    programme: ProgrammeOption, bank: BankOption, server: ServerOption = DEFAULT_SERVER, as_json: JsonOption = False
) -> None:
    """Make the files of all accruals that may leave; where nothing may leave, no file is made."""
    with connect(server) as channel:
        request = MakeAccrualFilesRequest(parent=_parent(programme, bank))
        response = AccrualServiceStub(channel).MakeAccrualFiles(request, timeout=WORK_SECONDS)
    if as_json:
        show_json(document_of(response))
        return
    rows = [
        (file.file_name, "again" if file.made_again else "new", file.record_count, file.accrued, file.taken_back)
        for file in response.files
    ]
    columns = ("file", "made", "accruals", "accrued", "taken back")
    show_table("Accrual files", columns, rows, numbers=columns[2:])
    if response.files:
        say(f"On the server the files lie in {response.folder}")
    if response.waiting:
        say(f"{response.waiting:,} accruals wait, {response.nameless:,} of them for a card file to name the member.")


def acknowledge(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The owner's response file, or - for standard input.")],
    programme: ProgrammeOption,
    bank: BankOption,
    actor: ActorOption = "",
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Take the owner's response file, all of it or nothing; the same file again changes nothing."""
    with open_input(file) as source:
        content = source.read()
    with connect(server) as channel:
        request = SubmitAccrualResponseRequest(
            parent=_parent(programme, bank), content=content, actor=actor or getpass.getuser()
        )
        response = AccrualServiceStub(channel).SubmitAccrualResponse(request, timeout=WORK_SECONDS)
    if as_json:
        show_json(document_of(response))
        return
    before = " before; nothing changed" if response.duplicate else ""
    say(f"The response was taken{before}: {response.accepted:,} accepted, {response.rejected:,} rejected.")
    rows = [(entry.number, entry.accrual, entry.attempt, entry.verdict) for entry in response.exceptions]
    if rows:
        show_table("Answers that were not taken", ("number", "accrual", "attempt", "why"), rows, numbers=("number",))
    for verdict, explanation in sorted({(entry.verdict, entry.explanation) for entry in response.exceptions}):
        say(f"{verdict}: {explanation}.")


def list_accruals(
    programme: ProgrammeOption,
    bank: BankOption,
    state: Annotated[
        str,
        typer.Option("--state", help="waiting, sent, accepted, suspended, written-off or netted; all where left out."),
    ] = "",
    limit: LimitOption = 50,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """List accruals, of one state or of all."""
    with connect(server) as channel:
        request = ListAccrualsRequest(parent=_parent(programme, bank), state=state)
        accruals, more = list_pages(AccrualServiceStub(channel).ListAccruals, request, "accruals", limit)
    if as_json:
        show_json([document_of(accrual) for accrual in accruals])
    else:
        _show_all(f"Accruals of {programme}, {bank}", accruals)
    more_exist(more)


def suspense(
    programme: ProgrammeOption,
    bank: BankOption,
    limit: LimitOption = 50,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """List what the owner rejected and nobody has dealt with yet."""
    list_accruals(programme, bank, "suspended", limit, server, as_json)


def show(accrual: AccrualArgument, server: ServerOption = DEFAULT_SERVER, as_json: JsonOption = False) -> None:
    """Show one accrual."""
    with connect(server) as channel:
        found = AccrualServiceStub(channel).GetAccrual(GetAccrualRequest(name=accrual), timeout=ANSWER_SECONDS)
    _show(found, as_json=as_json)


def mend(
    accrual: AccrualArgument,
    member: Annotated[str, typer.Option("--member", help="The member as the owner knows it; never a card number.")],
    reason: ReasonOption,
    actor: ActorOption = "",
    request_id: RequestOption = "",
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Name the member of an accrual that waits or is in suspense."""
    request = MendAccrualRequest(name=accrual, member=member, reason=reason, **_asked(actor, request_id))
    with connect(server) as channel:
        found = AccrualServiceStub(channel).MendAccrual(request, timeout=ANSWER_SECONDS)
    _show(found, as_json=as_json)


def resend(
    accrual: AccrualArgument,
    reason: ReasonOption,
    actor: ActorOption = "",
    request_id: RequestOption = "",
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Let an accrual in suspense leave with the next file."""
    request = ResendAccrualRequest(name=accrual, reason=reason, **_asked(actor, request_id))
    with connect(server) as channel:
        found = AccrualServiceStub(channel).ResendAccrual(request, timeout=ANSWER_SECONDS)
    _show(found, as_json=as_json)


def write_off(
    accrual: AccrualArgument,
    reason: ReasonOption,
    approve: Annotated[bool, typer.Option("--approve", help="Approve what another person asked.")] = False,
    actor: ActorOption = "",
    request_id: RequestOption = "",
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Ask to write an accrual in suspense off; with --approve, write off what another person asked."""
    request = WriteOffAccrualRequest(name=accrual, approve=approve, reason=reason, **_asked(actor, request_id))
    with connect(server) as channel:
        found = AccrualServiceStub(channel).WriteOffAccrual(request, timeout=ANSWER_SECONDS)
    _show(found, as_json=as_json)


def _asked(actor: str, request_id: str) -> dict[str, Any]:
    return {"actor": actor or getpass.getuser(), "request_id": request_id or str(uuid.uuid4())}


def _show(accrual: Accrual, *, as_json: bool) -> None:
    if as_json:
        show_json(document_of(accrual))
    else:
        _show_all("Accrual", [accrual])


def _show_all(title: str, accruals: list[Accrual]) -> None:
    rows = [
        (
            entry.name.rpartition("/")[2],
            entry.state,
            entry.attempt,
            amount_of_unit(entry.miles, entry.unit),
            entry.member,
            entry.business_date,
            " ".join(filter(None, (entry.code, entry.text))),
            entry.write_off_asked_by,
        )
        for entry in accruals
    ]
    columns = ("accrual", "state", "attempt", "miles", "member named", "business date", "answer", "write-off asked by")
    show_table(title, columns, rows, numbers=("attempt", "miles"))
