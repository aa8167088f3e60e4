"""``cobrand serve``, ``db upgrade`` and ``verify``: run the processor, and prove its books.

These verbs work beside the database; the rest of the command talks to a server.
"""

from typing import Annotated

import typer
from sqlalchemy import make_url

from processor.cli.database import open_database, settings
from processor.cli.options import JsonOption
from processor.cli.output import say, show_json
from processor.store.embedded import SERVICE_ROLE
from processor.store.schema import DEFAULT_BUCKET_COUNT, upgrade


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this file to the command."""
    database = typer.Typer(help="Migrate the database.", no_args_is_help=True)
    database.command("upgrade", epilog="Example: cobrand db upgrade --service-role cobrand_service")(upgrade_database)
    app.add_typer(database, name="db")


def upgrade_database(
    service_role: Annotated[
        str,
        typer.Option(
            "--service-role",
            help="The role that runs the service; the one of COBRAND_DATABASE_URL where left out.",
        ),
    ] = "",
    buckets: Annotated[
        int, typer.Option("--buckets", min=1, max=32767, help="Buckets of a new installation; fixed for its life.")
    ] = DEFAULT_BUCKET_COUNT,
    as_json: JsonOption = False,
) -> None:
    """Bring the schema of COBRAND_OWNER_DATABASE_URL up to date; run it at each new version and once a quarter."""
    configured = settings()
    role = service_role or _role_of(configured.database_url)
    with open_database(configured.owner_database_url, "COBRAND_OWNER_DATABASE_URL") as owner:
        upgrade(owner, service_role=role, bucket_count=buckets)
    if as_json:
        show_json({"upgraded": True, "service_role": role})
    else:
        say(f"The schema is up to date, and {role} may run the service.")


def _role_of(url: str | None) -> str:
    return (make_url(url).username if url else None) or SERVICE_ROLE
