"""``cobrand settle``, ``cobrand cycles`` and ``cobrand files``: close business days and fetch settlement files."""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from processor.cli.client import ANSWER_SECONDS, DEFAULT_SERVER, WORK_SECONDS, ServerOption, connect, list_pages
from processor.cli.failure import CommandError
from processor.cli.options import BankOption, JsonOption, LimitOption
from processor.cli.output import document_of, instant, money, more_exist, say, show_json, show_table
from processor.v1.settlement_pb2 import (
    CloseBusinessDateRequest,
    CloseBusinessDateResponse,
    Cycle,
    DownloadSettlementFileRequest,
    GetCycleRequest,
    ListCyclesRequest,
    ListSettlementFilesRequest,
    SettlementFile,
)
from processor.v1.settlement_pb2_grpc import SettlementServiceStub

ProgrammeOption = Annotated[str, typer.Option("--programme", help="The programme.")]
CycleArgument = Annotated[
    str, typer.Argument(metavar="CYCLE", help="programmes/PROGRAMME/banks/BANK/cycles/YYYY-MM-DD.")
]

_EXAMPLE_CYCLE = "programmes/skyways/banks/alpha/cycles/2026-11-20"


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this file to the command."""
    app.command("settle", epilog="Example: cobrand settle --programme skyways --bank alpha --date 2026-11-20")(settle)
    cycles = typer.Typer(help="See settlement cycles.", no_args_is_help=True)
    cycles.command("list", epilog="Example: cobrand cycles list --bank alpha")(list_cycles)
    cycles.command("show", epilog=f"Example: cobrand cycles show {_EXAMPLE_CYCLE}")(show_cycle)
    app.add_typer(cycles, name="cycles")
    files = typer.Typer(help="Fetch settlement files.", no_args_is_help=True)
    files.command("list", epilog=f"Example: cobrand files list {_EXAMPLE_CYCLE}")(list_files)
    files.command("download", epilog=f"Example: cobrand files download {_EXAMPLE_CYCLE} --to settlement")(download)
    app.add_typer(files, name="files")


def settle(
    programme: ProgrammeOption,
    bank: BankOption,
    date: Annotated[
        datetime, typer.Option("--date", formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="The business date.")
    ],
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Close one business date of a bank and make every party's settlement file; again makes the same files."""
    response = close_business_date(server, programme=programme, bank=bank, business_date=f"{date:%Y-%m-%d}")
    if as_json:
        show_json(document_of(response))
        return
    cycle = response.cycle
    closed = "was closed before; nothing changed" if response.already_closed else "is closed"
    say(f"{cycle.name} {closed}, with {cycle.postings:,} postings.")
    _show_cycle(cycle)
    show_files(f"Files of {cycle.name}", response.files)
    if response.folder:
        say(f"On the server the files lie in {response.folder}")


def close_business_date(server: str, *, programme: str, bank: str, business_date: str) -> CloseBusinessDateResponse:
    """Close one business date."""
    request = CloseBusinessDateRequest(programme=programme, bank=bank, business_date=business_date)
    with connect(server) as channel:
        return SettlementServiceStub(channel).CloseBusinessDate(request, timeout=WORK_SECONDS)


def _show_cycle(cycle: Cycle) -> None:
    rows: list[tuple[Any, ...]] = [
        (entry.debtor, entry.creditor, entry.currency, money(entry.amount_minor, entry.currency), entry.postings)
        for entry in cycle.obligations
    ]
    columns = ("debtor", "creditor", "currency", "amount", "postings")
    show_table("Obligations", columns, rows, numbers=("amount", "postings"))
    rows = [(entry.party, entry.currency, money(entry.net_minor, entry.currency)) for entry in cycle.positions]
    show_table(
        "Net positions: what each party receives, or pays (-)", ("party", "currency", "net"), rows, numbers=("net",)
    )


def show_files(title: str, files: Iterable[SettlementFile]) -> None:
    """Print settlement files with their totals, a line for each currency."""
    rows: list[tuple[Any, ...]] = []
    for file in files:
        for total in file.totals or (None,):
            amounts = (
                ("", "", "", "")
                if total is None
                else (
                    total.currency,
                    money(total.debit_minor, total.currency),
                    money(total.credit_minor, total.currency),
                    money(total.net_minor, total.currency),
                )
            )
            rows.append((file.party, file.file_name, file.record_count, *amounts, file.sha256[:12]))
    columns = ("party", "file", "records", "currency", "owes", "is owed", "net", "sha256")
    show_table(title, columns, rows, numbers=("records", "owes", "is owed", "net"))


def list_cycles(
    programme: Annotated[str, typer.Option("--programme", help="The programme; all where left out.")] = "-",
    bank: Annotated[str, typer.Option("--bank", help="The bank; all where left out.")] = "-",
    limit: LimitOption = 50,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """List settlement cycles, newest business date first."""
    with connect(server) as channel:
        request = ListCyclesRequest(parent=f"programmes/{programme}/banks/{bank}")
        cycles, more = list_pages(SettlementServiceStub(channel).ListCycles, request, "cycles", limit)
    if as_json:
        show_json([document_of(cycle) for cycle in cycles])
    else:
        rows = [(cycle.name, cycle.state, instant(cycle.close_time), cycle.postings) for cycle in cycles]
        show_table("Cycles", ("cycle", "state", "closed", "postings"), rows, numbers=("postings",))
    more_exist(more)


def show_cycle(cycle: CycleArgument, server: ServerOption = DEFAULT_SERVER, as_json: JsonOption = False) -> None:
    """Show one cycle with its obligations and net positions."""
    with connect(server) as channel:
        found = SettlementServiceStub(channel).GetCycle(GetCycleRequest(name=cycle), timeout=ANSWER_SECONDS)
    if as_json:
        show_json(document_of(found))
        return
    say(f"{found.name} is {found.state}, with {found.postings:,} postings.")
    _show_cycle(found)


def list_files(cycle: CycleArgument, server: ServerOption = DEFAULT_SERVER, as_json: JsonOption = False) -> None:
    """List the settlement files of a cycle."""
    files = _files_of(server, cycle)
    if as_json:
        show_json([document_of(file) for file in files])
    else:
        show_files(f"Files of {cycle}", files)


def _files_of(server: str, cycle: str) -> list[SettlementFile]:
    with connect(server) as channel:
        request = ListSettlementFilesRequest(parent=cycle)
        return list(SettlementServiceStub(channel).ListSettlementFiles(request, timeout=ANSWER_SECONDS).files)


def download(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A file's name, CYCLE/files/PARTY, or a cycle for all.")],
    to: Annotated[Path, typer.Option("--to", help="The folder to write to.")] = Path(),
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Fetch settlement files and check their SHA-256; another file of the same name is never overwritten."""
    cycle, _, party = name.partition("/files/")
    files = [file for file in _files_of(server, cycle) if party in {"", file.party}]
    if not files:
        raise CommandError(f"{name} has no file; see cobrand files list {cycle}.")
    try:
        to.mkdir(parents=True, exist_ok=True)
        saved = [(file, _save(file, _content(server, file), to)) for file in files]
    except OSError as error:
        raise CommandError(f"{error.filename} cannot be written ({error.strerror}); name another folder.") from None
    if as_json:
        show_json([{**document_of(file), "path": str(path)} for file, path in saved])
        return
    rows = [(file.party, str(path), file.size_bytes, file.sha256) for file, path in saved]
    show_table("Settlement files", ("party", "path", "bytes", "sha256"), rows, numbers=("bytes",))


def _content(server: str, file: SettlementFile) -> bytes:
    with connect(server) as channel:
        pieces = SettlementServiceStub(channel).DownloadSettlementFile(
            DownloadSettlementFileRequest(name=file.name), timeout=WORK_SECONDS
        )
        content = b"".join(piece.content for piece in pieces)
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise CommandError(f"{file.name} arrived with other bytes than its SHA-256 says; fetch it again.")
    return content


def _save(file: SettlementFile, content: bytes, folder: Path) -> Path:
    path = folder / Path(file.file_name).name
    if path.exists() and path.read_bytes() != content:
        raise CommandError(f"{path} exists and is another file; name another folder with --to.")
    path.write_bytes(content)
    return path
