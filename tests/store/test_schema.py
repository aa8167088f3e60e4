"""The schema: migrations, partitions and the service role's grants."""

import threading
from datetime import date

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from processor.store.embedded import SERVICE_ROLE
from processor.store.schema import SchemaError, check_service_role, dated_tables, id_of_day, months_around, upgrade
from processor.store.tables import metadata
from tests.conftest import TODAY, Database


def test_migrations_give_the_tables(database: Database) -> None:
    """Replaying every migration gives exactly the tables that ``tables.py`` describes."""
    with database.owner.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"include_object": _not_a_partition},
        )
        assert compare_metadata(context, metadata) == []


def _not_a_partition(_thing: object, name: str | None, kind: str, *_others: object) -> bool:
    return not _is_partition(name, kind)


def _is_partition(name: str | None, kind: str) -> bool:
    prefixes = tuple(f"{table.name}_2" for table in dated_tables()) + tuple(
        f"{table.name}_default" for table in dated_tables()
    )
    return kind == "table" and (name or "").startswith((*prefixes, "alembic_version"))


def test_upgrading_again_changes_nothing(database: Database) -> None:
    """A second upgrade on the same day is harmless."""
    upgrade(database.owner, service_role=SERVICE_ROLE, today=TODAY)
    with database.owner.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM installation")).scalar_one() == 1


def test_a_later_upgrade_makes_months_ahead(database: Database) -> None:
    """An upgrade a quarter later adds that quarter's partitions."""
    upgrade(database.owner, service_role=SERVICE_ROLE, today=date(2027, 2, 1))
    with database.owner.connect() as connection:
        assert connection.execute(text("SELECT 'posting_2027_05'::regclass::text")).scalar_one() == "posting_2027_05"


def test_months_span_the_repeat_window() -> None:
    """Partitions reach back further than the 300 days in which a message is decided."""
    months = list(months_around(date(2026, 1, 31)))
    assert (date(2025, 2, 1), date(2025, 3, 1)) == months[0]
    assert (date(2026, 4, 1), date(2026, 5, 1)) == months[-1]


@pytest.mark.parametrize("statement", ["UPDATE posting SET amount = 1", "DELETE FROM message", "TRUNCATE award"])
def test_the_service_cannot_change_facts(database: Database, statement: str) -> None:
    """The database refuses the service role a change of an append-only table."""
    with database.service.connect() as connection, pytest.raises(ProgrammingError, match="permission denied"):
        connection.execute(text(statement))


def test_serving_as_owner_is_refused(database: Database) -> None:
    """The service does not start under a role that could update a posting."""
    with database.owner.connect() as connection, pytest.raises(SchemaError, match="append-only"):
        check_service_role(connection)
    with database.service.connect() as connection:
        check_service_role(connection)


def test_a_month_made_late_takes_its_rows_from_the_default_partition(database: Database) -> None:
    """Rows of a month that was not made ahead move to it, and a look-up of that month opens it alone."""
    late = id_of_day(date(2027, 9, 15)) + bytes(13)
    with database.service.begin() as connection:
        connection.execute(
            text("INSERT INTO message VALUES (1, :id, :id, 'alpha', 'iso87-ascii', :id, '{}', '2027-09-15')"),
            {"id": late},
        )
    upgrade(database.owner, service_role=SERVICE_ROLE, today=date(2027, 8, 1))
    with database.owner.connect() as connection:
        place = connection.execute(text("SELECT tableoid::regclass::text FROM message")).scalar_one()
        context = MigrationContext.configure(connection, opts={"include_object": _not_a_partition})
        assert "message_2027_09" == place
        assert [] == compare_metadata(context, metadata)


def test_upgrading_waits_for_batches_instead_of_deadlocking(database: Database) -> None:
    """An upgrade takes the lock that every batch takes first, so that the two wait for each other in one order."""
    done = threading.Event()

    def upgrade_later() -> None:
        upgrade(database.owner, service_role=SERVICE_ROLE, today=date(2027, 2, 1))
        done.set()

    with database.service.begin() as batch:
        batch.execute(text("SELECT * FROM account FOR UPDATE"))
        thread = threading.Thread(target=upgrade_later)
        thread.start()
        assert not done.wait(1.5)
        for table in dated_tables():
            batch.execute(text(f"SELECT count(*) FROM {table.name}"))
    thread.join(60)
    assert done.is_set()
