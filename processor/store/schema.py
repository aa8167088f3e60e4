"""The schema's life: migrations, monthly partitions, the service role's grants, and the check that they hold.

Run by the owner role through ``cobrand db upgrade``, never by the service.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from importlib import resources

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, Table, text

from processor.store.tables import Access, metadata

MONTHS_BEHIND = 11
"""A message over 300 days old is parked without a decision, so repeats resolve to these months."""
MONTHS_AHEAD = 3
DEFAULT_BUCKET_COUNT = 256


class SchemaError(RuntimeError):
    """The database is not as this version needs it; the text says what to run."""


def upgrade(
    owner: Engine, *, service_role: str, bucket_count: int = DEFAULT_BUCKET_COUNT, today: date | None = None
) -> None:
    """Bring the schema to this version's, make partitions around ``today``, and grant the service role what it may do.

    Running it again changes nothing; run it at least once a quarter, so that months are made ahead.
    ``bucket_count`` counts at the first run only: it is fixed for an installation's life.
    """
    today = today or datetime.now(UTC).date()
    with owner.begin() as connection:
        config = _alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.execute(
            text("INSERT INTO installation VALUES (1, :buckets, :now) ON CONFLICT DO NOTHING"),
            {"buckets": bucket_count, "now": datetime.now(UTC)},
        )
        connection.execute(text("INSERT INTO reference_version VALUES (1, 0) ON CONFLICT DO NOTHING"))
        make_partitions(connection, today)
        grant(connection, service_role)


def _alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(resources.files("processor.store") / "migrations"))
    return config


def id_of_day(day: date) -> bytes:
    """Return the first three bytes of every id of a day: its proleptic Gregorian ordinal, big endian."""
    return day.toordinal().to_bytes(3, "big")


def months_around(today: date) -> Iterator[tuple[date, date]]:
    """Yield the first day of each month kept ready around a day, and of the month after it."""
    index = today.year * 12 + today.month - 1
    for month in range(index - MONTHS_BEHIND, index + MONTHS_AHEAD + 1):
        yield date(month // 12, month % 12 + 1, 1), date((month + 1) // 12, (month + 1) % 12 + 1, 1)


def dated_tables() -> list[Table]:
    """Return the tables that are partitioned by month."""
    return [table for table in metadata.sorted_tables if table.info["dated"]]


def make_partitions(connection: Connection, today: date) -> None:
    """Create the missing monthly partitions around a day, and a default one for every dated table.

    Rows that the default one holds of a month, because the month was not made ahead, move to it.
    Batches wait meanwhile: each locks its accounts before it touches another table, so that lock comes first here too.
    """
    existing = set(connection.execute(text("SELECT relname FROM pg_class WHERE relispartition")).scalars())
    connection.execute(text("LOCK TABLE account IN EXCLUSIVE MODE"))
    for table in dated_tables():
        if f"{table.name}_default" not in existing:
            connection.execute(text(f"CREATE TABLE {table.name}_default PARTITION OF {table.name} DEFAULT"))
        for first, following in months_around(today):
            name = f"{table.name}_{first:%Y_%m}"
            if name not in existing:
                _make_month(connection, table, name, id_of_day(first), id_of_day(following))


def _make_month(connection: Connection, table: Table, name: str, low: bytes, high: bytes) -> None:
    """Make one month's partition beside the table, move its rows out of the default one, and attach it."""
    storage = " WITH (fillfactor = 80)" if table.info["access"] is Access.UPDATE else ""
    bounds = f"'\\x{low.hex()}'", f"'\\x{high.hex()}'"
    connection.exec_driver_sql(
        f"CREATE TABLE {name} (LIKE {table.name} INCLUDING DEFAULTS INCLUDING CONSTRAINTS){storage}"
    )
    connection.exec_driver_sql(
        f"WITH moved AS (DELETE FROM {table.name}_default WHERE {table.info['dated']} >= {bounds[0]}"  # noqa: S608
        f" AND {table.info['dated']} < {bounds[1]} RETURNING *) INSERT INTO {name} SELECT * FROM moved"
    )
    connection.exec_driver_sql(
        f"ALTER TABLE {table.name} ATTACH PARTITION {name} FOR VALUES FROM ({bounds[0]}) TO ({bounds[1]})"
    )


def grant(connection: Connection, service_role: str) -> None:
    """Give the service role exactly what each table's access says."""
    for table in metadata.sorted_tables:
        access: Access = table.info["access"]
        connection.execute(text(f'REVOKE ALL ON {table.name} FROM "{service_role}"'))
        connection.execute(text(f'GRANT {access.value} ON {table.name} TO "{service_role}"'))


def check_service_role(connection: Connection) -> None:
    """Raise :class:`SchemaError` unless this connection's role can append facts but not change or delete them."""
    missing = connection.execute(text("SELECT to_regclass('posting') IS NULL")).scalar_one()
    if missing:
        raise SchemaError("the database has no schema yet; run cobrand db upgrade as the owner role")
    for table in metadata.sorted_tables:
        if table.info["access"] is not Access.APPEND:
            continue
        may_change = connection.execute(
            text("SELECT has_table_privilege(:table, 'UPDATE') OR has_table_privilege(:table, 'DELETE')"),
            {"table": table.name},
        ).scalar_one()
        if may_change:
            raise SchemaError(
                f"this database role may change {table.name}, which is append-only; "
                f"run the service under the role that cobrand db upgrade grants, not under the owner"
            )
