"""``cobrand clearing layout``: check a layout of clearing files, and list those that are known; needs no server."""

from pathlib import Path
from typing import Annotated, Final

import typer

import schemas
from processor.cli.dialect_file import compile_known_dialects, texts_beside
from processor.cli.dialect_verbs import show_mistakes
from processor.cli.failure import CommandError
from processor.cli.options import JsonOption, read_text
from processor.cli.output import show_json, show_table, show_text
from processor.wire.clearing_layout import ClearingLayout
from processor.wire.clearing_layout_text import parse_clearing_layout
from processor.wire.dialect_text import DialectError

_SUFFIX: Final = ".yaml"


def add_to(clearing: typer.Typer) -> None:
    """Add the verbs of this file to those of clearing files."""
    layout = typer.Typer(help="Check and list layouts of clearing files in CSV; needs no server.", no_args_is_help=True)
    layout.command("check", epilog="Example: cobrand clearing layout check my-bank-postings.yaml")(check)
    layout.command("list", epilog="Example: cobrand clearing layout list")(list_layouts)
    clearing.add_typer(layout, name="layout")


def check(
    file: Annotated[str, typer.Argument(help="A layout's name, or the path of its file.")], as_json: JsonOption = False
) -> None:
    """Check a layout; every mistake is named by file, line and column, with what was expected there."""
    try:
        layout = _compile(file)
    except DialectError as error:
        raise show_mistakes(file, error, as_json=as_json) from None
    if as_json:
        show_json({"valid": True, "errors": []})
    else:
        show_text(f"{layout.name} is sound: {len(layout.columns)} columns, {len(layout.types)} types of posting.")


def list_layouts(as_json: JsonOption = False) -> None:
    """List the layouts that ship and those of the folder clearing in the one that COBRAND_DIALECTS_FOLDER names."""
    try:
        layouts = [_compile(name) for name in _known()]
    except DialectError as error:
        raise CommandError(f"{error}\nA layout is not sound; mend what is listed.") from None
    if as_json:
        show_json([{"name": layout.name, "description": layout.description} for layout in layouts])
    else:
        show_table("Layouts", ("name", "description"), [(layout.name, layout.description) for layout in layouts])


def _compile(named: str) -> ClearingLayout:
    """Return the layout of a name or a file, which may extend any known layout and any other file of its folder."""
    known = _known()
    dialects = compile_known_dialects()
    if named in known:
        return parse_clearing_layout(named, known[named], known, dialects)
    path = Path(named)
    if path.suffix != _SUFFIX and not path.is_file():
        raise typer.BadParameter(
            f"there is no layout {named!r}; choose from {', '.join(known)}, or name a file that ends in {_SUFFIX}"
        )
    text = read_text(named)
    return parse_clearing_layout(path.stem, text, {**texts_beside(path), **known}, dialects, source=named)


def _known() -> dict[str, str]:
    try:
        return schemas.clearing_layouts()
    except schemas.DialectsFolderError as error:
        raise CommandError(f"{error}.") from None
