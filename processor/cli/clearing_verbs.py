"""``cobrand clearing``: hand a bank's clearing file to a server, and see the files it has taken."""

from collections.abc import Callable, Iterator
from typing import Annotated, BinaryIO, Final

import typer

from processor.cli.client import DEFAULT_SERVER, WORK_SECONDS, ServerOption, connect, list_pages
from processor.cli.failure import ExitCode
from processor.cli.options import BankOption, JsonOption, LimitOption, open_input, size_of
from processor.cli.output import (
    counted,
    document_of,
    more_exist,
    progress_bar,
    say,
    show_json,
    show_table,
)
from processor.v1.clearing_pb2 import (
    ClearingFileHeader,
    ListClearingFilesRequest,
    SubmitClearingFileRequest,
    SubmitClearingFileResponse,
)
from processor.v1.clearing_pb2_grpc import ClearingServiceStub

PIECE_BYTES: Final = 256 * 1024


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this file to the command."""
    clearing = typer.Typer(help="Hand in clearing files of a bank.", no_args_is_help=True)
    clearing.command("submit", epilog="Example: cobrand clearing submit alpha.ipm --bank alpha --dialect ipm93-ebcdic")(
        submit
    )
    clearing.command("list", epilog="Example: cobrand clearing list --bank alpha")(list_files)
    app.add_typer(clearing, name="clearing")


def submit(
    file: Annotated[str, typer.Argument(help="The clearing file; - for standard input.")],
    bank: BankOption,
    dialect: Annotated[str, typer.Option("--dialect", help="The dialect of its records.")] = "ipm93-ebcdic",
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Hand in one clearing file; the same file again is answered with the counts of the first time."""
    with open_input(file) as source, progress_bar("Bytes", size_of(source)) as bar:
        response = submit_clearing_file(server, source, bank=bank, dialect=dialect, sent=bar.reach)
    if as_json:
        show_json(document_of(response))
    else:
        _show(response)
    if not response.file.complete:
        say("Not every record is decided yet: hand in the same file again, which carries on where it stopped.")
        raise typer.Exit(ExitCode.FAILED)


def submit_clearing_file(
    server: str, source: BinaryIO, *, bank: str, dialect: str, sent: Callable[[int], None] | None = None
) -> SubmitClearingFileResponse:
    """Send a clearing file in pieces; ``sent`` is told how many bytes went out."""
    with connect(server) as channel:
        requests = _requests(source, ClearingFileHeader(bank=bank, dialect=dialect), sent)
        return ClearingServiceStub(channel).SubmitClearingFile(requests, timeout=WORK_SECONDS)


def _requests(
    source: BinaryIO, header: ClearingFileHeader, sent: Callable[[int], None] | None
) -> Iterator[SubmitClearingFileRequest]:
    yield SubmitClearingFileRequest(header=header)
    size = 0
    while content := source.read(PIECE_BYTES):
        yield SubmitClearingFileRequest(content=content)
        size += len(content)
        if sent is not None:
            sent(size)


def _show(response: SubmitClearingFileResponse) -> None:
    file = response.file
    taken = "was taken before, and nothing changed" if response.duplicate else "is taken"
    say(f"Clearing file {file.file_id} of {file.bank} with {file.records:,} records {taken}.")
    rows = [(*outcome.partition(" ")[::2], records) for outcome, records in counted(file.outcomes)]
    show_table("Records by outcome", ("outcome", "reason", "records"), rows, numbers=("records",))


def list_files(
    bank: BankOption,
    limit: LimitOption = 50,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """List the clearing files taken from a bank, newest first."""
    with connect(server) as channel:
        call = ClearingServiceStub(channel).ListClearingFiles
        files, more = list_pages(call, ListClearingFilesRequest(bank=bank), "files", limit)
    if as_json:
        show_json([document_of(file) for file in files])
    else:
        rows = [
            (
                file.file_id,
                file.records,
                "yes" if file.complete else "no",
                ", ".join(f"{outcome} {records:,}" for outcome, records in counted(file.outcomes)),
            )
            for file in files
        ]
        show_table("Clearing files", ("file", "records", "complete", "outcomes"), rows, numbers=("records",))
    more_exist(more)
