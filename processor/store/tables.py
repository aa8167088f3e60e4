"""Every table, its keys, and what the service role may do with it.

``info`` of a table says three things: ``access`` (what the service role is granted), ``sharded`` (it carries
``bucket``, which leads its keys and would be its distribution column on Citus), and ``dated`` (it is partitioned by
month over the column named, whose values begin with their day).
Facts are append-only: the service role may select and insert them, never update or delete.
"""

from enum import StrEnum
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSON

from processor.core.posting import MAKE_AVAILABLE, MEMBER_PROVISIONAL


class Access(StrEnum):
    """What the service role is granted on a table."""

    APPEND = "SELECT, INSERT"
    UPDATE = "SELECT, INSERT, UPDATE"
    QUEUE = "SELECT, INSERT, UPDATE, DELETE"
    READ = "SELECT"


metadata: Final = MetaData()

POSTING_TO_ACCRUE: Final = (
    f"(debit = '{MEMBER_PROVISIONAL}' OR credit = '{MEMBER_PROVISIONAL}')"
    f" AND template IN ({', '.join(str(int(template)) for template in MAKE_AVAILABLE)})"
)
"""Which postings an accrual to the owner's ledger carries."""


def _table(name: str, *items: Any, access: Access, sharded: bool = False, dated: str | None = None) -> Table:
    options: dict[str, Any] = {"info": {"access": access, "sharded": sharded, "dated": dated}}
    if dated:
        options["postgresql_partition_by"] = f"RANGE ({dated})"
    elif access is not Access.APPEND and sharded:
        options["postgresql_with"] = {"fillfactor": 80}
    return Table(name, metadata, *items, **options)


def _bucket() -> Column[int]:
    return Column("bucket", SmallInteger, nullable=False)


def _time(name: str) -> Column[Any]:
    return Column(name, DateTime(timezone=True), nullable=False)


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def _binary(name: str) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=False)


installation = _table(
    "installation",
    Column("id", SmallInteger, CheckConstraint("id = 1"), primary_key=True, autoincrement=False),
    Column("bucket_count", SmallInteger, nullable=False),
    _time("created_at"),
    access=Access.READ,
)

# Reference data: small, read into a snapshot, never written inside a card transaction.

reference_version = _table(
    "reference_version",
    Column("id", SmallInteger, CheckConstraint("id = 1"), primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
    access=Access.UPDATE,
)

programme_revision = _table(
    "programme_revision",
    _text("programme"),
    Column("revision", Integer, nullable=False),
    _text("document"),
    Column("merchants", JSON, nullable=False),
    _binary("digest"),
    _time("effective_from"),
    _time("applied_at"),
    _text("applied_by"),
    PrimaryKeyConstraint("programme", "revision"),
    access=Access.APPEND,
)

# Directories: keyed by what a message or a card file names, so that any worker finds the account.

card = _table(
    "card",
    _binary("token"),
    _text("key_id"),
    _text("bank"),
    _binary("account"),
    _bucket(),
    Column("product", Text),
    _text("last_four"),
    _text("role"),
    _text("status"),
    Column("status_from", Date),
    Column("predecessor", LargeBinary),
    _text("name"),
    _time("updated_at"),
    PrimaryKeyConstraint("token"),
    Index("card_by_account", "account"),
    access=Access.UPDATE,
)

account_reference = _table(
    "account_reference",
    _text("bank"),
    _text("reference"),
    _binary("account"),
    _bucket(),
    PrimaryKeyConstraint("bank", "reference"),
    Index("account_reference_by_account", "account"),
    access=Access.APPEND,
)

# The card side: one member's rows share one bucket.

account = _table(
    "account",
    _bucket(),
    _binary("id"),
    _text("bank"),
    Column("programme", Text),
    Column("product", Text),
    _text("status"),
    Column("status_from", Date),
    Column("provisional", Boolean, nullable=False),
    Column("superseded_by", LargeBinary),
    Column("pending", BigInteger, nullable=False),
    Column("available", BigInteger, nullable=False),
    Column("reservations", JSON),
    Column("refunds_from", Date),
    _time("updated_at"),
    PrimaryKeyConstraint("bucket", "id"),
    access=Access.UPDATE,
    sharded=True,
)

member_profile = _table(
    "member_profile",
    _bucket(),
    _binary("account"),
    _text("bank_reference"),
    Column("member_number", Text),
    Column("opened_on", Date),
    _time("updated_at"),
    PrimaryKeyConstraint("bucket", "account"),
    access=Access.UPDATE,
    sharded=True,
)

member_fact = _table(
    "member_fact",
    _bucket(),
    _binary("account"),
    Column("number", Integer, nullable=False),
    _text("kind"),
    _text("value"),
    Column("holds", Boolean, nullable=False),
    _time("valid_from"),
    Column("valid_until", DateTime(timezone=True)),
    _time("recorded_at"),
    _binary("audit_id"),
    PrimaryKeyConstraint("bucket", "account", "number"),
    access=Access.APPEND,
    sharded=True,
)

member_birthday = _table(
    "member_birthday",
    _bucket(),
    _binary("account"),
    Column("number", Integer, nullable=False),
    _text("month_day"),
    PrimaryKeyConstraint("bucket", "account", "number"),
    access=Access.APPEND,
    sharded=True,
)

message = _table(
    "message",
    _bucket(),
    _binary("id"),
    _binary("account"),
    _text("bank"),
    _text("dialect"),
    _binary("content"),
    Column("fields", JSON, nullable=False),
    _time("received_at"),
    PrimaryKeyConstraint("bucket", "id"),
    access=Access.APPEND,
    sharded=True,
    dated="id",
)

decision = _table(
    "decision",
    _bucket(),
    _binary("message_id"),
    Column("attempt", SmallInteger, nullable=False),
    _binary("account"),
    Column("purchase_id", LargeBinary),
    Column("outcome", SmallInteger, nullable=False),
    Column("reason", SmallInteger, nullable=False),
    Column("detail", JSON, nullable=False),
    _time("decided_at"),
    PrimaryKeyConstraint("bucket", "message_id", "attempt"),
    access=Access.APPEND,
    sharded=True,
    dated="message_id",
)

message_conflict = _table(
    "message_conflict",
    _bucket(),
    _binary("message_id"),
    _binary("content"),
    _binary("account"),
    Column("fields", JSON, nullable=False),
    _time("received_at"),
    PrimaryKeyConstraint("bucket", "message_id", "content"),
    access=Access.APPEND,
    sharded=True,
)

parked = _table(
    "parked",
    _bucket(),
    _binary("message_id"),
    _binary("account"),
    Column("reason", SmallInteger, nullable=False),
    _time("parked_at"),
    PrimaryKeyConstraint("bucket", "message_id"),
    Index("parked_by_account", "bucket", "account"),
    access=Access.QUEUE,
    sharded=True,
)

purchase = _table(
    "purchase",
    _bucket(),
    _binary("id"),
    _binary("account"),
    Column("state", JSON, nullable=False),
    _time("updated_at"),
    PrimaryKeyConstraint("bucket", "id"),
    Index("purchase_by_account", "bucket", "account", "id"),
    access=Access.UPDATE,
    sharded=True,
    dated="id",
)

trace = _table(
    "trace",
    _bucket(),
    _binary("account"),
    _binary("trace"),
    _binary("purchase_id"),
    Column("created_on", Date, nullable=False),
    PrimaryKeyConstraint("bucket", "account", "trace"),
    access=Access.UPDATE,
    sharded=True,
)

award = _table(
    "award",
    _bucket(),
    _binary("id"),
    _binary("message_id"),
    _binary("account"),
    _binary("purchase_id"),
    _text("programme"),
    Column("revision", Integer, nullable=False),
    _text("rule"),
    _text("benefit"),
    Column("partner", Text),
    _text("funder"),
    _text("unit"),
    Column("pending_change", BigInteger, nullable=False),
    Column("available_change", BigInteger, nullable=False),
    _time("booked_at"),
    PrimaryKeyConstraint("bucket", "id"),
    access=Access.APPEND,
    sharded=True,
    dated="id",
)

posting = _table(
    "posting",
    _bucket(),
    _binary("id"),
    _binary("message_id"),
    _binary("account"),
    _binary("purchase_id"),
    _text("bank"),
    _text("programme"),
    Column("template", SmallInteger, nullable=False),
    _text("debit"),
    _text("credit"),
    _text("unit"),
    Column("amount", BigInteger, CheckConstraint("amount > 0", name="posting_amount_above_zero"), nullable=False),
    _text("rule"),
    Column("between_parties", Boolean, nullable=False),
    _time("booked_at"),
    Column("business_date", Date, nullable=False),
    PrimaryKeyConstraint("bucket", "id"),
    Index("posting_by_account", "bucket", "account", "id"),
    access=Access.APPEND,
    sharded=True,
    dated="id",
)
Index(
    "posting_to_settle",
    posting.c.bank,
    posting.c.programme,
    posting.c.business_date,
    postgresql_where=posting.c.between_parties,
)

Index(
    "posting_to_accrue",
    posting.c.bank,
    posting.c.programme,
    posting.c.business_date,
    postgresql_where=text(POSTING_TO_ACCRUE),
)

link_review = _table(
    "link_review",
    _bucket(),
    _binary("account"),
    _binary("first"),
    _binary("second"),
    Column("confidence", SmallInteger, nullable=False),
    _text("verdict"),
    Column("detail", JSON, nullable=False),
    _time("found_at"),
    _time("updated_at"),
    PrimaryKeyConstraint("bucket", "account", "first", "second"),
    Index("link_review_by_verdict", "verdict", "found_at"),
    access=Access.UPDATE,
    sharded=True,
)

limit_counter = _table(
    "limit_counter",
    _bucket(),
    _binary("account"),
    _text("cap"),
    _text("period"),
    Column("used", BigInteger, nullable=False),
    PrimaryKeyConstraint("bucket", "account", "cap", "period"),
    access=Access.UPDATE,
    sharded=True,
)

# Households: few accounts that share what some caps leave; the row is locked behind the accounts, and covers counters.

household = _table(
    "household",
    _bucket(),
    _binary("id"),
    _text("programme"),
    _text("name"),
    Column("reservations", JSON),
    _time("updated_at"),
    PrimaryKeyConstraint("bucket", "id"),
    access=Access.UPDATE,
    sharded=True,
)

household_counter = _table(
    "household_counter",
    _bucket(),
    _binary("household"),
    _text("cap"),
    _text("period"),
    Column("used", BigInteger, nullable=False),
    PrimaryKeyConstraint("bucket", "household", "cap", "period"),
    access=Access.UPDATE,
    sharded=True,
)

# Budgets: what is left lies in a pool; each bucket takes a share of it, and only the share is written with a batch.

_POOL: Final = ("programme", "budget", "period")


def _pool_key() -> list[Column[Any]]:
    return [_text("programme"), _text("budget"), _text("period")]


budget_pool = _table(
    "budget_pool",
    *_pool_key(),
    Column("size", BigInteger, nullable=False),
    Column("remaining", BigInteger, nullable=False),
    _time("updated_at"),
    PrimaryKeyConstraint(*_POOL),
    access=Access.UPDATE,
)

budget_share = _table(
    "budget_share",
    _bucket(),
    *_pool_key(),
    Column("size", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
    Column("used", BigInteger, nullable=False),
    Column("leased_until", DateTime(timezone=True)),
    _time("updated_at"),
    PrimaryKeyConstraint("bucket", *_POOL),
    Index("budget_share_by_pool", *_POOL),
    access=Access.UPDATE,
    sharded=True,
)

budget_hold = _table(
    "budget_hold",
    _bucket(),
    *_pool_key(),
    _binary("purchase_id"),
    Column("units", BigInteger, nullable=False),
    _time("expires_at"),
    PrimaryKeyConstraint("bucket", *_POOL, "purchase_id"),
    Index("budget_hold_by_pool", *_POOL),
    access=Access.QUEUE,
    sharded=True,
)

# Settlement: a cycle is (bank, programme, business date).

_CYCLE: Final = ("bank", "programme", "business_date")


def _cycle_key() -> list[Column[Any]]:
    return [_text("bank"), _text("programme"), Column("business_date", Date, nullable=False)]


cycle = _table(
    "cycle",
    *_cycle_key(),
    _text("state"),
    _time("opened_at"),
    Column("closed_at", DateTime(timezone=True)),
    PrimaryKeyConstraint(*_CYCLE),
    access=Access.UPDATE,
)

cycle_posting = _table(
    "cycle_posting",
    _bucket(),
    _binary("posting_id"),
    *_cycle_key(),
    PrimaryKeyConstraint("bucket", "posting_id"),
    Index("cycle_posting_by_cycle", *_CYCLE),
    access=Access.APPEND,
    sharded=True,
    dated="posting_id",
)

cycle_obligation = _table(
    "cycle_obligation",
    *_cycle_key(),
    _text("debtor"),
    _text("creditor"),
    _text("currency"),
    Column("amount_minor", BigInteger, nullable=False),
    Column("postings", Integer, nullable=False),
    PrimaryKeyConstraint(*_CYCLE, "debtor", "creditor", "currency"),
    access=Access.APPEND,
)

settlement_file = _table(
    "settlement_file",
    *_cycle_key(),
    _text("party"),
    Column("sequence", Integer, nullable=False),
    _text("name"),
    _text("layout"),
    Column("size_bytes", BigInteger, nullable=False),
    _binary("sha256"),
    Column("record_count", Integer, nullable=False),
    Column("hash_total", BigInteger, nullable=False),
    Column("totals", JSON, nullable=False),
    _time("made_at"),
    PrimaryKeyConstraint(*_CYCLE, "party"),
    access=Access.APPEND,
)

# The ledger at the owner: what became available here leaves as accruals, and what the owner answers is booked.

accrual = _table(
    "accrual",
    _bucket(),
    _binary("id"),
    _binary("account"),
    _text("bank"),
    _text("programme"),
    _binary("purchase_id"),
    _text("rule"),
    _text("partner"),
    _text("unit"),
    Column("miles", BigInteger, nullable=False),
    Column("postings", Integer, nullable=False),
    _time("booked_at"),
    Column("business_date", Date, nullable=False),
    Column("collection", Integer, nullable=False),
    _time("collected_at"),
    PrimaryKeyConstraint("bucket", "id"),
    access=Access.APPEND,
    sharded=True,
    dated="id",
)

accrual_posting = _table(
    "accrual_posting",
    _bucket(),
    _binary("posting_id"),
    _binary("accrual_id"),
    PrimaryKeyConstraint("bucket", "posting_id"),
    access=Access.APPEND,
    sharded=True,
    dated="posting_id",
)

accrual_attempt = _table(
    "accrual_attempt",
    _bucket(),
    _binary("accrual_id"),
    Column("attempt", SmallInteger, nullable=False),
    _text("bank"),
    _text("programme"),
    Column("dispatch", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    _text("member"),
    PrimaryKeyConstraint("bucket", "accrual_id", "attempt"),
    Index("accrual_attempt_by_dispatch", "programme", "bank", "dispatch", "number"),
    access=Access.APPEND,
    sharded=True,
    dated="accrual_id",
)

accrual_answer = _table(
    "accrual_answer",
    _bucket(),
    _binary("accrual_id"),
    Column("attempt", SmallInteger, nullable=False),
    Column("accepted", Boolean, nullable=False),
    _text("code"),
    _text("text"),
    _binary("response"),
    _time("answered_at"),
    PrimaryKeyConstraint("bucket", "accrual_id", "attempt"),
    access=Access.APPEND,
    sharded=True,
    dated="accrual_id",
)

accrual_state = _table(
    "accrual_state",
    _bucket(),
    _binary("accrual_id"),
    _binary("account"),
    _text("bank"),
    _text("programme"),
    _binary("purchase_id"),
    _text("rule"),
    Column("miles", BigInteger, nullable=False),
    Column("collection", Integer, nullable=False),
    _text("state"),
    Column("attempt", SmallInteger, nullable=False),
    Column("member", Text),
    Column("asked_by", Text),
    _time("updated_at"),
    PrimaryKeyConstraint("bucket", "accrual_id"),
    Index("accrual_state_by_purchase", "bucket", "account", "purchase_id"),
    access=Access.UPDATE,
    sharded=True,
    dated="accrual_id",
)
Index(
    "accrual_state_open",
    accrual_state.c.programme,
    accrual_state.c.bank,
    accrual_state.c.state,
    postgresql_where=accrual_state.c.state.in_(["waiting", "sent", "suspended"]),
)

accrual_desk = _table(
    "accrual_desk",
    _text("programme"),
    _text("bank"),
    Column("collection", Integer, nullable=False),
    Column("dispatch", Integer, nullable=False),
    Column("collected_to", Date, nullable=False),
    PrimaryKeyConstraint("programme", "bank"),
    access=Access.UPDATE,
)

accrual_dispatch = _table(
    "accrual_dispatch",
    _text("programme"),
    _text("bank"),
    Column("sequence", Integer, nullable=False),
    _text("by"),
    _binary("request"),
    _text("name"),
    _text("layout"),
    _text("unit"),
    Column("decimals", SmallInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    _binary("sha256"),
    Column("record_count", Integer, nullable=False),
    Column("accrued", BigInteger, nullable=False),
    Column("taken_back", BigInteger, nullable=False),
    _time("made_at"),
    PrimaryKeyConstraint("programme", "bank", "sequence"),
    access=Access.APPEND,
)

accrual_response = _table(
    "accrual_response",
    _text("programme"),
    _text("bank"),
    _binary("id"),
    _text("name"),
    Column("accepted", Integer, nullable=False),
    Column("rejected", Integer, nullable=False),
    Column("repeated", Integer, nullable=False),
    Column("exceptions", JSON, nullable=False),
    _time("received_at"),
    PrimaryKeyConstraint("programme", "bank", "id"),
    access=Access.APPEND,
)

# Intake and operations.

clearing_file = _table(
    "clearing_file",
    _text("bank"),
    _text("file_id"),
    _binary("sha256"),
    _text("dialect"),
    _text("state"),
    Column("records", Integer, nullable=False),
    Column("outcomes", JSON, nullable=False),
    _time("received_at"),
    Column("completed_at", DateTime(timezone=True)),
    Column("decided", Integer, nullable=False),
    Column("totals", JSON, nullable=False),
    _binary("staging"),
    Column("chunks", Integer, nullable=False),
    Column("decided_chunks", Integer, nullable=False),
    Column("leased_by", Text),
    Column("leased_until", DateTime(timezone=True)),
    PrimaryKeyConstraint("bank", "file_id"),
    access=Access.UPDATE,
)
Index("clearing_file_waiting", clearing_file.c.received_at, postgresql_where=clearing_file.c.state == "taking")

clearing_chunk = _table(
    "clearing_chunk",
    _binary("staging"),
    Column("number", Integer, nullable=False),
    _binary("content"),
    PrimaryKeyConstraint("staging", "number"),
    access=Access.QUEUE,
)

clearing_exception = _table(
    "clearing_exception",
    _text("bank"),
    _text("file_id"),
    Column("number", Integer, nullable=False),
    _text("place"),
    Column("outcome", SmallInteger, nullable=False),
    Column("reason", SmallInteger, nullable=False),
    _text("problem"),
    PrimaryKeyConstraint("bank", "file_id", "number"),
    access=Access.APPEND,
)

undecodable = _table(
    "undecodable",
    _binary("id"),
    _text("bank"),
    _text("dialect"),
    _text("source"),
    Column("length_bytes", Integer, nullable=False),
    _text("field"),
    Column("position", Integer, nullable=False),
    _text("problem"),
    _binary("digest"),
    _text("key_id"),
    _time("received_at"),
    PrimaryKeyConstraint("id"),
    access=Access.APPEND,
)

worker_status = _table(
    "worker_status",
    _text("worker"),
    _time("started_at"),
    _time("seen_at"),
    Column("detail", JSON, nullable=False),
    PrimaryKeyConstraint("worker"),
    access=Access.QUEUE,
)

audit = _table(
    "audit",
    _binary("id"),
    _text("actor"),
    _text("action"),
    _text("subject"),
    _text("reason"),
    Column("detail", JSON, nullable=False),
    _time("at"),
    PrimaryKeyConstraint("id"),
    access=Access.APPEND,
)
