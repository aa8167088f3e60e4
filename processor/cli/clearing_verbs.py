"""``cobrand clearing``: hand a bank's clearing file to a server, and see how far its files are and what went wrong."""

import time
from collections.abc import Callable, Iterator
from typing import Annotated, BinaryIO, Final

import grpc
import typer

from processor.cli import layout_verbs
from processor.cli.client import ANSWER_SECONDS, DEFAULT_SERVER, WORK_SECONDS, ServerOption, connect, list_pages
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
    ClearingFile,
    ClearingFileHeader,
    GetClearingFileRequest,
    ListClearingExceptionsRequest,
    ListClearingFilesRequest,
    SubmitClearingFileRequest,
    SubmitClearingFileResponse,
)
from processor.v1.clearing_pb2_grpc import ClearingServiceStub

PIECE_BYTES: Final = 256 * 1024
POLL_S: Final = 0.2
LONGEST_POLL_S: Final = 2.0


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this file to the command."""
    clearing = typer.Typer(help="Hand in clearing files of a bank, and see how far they are.", no_args_is_help=True)
    clearing.command("submit", epilog="Example: cobrand clearing submit alpha.ipm --bank alpha")(submit)
    clearing.command("list", epilog="Example: cobrand clearing list --bank alpha")(list_files)
    clearing.command("show", epilog="Example: cobrand clearing show 0022611220000000000100001 --bank alpha")(show)
    layout_verbs.add_to(clearing)
    app.add_typer(clearing, name="clearing")


def submit(
    file: Annotated[str, typer.Argument(help="The clearing file; - for standard input.")],
    bank: BankOption,
    format_name: Annotated[
        str, typer.Option("--format", help="The dialect of its records, or its layout; recognised where left out.")
    ] = "",
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until every record is decided, or only until it is safe.")
    ] = True,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Hand in one clearing file; the same file again changes nothing.

    Once it is accepted the server goes on by itself, also if this command ends.
    """
    with open_input(file) as source, progress_bar("Bytes", size_of(source)) as bar:
        response = hand_in(server, source, bank=bank, format_name=format_name, sent=bar.reach)
    if wait and not response.file.complete:
        with progress_bar("Records", response.file.records) as bar:
            response.file.CopyFrom(wait_for(server, response.file, decided=bar.reach))
    if as_json:
        show_json(document_of(response))
    else:
        _show(response.file, _what_happened(response))
    if wait and not response.file.complete:
        raise typer.Exit(ExitCode.FAILED)


def submit_clearing_file(server: str, source: BinaryIO, *, bank: str, format_name: str) -> SubmitClearingFileResponse:
    """Hand in a clearing file and wait until every record of it is decided."""
    response = hand_in(server, source, bank=bank, format_name=format_name)
    response.file.CopyFrom(wait_for(server, response.file))
    return response


def hand_in(
    server: str, source: BinaryIO, *, bank: str, format_name: str, sent: Callable[[int], None] | None = None
) -> SubmitClearingFileResponse:
    """Send a clearing file in pieces; ``sent`` is told how many bytes went out."""
    with connect(server) as channel:
        requests = _requests(source, ClearingFileHeader(bank=bank, dialect=format_name), sent)
        return ClearingServiceStub(channel).SubmitClearingFile(requests, timeout=WORK_SECONDS)


def wait_for(
    server: str,
    file: ClearingFile,
    *,
    decided: Callable[[int], None] | None = None,
    timeout_s: float = WORK_SECONDS,
) -> ClearingFile:
    """Ask until every record of a file is decided, or for as long as nothing moves; return it as it is then."""
    pause, moved_at = POLL_S, time.monotonic()
    with connect(server) as channel:
        stub = ClearingServiceStub(channel)
        while not file.complete and time.monotonic() - moved_at < timeout_s:
            time.sleep(pause)
            pause = min(pause * 1.2, LONGEST_POLL_S)
            found = _get(stub, file)
            if found is None:
                continue
            if found.decided != file.decided:
                moved_at = time.monotonic()
            file = found
            if decided is not None:
                decided(file.decided)
    return file


def _get(stub: ClearingServiceStub, file: ClearingFile) -> ClearingFile | None:
    """Return a file as it is now, or None while the server is away; it goes on where it stopped."""
    request = GetClearingFileRequest(bank=file.bank, file_id=file.file_id)
    try:
        return stub.GetClearingFile(request, timeout=ANSWER_SECONDS).file
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            return None
        raise


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


def _what_happened(response: SubmitClearingFileResponse) -> str:
    if response.duplicate:
        return "was accepted before, and nothing changed"
    return "is taken" if response.file.complete else "is accepted"


def _show(file: ClearingFile, happened: str) -> None:
    say(f"Clearing file {file.file_id} of {file.bank} with {file.records:,} records {happened}.")
    if not file.complete:
        say(
            f"{file.decided:,} records are decided; ask again with: cobrand clearing show {file.file_id} "
            f"--bank {file.bank}"
        )
    rows = [(*outcome.partition(" ")[::2], records) for outcome, records in counted(file.outcomes)]
    show_table("Records by outcome", ("outcome", "reason", "records"), rows, numbers=("records",))


def show(
    file_id: Annotated[str, typer.Argument(help="The file's own id, as its header says and the list shows.")],
    bank: BankOption,
    limit: LimitOption = 50,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Show one clearing file: how far it is, how its records ended, and which of them were parked or refused."""
    with connect(server) as channel:
        stub = ClearingServiceStub(channel)
        file = stub.GetClearingFile(GetClearingFileRequest(bank=bank, file_id=file_id), timeout=ANSWER_SECONDS).file
        request = ListClearingExceptionsRequest(bank=bank, file_id=file_id)
        exceptions, more = list_pages(stub.ListClearingExceptions, request, "exceptions", limit)
    if as_json:
        show_json({"file": document_of(file), "exceptions": [document_of(entry) for entry in exceptions]})
    else:
        _show(file, "is taken" if file.complete else "is accepted")
        rows = [(entry.number, entry.place, entry.outcome, entry.reason, entry.problem) for entry in exceptions]
        columns = ("record", "place", "outcome", "reason", "problem")
        show_table("Records that were parked or refused", columns, rows, numbers=("record",))
    more_exist(more)


def list_files(
    bank: BankOption,
    limit: LimitOption = 50,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """List the clearing files accepted from a bank, newest first."""
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
                file.decided,
                "yes" if file.complete else "no",
                ", ".join(f"{outcome} {records:,}" for outcome, records in counted(file.outcomes)),
            )
            for file in files
        ]
        columns = ("file", "records", "decided", "complete", "outcomes")
        show_table("Clearing files", columns, rows, numbers=("records", "decided"))
    more_exist(more)
