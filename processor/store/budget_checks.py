"""The statements that prove budgets: what purchases hold is what shares say, and shares and pool are the budget."""

from typing import Final

from sqlalchemy import text

from processor.store.check import Check

# What each bucket's share says is used of a budget equals what its purchases' grants hold; of holders, its accounts
# that were granted something.
BUDGET_USED: Final = Check(
    name="budget-used",
    count=text("SELECT count(*) FROM budget_share"),
    differences=text("""
        WITH held AS (
            SELECT p.bucket, a.programme, t.taken ->> 0 AS budget, t.taken ->> 1 AS period,
                   sum(CAST(t.taken ->> 2 AS bigint)) AS units
            FROM purchase p
            JOIN account a ON a.bucket = p.bucket AND a.id = p.account
            CROSS JOIN LATERAL json_array_elements(p.state -> 'grants') g (held)
            CROSS JOIN LATERAL json_array_elements(COALESCE(g.held -> 5, '[]')) t (taken)
            WHERE t.taken ->> 0 NOT LIKE '%/%'
            GROUP BY 1, 2, 3, 4
            UNION ALL
            SELECT c.bucket, a.programme, c.cap, c.period, count(*)
            FROM limit_counter c
            JOIN account a ON a.bucket = c.bucket AND a.id = c.account
            WHERE c.cap LIKE '%/holders' AND c.used > 0
            GROUP BY 1, 2, 3, 4
        )
        SELECT 'budget ' || programme || ', ' || budget || ', ' || period || ', bucket ' || bucket AS subject,
               COALESCE(s.used, 0) AS stated, COALESCE(h.units, 0) AS calculated
        FROM budget_share s FULL JOIN held h USING (bucket, programme, budget, period)
        WHERE COALESCE(s.used, 0) <> COALESCE(h.units, 0) LIMIT :limit
    """),
)
# A budget is what its pool has left and what its shares have reserved.
BUDGET_SIZES: Final = Check(
    name="budget-sizes",
    count=text("SELECT count(*) FROM budget_pool"),
    differences=text("""
        SELECT 'budget ' || p.programme || ', ' || p.budget || ', ' || p.period AS subject, p.size AS stated,
               p.remaining + COALESCE(sum(s.reserved), 0) AS calculated
        FROM budget_pool p
        LEFT JOIN budget_share s ON s.programme = p.programme AND s.budget = p.budget AND s.period = p.period
        GROUP BY p.programme, p.budget, p.period, p.size, p.remaining
        HAVING p.size <> p.remaining + COALESCE(sum(s.reserved), 0) LIMIT :limit
    """),
)
# No share has used more than it has reserved, so that no budget is ever exceeded.
BUDGET_LIMITS: Final = Check(
    name="budget-limits",
    count=text("SELECT count(*) FROM budget_share"),
    differences=text("""
        SELECT 'budget ' || programme || ', ' || budget || ', ' || period || ', bucket ' || bucket AS subject,
               used AS stated, 'at most ' || reserved AS calculated
        FROM budget_share WHERE used > reserved OR used < 0 LIMIT :limit
    """),
)

BUDGET_CHECKS: Final = (BUDGET_USED, BUDGET_SIZES, BUDGET_LIMITS)
