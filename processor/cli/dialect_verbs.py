"""``cobrand dialect``: check an ISO 8583 dialect, list those that are known, and show what one takes and keeps."""

from typing import Annotated, Any, Final

import typer

from processor.cli.dialect_file import compile_dialect, known_dialects, open_dialect
from processor.cli.failure import CommandError
from processor.cli.options import JsonOption
from processor.cli.output import say, show_json, show_table, show_text
from processor.wire.dialect import Dialect, DialectError

DialectArgument = Annotated[str, typer.Argument(help="A dialect's name, or the path of its file.")]

_MOST_ERRORS: Final = 100


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this file to the command."""
    dialect = typer.Typer(help="Check and show ISO 8583 dialects; needs no server.", no_args_is_help=True)
    dialect.command("check", epilog="Example: cobrand dialect check my-bank.yaml")(check)
    dialect.command("list", epilog="Example: cobrand dialect list")(list_dialects)
    dialect.command("show", epilog="Example: cobrand dialect show iso87-bcd")(show)
    app.add_typer(dialect, name="dialect")


def check(file: DialectArgument, as_json: JsonOption = False) -> None:
    """Check a dialect; every mistake is named by file, line and column, with what was expected there."""
    try:
        dialect = compile_dialect(file)
    except DialectError as error:
        raise show_mistakes(file, error, as_json=as_json) from None
    if as_json:
        show_json({"valid": True, "errors": []})
    else:
        show_text(
            f"{dialect.name} is sound: {len(dialect.elements)} elements, {len(dialect.subfields)} sub-fields, "
            f"{len(dialect.message_type_bytes) // 2} message types."
        )


def show_mistakes(file: str, found: DialectError, *, as_json: bool) -> CommandError:
    """Print the mistakes and return what ends the command."""
    errors = found.errors[:_MOST_ERRORS]
    if as_json:
        rows = [
            {
                "file": error.source,
                "line": error.line,
                "column": error.column,
                "path": error.path,
                "problem": error.problem,
                "expected": error.expected,
            }
            for error in errors
        ]
        show_json({"valid": False, "errors": rows})
    else:
        for error in errors:
            say(str(error))
    count = len(found.errors)
    return CommandError(f"{file} has {count} mistake{'s' if count > 1 else ''}; mend what is listed.")


def list_dialects(as_json: JsonOption = False) -> None:
    """List the dialects that ship and those of the folder that COBRAND_DIALECTS_FOLDER names."""
    dialects = [open_dialect(name) for name in known_dialects()]
    if as_json:
        show_json(
            [
                {"name": dialect.name, "version": _year(dialect), "description": dialect.description}
                for dialect in dialects
            ]
        )
    else:
        rows = [(dialect.name, _year(dialect), dialect.description) for dialect in dialects]
        show_table("Dialects", ("name", "version", "description"), rows)


def show(name: DialectArgument, as_json: JsonOption = False) -> None:
    """Show a dialect's elements and sub-fields: number, name, format, and what becomes of each."""
    dialect = open_dialect(name)
    rows = _rows(dialect)
    types = sorted(digits for digits in dialect.message_type_bytes if not int(digits[3]) % 2)
    if as_json:
        keys = ("number", "name", "format", "handling", "description")
        fields = [dict(zip(keys, row, strict=True)) for row in rows]
        show_json({"name": dialect.name, "version": _year(dialect), "message_types": types, "fields": fields})
        return
    show_table(f"{dialect.name}: {dialect.description}", ("element", "name", "format", "handling", "meaning"), rows)
    show_text(f"Message types, repeats beside them: {', '.join(types)}.")


def _year(dialect: Dialect) -> str:
    return "1987" if dialect.version == "0" else "1993"


def _rows(dialect: Dialect) -> list[tuple[Any, ...]]:
    layouts = {carrier: layout for layout in dialect.layouts for carrier in layout.carriers}
    rows: list[tuple[Any, ...]] = []
    for number, element in dialect.elements.items():
        layout = layouts.get(element.name)
        handling = (
            "split" if layout is not None and element.name not in dialect.kept else _handling(dialect, element.name)
        )
        rows.append((str(number), element.name, element.format, handling, element.description))
        if layout is not None and layout.carriers[0] == element.name:
            rows += [
                (
                    f"{number}.{tag}",
                    subfield.name,
                    subfield.element.format if subfield.element else "",
                    "dropped" if tag in layout.card_data else _handling(dialect, subfield.name),
                    subfield.description,
                )
                for tag, subfield in layout.fields.items()
            ]
    return rows


def _handling(dialect: Dialect, name: str) -> str:
    if name == "pan":
        return "token"
    if name in dialect.sensitive:
        return "dropped"
    return "kept" if name in dialect.kept else "forgotten"
