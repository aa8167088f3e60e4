"""The list of messages that wait to be decided, read for a replay."""

from collections.abc import Sequence
from typing import Any, Final

from processor.store.card_side import Key, day_range, on_one_bucket
from processor.store.copy_text import binary_array, integer_array

# The oldest of all that waits, with the stored fields.
LOAD_OLDEST: Final = """
SELECT p.bucket, p.account, m.fields::text FROM parked p
JOIN message m ON m.bucket = p.bucket AND m.id = p.message_id
WHERE (p.parked_at, p.bucket, p.message_id) > (%(at)s, %(bucket)s, %(id)s)
ORDER BY p.parked_at, p.bucket, p.message_id LIMIT %(limit)s
"""

# Those of the given messages that still wait, with their stored fields.
LOAD_NAMED: Final = """
SELECT t.bucket, t.account, m.fields::text
FROM unnest(%(buckets)s::smallint[], %(ids)s::bytea[]) AS k (bucket, message_id)
JOIN parked t ON t.bucket = k.bucket AND t.message_id = k.message_id
JOIN message m ON m.bucket = t.bucket AND m.id = t.message_id
WHERE m.id >= %(low)s AND m.id < %(high)s{bucket}{message_bucket}
ORDER BY t.parked_at, t.bucket, t.message_id
"""


def load_oldest(cursor: Any, limit: int) -> list[tuple[Key, str]]:
    """Return the account and the stored fields of the messages that have waited longest."""
    cursor.execute(LOAD_OLDEST, {"at": "-infinity", "bucket": -1, "id": b"", "limit": limit})
    return [((bucket, bytes(account)), fields) for bucket, account, fields in cursor.fetchall()]


def load_named(cursor: Any, keys: Sequence[Key]) -> list[tuple[Key, str]]:
    """Return the account and the stored fields of those messages that still wait, oldest first."""
    low, high = day_range([id_ for _, id_ in keys])
    values = {
        "buckets": integer_array(bucket for bucket, _ in keys),
        "ids": binary_array(id_ for _, id_ in keys),
        "low": low,
        "high": high,
    }
    cursor.execute(on_one_bucket(LOAD_NAMED, {bucket for bucket, _ in keys}), values)
    return [((bucket, bytes(account)), fields) for bucket, account, fields in cursor.fetchall()]
