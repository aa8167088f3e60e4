"""The statements on households: the row that a batch locks behind its accounts, and the counters that it covers.

A household is few accounts, which lie in different buckets: its row and counters lie in the bucket of its own id.
Nothing here commits.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final

import orjson
from psycopg2.extras import execute_values

from processor.core.cap import CounterKey
from processor.store.card_side import Key, on_one_bucket
from processor.store.copy_text import binary_array, integer_array

# Lock households in the order of their keys.
LOCK_HOUSEHOLDS: Final = """
SELECT t.bucket, t.id, t.reservations::text
FROM unnest(%(buckets)s::smallint[], %(ids)s::bytea[]) AS k (bucket, id)
JOIN household t ON t.bucket = k.bucket AND t.id = k.id
WHERE true{bucket}
ORDER BY t.bucket, t.id
FOR UPDATE OF t
"""

# Give households that nothing was counted for yet a row.
OPEN_HOUSEHOLDS: Final = """
INSERT INTO household (bucket, id, programme, name, updated_at) VALUES %s
ON CONFLICT (bucket, id) DO NOTHING
"""

# Read the counters of households in the periods that a batch can touch; their lock covers them.
LOAD_HOUSEHOLD_COUNTERS: Final = """
SELECT t.bucket, t.household, t.cap, t.period, t.used
FROM unnest(%(buckets)s::smallint[], %(ids)s::bytea[]) AS k (bucket, household)
JOIN household_counter t ON t.bucket = k.bucket AND t.household = k.household
WHERE t.period = ANY (%(periods)s){bucket}
"""

# Set counters of households that are locked to what they now are.
SET_HOUSEHOLD_COUNTERS: Final = """
INSERT INTO household_counter (bucket, household, cap, period, used) VALUES %s
ON CONFLICT (bucket, household, cap, period) DO UPDATE SET used = EXCLUDED.used
"""

# Set what open quotes hold of households that are locked.
UPDATE_HOUSEHOLDS: Final = """
UPDATE household t SET reservations = k.reservations::json, updated_at = %(now)s
FROM unnest(%(buckets)s::smallint[], %(ids)s::bytea[], %(reservations)s::text[]) AS k (bucket, id, reservations)
WHERE t.bucket = k.bucket AND t.id = k.id{bucket}
"""

# List what one household has used, by cap and period.
LIST_HOUSEHOLD_COUNTERS: Final = """
SELECT t.cap, t.period, t.used
FROM household_counter t
WHERE t.household = %(id)s AND t.used <> 0{bucket} ORDER BY t.cap, t.period LIMIT %(limit)s
"""


@dataclass(slots=True, kw_only=True)
class HouseholdRow:
    """A household as the lock found it; decisions bring its counters and reservations up to date.

    ``reservations`` lists ``[purchase id in hex, counter, period, units, expiry in seconds since 1970]`` of open
    quotes; ``counters`` holds those of the periods that were asked for, ``changed`` the keys of those that changed.
    """

    bucket: int
    id: bytes
    reservations: list[list[Any]] = field(default_factory=list)
    counters: dict[CounterKey, int] = field(default_factory=dict)
    changed: set[CounterKey] = field(default_factory=set)
    reserved_anew: bool = False


def household_id(programme: str, name: str) -> bytes:
    """Return the id of a programme's household."""
    return blake2b(f"{programme}\0{name}".encode(), digest_size=16, person=b"cobrand-househld").digest()


def lock_households(cursor: Any, named: Mapping[Key, tuple[str, str]], now: datetime) -> dict[Key, HouseholdRow]:
    """Lock households, which have a row from here on; ``named`` gives the programme and name of each key."""
    found = _locked(cursor, named)
    missing = sorted(named.keys() - found.keys())
    if missing:
        rows = [(*key, *named[key], now) for key in missing]
        execute_values(cursor, OPEN_HOUSEHOLDS, rows, page_size=len(rows))
        found |= _locked(cursor, missing)
    return found


def _locked(cursor: Any, keys: Collection[Key]) -> dict[Key, HouseholdRow]:
    _run(cursor, LOCK_HOUSEHOLDS, keys, {})
    return {
        (bucket, bytes(identity)): HouseholdRow(
            bucket=bucket, id=bytes(identity), reservations=orjson.loads(held) if held else []
        )
        for bucket, identity, held in cursor.fetchall()
    }


def load_household_counters(cursor: Any, rows: Mapping[Key, HouseholdRow], periods: Collection[str]) -> None:
    """Read the counters of locked households, in some periods, into their rows."""
    _run(cursor, LOAD_HOUSEHOLD_COUNTERS, rows, {"periods": list(periods)})
    for bucket, identity, cap, period, used in cursor.fetchall():
        rows[bucket, bytes(identity)].counters[cap, period] = used


def write_households(cursor: Any, rows: Iterable[HouseholdRow], now: datetime) -> None:
    """Write what has changed of locked households."""
    known = list(rows)
    counters = [(row.bucket, row.id, *key, row.counters[key]) for row in known for key in sorted(row.changed)]
    if counters:
        execute_values(cursor, SET_HOUSEHOLD_COUNTERS, counters, page_size=len(counters))
    reserved = [row for row in known if row.reserved_anew]
    if reserved:
        values = {
            "reservations": [orjson.dumps(row.reservations).decode() if row.reservations else None for row in reserved],
            "now": now,
        }
        _run(cursor, UPDATE_HOUSEHOLDS, [(row.bucket, row.id) for row in reserved], values)


def list_household_counters(cursor: Any, key: Key, *, limit: int) -> Sequence[tuple[str, str, int]]:
    """Return what one household has used: the counter, the period, and how much."""
    cursor.execute(on_one_bucket(LIST_HOUSEHOLD_COUNTERS, {key[0]}), {"id": key[1], "limit": limit})
    return [(cap, period, used) for cap, period, used in cursor.fetchall()]


def _run(cursor: Any, statement: str, keys: Collection[Key], values: Mapping[str, Any]) -> None:
    keyed = {
        "buckets": integer_array(bucket for bucket, _ in keys),
        "ids": binary_array(identity for _, identity in keys),
    }
    cursor.execute(on_one_bucket(statement, {bucket for bucket, _ in keys}), {**keyed, **values})
