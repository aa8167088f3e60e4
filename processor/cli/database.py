"""The way to a database for the verbs that need one themselves, and its errors as sentences."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from processor.cli.failure import CommandError, UnavailableError
from processor.config import ConfigurationError, Settings, settings_from
from processor.store.engine import connect
from processor.store.schema import SchemaError


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


def sentence(text: str) -> str:
    """Return an error's text as a sentence."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _first_line(error: DBAPIError) -> str:
    """Return what the database said, without the statement and its values."""
    return str(error.orig).partition("\n")[0].rstrip(".")


def settings() -> Settings:
    """Read this process's settings; a wrong one ends the command with the variable's name."""
    try:
        return settings_from()
    except ConfigurationError as error:
        raise CommandError(f"{error}.") from None
