"""Options that many verbs share, and the files they read."""

import os
import re
import stat
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import typer

from processor.core.card import holds_card_number

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]

LimitOption = Annotated[int, typer.Option("--limit", min=1, max=100_000, help="List at most this many.")]

BankOption = Annotated[str, typer.Option("--bank", help="The bank, as the programme document names it.")]

ReasonOption = Annotated[str, typer.Option("--reason", help="Why, for the auditor; 3 to 500 characters.")]
ActorOption = Annotated[str, typer.Option("--actor", help="Who says so; you, unless you say otherwise.")]

RequestIdOption = Annotated[str, typer.Option("--request-id", help="A UUID; the same one again changes nothing.")]

DaysBackOption = Annotated[
    int, typer.Option("--days-back", min=1, max=300, help="How many days before that to look; raise it after a pause.")
]

STANDARD_INPUT = "-"

_LIKE_A_MESSAGE: Final = re.compile(r"[0-9A-Za-z+/=\s]{24,}")
"""What a message in hexadecimal or base64 looks like; the name of a file mostly has a dot."""


def request_id_of(text: str) -> uuid.UUID:
    """Return the id of a request as it was given, or a new one; anything else is an error of usage."""
    try:
        return uuid.UUID(text) if text else uuid.uuid4()
    except ValueError:
        raise typer.BadParameter("write a UUID", param_hint="--request-id") from None


@contextmanager
def open_input(file: str) -> Iterator[BinaryIO]:
    """Open a file for reading, or standard input for ``-``; one that cannot be read is an error of usage."""
    if file == STANDARD_INPUT:
        yield sys.stdin.buffer
        return
    try:
        source = Path(file).open("rb")  # noqa: SIM115 - closed below; only opening it is the usage error.
    except OSError as error:
        raise unreadable(file, error) from None
    with source:
        yield source


def read_text(file: str) -> str:
    """Read a whole text file in UTF-8, or standard input for ``-``."""
    with open_input(file) as source:
        try:
            return source.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise typer.BadParameter(
                f"{file} is not UTF-8 at byte {error.start}; save it as UTF-8", param_hint="FILE"
            ) from None
        except OSError as error:
            raise unreadable(file, error) from None


def size_of(source: BinaryIO) -> int | None:
    """Return the size of a regular file in bytes; nobody knows how much will come out of a pipe."""
    try:
        status = os.fstat(source.fileno())
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def unreadable(file: str, error: OSError) -> typer.BadParameter:
    """Return the usage error of a file that cannot be read; what may be a message or a card number is not repeated."""
    told = "what is named" if _LIKE_A_MESSAGE.fullmatch(file) or holds_card_number(file) else file
    return typer.BadParameter(
        f"cannot read {told} ({error.strerror}); name a file, or - for standard input", param_hint="FILE"
    )
