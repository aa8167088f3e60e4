"""``cobrand cards``: hand a bank's card file to a server."""

from collections.abc import Iterator
from typing import Annotated

import typer

from processor.cli.card_file import CardFileError, pieces, read_cards
from processor.cli.client import DEFAULT_SERVER, WORK_SECONDS, ServerOption, connect
from processor.cli.failure import CommandError, ExitCode
from processor.cli.options import BankOption, JsonOption, read_text
from processor.cli.output import document_of, progress_bar, say, show_json, show_table
from processor.v1.card_file_pb2 import CardRecord, SubmitCardsRequest, SubmitCardsResponse
from processor.v1.card_file_pb2_grpc import CardFileServiceStub

_NAMED_ERRORS = 20


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this file to the command."""
    cards = typer.Typer(help="Hand in the cards of a bank.", no_args_is_help=True)
    cards.command("submit", epilog="Example: cobrand cards submit alpha-cards.csv --bank alpha --delta")(submit)
    app.add_typer(cards, name="cards")


def submit(
    file: Annotated[str, typer.Argument(help="The card file, CSV with a header row; - for standard input.")],
    bank: BankOption,
    full: Annotated[
        bool, typer.Option("--full/--delta", help="The file lists every card: cards it leaves out are closed.")
    ] = False,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Hand in a card file, full or delta; handing it in again is harmless."""
    text = read_text(file)
    _check(file, text)
    response = submit_cards(server, text, bank=bank, full=full)
    if as_json:
        show_json(document_of(response))
    else:
        _show(response)
    if response.rejected:
        raise typer.Exit(ExitCode.FAILED)


def submit_cards(server: str, text: str, *, bank: str, full: bool) -> SubmitCardsResponse:
    """Send the records of a card file without errors, with a progress bar."""
    total = text.count("\n")
    with connect(server) as channel, progress_bar("Cards", total) as bar:

        def requests() -> Iterator[SubmitCardsRequest]:
            sent = 0
            for records in pieces(text):
                yield SubmitCardsRequest(bank=bank, full=full, records=records)
                sent += len(records)
                bar.reach(sent)

        return CardFileServiceStub(channel).SubmitCards(requests(), timeout=WORK_SECONDS)


def _check(file: str, text: str) -> None:
    """Refuse a file with mistakes before any record of it is sent: a full file closes what it leaves out."""
    errors = [record for record in read_cards(text) if isinstance(record, CardFileError)]
    if not errors:
        if not any(isinstance(record, CardRecord) for record in read_cards(text)):
            raise CommandError(f"{file} holds no cards; nothing was sent.")
        return
    for error in errors[:_NAMED_ERRORS]:
        say(f"{file}:{error.line}: {' '.join(filter(None, (error.column, error.problem)))}")
    raise CommandError(f"{file} has {len(errors)} mistakes; nothing was sent. Mend it and submit it again.")


def _show(response: SubmitCardsResponse) -> None:
    rows = [
        ("records taken", response.taken),
        ("records not taken", response.rejected),
        ("accounts opened", response.accounts_opened),
        ("cards closed", response.cards_closed),
        ("waiting messages decided", response.messages_decided),
    ]
    show_table("Card file", ("what", "how many"), rows, numbers=("how many",))
    if response.errors:
        errors = [(error.record, error.problem) for error in response.errors]
        show_table("Records not taken", ("record", "problem"), errors, numbers=("record",))
