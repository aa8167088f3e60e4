"""The statement by which operations see how a budget lies: its shares, bucket by bucket.

It locks nothing and changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from processor.core.budget import HOLDERS
from processor.core.budget_shares import Share

ListedShare = tuple[str, str, int]
"""A pool of a budget, a period and a bucket."""

# List the shares of a budget's pools with what quotes hold of them, in the order of their keys.
LIST_SHARES: Final = """
SELECT s.budget, s.period, s.bucket, s.size, s.reserved, s.used, COALESCE(h.held, 0)::bigint, s.leased_until
FROM budget_share s
LEFT JOIN (SELECT bucket, budget, period, sum(units) AS held FROM budget_hold
           WHERE programme = %(programme)s AND budget = ANY (%(pools)s) AND expires_at > %(now)s
           GROUP BY bucket, budget, period) h USING (bucket, budget, period)
WHERE s.programme = %(programme)s AND s.budget = ANY (%(pools)s) AND (%(wanted)s = '' OR s.period = %(wanted)s)
  AND (s.budget, s.period, s.bucket) > (%(pool)s, %(period)s, %(bucket)s)
ORDER BY s.budget, s.period, s.bucket LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareRow:
    """What one bucket has of a pool in one period, and until when it is left to it, None where it is not leased."""

    key: ListedShare
    share: Share
    leased_until: datetime | None


def list_shares(
    cursor: Any, programme: str, budget: str, period: str, now: datetime, *, after: ListedShare, limit: int
) -> Sequence[ShareRow]:
    """Return the shares of a budget's pools behind ``after``, of one period or of all where it is empty."""
    pool, behind, bucket = after
    values = {
        "programme": programme,
        "pools": [budget, budget + HOLDERS],
        "wanted": period,
        "now": now,
        "pool": pool,
        "period": behind,
        "bucket": bucket,
        "limit": limit,
    }
    cursor.execute(LIST_SHARES, values)
    return [
        ShareRow(
            key=(row[0], row[1], row[2]),
            share=Share(size=row[3], reserved=row[4], used=row[5], held=row[6]),
            leased_until=row[7] if row[7] is not None and row[7] > now else None,
        )
        for row in cursor.fetchall()
    ]
