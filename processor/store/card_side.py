"""The statements of one micro-batch on the card side: lock, look up, write.

Each statement takes the keys of the whole batch at once and names the bucket of every row.
Where all keys lie in one bucket the statement says so with a literal, and where a table is dated it names the range of
days, so that a sharded or partitioned engine goes to the leaves concerned and no others.
Nothing here commits: ``flow/`` owns the transaction.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

import orjson
from psycopg2.extras import execute_values

from processor.core.kept_purchase import Purchase
from processor.store.copy_text import (
    binary,
    binary_array,
    binary_or_null,
    copy_rows,
    integer_array,
    text,
    text_or_null,
)
from processor.store.purchase_state import decode_purchase, encode_purchase

Key = tuple[int, bytes]
"""A bucket, and the id of something in it."""

LONGEST_WAY: Final = 64
"""How many merges may lie between a purchase and the one that has its events now."""


@dataclass(slots=True, kw_only=True)
class AccountRow:
    """An account as the lock found it; the decision brings the balances and reservations up to date.

    ``reservations`` lists ``[purchase id in hex, cap, period, units, expiry in seconds since 1970]`` of open quotes.
    ``refunds_from`` is the local date of the first refund without a reference that may still count against purchases.
    """

    bucket: int
    id: bytes
    bank: str
    programme: str | None
    product: str | None
    status: str
    provisional: bool
    superseded_by: bytes | None
    pending: int
    available: int
    reservations: list[list[Any]]
    refunds_from: date | None = None
    changed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownMessage:
    """A message that was decided before, with its latest decision; ``detail`` is the stored JSON document."""

    content: bytes
    attempt: int
    outcome: int
    reason: int
    purchase_id: bytes | None
    detail: dict[str, Any]


# Lock the accounts in key order, and learn which reference data is current.
LOCK_ACCOUNTS: Final = """
SELECT t.bucket, t.id, t.bank, t.programme, t.product, t.status, t.provisional, t.superseded_by, t.pending, t.available,
       t.reservations::text, t.refunds_from, (SELECT version FROM reference_version)
FROM unnest(%(buckets)s::smallint[], %(ids)s::bytea[]) AS k (bucket, id)
JOIN account t ON t.bucket = k.bucket AND t.id = k.id
WHERE true{bucket}
ORDER BY t.bucket, t.id
FOR UPDATE OF t
"""

# Find which messages are known, with every decision made on them.
LOAD_KNOWN: Final = """
SELECT t.bucket, t.id, t.content, d.attempt, d.outcome, d.reason, d.purchase_id, d.detail::text
FROM unnest(%(buckets)s::smallint[], %(ids)s::bytea[]) AS k (bucket, id)
JOIN message t ON t.bucket = k.bucket AND t.id = k.id
JOIN decision d ON d.bucket = t.bucket AND d.message_id = t.id
WHERE t.id >= %(low)s AND t.id < %(high)s{bucket}
  AND d.message_id >= %(low)s AND d.message_id < %(high)s{decision_bucket}
ORDER BY d.attempt
"""

# Find the purchases that share a trace.
LOAD_TRACES: Final = """
SELECT t.bucket, t.account, t.trace, t.purchase_id
FROM unnest(%(buckets)s::smallint[], %(ids)s::bytea[], %(traces)s::bytea[]) AS k (bucket, account, trace)
JOIN trace t ON t.bucket = k.bucket AND t.account = k.account AND t.trace = k.trace
WHERE true{bucket}
"""

# Read the purchases a batch adds to; their account's lock covers them.
LOAD_PURCHASES: Final = """
SELECT t.bucket, t.id, t.account, t.state::text
FROM unnest(%(buckets)s::smallint[], %(ids)s::bytea[]) AS k (bucket, id)
JOIN purchase t ON t.bucket = k.bucket AND t.id = k.id
WHERE t.id >= %(low)s AND t.id < %(high)s{bucket}
"""

# Read an account's purchases of some days, where refunds without a reference may count against them.
LOAD_RECENT: Final = """
SELECT t.bucket, t.id, t.account, t.state::text
FROM unnest(%(buckets)s::smallint[], %(ids)s::bytea[]) AS k (bucket, account)
JOIN purchase t ON t.bucket = k.bucket AND t.account = k.account
WHERE t.id >= %(low)s AND t.id < %(high)s{bucket}
"""

# Read the cap counters of the periods a batch can touch; their account's lock covers them.
LOAD_COUNTERS: Final = """
SELECT t.bucket, t.account, t.cap, t.period, t.used
FROM unnest(%(buckets)s::smallint[], %(ids)s::bytea[]) AS k (bucket, account)
JOIN limit_counter t ON t.bucket = k.bucket AND t.account = k.account
WHERE t.period = ANY (%(periods)s){bucket}
"""

# Bring balances and reservations up to date.
UPDATE_ACCOUNTS: Final = """
UPDATE account t
SET pending = k.pending, available = k.available, reservations = k.reservations::json, refunds_from = k.refunds_from,
    updated_at = %(now)s
FROM unnest(%(buckets)s::smallint[], %(ids)s::bytea[], %(pending)s::bigint[], %(available)s::bigint[],
            %(reservations)s::text[], %(refunds_from)s::date[])
     AS k (bucket, id, pending, available, reservations, refunds_from)
WHERE t.bucket = k.bucket AND t.id = k.id{bucket}
"""

# Replace the state of purchases that were there before.
UPDATE_PURCHASES: Final = """
UPDATE purchase t SET state = k.state::json, updated_at = %(now)s
FROM unnest(%(buckets)s::smallint[], %(ids)s::bytea[], %(states)s::text[]) AS k (bucket, id, state)
WHERE t.bucket = k.bucket AND t.id = k.id AND t.id >= %(low)s AND t.id < %(high)s{bucket}
"""

# Point the traces of a purchase that gave its events away to the one that took them.
MOVE_TRACES: Final = """
UPDATE trace t SET purchase_id = k.survivor
FROM unnest(%(buckets)s::smallint[], %(accounts)s::bytea[], %(ids)s::bytea[], %(survivors)s::bytea[])
     AS k (bucket, account, id, survivor)
WHERE t.bucket = k.bucket AND t.account = k.account AND t.purchase_id = k.id{bucket}
"""

# Take decided messages off the list of those that wait.
UNPARK: Final = """
DELETE FROM parked t USING unnest(%(buckets)s::smallint[], %(ids)s::bytea[]) AS k (bucket, message_id)
WHERE t.bucket = k.bucket AND t.message_id = k.message_id{bucket}
"""

# Set cap counters to what they now are.
SET_COUNTERS: Final = """
INSERT INTO limit_counter (bucket, account, cap, period, used) VALUES %s
ON CONFLICT (bucket, account, cap, period) DO UPDATE SET used = EXCLUDED.used
"""

# Keep a message that claims the identity of another, once.
KEEP_CONFLICTS: Final = """
INSERT INTO message_conflict (bucket, message_id, content, account, fields, received_at) VALUES %s
ON CONFLICT (bucket, message_id, content) DO NOTHING
"""


def on_one_bucket(statement: str, buckets: Collection[int]) -> str:
    """Return a statement with the literal bucket of its keys, where they all lie in one."""
    distinct = set(buckets)
    only = next(iter(distinct)) if len(distinct) == 1 else None
    return statement.format(
        bucket="" if only is None else f" AND t.bucket = {only}",
        decision_bucket="" if only is None else f" AND d.bucket = {only}",
        message_bucket="" if only is None else f" AND m.bucket = {only}",
        purchase_bucket="" if only is None else f" AND p.bucket = {only}",
    )


def day_range(ids: Collection[bytes]) -> tuple[bytes, bytes]:
    """Return the bounds of the days that ids lie in, the upper one excluded."""
    low, high = min(ids)[:3], max(ids)[:3]
    return low, (int.from_bytes(high, "big") + 1).to_bytes(3, "big")


def _keyed(keys: Sequence[Key]) -> dict[str, Any]:
    return {
        "buckets": integer_array(bucket for bucket, _ in keys),
        "ids": binary_array(id_ for _, id_ in keys),
    }


def _dated(keys: Sequence[Key]) -> dict[str, Any]:
    low, high = day_range([id_ for _, id_ in keys])
    return {**_keyed(keys), "low": low, "high": high}


def _run(cursor: Any, statement: str, keys: Sequence[tuple[Any, ...]], values: dict[str, Any]) -> None:
    cursor.execute(on_one_bucket(statement, {key[0] for key in keys}), values)


def lock_accounts(cursor: Any, keys: Sequence[Key]) -> tuple[int, dict[Key, AccountRow]]:
    """Lock accounts in key order; return the current reference data version and the rows by key."""
    _run(cursor, LOCK_ACCOUNTS, keys, _keyed(keys))
    rows: dict[Key, AccountRow] = {}
    version = -1
    for row in cursor.fetchall():
        account = AccountRow(
            bucket=row[0],
            id=bytes(row[1]),
            bank=row[2],
            programme=row[3],
            product=row[4],
            status=row[5],
            provisional=row[6],
            superseded_by=None if row[7] is None else bytes(row[7]),
            pending=row[8],
            available=row[9],
            reservations=orjson.loads(row[10]) if row[10] else [],
            refunds_from=row[11],
        )
        rows[account.bucket, account.id] = account
        version = row[12]
    return version, rows


def load_known(cursor: Any, keys: Sequence[Key]) -> dict[Key, KnownMessage]:
    """Return the messages that were taken before, each with its latest decision."""
    _run(cursor, LOAD_KNOWN, keys, _dated(keys))
    return {
        (bucket, bytes(message_id)): KnownMessage(
            content=bytes(content),
            attempt=attempt,
            outcome=outcome,
            reason=reason,
            purchase_id=None if purchase_id is None else bytes(purchase_id),
            detail=orjson.loads(detail),
        )
        for bucket, message_id, content, attempt, outcome, reason, purchase_id, detail in cursor.fetchall()
    }


def load_traces(cursor: Any, keys: Sequence[tuple[int, bytes, bytes]]) -> dict[tuple[int, bytes, bytes], bytes]:
    """Return the purchase each known (bucket, account, trace) leads to."""
    _run(
        cursor,
        LOAD_TRACES,
        keys,
        {
            "buckets": integer_array(key[0] for key in keys),
            "ids": binary_array(key[1] for key in keys),
            "traces": binary_array(key[2] for key in keys),
        },
    )
    return {(row[0], bytes(row[1]), bytes(row[2])): bytes(row[3]) for row in cursor.fetchall()}


def load_purchases(cursor: Any, keys: Sequence[Key]) -> dict[Key, Purchase]:
    """Return purchases by key."""
    if not keys:
        return {}
    _run(cursor, LOAD_PURCHASES, keys, _dated(keys))
    return {(row[0], bytes(row[1])): decode_purchase(bytes(row[1]), row[3]) for row in cursor.fetchall()}


def load_families(cursor: Any, keys: Collection[Key]) -> dict[Key, Purchase]:
    """Return purchases by key, with all that their families lead to: who took them over, their head, its siblings.

    One look-up is enough for nearly every batch; each further one follows one step more.
    """
    found: dict[Key, Purchase] = {}
    asked = {key for key in keys if key[1]}
    step = asked
    for _ in range(LONGEST_WAY):
        if not step:
            break
        loaded = load_purchases(cursor, sorted(step))
        found.update(loaded)
        step = {
            (bucket, other)
            for (bucket, _), purchase in loaded.items()
            for other in (purchase.merged_into, purchase.head, *purchase.siblings)
            if other is not None
        } - asked
        asked |= step
    return found


def load_recent(cursor: Any, accounts: Collection[Key], low: bytes, high: bytes) -> dict[Key, dict[bytes, Purchase]]:
    """Return the purchases of accounts whose ids begin with a day from ``low`` to before ``high``, by account."""
    found: dict[Key, dict[bytes, Purchase]] = {key: {} for key in accounts}
    if accounts:
        _run(cursor, LOAD_RECENT, list(accounts), {**_keyed(list(accounts)), "low": low, "high": high})
        for bucket, purchase_id, account, state in cursor.fetchall():
            purchase = decode_purchase(bytes(purchase_id), state)
            found[bucket, bytes(account)][purchase.id] = purchase
    return found


def load_counters(cursor: Any, keys: Sequence[Key], periods: Collection[str]) -> dict[Key, dict[tuple[str, str], int]]:
    """Return the cap counters of accounts, by account and then by (cap, period)."""
    _run(cursor, LOAD_COUNTERS, keys, {**_keyed(keys), "periods": list(periods)})
    counters: dict[Key, dict[tuple[str, str], int]] = {}
    for bucket, account, cap, period, used in cursor.fetchall():
        counters.setdefault((bucket, bytes(account)), {})[cap, period] = used
    return counters


@dataclass(slots=True, kw_only=True)
class BatchWrites:
    """Everything one batch appends, as lines for COPY, and everything it brings up to date."""

    now: datetime
    stamp: str = ""
    messages: list[str] = field(default_factory=list)
    decisions: list[str] = field(default_factory=list)
    awards: list[str] = field(default_factory=list)
    postings: list[str] = field(default_factory=list)
    traces: dict[tuple[int, bytes, bytes], tuple[bytes, date]] = field(default_factory=dict)
    moved_traces: list[tuple[int, bytes, bytes, bytes]] = field(default_factory=list)
    new_purchases: dict[Key, tuple[bytes, Purchase]] = field(default_factory=dict)
    changed_purchases: dict[Key, Purchase] = field(default_factory=dict)
    counters: dict[tuple[int, bytes, str, str], int] = field(default_factory=dict)
    parked: list[str] = field(default_factory=list)
    unparked: list[Key] = field(default_factory=list)
    conflicts: list[tuple[Any, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stamp = self.now.isoformat()

    def add_message(self, key: Key, account: bytes, bank: str, dialect: str, content: bytes, fields: bytes) -> None:
        """Append a message; ``fields`` is its tokenised JSON."""
        self.messages.append(
            f"{key[0]}\t{binary(key[1])}\t{binary(account)}\t{text(bank)}\t{text(dialect)}\t{binary(content)}"
            f"\t{text(fields.decode())}\t{self.stamp}"
        )

    def add_decision(
        self,
        key: Key,
        attempt: int,
        account: bytes,
        purchase_id: bytes | None,
        outcome: int,
        reason: int,
        detail: dict[str, Any],
    ) -> None:
        """Append a decision on a message."""
        self.decisions.append(
            f"{key[0]}\t{binary(key[1])}\t{attempt}\t{binary(account)}\t{binary_or_null(purchase_id)}\t{outcome}"
            f"\t{reason}\t{text(orjson.dumps(detail).decode())}\t{self.stamp}"
        )

    def park(self, key: Key, account: bytes, reason: int) -> None:
        """Put a message on the list of those that wait."""
        self.parked.append(f"{key[0]}\t{binary(key[1])}\t{binary(account)}\t{reason}\t{self.stamp}")

    def add_award(
        self,
        key: Key,
        message_id: bytes,
        account: bytes,
        purchase_id: bytes,
        award: tuple[str, int, str, str, str | None, str, str, int, int],
    ) -> None:
        """Append an award: (programme, revision, rule, benefit, partner, funder, unit, pending change, available)."""
        programme, revision, rule, benefit, partner, funder, unit, pending_change, available_change = award
        self.awards.append(
            f"{key[0]}\t{binary(key[1])}\t{binary(message_id)}\t{binary(account)}\t{binary(purchase_id)}"
            f"\t{programme}\t{revision}\t{rule}\t{benefit}\t{text_or_null(partner)}\t{funder}\t{unit}"
            f"\t{pending_change}\t{available_change}\t{self.stamp}"
        )

    def add_posting(
        self,
        key: Key,
        message_id: bytes,
        account: bytes,
        purchase_id: bytes,
        posting: tuple[str, str, int, str, str, str, int, str, bool, date],
    ) -> None:
        """Append a posting: (bank, programme, template, debit, credit, unit, amount, rule, between parties, date)."""
        bank, programme, template, debit, credit, unit, amount, rule, between_parties, business_date = posting
        self.postings.append(
            f"{key[0]}\t{binary(key[1])}\t{binary(message_id)}\t{binary(account)}\t{binary(purchase_id)}"
            f"\t{bank}\t{programme}\t{template}\t{debit}\t{credit}\t{unit}\t{amount}\t{rule}"
            f"\t{'t' if between_parties else 'f'}\t{self.stamp}\t{business_date.isoformat()}"
        )


def write_batch(cursor: Any, writes: BatchWrites, accounts: Iterable[AccountRow]) -> None:
    """Write everything a batch decided; the caller commits."""
    _append_facts(cursor, writes)
    _write_purchases(cursor, writes)
    _write_traces(cursor, writes)
    if writes.counters:
        execute_values(
            cursor,
            SET_COUNTERS,
            [(*key, used) for key, used in writes.counters.items()],
            page_size=len(writes.counters),
        )
    if writes.unparked:
        _run(cursor, UNPARK, writes.unparked, _keyed(writes.unparked))
    if writes.conflicts:
        execute_values(cursor, KEEP_CONFLICTS, writes.conflicts, page_size=len(writes.conflicts))
    changed = [account for account in accounts if account.changed]
    if changed:
        keys = [(account.bucket, account.id) for account in changed]
        _run(
            cursor,
            UPDATE_ACCOUNTS,
            keys,
            {
                **_keyed(keys),
                "pending": integer_array(account.pending for account in changed),
                "available": integer_array(account.available for account in changed),
                "reservations": [
                    orjson.dumps(account.reservations).decode() if account.reservations else None for account in changed
                ],
                "refunds_from": [account.refunds_from for account in changed],
                "now": writes.now,
            },
        )


def _append_facts(cursor: Any, writes: BatchWrites) -> None:
    copy_rows(cursor, "message", "bucket, id, account, bank, dialect, content, fields, received_at", writes.messages)
    copy_rows(
        cursor,
        "decision",
        "bucket, message_id, attempt, account, purchase_id, outcome, reason, detail, decided_at",
        writes.decisions,
    )
    copy_rows(
        cursor,
        "award",
        "bucket, id, message_id, account, purchase_id, programme, revision, rule, benefit, partner, funder, unit,"
        " pending_change, available_change, booked_at",
        writes.awards,
    )
    copy_rows(
        cursor,
        "posting",
        "bucket, id, message_id, account, purchase_id, bank, programme, template, debit, credit, unit, amount, rule,"
        " between_parties, booked_at, business_date",
        writes.postings,
    )
    copy_rows(cursor, "parked", "bucket, message_id, account, reason, parked_at", writes.parked)


def _write_purchases(cursor: Any, writes: BatchWrites) -> None:
    copy_rows(
        cursor,
        "purchase",
        "bucket, id, account, state, updated_at",
        [
            f"{bucket}\t{binary(id_)}\t{binary(account)}\t{text(encode_purchase(purchase))}\t{writes.stamp}"
            for (bucket, id_), (account, purchase) in writes.new_purchases.items()
        ],
    )
    if writes.changed_purchases:
        keys = list(writes.changed_purchases)
        _run(
            cursor,
            UPDATE_PURCHASES,
            keys,
            {
                **_dated(keys),
                "states": [encode_purchase(purchase) for purchase in writes.changed_purchases.values()],
                "now": writes.now,
            },
        )


def _write_traces(cursor: Any, writes: BatchWrites) -> None:
    if writes.moved_traces:
        _run(
            cursor,
            MOVE_TRACES,
            writes.moved_traces,
            {
                "buckets": integer_array(moved[0] for moved in writes.moved_traces),
                "accounts": binary_array(moved[1] for moved in writes.moved_traces),
                "ids": binary_array(moved[2] for moved in writes.moved_traces),
                "survivors": binary_array(moved[3] for moved in writes.moved_traces),
            },
        )
    copy_rows(
        cursor,
        "trace",
        "bucket, account, trace, purchase_id, created_on",
        [
            f"{bucket}\t{binary(account)}\t{binary(trace)}\t{binary(purchase_id)}\t{created_on.isoformat()}"
            for (bucket, account, trace), (purchase_id, created_on) in writes.traces.items()
        ],
    )
