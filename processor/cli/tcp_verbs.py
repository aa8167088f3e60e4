"""``cobrand tcp``: the file that says which raw TCP links listen where; it needs no server."""

from dataclasses import asdict
from typing import Annotated, Final

import typer

from processor.cli.failure import CommandError, sentence
from processor.cli.options import JsonOption, read_text
from processor.cli.output import say, show_json, show_table, show_text
from processor.config import ConfigurationError

_EXAMPLE: Final = "examples/skyways/tcp-links.yaml"


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this file to the command."""
    tcp = typer.Typer(help="Check the raw TCP links of ISO 8583 hosts.", no_args_is_help=True)
    tcp.command("check", epilog=f"Example: cobrand tcp check {_EXAMPLE}")(check)
    app.add_typer(tcp, name="tcp")


def check(
    file: Annotated[str, typer.Argument(metavar="LINKS.yaml", help="The file that COBRAND_TCP_LINKS is to name.")],
    as_json: JsonOption = False,
) -> None:
    """Check a file of TCP links and its certificates; every mistake is named by file, line and column."""
    # The dialects and their compiler are loaded when they are needed.
    from processor.rpc.tcp.link_file import LinkFile, read_links  # noqa: PLC0415
    from processor.wiring import known_dialects  # noqa: PLC0415

    try:
        dialects = known_dialects()
    except ConfigurationError as unusable:
        raise CommandError(sentence(str(unusable))) from None
    read = read_links(read_text(file), source=file, dialects=dialects)
    errors = () if isinstance(read, LinkFile) else read
    if as_json:
        show_json({"valid": not errors, "errors": [asdict(error) for error in errors]})
    elif isinstance(read, LinkFile):
        rows = [
            (link.name, link.bank, link.dialect, link.place, str(link.framing.length), "yes" if link.tls else "no")
            for link in read.links
        ]
        show_table("TCP links", ("link", "bank", "dialect", "address", "length", "TLS"), rows)
        say(f"{file} is sound; name it in COBRAND_TCP_LINKS.")
    for error in () if as_json else errors:
        show_text(str(error))
    if errors:
        raise CommandError(f"{file}: {len(errors)} to mend. Mend what is named and try again.")
