"""``cobrand serve``, ``db upgrade``, ``verify`` and ``demo``: run the processor, and prove its books.

Each verb's work lies in a module of its own that is loaded when the verb is called: the others start without the server
and the database.
"""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from processor.cli.options import JsonOption


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this file to the command."""
    app.command("serve", epilog="Example: cobrand serve --workers 2 --port 7460")(serve)
    app.command("verify", epilog="Example: cobrand verify --limit 5")(verify)
    app.command("demo", epilog="Example: cobrand demo --messages 10000")(demo)
    database = typer.Typer(help="Migrate the database.", no_args_is_help=True)
    database.command("upgrade", epilog="Example: cobrand db upgrade --service-role cobrand_service")(upgrade)
    app.add_typer(database, name="db")


def serve(
    host: Annotated[str, typer.Option("--host", help="The loopback address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0 takes any free one.")] = 7460,
    workers: Annotated[int, typer.Option("--workers", min=1, max=64, help="Worker processes on the port.")] = 1,
    output_folder: Annotated[
        Path | None,
        typer.Option("--output-folder", help="Where settlement files go; COBRAND_OUTPUT_FOLDER where left out."),
    ] = None,
    clock: Annotated[
        datetime | None,
        typer.Option(
            "--clock",
            formats=["%Y-%m-%dT%H:%M:%S%z"],
            metavar="YYYY-MM-DDThh:mm:ssZ",
            help="Let the clock start at this instant, for demonstrations and tests.",
        ),
    ] = None,
    number: Annotated[int, typer.Option("--number", hidden=True, min=0)] = 0,
    supervisor: Annotated[int, typer.Option("--supervisor", hidden=True, min=0)] = 0,
    as_json: JsonOption = False,
) -> None:
    """Serve until ended with Ctrl-C or SIGTERM; what was taken is answered first.

    It reads COBRAND_DATABASE_URL and COBRAND_TOKEN_KEYS.
    """
    from processor.cli.serving import serve_until_ended  # noqa: PLC0415 - loaded when called, as said above.

    serve_until_ended(
        host=host,
        port=port,
        workers=workers,
        output_folder=output_folder,
        clock=clock,
        number=number,
        supervisor=supervisor,
        as_json=as_json,
    )


def upgrade(
    service_role: Annotated[
        str,
        typer.Option(
            "--service-role",
            help="The role that runs the service; the one of COBRAND_DATABASE_URL where left out.",
        ),
    ] = "",
    buckets: Annotated[
        int, typer.Option("--buckets", min=1, max=32767, help="Buckets of a new installation; fixed for its life.")
    ] = 256,
    as_json: JsonOption = False,
) -> None:
    """Bring the schema of COBRAND_OWNER_DATABASE_URL up to date; run it at each new version and once a quarter."""
    from processor.cli.database import upgrade_schema  # noqa: PLC0415 - loaded when called, as said above.

    upgrade_schema(service_role=service_role, buckets=buckets, as_json=as_json)


def verify(
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=1000, help="Name at most this many differences of each check.")
    ] = 20,
    as_json: JsonOption = False,
) -> None:
    """Calculate every figure of the books again from its rows, in COBRAND_DATABASE_URL; ends with 1 if one differs."""
    from processor.cli.book_proof import prove_books  # noqa: PLC0415 - loaded when called, as said above.

    prove_books(limit=limit, as_json=as_json)


def demo(
    messages: Annotated[
        int, typer.Option("--messages", min=1000, max=1_000_000, help="Stream at least so many card messages.")
    ] = 5000,
    seed: Annotated[int, typer.Option("--seed", help="Another seed tells other stories of the same cards.")] = 7,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Where files and logs go; var/demo/TIME where left out.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the whole job once on a fresh database and prove the books; ends with 0 only if they are sound."""
    from processor.cli.demo import run_demo  # noqa: PLC0415 - loaded when called, as said above.

    run_demo(messages=messages, seed=seed, folder=folder, as_json=as_json)
