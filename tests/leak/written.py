"""What the processor writes: its tables, and the log of the server that keeps them."""

from pathlib import Path

from sqlalchemy import text

from processor.store.tables import metadata
from tests.conftest import Database


def dump(database: Database) -> dict[str, bytes]:
    """Return every row of every table as text; byte strings appear in hexadecimal, which the search reads too."""
    with database.owner.connect() as connection:
        return {
            f"table {table.name}": "\n".join(
                connection.execute(text(f"SELECT t::text FROM {table.name} t")).scalars()
            ).encode()
            for table in metadata.sorted_tables
        }


def server_log(administrator_url: str) -> bytes:
    """Return what PostgreSQL itself logged: it names the statements that fail, with their values."""
    folder = administrator_url.split("host=")[1].replace("%2F", "/")
    return (Path(folder) / "log").read_bytes()
