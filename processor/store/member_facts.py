"""The statements on what is known of members: recorded once, read under the account's lock, never changed.

Birthdays stand in a table of their own, so that they can be kept from others, and erased, without touching the facts.
Nothing here commits.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from psycopg2.extras import execute_values

from processor.core.person import Fact, FactKind
from processor.store.card_side import Key, on_one_bucket
from processor.store.copy_text import binary_array, integer_array

# Read the facts of accounts that rules ask for; their account's lock covers them.
LOAD_FACTS: Final = """
SELECT t.bucket, t.account, t.number, t.kind, coalesce(b.month_day, t.value), t.holds, t.valid_from, t.valid_until
FROM unnest(%(buckets)s::smallint[], %(ids)s::bytea[]) AS k (bucket, account)
JOIN member_fact t ON t.bucket = k.bucket AND t.account = k.account
LEFT JOIN member_birthday b ON b.bucket = t.bucket AND b.account = t.account AND b.number = t.number
WHERE (t.kind = ANY (%(kinds)s::text[]) OR t.value = ANY (%(values)s::text[])){bucket}
ORDER BY t.number
"""

# Read all that is known of one account's member, a page at a time in the order of recording.
LIST_FACTS: Final = """
SELECT t.number, t.kind, coalesce(b.month_day, t.value), t.holds, t.valid_from, t.valid_until, t.recorded_at, t.audit_id
FROM member_fact t
LEFT JOIN member_birthday b ON b.bucket = t.bucket AND b.account = t.account AND b.number = t.number
WHERE t.account = %(account)s AND t.number > %(after)s{bucket}
ORDER BY t.number LIMIT %(limit)s
"""

# Record facts; a birthday's value stands elsewhere.
KEEP_FACTS: Final = """
INSERT INTO member_fact (bucket, account, number, kind, value, holds, valid_from, valid_until, recorded_at, audit_id)
VALUES %s
"""

# Record birthdays, without their year.
KEEP_BIRTHDAYS: Final = "INSERT INTO member_birthday (bucket, account, number, month_day) VALUES %s"

# Find the number of the last fact of accounts.
LAST_NUMBERS: Final = """
SELECT t.bucket, t.account, max(t.number)
FROM unnest(%(buckets)s::smallint[], %(ids)s::bytea[]) AS k (bucket, account)
JOIN member_fact t ON t.bucket = k.bucket AND t.account = k.account
WHERE true{bucket}
GROUP BY t.bucket, t.account
"""

MOST_FACTS: Final = 10_000
"""Facts of one member; no more are taken."""
MOST_READ: Final = 10 * MOST_FACTS
"""Facts of one member that are read at once: accounts that were joined bring theirs along."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactRow:
    """A fact as it was recorded, when, and by which audited request; a computed tier by which message."""

    fact: Fact
    recorded_at: datetime
    audit_id: bytes


def load_facts(
    cursor: Any, accounts: Sequence[Key], kinds: Collection[FactKind], values: Collection[str]
) -> dict[Key, tuple[Fact, ...]]:
    """Return the facts of accounts that are of some kinds, or about segments and rules that are named."""
    statement = on_one_bucket(LOAD_FACTS, {bucket for bucket, _ in accounts})
    cursor.execute(
        statement,
        {
            **_keyed(accounts),
            "kinds": [kind.value for kind in kinds],
            "values": list(values),
        },
    )
    found: dict[Key, list[Fact]] = {}
    for bucket, account, *stated in cursor.fetchall():
        found.setdefault((bucket, bytes(account)), []).append(_fact(*stated))
    return {key: tuple(facts) for key, facts in found.items()}


def list_facts(cursor: Any, key: Key, *, after: int = 0, limit: int = MOST_READ) -> list[FactRow]:
    """Return what is known of one account's member behind a number, in the order of recording."""
    values = {"account": key[1], "after": after, "limit": limit}
    cursor.execute(on_one_bucket(LIST_FACTS, {key[0]}), values)
    return [
        FactRow(fact=_fact(*stated), recorded_at=recorded_at, audit_id=bytes(audit_id))
        for *stated, recorded_at, audit_id in cursor.fetchall()
    ]


def keep_facts(cursor: Any, key: Key, rows: Sequence[FactRow]) -> None:
    """Record facts of one account's member; their numbers are new."""
    if not rows:
        return
    execute_values(cursor, KEEP_FACTS, [_row(key, row) for row in rows], page_size=len(rows))
    birthdays = [
        (*key, row.fact.number, row.fact.value)
        for row in rows
        if row.fact.kind is FactKind.BIRTHDAY and row.fact.holds and row.fact.value
    ]
    if birthdays:
        execute_values(cursor, KEEP_BIRTHDAYS, birthdays, page_size=len(birthdays))


def keep_reached(cursor: Any, added: Sequence[tuple[Key, Fact, bytes]], recorded_at: datetime) -> None:
    """Record the facts that decisions add, each with the message that caused it, numbered on in their order."""
    if not added:
        return
    accounts = sorted({key for key, _, _ in added})
    cursor.execute(on_one_bucket(LAST_NUMBERS, {bucket for bucket, _ in accounts}), _keyed(accounts))
    last = {(bucket, bytes(account)): number for bucket, account, number in cursor.fetchall()}
    rows = []
    for key, fact, cause in added:
        last[key] = last.get(key, 0) + 1
        numbered = fact._replace(number=last[key])
        rows.append(_row(key, FactRow(fact=numbered, recorded_at=recorded_at, audit_id=cause)))
    execute_values(cursor, KEEP_FACTS, rows, page_size=len(rows))


def _keyed(accounts: Sequence[Key]) -> dict[str, Any]:
    return {
        "buckets": integer_array(bucket for bucket, _ in accounts),
        "ids": binary_array(account for _, account in accounts),
    }


def _fact(number: int, kind: str, value: str, holds: bool, valid_from: datetime, valid_until: datetime | None) -> Fact:
    return Fact(
        number=number,
        kind=FactKind(kind),
        value=value,
        since=int(valid_from.timestamp()),
        until=None if valid_until is None else int(valid_until.timestamp()),
        holds=holds,
    )


def _row(key: Key, row: FactRow) -> tuple[Any, ...]:
    fact = row.fact
    return (
        *key,
        fact.number,
        fact.kind.value,
        "" if fact.kind is FactKind.BIRTHDAY else fact.value,
        fact.holds,
        datetime.fromtimestamp(fact.since, UTC),
        None if fact.until is None else datetime.fromtimestamp(fact.until, UTC),
        row.recorded_at,
        row.audit_id,
    )
