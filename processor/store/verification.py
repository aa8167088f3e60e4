"""The statements that prove the books from the database alone: each returns what is stated and what is calculated.

They read and never write, in one snapshot, so that they may run beside the service.
A check that one statement can decide is a :class:`~processor.store.check.Check`; for the others there are ordered
streams that ``settlement.verification`` reads side by side.
"""

# ruff: noqa: S608 - statements are put together from this module's own constants.

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, TextClause, text

from processor.core.outcome import Outcome
from processor.core.posting import (
    ANSWER,
    BETWEEN_PARTIES,
    MAKE_AVAILABLE,
    MEMBER_AVAILABLE,
    MEMBER_PENDING,
    MEMBER_PROVISIONAL,
    MEMBER_REWARDS,
    MEMBER_REWARDS_PENDING,
    MEMBER_SUSPENSE,
    PROGRAMME_ADJUSTED,
    PROGRAMME_PROMISED,
    PROGRAMME_REWARDS_PROMISED,
    PROGRAMME_REWARDS_USED,
    PROGRAMME_WRITTEN_OFF,
    Template,
)
from processor.store.accrual_checks import ACCRUALS
from processor.store.check import Check

ROWS_A_FETCH: Final = 2000
FIRST_NUMBER_OF_A_JOIN: Final = 0xF000
"""Postings numbered from here take back what a joined account was granted; their cause is the purchase itself."""


_PARTY_KEPT: Final = "party/%/kept"
_PARTY_MILES: Final = "party/%/miles"
_PARTY_REWARDS: Final = "party/%/rewards"
_PARTY_SETTLEMENT: Final = "party/%/settlement"
SHAPES: Final[Mapping[Template, tuple[str, str]]] = {
    Template.MILES_PROMISED: (PROGRAMME_PROMISED, MEMBER_PENDING),
    Template.MILES_PROMISE_RELEASED: (MEMBER_PENDING, PROGRAMME_PROMISED),
    Template.MILES_ISSUED: (_PARTY_MILES, MEMBER_AVAILABLE),
    Template.MILES_CLAWED_BACK: (MEMBER_AVAILABLE, _PARTY_MILES),
    Template.MILES_CHARGED: (_PARTY_SETTLEMENT, _PARTY_SETTLEMENT),
    Template.MILES_CHARGE_RETURNED: (_PARTY_SETTLEMENT, _PARTY_SETTLEMENT),
    Template.DISCOUNT_CHARGED: (_PARTY_SETTLEMENT, _PARTY_SETTLEMENT),
    Template.DISCOUNT_RETURNED: (_PARTY_SETTLEMENT, _PARTY_SETTLEMENT),
    Template.TILL_DISCOUNT_CHARGED: (_PARTY_SETTLEMENT, _PARTY_SETTLEMENT),
    Template.TILL_DISCOUNT_RETURNED: (_PARTY_SETTLEMENT, _PARTY_SETTLEMENT),
    Template.REWARD_PROMISED: (PROGRAMME_REWARDS_PROMISED, MEMBER_REWARDS_PENDING),
    Template.REWARD_PROMISE_RELEASED: (MEMBER_REWARDS_PENDING, PROGRAMME_REWARDS_PROMISED),
    Template.REWARD_GRANTED: (_PARTY_REWARDS, MEMBER_REWARDS),
    Template.REWARD_TAKEN_BACK: (MEMBER_REWARDS, _PARTY_REWARDS),
    Template.REWARD_CHARGED: (_PARTY_SETTLEMENT, _PARTY_SETTLEMENT),
    Template.REWARD_CHARGE_RETURNED: (_PARTY_SETTLEMENT, _PARTY_SETTLEMENT),
    Template.REWARD_USED: (MEMBER_REWARDS, PROGRAMME_REWARDS_USED),
    Template.REWARD_USE_RETURNED: (PROGRAMME_REWARDS_USED, MEMBER_REWARDS),
    Template.FEE_SHARED: (_PARTY_SETTLEMENT, _PARTY_SETTLEMENT),
    Template.FEE_SHARE_RETURNED: (_PARTY_SETTLEMENT, _PARTY_SETTLEMENT),
    Template.ADJUSTMENT_GIVEN: (PROGRAMME_ADJUSTED, MEMBER_AVAILABLE),
    Template.ADJUSTMENT_TAKEN: (MEMBER_AVAILABLE, PROGRAMME_ADJUSTED),
    Template.MILES_KEPT: (_PARTY_KEPT, MEMBER_AVAILABLE),
    Template.MILES_KEPT_TAKEN: (MEMBER_AVAILABLE, _PARTY_KEPT),
    Template.MILES_ACCEPTED: (MEMBER_PROVISIONAL, MEMBER_AVAILABLE),
    Template.MILES_RETURN_ACCEPTED: (MEMBER_AVAILABLE, MEMBER_PROVISIONAL),
    Template.MILES_SUSPENDED: (MEMBER_PROVISIONAL, MEMBER_SUSPENSE),
    Template.MILES_UNSUSPENDED: (MEMBER_SUSPENSE, MEMBER_PROVISIONAL),
    Template.MILES_WRITTEN_OFF: (MEMBER_SUSPENSE, PROGRAMME_WRITTEN_OFF),
    Template.MILES_RETURN_WRITTEN_OFF: (PROGRAMME_WRITTEN_OFF, MEMBER_SUSPENSE),
}
"""The ledger accounts that each template debits and credits, as patterns; ``docs/ledger.md`` has the same table."""

_AT_OWNER: Final = [
    (template, tuple(side.replace(MEMBER_AVAILABLE, MEMBER_PROVISIONAL) for side in SHAPES[template]))
    for template in MAKE_AVAILABLE
]
"""The same where the owner keeps the ledger."""
_SHAPE_ROWS: Final = ", ".join(
    f"({int(template)}, '{template.name.lower()}', '{debit}', '{credit}', {template in BETWEEN_PARTIES})"
    for template, (debit, credit) in [*SHAPES.items(), *_AT_OWNER]
)
_ADJUSTMENTS: Final = f"({int(Template.ADJUSTMENT_GIVEN)}, {int(Template.ADJUSTMENT_TAKEN)})"
_USES: Final = f"({int(Template.REWARD_USED)}, {int(Template.REWARD_USE_RETURNED)})"
_OF_NO_MESSAGE: Final = f"{_ADJUSTMENTS[:-1]}, {_USES[1:-1]}, {', '.join(str(int(each)) for each in ANSWER)})"
"""What operations book, and what an owner answers: no message causes it and no purchase's grants hold it."""

# An account's cached balances equal the sums of its postings.
BALANCES: Final = Check(
    name="balances",
    count=text("SELECT count(*) FROM account"),
    differences=text("""
        WITH moved AS (
            SELECT bucket, account, debit AS balance, -amount AS amount FROM posting WHERE debit LIKE 'member/%'
            UNION ALL
            SELECT bucket, account, credit, amount FROM posting WHERE credit LIKE 'member/%'
        ), sums AS (
            SELECT bucket, account, COALESCE(sum(amount) FILTER (WHERE balance = 'member/pending'), 0) AS pending,
                   COALESCE(sum(amount) FILTER (WHERE balance = 'member/available'), 0) AS available
            FROM moved GROUP BY bucket, account
        )
        SELECT 'account ' || encode(COALESCE(a.id, s.account), 'hex') || ', ' || v.balance AS subject,
               v.stated, v.calculated
        FROM account a FULL JOIN sums s ON s.bucket = a.bucket AND s.account = a.id
        CROSS JOIN LATERAL (VALUES ('pending', a.pending, COALESCE(s.pending, 0)),
                                   ('available', a.available, COALESCE(s.available, 0)))
             v (balance, stated, calculated)
        WHERE v.stated IS DISTINCT FROM v.calculated LIMIT :limit
    """),
)
# A posting moves between the ledger accounts of its template. One row debits what it credits, so that debits and
# credits are equal for each unit however the rows are added up.
POSTINGS: Final = Check(
    name="postings",
    count=text("SELECT count(*) FROM posting"),
    differences=text(f"""
        WITH shape (template, name, debit, credit, between_parties) AS (VALUES {_SHAPE_ROWS})
        SELECT 'posting ' || encode(p.id, 'hex') AS subject,
               'template ' || p.template || ': ' || p.debit || ' to ' || p.credit
               || CASE WHEN p.between_parties THEN ', between parties' ELSE '' END AS stated,
               COALESCE((SELECT string_agg(s.name || ': ' || s.debit || ' to ' || s.credit
                                || CASE WHEN s.between_parties THEN ', between parties' ELSE '' END, ' or '
                                ORDER BY s.debit, s.credit)
                         FROM shape s WHERE s.template = p.template), 'no such template') AS calculated
        FROM posting p
        WHERE p.debit = p.credit OR NOT EXISTS (
            SELECT FROM shape s WHERE s.template = p.template AND p.debit LIKE s.debit AND p.credit LIKE s.credit
                                  AND p.between_parties = s.between_parties) LIMIT :limit
    """),
)
# What a cycle settles is a posting between two parties of its bank and programme, dated up to its day.
MEMBERS: Final = Check(
    name="cycle-members",
    count=text("SELECT count(*) FROM cycle_posting"),
    differences=text("""
        SELECT 'posting ' || encode(m.posting_id, 'hex') AS subject,
               'cycle ' || m.bank || ', ' || m.programme || ', ' || m.business_date AS stated,
               CASE WHEN p.id IS NULL THEN 'no such posting'
                    WHEN c.state IS DISTINCT FROM 'closed' THEN 'that cycle is not closed'
                    WHEN NOT p.between_parties THEN 'not between parties'
                    ELSE p.bank || ', ' || p.programme || ', dated ' || p.business_date END AS calculated
        FROM cycle_posting m
        LEFT JOIN posting p ON p.bucket = m.bucket AND p.id = m.posting_id
        LEFT JOIN cycle c ON c.bank = m.bank AND c.programme = m.programme AND c.business_date = m.business_date
        WHERE p.id IS NULL OR c.state IS DISTINCT FROM 'closed' OR NOT p.between_parties OR p.bank <> m.bank
           OR p.programme <> m.programme OR p.business_date > m.business_date LIMIT :limit
    """),
)
# A posting between parties that was booked well before a cycle closed, and dated up to its day, belongs to some cycle.
LEFT_OUT: Final = Check(
    name="cycle-left-out",
    count=text("SELECT count(*) FROM posting WHERE between_parties"),
    differences=text("""
        SELECT 'posting ' || encode(p.id, 'hex') AS subject, 'no cycle' AS stated,
               'cycle ' || p.bank || ', ' || p.programme || ', ' || min(c.business_date) AS calculated
        FROM posting p
        JOIN cycle c ON c.bank = p.bank AND c.programme = p.programme AND c.state = 'closed'
                    AND c.business_date >= p.business_date
                    AND c.closed_at > p.booked_at + CAST(:longest_commit AS interval)
        WHERE p.between_parties AND NOT EXISTS (
            SELECT FROM cycle_posting m WHERE m.bucket = p.bucket AND m.posting_id = p.id)
        GROUP BY p.bucket, p.id, p.bank, p.programme LIMIT :limit
    """),
)
# A cycle's obligations equal the sums of its postings.
OBLIGATIONS: Final = Check(
    name="obligations",
    count=text("SELECT count(*) FROM cycle_obligation"),
    differences=text("""
        WITH sums AS (
            SELECT m.bank, m.programme, m.business_date, split_part(p.debit, '/', 2) AS debtor,
                   split_part(p.credit, '/', 2) AS creditor, p.unit AS currency, sum(p.amount) AS amount_minor,
                   count(*) AS postings
            FROM cycle_posting m JOIN posting p ON p.bucket = m.bucket AND p.id = m.posting_id
            GROUP BY 1, 2, 3, 4, 5, 6
        )
        SELECT 'cycle ' || bank || ', ' || programme || ', ' || business_date || ': ' || debtor || ' to ' || creditor
               AS subject,
               o.amount_minor || ' ' || currency || ' in ' || o.postings || ' postings' AS stated,
               s.amount_minor || ' ' || currency || ' in ' || s.postings || ' postings' AS calculated
        FROM cycle_obligation o
        FULL JOIN sums s USING (bank, programme, business_date, debtor, creditor, currency)
        WHERE o.amount_minor IS DISTINCT FROM s.amount_minor OR o.postings IS DISTINCT FROM s.postings LIMIT :limit
    """),
)
# Every adjustment that was asked for, or moved by a join, is booked, for its miles, and no other is.
ADJUSTMENTS: Final = Check(
    name="adjustments",
    count=text("SELECT count(*) FROM audit WHERE action IN ('adjust', 'join')"),
    differences=text(f"""
        WITH booked AS (
            SELECT encode(id, 'hex') AS posting,
                   CASE template WHEN {int(Template.ADJUSTMENT_GIVEN)} THEN amount ELSE -amount END AS miles
            FROM posting WHERE template IN {_ADJUSTMENTS}
        ), asked AS (
            SELECT detail ->> 'posting' AS posting, CAST(detail ->> 'miles' AS bigint) AS miles
            FROM audit WHERE action IN ('adjust', 'join')
        )
        SELECT 'posting ' || posting AS subject, asked.miles AS stated, booked.miles AS calculated
        FROM asked FULL JOIN booked USING (posting) WHERE asked.miles IS DISTINCT FROM booked.miles LIMIT :limit
    """),
)
# What is known of a member is of an account and was asked for, or a message caused it; a birthday is that of a fact.
MEMBER_FACTS: Final = Check(
    name="member-facts",
    count=text("SELECT count(*) FROM member_fact"),
    differences=text("""
        SELECT 'fact ' || f.number || ' of account ' || encode(f.account, 'hex') AS subject, f.kind AS stated,
               CASE WHEN t.id IS NULL THEN 'no such account' ELSE 'no request asked for it' END AS calculated
        FROM member_fact f
        LEFT JOIN account t ON t.bucket = f.bucket AND t.id = f.account
        LEFT JOIN audit a ON a.id = f.audit_id AND a.action IN ('member-facts', 'statement-day')
        WHERE t.id IS NULL OR (a.id IS NULL AND f.kind <> 'reached-tier')
        UNION ALL
        SELECT 'fact ' || f.number || ' of account ' || encode(f.account, 'hex'), f.value, 'no message caused it'
        FROM member_fact f
        WHERE f.kind = 'reached-tier' AND NOT EXISTS (
            SELECT FROM message m WHERE m.bucket = f.bucket AND m.id = f.audit_id)
        UNION ALL
        SELECT 'fact ' || b.number || ' of account ' || encode(b.account, 'hex'), 'a birthday', 'no such fact'
        FROM member_birthday b WHERE NOT EXISTS (
            SELECT FROM member_fact f WHERE f.bucket = b.bucket AND f.account = b.account AND f.number = b.number
                                        AND f.kind = 'birthday')
        LIMIT :limit
    """),
)
# Every use of a soft reward that was asked for is booked, for its count, and no other is.
USES: Final = Check(
    name="entitlement-uses",
    count=text("SELECT count(*) FROM audit WHERE action = 'use'"),
    differences=text(f"""
        WITH booked AS (
            SELECT encode(message_id, 'hex') AS use,
                   sum(CASE template WHEN {int(Template.REWARD_USED)} THEN amount ELSE -amount END) AS units
            FROM posting WHERE template IN {_USES} GROUP BY 1
        ), asked AS (
            SELECT detail ->> 'use' AS use, CAST(detail ->> 'count' AS bigint) AS units
            FROM audit WHERE action = 'use'
        )
        SELECT 'use ' || use AS subject, asked.units AS stated, booked.units AS calculated
        FROM asked FULL JOIN booked USING (use) WHERE asked.units IS DISTINCT FROM booked.units LIMIT :limit
    """),
)
# A party's files of a bank and programme are numbered from 1 in the order of their dates.
SEQUENCES: Final = Check(
    name="file-sequences",
    count=text("SELECT count(*) FROM settlement_file"),
    differences=text("""
        SELECT name AS subject, sequence AS stated, place AS calculated
        FROM (SELECT name, sequence, row_number() OVER (PARTITION BY bank, programme, party ORDER BY business_date)
                     AS place FROM settlement_file) f
        WHERE sequence <> place LIMIT :limit
    """),
)
# The files of a cycle add up to zero for each currency: what one party pays another receives.
FILE_NETS: Final = Check(
    name="file-nets",
    count=text("SELECT count(*) FROM (SELECT DISTINCT bank, programme, business_date FROM settlement_file) f"),
    differences=text("""
        SELECT 'cycle ' || f.bank || ', ' || f.programme || ', ' || f.business_date || ', ' || (t.total ->> 0)
               AS subject,
               sum(CAST(t.total ->> 2 AS bigint) - CAST(t.total ->> 1 AS bigint)) AS stated, 0 AS calculated
        FROM settlement_file f CROSS JOIN LATERAL json_array_elements(f.totals) t (total)
        GROUP BY f.bank, f.programme, f.business_date, t.total ->> 0
        HAVING sum(CAST(t.total ->> 2 AS bigint) - CAST(t.total ->> 1 AS bigint)) <> 0 LIMIT :limit
    """),
)


def _reference(name: str, table: str, subject: str, missing: str, condition: str) -> Check:
    """Return a check that finds the rows ``t`` of a table that name what is missing, because ``condition`` holds."""
    return Check(
        name=name,
        count=text(f"SELECT count(*) FROM {table}"),
        differences=text(
            f"SELECT {subject} AS subject, {missing} AS stated, 'not there' AS calculated"
            f" FROM {table} t WHERE {condition} LIMIT :limit"
        ),
    )


def _no(table: str, condition: str) -> str:
    return f"NOT EXISTS (SELECT FROM {table} WHERE {condition})"


_MESSAGE: Final = "'message ' || encode(t.message_id, 'hex')"
_PURCHASE: Final = "'purchase ' || encode(t.purchase_id, 'hex')"
_ACCOUNT: Final = "'account ' || encode(t.account, 'hex')"
_NO_MESSAGE: Final = _no("message x", "x.bucket = t.bucket AND x.id = t.message_id")
_NO_PURCHASE: Final = _no("purchase x", "x.bucket = t.bucket AND x.id = t.purchase_id")
_NO_ACCOUNT: Final = _no("account x", "x.bucket = t.bucket AND x.id = t.account")
_LATEST: Final = "ORDER BY d.attempt DESC LIMIT 1"
# What took a joined account's grants back names the purchase as its cause, not a message.
_OF_A_JOIN: Final = (
    "(t.message_id = t.purchase_id"
    f" AND substring(t.id FROM octet_length(t.id) - 1) >= '\\x{FIRST_NUMBER_OF_A_JOIN:04x}'::bytea)"
)

# Tables without foreign keys name rows that are there; nothing that arrived is without a decision.
REFERENCES: Final = (
    _reference(
        "award-message",
        "award",
        "'award ' || encode(t.id, 'hex')",
        _MESSAGE,
        f"NOT {_OF_A_JOIN} AND {_NO_MESSAGE}",
    ),
    _reference("award-purchase", "award", "'award ' || encode(t.id, 'hex')", _PURCHASE, _NO_PURCHASE),
    _reference(
        "posting-message",
        "posting",
        "'posting ' || encode(t.id, 'hex')",
        _MESSAGE,
        f"t.template NOT IN {_OF_NO_MESSAGE} AND NOT {_OF_A_JOIN} AND {_NO_MESSAGE}",
    ),
    _reference(
        "posting-purchase",
        "posting",
        "'posting ' || encode(t.id, 'hex')",
        _PURCHASE,
        f"t.template NOT IN {_OF_NO_MESSAGE} AND {_NO_PURCHASE}",
    ),
    _reference(
        "decision-message",
        "decision",
        "'decision ' || encode(t.message_id, 'hex') || '-' || t.attempt",
        _MESSAGE,
        _NO_MESSAGE,
    ),
    _reference(
        "message-decision",
        "message",
        "'message ' || encode(t.id, 'hex')",
        "'a decision'",
        _no("decision x", "x.bucket = t.bucket AND x.message_id = t.id"),
    ),
    _reference(
        "parked-decision",
        "parked",
        _MESSAGE,
        "'parked as its latest decision'",
        f"(SELECT d.outcome FROM decision d WHERE d.bucket = t.bucket AND d.message_id = t.message_id {_LATEST})"
        f" IS DISTINCT FROM {int(Outcome.PARKED)}",
    ),
    _reference(
        "decision-parked",
        "decision",
        _MESSAGE,
        "'a place among the parked messages'",
        f"t.outcome = {int(Outcome.PARKED)}"
        f" AND {_no('decision x', 'x.bucket = t.bucket AND x.message_id = t.message_id AND x.attempt > t.attempt')}"
        f" AND {_no('parked x', 'x.bucket = t.bucket AND x.message_id = t.message_id')}"
        # A joined account's messages wait, if they still must, in the account that took them.
        f" AND EXISTS (SELECT FROM account a WHERE a.bucket = t.bucket AND a.id = t.account"
        "  AND a.superseded_by IS NULL)",
    ),
    _reference("purchase-account", "purchase", "'purchase ' || encode(t.id, 'hex')", _ACCOUNT, _NO_ACCOUNT),
    _reference("trace-purchase", "trace", "'trace ' || encode(t.trace, 'hex')", _PURCHASE, _NO_PURCHASE),
    _reference("card-account", "card", "'card ' || encode(t.token, 'hex')", _ACCOUNT, _NO_ACCOUNT),
    _reference("reference-account", "account_reference", "'account reference at ' || t.bank", _ACCOUNT, _NO_ACCOUNT),
)

CHECKS: Final = (
    BALANCES,
    POSTINGS,
    MEMBERS,
    LEFT_OUT,
    OBLIGATIONS,
    SEQUENCES,
    FILE_NETS,
    ADJUSTMENTS,
    MEMBER_FACTS,
    USES,
    *REFERENCES,
    *ACCRUALS,
)

# Every account's programme and bank, and whether it was joined to another.
STREAM_ACCOUNTS: Final = text(
    "SELECT bucket, id AS account, programme, bank, superseded_by IS NOT NULL AS joined FROM account"
    " ORDER BY bucket, id"
)
# Every purchase's state, account by account.
STREAM_PURCHASES: Final = text(
    "SELECT bucket, account, id, CAST(state AS text) AS state, updated_at FROM purchase ORDER BY bucket, account, id"
)
# What awards add up to for each purchase, rule and unit, account by account.
STREAM_AWARDS: Final = text(
    "SELECT bucket, account, purchase_id, benefit, rule, unit, CAST(sum(pending_change) AS bigint) AS pending,"
    " CAST(sum(available_change) AS bigint) AS available FROM award"
    " GROUP BY bucket, account, purchase_id, benefit, rule, unit ORDER BY bucket, account"
)
# What postings add up to for each purchase, rule and pair of ledger accounts, account by account.
STREAM_POSTINGS: Final = text(
    "SELECT bucket, account, purchase_id, template, rule, debit, credit, unit, CAST(sum(amount) AS bigint) AS amount"
    f" FROM posting WHERE template NOT IN {_OF_NO_MESSAGE}"
    " GROUP BY bucket, account, purchase_id, template, rule, debit, credit, unit ORDER BY bucket, account"
)
# Every counter of a cap, account by account.
STREAM_COUNTERS: Final = text("SELECT bucket, account, cap, period, used FROM limit_counter ORDER BY bucket, account")

# Every fact about a computed tier, account by account.
STREAM_REACHED: Final = text(
    "SELECT bucket, account, number, value, holds, valid_from FROM member_fact WHERE kind = 'reached-tier'"
    " ORDER BY bucket, account, number"
)

# The purchase that the latest decision on each message names, account by account.
STREAM_DECISIONS: Final = text(
    "SELECT bucket, account, message_id, purchase_id FROM (SELECT DISTINCT ON (bucket, message_id) bucket, message_id,"
    " account, purchase_id FROM decision ORDER BY bucket, message_id, attempt DESC) latest"
    " WHERE purchase_id IS NOT NULL ORDER BY bucket, account, message_id"
)


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """Give a connection that reads one unchanging state of the database and cannot write."""
    with engine.connect() as plain:
        connection = plain.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connection.begin():
            yield connection


def count(connection: Connection, check: Check) -> int:
    """Return how many subjects a check looks at."""
    return int(connection.execute(check.count).scalar_one())


def find_differences(
    connection: Connection, check: Check, *, limit: int, longest_commit: timedelta
) -> list[tuple[str, str, str]]:
    """Return the first differences a check finds, as (subject, stated, calculated)."""
    values: dict[str, Any] = {"limit": limit}
    if "longest_commit" in check.differences.compile().params:
        values["longest_commit"] = longest_commit
    rows = connection.execute(check.differences, values)
    return [(row.subject, _shown(row.stated), _shown(row.calculated)) for row in rows]


def _shown(value: object) -> str:
    return "nothing" if value is None else str(value)


def stream(connection: Connection, statement: TextClause) -> Iterator[Row[Any]]:
    """Yield a statement's rows, a few thousand in memory at a time."""
    return iter(connection.execute(statement, execution_options={"yield_per": ROWS_A_FETCH}))
