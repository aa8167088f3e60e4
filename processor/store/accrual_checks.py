"""The statements that prove accruals to an owner's ledger: their sums, that none is left out, where their miles are.

They read and never write; ``verification`` runs them with the others.
"""

# ruff: noqa: S608 - statements are put together from this module's own constants.

from typing import Final

from sqlalchemy import text

from processor.core.owner_accrual import STANDS_IN
from processor.core.posting import MEMBER_PROVISIONAL
from processor.store.check import Check
from processor.store.tables import POSTING_TO_ACCRUE

_SIGNED: Final = f"CASE WHEN p.credit = '{MEMBER_PROVISIONAL}' THEN p.amount ELSE -p.amount END"
_STANDS_IN: Final = ", ".join(f"('{state}', '{account}')" for state, account in STANDS_IN.items())

# An accrual is the sum of the postings it carries.
SUMS: Final = Check(
    name="accrual-postings",
    count=text("SELECT count(*) FROM accrual"),
    differences=text(f"""
        WITH sums AS (
            SELECT m.bucket, m.accrual_id, sum({_SIGNED}) AS miles, count(*) AS postings
            FROM accrual_posting m JOIN posting p ON p.bucket = m.bucket AND p.id = m.posting_id
            WHERE {POSTING_TO_ACCRUE} GROUP BY m.bucket, m.accrual_id
        )
        SELECT 'accrual ' || encode(COALESCE(a.id, s.accrual_id), 'hex') AS subject,
               a.miles || ' miles in ' || a.postings || ' postings' AS stated,
               s.miles || ' miles in ' || s.postings || ' postings' AS calculated
        FROM accrual a FULL JOIN sums s ON s.bucket = a.bucket AND s.accrual_id = a.id
        WHERE a.miles IS DISTINCT FROM s.miles OR a.postings IS DISTINCT FROM s.postings LIMIT :limit
    """),
)
# What an accrual carries was dated up to where its desk has collected, and everything dated so is carried.
LEFT_OUT: Final = Check(
    name="accrual-left-out",
    count=text(f"SELECT count(*) FROM posting WHERE {POSTING_TO_ACCRUE}"),
    differences=text(f"""
        SELECT 'posting ' || encode(p.id, 'hex') AS subject, 'no accrual' AS stated,
               'collected up to ' || d.collected_to AS calculated
        FROM posting p JOIN accrual_desk d ON d.programme = p.programme AND d.bank = p.bank
        WHERE {POSTING_TO_ACCRUE} AND p.business_date <= d.collected_to AND NOT EXISTS (
            SELECT FROM accrual_posting m WHERE m.bucket = p.bucket AND m.posting_id = p.id) LIMIT :limit
    """),
)
# An account's miles are where its accruals stand: provisional what was not collected or not answered, and so on.
PLACES: Final = Check(
    name="accrual-places",
    count=text("SELECT count(*) FROM (SELECT DISTINCT bucket, account FROM accrual_state) a"),
    differences=text(f"""
        WITH concerned AS (
            SELECT DISTINCT p.bucket, p.account FROM posting p WHERE {POSTING_TO_ACCRUE}
        ), moved AS (
            SELECT p.bucket, p.account, p.debit AS place, -p.amount AS miles
            FROM posting p JOIN concerned c ON c.bucket = p.bucket AND c.account = p.account
            UNION ALL
            SELECT p.bucket, p.account, p.credit, p.amount
            FROM posting p JOIN concerned c ON c.bucket = p.bucket AND c.account = p.account
        ), booked AS (
            SELECT bucket, account, place, sum(miles) AS miles FROM moved
            WHERE place IN (SELECT place FROM (VALUES {_STANDS_IN}) k (state, place))
            GROUP BY bucket, account, place
        ), standing AS (
            SELECT bucket, account, place, sum(miles) AS miles FROM (
                SELECT s.bucket, s.account, k.place, s.miles
                FROM accrual_state s JOIN (VALUES {_STANDS_IN}) k (state, place) ON k.state = s.state
                UNION ALL
                SELECT p.bucket, p.account, '{MEMBER_PROVISIONAL}', {_SIGNED}
                FROM posting p WHERE {POSTING_TO_ACCRUE} AND NOT EXISTS (
                    SELECT FROM accrual_posting m WHERE m.bucket = p.bucket AND m.posting_id = p.id)
            ) each GROUP BY bucket, account, place
        )
        SELECT 'account ' || encode(COALESCE(s.account, b.account), 'hex') || ', ' || COALESCE(s.place, b.place)
               AS subject, COALESCE(b.miles, 0) AS stated, COALESCE(s.miles, 0) AS calculated
        FROM booked b FULL JOIN standing s USING (bucket, account, place)
        WHERE COALESCE(b.miles, 0) <> COALESCE(s.miles, 0) LIMIT :limit
    """),
)
# The state of an accrual is what its attempts and answers say.
STATES: Final = Check(
    name="accrual-states",
    count=text("SELECT count(*) FROM accrual_state"),
    differences=text("""
        SELECT 'accrual ' || encode(COALESCE(s.accrual_id, a.id), 'hex') AS subject,
               COALESCE(s.state || ', attempt ' || s.attempt || ', ' || s.miles || ' miles', 'nothing') AS stated,
               COALESCE(t.attempts, 0) || ' attempts, ' || COALESCE(t.answers, 0) || ' answers, '
               || COALESCE(t.accepted, 0) || ' accepted, ' || COALESCE(a.miles, 0) || ' miles' AS calculated
        FROM accrual a
        FULL JOIN accrual_state s ON s.bucket = a.bucket AND s.accrual_id = a.id
        LEFT JOIN (
            SELECT x.bucket, x.accrual_id, count(*) AS attempts, max(x.attempt) AS latest, count(n.attempt) AS answers,
                   count(*) FILTER (WHERE n.accepted) AS accepted
            FROM accrual_attempt x LEFT JOIN accrual_answer n
              ON n.bucket = x.bucket AND n.accrual_id = x.accrual_id AND n.attempt = x.attempt
            GROUP BY x.bucket, x.accrual_id
        ) t ON t.bucket = s.bucket AND t.accrual_id = s.accrual_id
        WHERE a.id IS NULL OR s.accrual_id IS NULL OR s.miles <> a.miles
           OR s.attempt <> COALESCE(t.attempts, 0) OR s.attempt <> COALESCE(t.latest, 0)
           OR COALESCE(t.accepted, 0) <> CASE WHEN s.state = 'accepted' THEN 1 ELSE 0 END
           OR COALESCE(t.answers, 0) <> s.attempt - CASE WHEN s.state = 'sent' THEN 1 ELSE 0 END
           OR (s.state IN ('sent', 'suspended', 'accepted', 'written-off') AND s.attempt = 0) LIMIT :limit
    """),
)
# An answer is to an attempt that was sent.
ANSWERS: Final = Check(
    name="accrual-answers",
    count=text("SELECT count(*) FROM accrual_answer"),
    differences=text("""
        SELECT 'accrual ' || encode(n.accrual_id, 'hex') || ', attempt ' || n.attempt AS subject,
               'an answer' AS stated, 'no such attempt' AS calculated
        FROM accrual_answer n WHERE NOT EXISTS (
            SELECT FROM accrual_attempt x
            WHERE x.bucket = n.bucket AND x.accrual_id = n.accrual_id AND x.attempt = n.attempt) LIMIT :limit
    """),
)
# What leaves a pair is numbered from 1 without gaps, and each accrual in it is counted.
DISPATCHES: Final = Check(
    name="accrual-numbers",
    count=text("SELECT count(*) FROM accrual_dispatch"),
    differences=text("""
        SELECT 'accruals of ' || d.programme || ', ' || d.bank || ', number ' || d.sequence AS subject,
               d.sequence || ', ' || d.record_count || ' accruals' AS stated,
               d.place || ', ' || count(x.attempt) || ' accruals' AS calculated
        FROM (SELECT programme, bank, sequence, record_count,
                     row_number() OVER (PARTITION BY programme, bank ORDER BY sequence) AS place
              FROM accrual_dispatch) d
        LEFT JOIN accrual_attempt x ON x.programme = d.programme AND x.bank = d.bank AND x.dispatch = d.sequence
        GROUP BY d.programme, d.bank, d.sequence, d.record_count, d.place
        HAVING d.sequence <> d.place OR d.record_count <> count(x.attempt) LIMIT :limit
    """),
)

ACCRUALS: Final = (SUMS, LEFT_OUT, PLACES, STATES, ANSWERS, DISPATCHES)
