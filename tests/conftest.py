"""Fixtures shared by all tests: a real PostgreSQL, embedded, and a migrated database for each test that asks for one.

Every test process starts a server of its own, so that parallel runs do not meet.
"""

import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import pytest
from hypothesis import settings
from sqlalchemy import Engine

from processor.flow import programmes, snapshot
from processor.log import configure_logging
from processor.store.embedded import SERVICE_ROLE, EmbeddedDatabase, create_database, drop_database, start_server
from processor.store.engine import connect
from processor.store.schema import upgrade
from tests.compiled_once import compiled_once
from tests.data_folder import data_folder

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")  # Where other work runs beside them, an example's time says nothing about the code.

TODAY = date(2026, 11, 20)
"""The day the tests live in; partitions lie around it."""
SETTINGS = (
    "fsync = off",
    "full_page_writes = off",
    "synchronous_commit = off",
    "max_wal_size = '256MB'",
    "max_connections = 60",
)
"""No test ends the server, so that nothing need outlive it; those that end the service's processes do not see these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A migrated database: an engine for the schema owner, one for the service role, and their URLs."""

    owner: Engine
    service: Engine
    urls: EmbeddedDatabase


@pytest.fixture(scope="session", autouse=True)
def logging_as_served() -> None:
    """Log as a server does: one line a message, and never a frame's locals."""
    configure_logging()


@pytest.fixture(scope="session", autouse=True)
def documents_compiled_once() -> Iterator[None]:
    """Compile a document that many tests apply for the first of them alone."""
    compiled = compiled_once()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(programmes, "parse_programme", compiled)
        patched.setattr(snapshot, "parse_programme", compiled)
        yield


@pytest.fixture(scope="session")
def administrator_url() -> Iterator[str]:
    """Start a PostgreSQL server for this test process and return its administrator's URL."""
    folder = data_folder()
    yield start_server(folder, settings=SETTINGS)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def template_database(administrator_url: str) -> str:
    """Migrate one database that every test's database is copied from."""
    urls = create_database(administrator_url, "template_migrated")
    owner = connect(urls.owner_url)
    upgrade(owner, service_role=SERVICE_ROLE, today=TODAY)
    owner.dispose()
    return "template_migrated"


@pytest.fixture
def database(administrator_url: str, template_database: str) -> Iterator[Database]:
    """Give a test a migrated, empty database of its own."""
    name = f"test_{secrets.token_hex(6)}"
    urls = create_database(administrator_url, name, template=template_database)
    owner, service = connect(urls.owner_url), connect(urls.service_url)
    yield Database(owner=owner, service=service, urls=urls)
    owner.dispose()
    service.dispose()
    drop_database(administrator_url, name)
