"""``cobrand programme``: check a programme document, put it into force, see what is in force, try it out.

``validate`` and ``simulate`` need no server.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from processor.cli.client import ANSWER_SECONDS, DEFAULT_SERVER, ServerOption, connect, list_pages
from processor.cli.failure import CommandError
from processor.cli.options import JsonOption, LimitOption, read_text
from processor.cli.output import document_of, instant, more_exist, say, show_json, show_table, show_text
from processor.core.programme import Programme
from processor.core.programme_document import merchant_files, parse_programme
from processor.v1 import programme_pb2
from processor.v1.programme_pb2 import (
    ApplyProgrammeRequest,
    ApplyProgrammeResponse,
    GetProgrammeRequest,
    ListProgrammesRequest,
)
from processor.v1.programme_pb2_grpc import ProgrammeServiceStub

DocumentArgument = Annotated[str, typer.Argument(metavar="PROGRAMME.yaml", help="The programme document.")]

_EXAMPLE: Final = "examples/skyways/programme.yaml"


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this file to the command."""
    programme = typer.Typer(help="Check programmes and put them into force.", no_args_is_help=True)
    programme.command("validate", epilog=f"Example: cobrand programme validate {_EXAMPLE}")(validate)
    programme.command("apply", epilog=f"Example: cobrand programme apply {_EXAMPLE}")(apply)
    programme.command("show", epilog="Example: cobrand programme show skyways --document")(show)
    programme.command("list", epilog="Example: cobrand programme list")(list_programmes)
    app.add_typer(programme, name="programme")


def read_document(file: str) -> tuple[str, dict[str, str]]:
    """Return a document's text and the text of every file beside it that it names and that can be read."""
    text = read_text(file)
    beside = {}
    for name in merchant_files(text, source=file):
        path = Path(file).parent / name
        try:
            beside[name] = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError):
            continue  # The document's check says which file cannot be read, and where it is named.
    return text, beside


def validate(file: DocumentArgument, as_json: JsonOption = False) -> None:
    """Check a programme document and its merchant file; every mistake is named by file, line and column."""
    text, beside = read_document(file)
    compiled = parse_programme(text, merchants=beside, source=file, revision=1)
    errors: Sequence[Any] = () if isinstance(compiled, Programme) else compiled
    if as_json:
        found = [
            {
                "source": _path_of(error.source, file),
                "line": error.line,
                "column": error.column,
                "path": error.path,
                "problem": error.problem,
                "expected": error.expected,
            }
            for error in errors
        ]
        show_json({"valid": not errors, "errors": found})
    elif isinstance(compiled, Programme):
        _show_compiled(compiled)
    else:
        for error in errors:
            place = f"{_path_of(error.source, file)}:{error.line}:{error.column}"
            show_text(f"{place}: {error.path}: {error.problem}; {error.expected}")
    if errors:
        raise CommandError(f"{file} has {len(errors)} mistakes. Mend them and validate it again.")


def _path_of(source: str, file: str) -> str:
    """Return the path to the file an error stands in: the document, or one beside it."""
    return source if source == file else str(Path(file).parent / source)


def _show_compiled(programme: Programme) -> None:
    say(f"{programme.name} ({programme.id}) is sound; it takes effect from {programme.effective_from.isoformat()}.")
    rows = [
        ("parties", len(programme.parties)),
        ("links", len(programme.links)),
        ("card products", len(programme.products)),
        ("partners", len(programme.partners)),
        ("merchants", sum(len(merchants) for merchants in programme.merchants.values())),
        ("rules", len(programme.rules)),
        ("caps", len(programme.caps)),
    ]
    show_table("Programme", ("what", "how many"), rows, numbers=("how many",))


def apply(file: DocumentArgument, server: ServerOption = DEFAULT_SERVER, as_json: JsonOption = False) -> None:
    """Make a document the next revision of its programme; the same document again changes nothing."""
    response = apply_document(server, file)
    if as_json:
        show_json(document_of(response))
    elif not response.errors:
        revision = response.programme
        done = "was in force already; nothing changed" if response.unchanged else "is applied"
        say(f"{revision.name} {done}; it takes effect from {instant(revision.effective_time)}.")
    for error in response.errors:
        say(f"{_path_of(error.source, file)}:{error.line}:{error.column}: {error.path}: {error.problem}")
    if response.errors:
        raise CommandError(f"{file} has {len(response.errors)} mistakes; nothing was applied.")


def apply_document(server: str, file: str) -> ApplyProgrammeResponse:
    """Send a document and the files it names."""
    text, beside = read_document(file)
    with connect(server) as channel:
        request = ApplyProgrammeRequest(document=text, files=beside, source=file)
        return ProgrammeServiceStub(channel).ApplyProgramme(request, timeout=ANSWER_SECONDS)


def show(
    programme: Annotated[str, typer.Argument(metavar="PROGRAMME", help="The programme, as its document names it.")],
    revision: Annotated[int, typer.Option("--revision", min=0, help="The revision; 0 is the latest.")] = 0,
    document: Annotated[bool, typer.Option("--document", help="Print the document itself.")] = False,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Show one revision of a programme."""
    name = f"programmes/{programme}" + (f"/revisions/{revision}" if revision else "")
    with connect(server) as channel:
        found = ProgrammeServiceStub(channel).GetProgramme(GetProgrammeRequest(name=name), timeout=ANSWER_SECONDS)
    if as_json:
        show_json(document_of(found))
    elif document:
        show_text(found.document.rstrip("\n"))
    else:
        _show_revisions("Programme", [found])


def list_programmes(
    limit: LimitOption = 50, server: ServerOption = DEFAULT_SERVER, as_json: JsonOption = False
) -> None:
    """List the programmes, each with its latest revision."""
    with connect(server) as channel:
        call = ProgrammeServiceStub(channel).ListProgrammes
        programmes, more = list_pages(call, ListProgrammesRequest(), "programmes", limit)
    if as_json:
        show_json([document_of(programme) for programme in programmes])
    else:
        _show_revisions("Programmes", programmes)
    more_exist(more)


def _show_revisions(title: str, revisions: Sequence[programme_pb2.Programme]) -> None:
    rows = [
        (entry.name, entry.title, instant(entry.effective_time), instant(entry.create_time), entry.digest[:12])
        for entry in revisions
    ]
    show_table(title, ("revision", "title", "takes effect", "applied", "digest"), rows)
