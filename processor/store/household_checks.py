"""The statement that proves the counters of households: what purchases hold of them is what they say is used."""

from typing import Final

from sqlalchemy import text

from processor.store.check import Check

# What a household's counter says is used equals what the grants of all its accounts' purchases hold.
HOUSEHOLD_USED: Final = Check(
    name="household-used",
    count=text("SELECT count(*) FROM household_counter"),
    differences=text("""
        WITH held AS (
            SELECT a.programme, t.taken ->> 0 AS cap, t.taken ->> 1 AS period,
                   sum(CAST(t.taken ->> 2 AS bigint)) AS units
            FROM purchase p
            JOIN account a ON a.bucket = p.bucket AND a.id = p.account
            CROSS JOIN LATERAL json_array_elements(p.state -> 'grants') g (held)
            CROSS JOIN LATERAL json_array_elements(COALESCE(g.held -> 5, '[]')) t (taken)
            WHERE t.taken ->> 0 LIKE '%@%'
            GROUP BY 1, 2, 3
        ), stated AS (
            SELECT COALESCE(h.programme, 'no household') AS programme, c.cap, c.period, c.used
            FROM household_counter c
            LEFT JOIN household h ON h.bucket = c.bucket AND h.id = c.household
        )
        SELECT 'household ' || programme || ', ' || cap || ', ' || period AS subject,
               COALESCE(s.used, 0) AS stated, COALESCE(h.units, 0) AS calculated
        FROM stated s FULL JOIN held h USING (programme, cap, period)
        WHERE COALESCE(s.used, 0) <> COALESCE(h.units, 0) LIMIT :limit
    """),
)
