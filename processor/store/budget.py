"""The statements of budgets: the shares that a batch changes, and the pool that a rebalance deals from.

A batch locks the shares it changes, behind its accounts, in the order of their keys; it never touches a pool.
A rebalance locks the pool first and then shares in the same order; it never locks an account.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg2.extras import execute_values

from processor.core.budget import HOLDERS
from processor.core.budget_shares import CLOSED, Pool, Share
from processor.store.card_side import on_one_bucket
from processor.store.copy_text import binary_array, integer_array

BudgetKey = tuple[str, str, str]
"""A programme, a pool of its budgets, and a period."""
ShareKey = tuple[int, str, str, str]
"""A bucket, and the budget key of the share that it has."""

# Lock shares in the order of their keys.
LOCK_SHARES: Final = """
SELECT t.bucket, t.programme, t.budget, t.period, t.size, t.reserved, t.used
FROM unnest(%(buckets)s::smallint[], %(programmes)s::text[], %(budgets)s::text[], %(periods)s::text[])
     AS k (bucket, programme, budget, period)
JOIN budget_share t ON t.bucket = k.bucket AND t.programme = k.programme AND t.budget = k.budget
                   AND t.period = k.period
WHERE true{bucket}
ORDER BY t.bucket, t.programme, t.budget, t.period
FOR UPDATE OF t
"""

# Add up what open quotes hold of shares.
SUM_HOLDS: Final = """
SELECT t.bucket, t.programme, t.budget, t.period, sum(t.units)::bigint
FROM unnest(%(buckets)s::smallint[], %(programmes)s::text[], %(budgets)s::text[], %(periods)s::text[])
     AS k (bucket, programme, budget, period)
JOIN budget_hold t ON t.bucket = k.bucket AND t.programme = k.programme AND t.budget = k.budget
                  AND t.period = k.period
WHERE t.expires_at > %(now)s{bucket}
GROUP BY t.bucket, t.programme, t.budget, t.period
"""

# Give buckets that have none an empty share.
OPEN_SHARES: Final = """
INSERT INTO budget_share (bucket, programme, budget, period, size, reserved, used, updated_at) VALUES %s
ON CONFLICT (bucket, programme, budget, period) DO NOTHING
"""

# Set shares that are locked to what they now are; a lease ends with its first use.
UPDATE_SHARES: Final = """
UPDATE budget_share t
SET reserved = k.reserved, used = k.used, leased_until = NULL, updated_at = %(now)s
FROM unnest(%(buckets)s::smallint[], %(programmes)s::text[], %(budgets)s::text[], %(periods)s::text[],
            %(reserved)s::bigint[], %(used)s::bigint[])
     AS k (bucket, programme, budget, period, reserved, used)
WHERE t.bucket = k.bucket AND t.programme = k.programme AND t.budget = k.budget AND t.period = k.period{bucket}
"""

# Give back what quotes held.
DROP_HOLDS: Final = """
DELETE FROM budget_hold t
USING unnest(%(buckets)s::smallint[], %(programmes)s::text[], %(budgets)s::text[], %(periods)s::text[],
             %(purchases)s::bytea[])
      AS k (bucket, programme, budget, period, purchase_id)
WHERE t.bucket = k.bucket AND t.programme = k.programme AND t.budget = k.budget AND t.period = k.period
  AND t.purchase_id = k.purchase_id{bucket}
"""

# Hold units for quotes.
KEEP_HOLDS: Final = """
INSERT INTO budget_hold (bucket, programme, budget, period, purchase_id, units, expires_at) VALUES %s
ON CONFLICT (bucket, programme, budget, period, purchase_id)
DO UPDATE SET units = EXCLUDED.units, expires_at = EXCLUDED.expires_at
"""

# What is left of budgets, in their pools and all shares, and the sizes that they were dealt by.
SUM_LEFT: Final = """
SELECT p.programme, p.budget, p.period, p.size,
       (p.remaining
        + COALESCE((SELECT sum(s.reserved - s.used) FROM budget_share s
                    WHERE s.programme = p.programme AND s.budget = p.budget AND s.period = p.period), 0)
        - COALESCE((SELECT sum(h.units) FROM budget_hold h
                    WHERE h.programme = p.programme AND h.budget = p.budget AND h.period = p.period
                      AND h.expires_at > %(now)s), 0))::bigint
FROM unnest(%(programmes)s::text[], %(budgets)s::text[], %(periods)s::text[]) AS k (programme, budget, period)
JOIN budget_pool p ON p.programme = k.programme AND p.budget = k.budget AND p.period = k.period
"""

# List budgets with what their shares and quotes come to, by name.
LIST_BUDGETS: Final = """
SELECT p.programme, p.budget, p.period, p.size, COALESCE(s.used, 0)::bigint, COALESCE(h.held, 0)::bigint,
       COALESCE(s.reserved, 0)::bigint, COALESCE(s.buckets, 0)::integer, p.remaining
FROM budget_pool p
LEFT JOIN (SELECT programme, budget, period, sum(used) AS used, sum(reserved) AS reserved, count(*) AS buckets
           FROM budget_share GROUP BY programme, budget, period) s USING (programme, budget, period)
LEFT JOIN (SELECT programme, budget, period, sum(units) AS held FROM budget_hold WHERE expires_at > %(now)s
           GROUP BY programme, budget, period) h USING (programme, budget, period)
WHERE (%(wanted)s = '' OR p.programme = %(wanted)s) AND (%(named)s = '' OR p.budget = ANY (%(pools)s))
  AND (p.programme, p.budget, p.period) > (%(programme)s, %(budget)s, %(period)s)
ORDER BY p.programme, p.budget, p.period LIMIT %(limit)s
"""

# Begin a pool with all of its budget.
OPEN_POOL: Final = """
INSERT INTO budget_pool (programme, budget, period, size, remaining, updated_at)
VALUES (%(programme)s, %(budget)s, %(period)s, %(size)s, %(size)s, %(now)s)
ON CONFLICT (programme, budget, period) DO NOTHING
"""

# Lock a pool: one rebalance of a budget at a time.
LOCK_POOL: Final = """
SELECT size, remaining FROM budget_pool
WHERE programme = %(programme)s AND budget = %(budget)s AND period = %(period)s FOR UPDATE
"""

# Set a pool that is locked to what it now is.
UPDATE_POOL: Final = """
UPDATE budget_pool SET size = %(size)s, remaining = %(remaining)s, updated_at = %(now)s
WHERE programme = %(programme)s AND budget = %(budget)s AND period = %(period)s
"""

# Lock all shares of a budget, in the order of their keys.
LOCK_ALL_SHARES: Final = """
SELECT bucket, size, reserved, used, COALESCE(leased_until > %(now)s, false) FROM budget_share
WHERE programme = %(programme)s AND budget = %(budget)s AND period = %(period)s
ORDER BY bucket FOR UPDATE
"""

# Add up what open quotes hold of every share of a budget.
SUM_ALL_HOLDS: Final = """
SELECT bucket, sum(units)::bigint FROM budget_hold
WHERE programme = %(programme)s AND budget = %(budget)s AND period = %(period)s AND expires_at > %(now)s
GROUP BY bucket
"""

# Set every share that a rebalance changed; the one it was made for is leased, so that no other takes it back at once.
DEAL_SHARES: Final = """
INSERT INTO budget_share (bucket, programme, budget, period, size, reserved, used, leased_until, updated_at) VALUES %s
ON CONFLICT (bucket, programme, budget, period)
DO UPDATE SET size = EXCLUDED.size, reserved = EXCLUDED.reserved, leased_until = EXCLUDED.leased_until,
              updated_at = EXCLUDED.updated_at
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRow:
    """What all shares of a budget in one period come to; ``held`` is what open quotes hold.

    ``remaining`` is what lies in its pool.
    """

    key: BudgetKey
    size: int
    used: int
    held: int
    reserved: int
    buckets: int
    remaining: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """What a quote holds of one share; it counts until ``expires_at``."""

    share: ShareKey
    purchase: bytes
    units: int
    expires_at: datetime


def _columns(keys: Collection[ShareKey]) -> dict[str, Any]:
    return {
        "buckets": integer_array(key[0] for key in keys),
        "programmes": [key[1] for key in keys],
        "budgets": [key[2] for key in keys],
        "periods": [key[3] for key in keys],
    }


def _run(cursor: Any, statement: str, keys: Collection[ShareKey], values: Mapping[str, Any]) -> None:
    cursor.execute(on_one_bucket(statement, {key[0] for key in keys}), {**_columns(keys), **values})


def lock_shares(cursor: Any, keys: Collection[ShareKey], now: datetime, *, quoted: bool) -> dict[ShareKey, Share]:
    """Lock the shares of buckets, which have one from here on; ``quoted`` says that quotes may hold some of them."""
    found = _locked(cursor, keys)
    missing = sorted(set(keys) - found.keys())
    if missing:
        rows = [(*key, CLOSED, 0, 0, now) for key in missing]
        execute_values(cursor, OPEN_SHARES, rows, page_size=len(rows))
        found |= _locked(cursor, missing)
    if not quoted:
        return found
    _run(cursor, SUM_HOLDS, keys, {"now": now})
    held = {(bucket, *key): units for bucket, *key, units in cursor.fetchall()}
    return {key: _with_held(share, held.get(key, 0)) for key, share in found.items()}


def _locked(cursor: Any, keys: Collection[ShareKey]) -> dict[ShareKey, Share]:
    _run(cursor, LOCK_SHARES, keys, {})
    return {
        (bucket, programme, budget, period): Share(size=size, reserved=reserved, used=used)
        for bucket, programme, budget, period, size, reserved, used in cursor.fetchall()
    }


def _with_held(share: Share, held: int) -> Share:
    return Share(size=share.size, reserved=share.reserved, used=share.used, held=held)


def update_shares(cursor: Any, shares: Mapping[ShareKey, Share], now: datetime) -> None:
    """Write shares that are locked."""
    values = {
        "reserved": [share.reserved for share in shares.values()],
        "used": [share.used for share in shares.values()],
        "now": now,
    }
    _run(cursor, UPDATE_SHARES, list(shares), values)


def drop_holds(cursor: Any, holds: Sequence[tuple[ShareKey, bytes]]) -> None:
    """Delete what quotes of purchases held."""
    _run(cursor, DROP_HOLDS, [key for key, _ in holds], {"purchases": binary_array(purchase for _, purchase in holds)})


def keep_holds(cursor: Any, holds: Sequence[Hold]) -> None:
    """Insert what quotes of purchases hold, once each."""
    rows = [(*hold.share, hold.purchase, hold.units, hold.expires_at) for hold in holds]
    execute_values(cursor, KEEP_HOLDS, rows, page_size=len(rows))


def load_left(cursor: Any, keys: Collection[BudgetKey], now: datetime) -> dict[BudgetKey, Pool]:
    """Return what is left of budgets anywhere, with the size that they were dealt by; those nobody asked are absent."""
    values = {
        "programmes": [key[0] for key in keys],
        "budgets": [key[1] for key in keys],
        "periods": [key[2] for key in keys],
        "now": now,
    }
    cursor.execute(SUM_LEFT, values)
    return {
        (programme, budget, period): Pool(size=size, remaining=left)
        for programme, budget, period, size, left in cursor.fetchall()
    }


def list_budgets(
    cursor: Any, programme: str, now: datetime, *, after: BudgetKey, limit: int, named: str = ""
) -> list[BudgetRow]:
    """Return budgets that anything was asked of, of one programme or name or of all, by name behind ``after``."""
    wanted = {"wanted": programme, "named": named, "pools": [named, named + HOLDERS]}
    cursor.execute(LIST_BUDGETS, {**_of_pool(after), **wanted, "now": now, "limit": limit})
    return [
        BudgetRow(
            key=(row[0], row[1], row[2]),
            size=row[3],
            used=row[4],
            held=row[5],
            reserved=row[6],
            buckets=row[7],
            remaining=row[8],
        )
        for row in cursor.fetchall()
    ]


def _of_pool(key: BudgetKey, **values: Any) -> dict[str, Any]:
    return {"programme": key[0], "budget": key[1], "period": key[2], **values}


def lock_pool(cursor: Any, key: BudgetKey, size: int, now: datetime) -> Pool:
    """Lock a budget's pool, which begins here with ``size`` where nobody has asked yet."""
    cursor.execute(OPEN_POOL, _of_pool(key, size=size, now=now))
    cursor.execute(LOCK_POOL, _of_pool(key))
    dealt, remaining = cursor.fetchone()
    return Pool(size=dealt, remaining=remaining)


def update_pool(cursor: Any, key: BudgetKey, pool: Pool, now: datetime) -> None:
    """Write a pool that is locked."""
    cursor.execute(UPDATE_POOL, _of_pool(key, size=pool.size, remaining=pool.remaining, now=now))


def lock_all_shares(cursor: Any, key: BudgetKey, now: datetime, *, own: int) -> tuple[dict[int, Share], set[int]]:
    """Lock every share of a budget; return them by bucket, and the buckets whose shares are leased.

    The bucket ``own`` has a share from here on. It is looked at once more where the others do not have it: a batch may
    have opened it with what another share lent, and committed, while this waited for that other share.
    """
    cursor.execute(LOCK_ALL_SHARES, _of_pool(key, now=now))
    rows = cursor.fetchall()
    cursor.execute(SUM_ALL_HOLDS, _of_pool(key, now=now))
    held = dict(cursor.fetchall())
    shares = {
        bucket: Share(size=size, reserved=reserved, used=used, held=held.get(bucket, 0))
        for bucket, size, reserved, used, _ in rows
    }
    if own not in shares:
        shares[own] = lock_shares(cursor, [(own, *key)], now, quoted=True)[own, *key]
    return shares, {row[0] for row in rows if row[4]}


def deal_shares(
    cursor: Any, key: BudgetKey, shares: Mapping[int, Share], leases: Mapping[int, datetime], now: datetime
) -> None:
    """Write shares that are locked, with their leases, and how much of the pool they have."""
    rows = [
        (bucket, *key, share.size, share.reserved, share.used, leases.get(bucket), now)
        for bucket, share in shares.items()
    ]
    execute_values(cursor, DEAL_SHARES, rows, page_size=len(rows))
