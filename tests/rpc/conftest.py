"""A worker for raw TCP links: the example programme on a database of the module, deciding, or not yet."""

import secrets
from collections.abc import Iterator

import pytest

from processor.store.embedded import create_database, drop_database
from processor.store.engine import connect
from tests.conftest import Database
from tests.flow.conftest import Pipeline, apply_skyways, make_pipeline


@pytest.fixture(scope="module")
def applied(administrator_url: str, template_database: str) -> Iterator[Database]:
    """Give the module a database with the example programme applied."""
    name = f"tcp_{secrets.token_hex(6)}"
    urls = create_database(administrator_url, name, template=template_database)
    made = Database(owner=connect(urls.owner_url), service=connect(urls.service_url), urls=urls)
    apply_skyways(made)
    yield made
    made.owner.dispose()
    made.service.dispose()
    drop_database(administrator_url, name)


@pytest.fixture
def held(applied: Database) -> Iterator[Pipeline]:
    """Give a worker that queues and decides nothing until the test starts it."""
    pipeline = make_pipeline(applied)
    yield pipeline
    if pipeline.worker._thread.ident is not None:
        pipeline.worker.stop()


@pytest.fixture
def live(held: Pipeline) -> Pipeline:
    """Give a running worker."""
    held.worker.start()
    return held
