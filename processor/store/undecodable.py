"""Where bytes failed to decode: place, length and a keyed digest; never the bytes."""

from collections.abc import Sequence
from typing import Any, Final

from psycopg2.extras import execute_values

# Keep each failure once: the same bytes from the same place have the same id.
KEEP_UNDECODABLE: Final = """
INSERT INTO undecodable (id, bank, dialect, source, length_bytes, field, position, problem, digest, key_id, received_at)
VALUES %s ON CONFLICT (id) DO NOTHING
"""


def keep_undecodable(cursor: Any, rows: Sequence[tuple[Any, ...]]) -> None:
    """Keep failures; the values stand in the statement's order."""
    if rows:
        execute_values(cursor, KEEP_UNDECODABLE, rows, page_size=len(rows))
