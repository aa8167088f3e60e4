"""The way to a database for the verbs that need one themselves, and its errors as sentences."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from processor.cli.failure import CommandError, UnavailableError, sentence
from processor.cli.output import say, show_json
from processor.config import ConfigurationError, Settings, settings_from
from processor.store.embedded import SERVICE_ROLE
from processor.store.engine import connect
from processor.store.schema import SchemaError, upgrade


@contextmanager
def open_database(url: str | None, variable: str) -> Iterator[Engine]:
    """Open the database whose URL an environment variable holds, for the length of a block."""
    if not url:
        raise CommandError(f"{variable} is not set; set it to postgresql://ROLE@HOST/DATABASE.")
    try:
        engine = connect(url)
    except (ArgumentError, ValueError):
        raise CommandError(f"{variable} is no database URL; set it to postgresql://ROLE@HOST/DATABASE.") from None
    try:
        yield engine
    except SchemaError as error:
        raise CommandError(sentence(str(error))) from None
    except OperationalError as error:
        raise UnavailableError(f"The database in {variable} does not answer: {_first_line(error)}.") from None
    except DBAPIError as error:
        raise CommandError(f"The database in {variable} refuses this: {_first_line(error)}.") from None
    finally:
        engine.dispose()


def _first_line(error: DBAPIError) -> str:
    """Return what the database said, without the statement and its values."""
    return str(error.orig).partition("\n")[0].rstrip(".")


def settings() -> Settings:
    """Read this process's settings; a wrong one ends the command with the variable's name."""
    try:
        return settings_from()
    except ConfigurationError as error:
        raise CommandError(sentence(str(error))) from None


def role_of(url: str | None) -> str:
    """Return the role that a database URL logs in as, the usual one of the service where it names none."""
    try:
        return (make_url(url).username if url else None) or SERVICE_ROLE
    except ArgumentError:
        raise CommandError("COBRAND_DATABASE_URL is no database URL; write postgresql://ROLE@HOST/DATABASE.") from None


def upgrade_schema(*, service_role: str, buckets: int, as_json: bool) -> None:
    """Bring the schema up to date and say which role may run the service."""
    configured = settings()
    role = service_role or role_of(configured.database_url)
    with open_database(configured.owner_database_url, "COBRAND_OWNER_DATABASE_URL") as owner:
        upgrade(owner, service_role=role, bucket_count=buckets)
    if as_json:
        show_json({"upgraded": True, "service_role": role})
    else:
        say(f"The schema is up to date, and {role} may run the service.")
