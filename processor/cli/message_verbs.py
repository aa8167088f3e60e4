"""``cobrand submit`` and ``cobrand decode``: send card messages to a server, and read one without a server.

Messages come from files or standard input, never from arguments, which other users of a machine can see.
"""

import binascii
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import typer

from processor.cli.client import DEFAULT_SERVER, ServerOption
from processor.cli.dialect_file import open_dialect
from processor.cli.failure import CommandError, ExitCode
from processor.cli.message_file import read_json_lines, read_length_prefixed
from processor.cli.message_stream import FRAME_MESSAGES, StreamTerms
from processor.cli.options import JsonOption, open_input, size_of
from processor.cli.output import counted, say, show_json, show_table
from processor.cli.submission import AnswerFile, Tally, submit_messages
from processor.wire.decode import MAXIMUM_MESSAGE_BYTES, DecodeFailure
from processor.wire.describe import DescribedElement, describe
from processor.wire.dialect import Dialect

_DECODE_INPUT_BYTES: Final = 4 * MAXIMUM_MESSAGE_BYTES
"""More than any message takes in hexadecimal with line ends."""


class FileFormat(StrEnum):
    """How a file of messages is written."""

    JSON_LINES = "json-lines"
    LENGTH_PREFIXED = "length-prefixed"


class ByteFormat(StrEnum):
    """How the bytes of one message are written."""

    AUTO = "auto"
    HEX = "hex"
    BASE64 = "base64"
    BINARY = "binary"


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this file to the command."""
    app.command("submit", epilog="Example: cobrand submit messages.jsonl --connections 2 --answers answers.jsonl")(
        submit
    )
    app.command("decode", epilog="Example: cobrand decode message.hex --dialect iso87-ascii")(decode)


def submit(
    file: Annotated[str, typer.Argument(help="The messages; - for standard input.")],
    form: Annotated[
        FileFormat,
        typer.Option("--format", help="JSON Lines, or raw messages each after its length in two bytes."),
    ] = FileFormat.JSON_LINES,
    bank: Annotated[str, typer.Option("--bank", help="Whose messages a length-prefixed file holds.")] = "",
    dialect: Annotated[str, typer.Option("--dialect", help="What a length-prefixed file's messages speak.")] = "",
    connections: Annotated[
        int, typer.Option("--connections", min=1, max=64, help="Connections; a stream keeps to one of them.")
    ] = 1,
    frame: Annotated[int, typer.Option("--frame", min=1, max=FRAME_MESSAGES, help="Messages in a frame.")] = 64,
    in_flight: Annotated[
        int, typer.Option("--in-flight", min=1, max=65536, help="Unanswered messages of a connection at any moment.")
    ] = 2048,
    answers: Annotated[Path | None, typer.Option("--answers", help="Write every answer here as JSON Lines.")] = None,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Stream a file of card messages to a server and show what became of them; sending it again is harmless."""
    if form is FileFormat.LENGTH_PREFIXED and not (bank and dialect):
        raise typer.BadParameter("a length-prefixed file needs --bank and --dialect", param_hint="--format")
    tally = Tally()
    began = time.monotonic()
    with ExitStack() as stack:
        source = stack.enter_context(open_input(file))
        if form is FileFormat.JSON_LINES:
            total, lines = _count_lines(source), read_json_lines(source)
        else:
            total, lines = None, read_length_prefixed(source, bank=bank, dialect=dialect)
        write = AnswerFile(stack.enter_context(_create(answers))).write if answers else None
        terms = StreamTerms(frame=frame, in_flight=in_flight)
        try:
            submit_messages(server, lines, terms=terms, connections=connections, tally=tally, total=total, write=write)
        except CommandError:
            say(f"{tally.answered:,} messages were answered before this; submitting the file again is harmless.")
            raise
    seconds = time.monotonic() - began
    if as_json:
        show_json({**tally.document(), "seconds": round(seconds, 3)})
    else:
        show_tally(tally)
        say(f"{tally.answered:,} messages in {seconds:.1f} s, {tally.answered / max(seconds, 0.001):,.0f} a second.")
    if tally.refused:
        raise typer.Exit(ExitCode.FAILED)


def show_tally(tally: Tally) -> None:
    """Print what became of messages, and the refused ones with what to correct."""
    counts = {f"{outcome}/{reason}": messages for (outcome, reason), messages in tally.outcomes.items()}
    rows = [(*name.split("/"), messages) for name, messages in counted(counts)]
    show_table("Messages by outcome", ("outcome", "reason", "messages"), rows, numbers=("messages",))
    if tally.refusals:
        refusals = sorted(tally.refusals, key=lambda refusal: refusal.line)
        title = f"Messages not taken ({len(refusals)} of {tally.refused})"
        show_table(
            title,
            ("line", "reason", "problem"),
            [(str(refusal.line), refusal.reason, refusal.problem) for refusal in refusals],
            numbers=("line",),
        )


def _create(path: Path) -> BinaryIO:
    try:
        return path.open("wb")
    except OSError as error:
        raise typer.BadParameter(f"cannot write {path} ({error.strerror})", param_hint="--answers") from None


def _count_lines(source: BinaryIO) -> int | None:
    """Count the lines of a regular file and go back to its beginning; a pipe has no count."""
    if size_of(source) is None:
        return None
    lines = sum(piece.count(b"\n") for piece in iter(lambda: source.read(1 << 20), b""))
    source.seek(0)
    return lines


def decode(
    file: Annotated[str, typer.Argument(help="One message; - for standard input.")],
    dialect: Annotated[str, typer.Option("--dialect", help="The ISO 8583 dialect the message speaks, or its file.")],
    form: Annotated[
        ByteFormat, typer.Option("--format", help="How the bytes are written; auto tries hex, base64 and binary.")
    ] = ByteFormat.AUTO,
    as_json: JsonOption = False,
) -> None:
    """Show one ISO 8583 message field by field, sub-fields and chip tags included, card data masked, offline."""
    terms = open_dialect(dialect)
    with open_input(file) as source:
        content = source.read(_DECODE_INPUT_BYTES + 1)
    if len(content) > _DECODE_INPUT_BYTES:
        raise CommandError(f"{file} is longer than one message can be; give one message.")
    elements = _described(terms, content, form)
    if as_json:
        rows = [
            {"number": row.number, "name": row.name, "description": row.description, "value": row.value}
            for row in elements
        ]
        show_json({"dialect": terms.name, "elements": rows})
    else:
        rows_shown = [(row.number, row.name, row.value, row.description) for row in elements]
        show_table(f"{terms.name} message", ("element", "name", "value", "meaning"), rows_shown, numbers=("element",))


def _described(dialect: Dialect, content: bytes, form: ByteFormat) -> list[DescribedElement]:
    """Describe the message in the first form that decodes; where none does, say what the likeliest form lacks."""
    failure: DecodeFailure | None = None
    for raw in _candidates(content, form):
        try:
            return describe(dialect, raw)
        except DecodeFailure as error:
            failure = failure or error
    if failure is None:
        raise CommandError(f"The input is not {form.value}; name its form with --format.")
    raise CommandError(f"The message does not decode: {failure}.")


def _candidates(content: bytes, form: ByteFormat) -> Iterator[bytes]:
    """Yield the bytes that the input may stand for, the likeliest first."""
    text = b"".join(content.split())
    if form in {ByteFormat.AUTO, ByteFormat.HEX}:
        with suppress(binascii.Error):
            yield binascii.unhexlify(text)
    if form in {ByteFormat.AUTO, ByteFormat.BASE64}:
        with suppress(binascii.Error):
            yield binascii.a2b_base64(text, strict_mode=True)
    if form in {ByteFormat.AUTO, ByteFormat.BINARY}:
        yield content
