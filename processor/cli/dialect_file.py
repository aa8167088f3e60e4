"""Dialects for verbs: by the name of one that is known, or by the path of a file that need not be installed.

It never talks to a server.
"""

from pathlib import Path
from typing import Final

import typer

import schemas
from processor.cli.failure import CommandError
from processor.cli.options import read_text
from processor.core.card import holds_card_number
from processor.wire.dialect import Dialect, DialectError, parse_dialect

_SUFFIX: Final = ".yaml"


def open_dialect(named: str) -> Dialect:
    """Return the dialect of a name or a file; raises :class:`CommandError` with everything that is wrong with it."""
    try:
        return compile_dialect(named)
    except DialectError as error:
        raise CommandError(f"{error}\nThe dialect is not sound; mend what is listed.") from None


def compile_dialect(named: str) -> Dialect:
    """Return the dialect of a name or a file; raises :class:`DialectError`; one that is not there is an error of usage.

    A file may extend any known dialect, and any other file of its own folder.
    """
    known = known_dialects()
    if named in known:
        return parse_dialect(named, known[named], known)
    path = Path(named)
    if path.suffix != _SUFFIX and not path.is_file():
        told = "such dialect" if holds_card_number(named) else f"dialect {named!r}"
        raise typer.BadParameter(
            f"there is no {told}; choose from {', '.join(known)}, or name a file that ends in {_SUFFIX}"
        )
    text = read_text(named)
    return parse_dialect(path.stem, text, {**texts_beside(path), **known}, source=named)


def compile_known_dialects() -> dict[str, Dialect]:
    """Return every dialect that a service of this installation would know; raises :class:`CommandError`."""
    return {name: open_dialect(name) for name in known_dialects()}


def known_dialects() -> dict[str, str]:
    """Return the text of every dialect that a service of this installation would know, by name."""
    try:
        return schemas.iso8583_dialects()
    except schemas.DialectsFolderError as error:
        raise CommandError(f"{error}.") from None


def texts_beside(path: Path) -> dict[str, str]:
    """Return the text of the other dialects, or layouts, in a file's folder, those that can be read."""
    found = {}
    for other in sorted(path.parent.glob(f"*{_SUFFIX}")):
        if other.name != path.name:
            try:
                found[other.stem] = other.read_text(encoding="utf-8-sig")
            except (OSError, UnicodeDecodeError):
                continue  # Naming it in extends says that it is not there.
    return found
