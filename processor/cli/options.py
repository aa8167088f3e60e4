"""Options that many verbs share, and the files they read."""

import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import typer

from processor.core.card import holds_card_number

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]

LimitOption = Annotated[int, typer.Option("--limit", min=1, max=100_000, help="List at most this many.")]

BankOption = Annotated[str, typer.Option("--bank", help="The bank, as the programme document names it.")]

STANDARD_INPUT = "-"

_LIKE_A_MESSAGE: Final = re.compile(r"[0-9A-Za-z+/=\s]{24,}")
"""What a message in hexadecimal or base64 looks like; the name of a file mostly has a dot."""


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
