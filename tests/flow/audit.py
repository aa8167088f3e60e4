"""What an auditor reads after a test: the books proved from their rows, balances, and plain counts."""

from typing import Any

from sqlalchemy import text

from processor.core.outcome import Outcome, Reason
from processor.core.programme import Programme
from processor.flow.submission import Answer
from processor.store.verification import snapshot
from settlement.verification import Difference, verify
from tests.conftest import Database
from tests.flow.conftest import Pipeline


def assert_books_agree(pipeline: Pipeline) -> None:
    """Prove every stated figure from the rows below it."""

    def revision_of(programme: str, revision: int) -> Programme:
        return pipeline.snapshots.current.revision(programme, revision)

    with pipeline.database.owner.connect() as connection:
        pipeline.snapshots.refresh(connection)
    with snapshot(pipeline.database.owner) as connection:
        found: list[Difference] = []
        for checked in verify(connection, revision_of=revision_of):
            found.extend(checked.differences)
    assert [] == found


def rows(database: Database, sql: str, **values: Any) -> list[tuple[Any, ...]]:
    """Return what a statement finds."""
    with database.owner.connect() as connection:
        return [tuple(row) for row in connection.execute(text(sql), values)]


def count(database: Database, table: str, where: str = "true") -> int:
    """Return how many rows a table has."""
    return int(rows(database, f"SELECT count(*) FROM {table} WHERE {where}")[0][0])


def balances(database: Database) -> dict[bytes, tuple[int, int]]:
    """Return pending and available miles of every account that holds or owes any."""
    found = rows(database, "SELECT id, pending, available FROM account WHERE pending <> 0 OR available <> 0")
    return {bytes(account): (pending, available) for account, pending, available in found}


def totals(database: Database) -> tuple[int, int]:
    """Return pending and available miles of all accounts together."""
    pending, available = rows(database, "SELECT sum(pending), sum(available) FROM account")[0]
    return int(pending or 0), int(available or 0)


def said(answers: list[Answer]) -> list[tuple[Outcome, Reason]]:
    """Return the outcomes and reasons of answers, in order."""
    return [(answer.outcome, answer.reason) for answer in answers]
