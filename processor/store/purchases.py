"""The statements of purchases as operations see them: an account's list, what may expire, what stands alone, reviews.

What names one account names its bucket.
What looks for work goes through the buckets one after another, in each through the days that the caller names, so that
it opens the monthly partitions of these days and no others; the database leaves out what cannot be meant before a
state is read here.
Nothing here commits.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
from psycopg2.extras import execute_values
from sqlalchemy import Connection, text

from processor.core.kept_purchase import Purchase
from processor.core.lifecycle import Effect
from processor.store.card_side import Key, load_families
from processor.store.operations import AFTER_EVERY_TIME
from processor.store.purchase_state import decode_purchase

MOST_OF_AN_ACCOUNT: Final = 1000
"""Purchases of one account that are set beside each other in one look for weak links."""
AFTER_EVERY_ID: Final = b"\xff" * 32


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedPurchase:
    """A purchase with the account it is of, and that account's bank and programme."""

    bucket: int
    account: bytes
    bank: str
    programme: str | None
    purchase: Purchase


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """The days that purchases' ids lie in: the bounds' first bytes, the upper one excluded."""

    low: bytes
    high: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkReviewRow:
    """Two messages of an account that may be of one purchase; ``detail`` holds ``reasons``, a list of sentences."""

    bucket: int
    account: bytes
    first: bytes
    second: bytes
    confidence: int
    verdict: str
    detail: Mapping[str, Any]
    found_at: datetime
    updated_at: datetime


def _has(*effects: Effect) -> str:
    """Return the condition that a purchase has a message of one of these effects, the fourth value of an event."""
    numbers = ", ".join(f"'{int(effect)}'" for effect in effects)
    return f"EXISTS (SELECT FROM json_array_elements(t.state -> 'events') e WHERE e ->> 3 IN ({numbers}))"


_PENDING: Final = "EXISTS (SELECT FROM json_array_elements(t.state -> 'grants') g WHERE g ->> 3 <> g ->> 4)"
_FOUND: Final = (
    "SELECT t.id, t.account, t.state::text AS state, a.bank, a.programme FROM purchase t"
    " JOIN account a ON a.bucket = t.bucket AND a.id = t.account"
    " WHERE t.bucket = :bucket AND a.bucket = :bucket AND t.id > :after AND t.id >= :low AND t.id < :high"
)

# Read one page of an account's purchases that stand for themselves, the latest first.
LIST_PURCHASES: Final = text(
    "SELECT t.id, t.state::text AS state FROM purchase t WHERE t.bucket = :bucket AND t.account = :account"
    " AND t.id < :before AND t.state ->> 'merged_into' IS NULL ORDER BY t.id DESC LIMIT :limit"
)
# Tell whether an account has a purchase.
FIND_PURCHASE: Final = text(
    "SELECT t.id FROM purchase t WHERE t.bucket = :bucket AND t.id = :id AND t.account = :account"
)
# Read one page of a bucket's purchases that may have something to expire: an authorization, and beside it pending
# grants or nothing that cleared or expired.
FIND_AWAITED: Final = text(
    f"{_FOUND} AND {_has(Effect.AUTHORIZED)} AND ({_PENDING} OR NOT {_has(Effect.CLEARED, Effect.EXPIRED)})"
    " ORDER BY t.id LIMIT :limit"
)
# Read one page of a bucket's purchases of which something has cleared and waits to be posted.
FIND_WAITING: Final = text(
    f"{_FOUND} AND {_has(Effect.CLEARED, Effect.FINAL)} AND {_PENDING} ORDER BY t.id LIMIT :limit"
)
# List purchases of which something was held for review, the latest first.
LIST_HELD: Final = text(
    "SELECT t.bucket, t.account, t.id, t.state::text AS state FROM purchase t"
    " WHERE t.id >= :low AND (t.id, t.bucket) < (:id, :bucket)"
    " AND EXISTS (SELECT FROM json_array_elements(t.state -> 'grants') g WHERE g ->> 6 <> '')"
    " ORDER BY t.id DESC, t.bucket DESC LIMIT :limit"
)
# Read one page of a bucket's purchases that stand alone: cleared or reversed, and never authorized.
FIND_ALONE: Final = text(
    f"{_FOUND} AND {_has(Effect.CLEARED, Effect.REVERSED)} AND NOT {_has(Effect.AUTHORIZED, Effect.FINAL)}"
    " ORDER BY t.id LIMIT :limit"
)
# Read an account's purchases of some days.
LOAD_OF_DAYS: Final = text(
    "SELECT t.id, t.state::text AS state FROM purchase t WHERE t.bucket = :bucket AND t.account = :account"
    " AND t.id >= :low AND t.id < :high ORDER BY t.id LIMIT :limit"
)
# List pairs for review that are not listed yet.
KEEP_REVIEWS: Final = """
INSERT INTO link_review (bucket, account, first, second, confidence, verdict, detail, found_at, updated_at) VALUES %s
ON CONFLICT (bucket, account, first, second) DO NOTHING RETURNING first
"""
# Set a pair's verdict to what operations said last; a pair that is not listed is put on the list.
SET_VERDICT: Final = text(
    "INSERT INTO link_review AS t (bucket, account, first, second, confidence, verdict, detail, found_at, updated_at)"
    " VALUES (:bucket, :account, :first, :second, :confidence, :verdict, CAST(:detail AS json), :now, :now)"
    " ON CONFLICT (bucket, account, first, second) DO UPDATE SET verdict = EXCLUDED.verdict,"
    " updated_at = CASE WHEN t.verdict = EXCLUDED.verdict THEN t.updated_at ELSE EXCLUDED.updated_at END"
)
_REVIEW: Final = (
    "SELECT t.bucket, t.account, t.first, t.second, t.confidence, t.verdict, t.detail::text AS detail, t.found_at,"
    " t.updated_at FROM link_review t"
)
# Read one pair.
LOAD_REVIEW: Final = text(
    f"{_REVIEW} WHERE t.bucket = :bucket AND t.account = :account AND t.first = :first AND t.second = :second"
)
# Read one page of the pairs with some verdicts, the latest found first.
LIST_REVIEWS: Final = text(
    f"{_REVIEW} WHERE t.verdict = ANY (:verdicts)"
    " AND (t.found_at, t.bucket, t.account, t.first, t.second) < (:found_at, :bucket, :account, :first, :second)"
    " ORDER BY t.found_at DESC, t.bucket DESC, t.account DESC, t.first DESC, t.second DESC LIMIT :limit"
)


def list_purchases(connection: Connection, key: Key, *, before: bytes, limit: int) -> list[Purchase]:
    """Return an account's purchases that stand for themselves with ids below ``before``, the highest first."""
    values = {"bucket": key[0], "account": key[1], "before": before, "limit": limit}
    return [decode_purchase(bytes(row.id), row.state) for row in connection.execute(LIST_PURCHASES, values)]


def load_purchase(connection: Connection, key: Key, account: bytes) -> dict[bytes, Purchase]:
    """Return an account's purchase with all of its family by id; nothing where the account has no such purchase."""
    values = {"bucket": key[0], "id": key[1], "account": account}
    if connection.execute(FIND_PURCHASE, values).one_or_none() is None:
        return {}
    return load_family(connection, key[0], [key[1]])


def load_family(connection: Connection, bucket: int, ids: Iterable[bytes]) -> dict[bytes, Purchase]:
    """Return purchases and all that their families lead to, by id."""
    found = load_families(connection.connection.cursor(), {(bucket, id_) for id_ in ids})
    return {id_: purchase for (_, id_), purchase in found.items()}


def find_awaited(connection: Connection, bucket: int, days: Days, *, after: bytes, limit: int) -> list[OwnedPurchase]:
    """Return purchases of a bucket that may have something to expire, by id behind ``after``."""
    return _found(connection, FIND_AWAITED, bucket, days, after, limit)


def find_waiting(connection: Connection, bucket: int, days: Days, *, after: bytes, limit: int) -> list[OwnedPurchase]:
    """Return purchases of a bucket that have cleared and have something pending, by id behind ``after``."""
    return _found(connection, FIND_WAITING, bucket, days, after, limit)


def list_held(
    connection: Connection, low: bytes, *, before: tuple[bytes, int], limit: int
) -> list[tuple[Key, Purchase]]:
    """Return purchases since a day of which something was held for review, with their accounts, the latest first.

    ``before`` is the id and the bucket of the last one on the page before.
    """
    values = {"low": low, "id": before[0], "bucket": before[1], "limit": limit}
    return [
        ((row.bucket, bytes(row.account)), decode_purchase(bytes(row.id), row.state))
        for row in connection.execute(LIST_HELD, values)
    ]


def find_alone(connection: Connection, bucket: int, days: Days, *, after: bytes, limit: int) -> list[OwnedPurchase]:
    """Return purchases of a bucket that were never authorized, by id behind ``after``."""
    return _found(connection, FIND_ALONE, bucket, days, after, limit)


def _found(
    connection: Connection, statement: Any, bucket: int, days: Days, after: bytes, limit: int
) -> list[OwnedPurchase]:
    values = {"bucket": bucket, "after": after, "low": days.low, "high": days.high, "limit": limit}
    return [
        OwnedPurchase(
            bucket=bucket,
            account=bytes(row.account),
            bank=row.bank,
            programme=row.programme,
            purchase=decode_purchase(bytes(row.id), row.state),
        )
        for row in connection.execute(statement, values)
    ]


def load_of_days(connection: Connection, key: Key, days: Days) -> list[Purchase]:
    """Return an account's purchases of some days, at most :data:`MOST_OF_AN_ACCOUNT`, the earliest first."""
    values = {
        "bucket": key[0],
        "account": key[1],
        "low": days.low,
        "high": days.high,
        "limit": MOST_OF_AN_ACCOUNT,
    }
    return [decode_purchase(bytes(row.id), row.state) for row in connection.execute(LOAD_OF_DAYS, values)]


def keep_reviews(connection: Connection, rows: Sequence[LinkReviewRow]) -> int:
    """List pairs for review and return how many were not listed before."""
    if not rows:
        return 0
    values = [
        (
            row.bucket,
            row.account,
            row.first,
            row.second,
            row.confidence,
            row.verdict,
            orjson.dumps(row.detail).decode(),
            row.found_at,
            row.updated_at,
        )
        for row in sorted(rows, key=lambda row: (row.account, row.first, row.second))
    ]
    cursor = connection.connection.cursor()
    return len(execute_values(cursor, KEEP_REVIEWS, values, page_size=len(values), fetch=True))


def set_verdict(connection: Connection, row: LinkReviewRow) -> None:
    """Set a pair's verdict; where it is listed already its reasons stay."""
    connection.execute(
        SET_VERDICT,
        {
            "bucket": row.bucket,
            "account": row.account,
            "first": row.first,
            "second": row.second,
            "confidence": row.confidence,
            "verdict": row.verdict,
            "detail": orjson.dumps(row.detail).decode(),
            "now": row.updated_at,
        },
    )


def load_review(connection: Connection, key: Key, pair: tuple[bytes, bytes]) -> LinkReviewRow | None:
    """Return a pair of an account that is listed, or None."""
    values = {"bucket": key[0], "account": key[1], "first": pair[0], "second": pair[1]}
    row = connection.execute(LOAD_REVIEW, values).mappings().one_or_none()
    return None if row is None else _review(row)


def list_reviews(
    connection: Connection,
    verdicts: Sequence[str],
    *,
    before: tuple[datetime, int, bytes, bytes, bytes] | None,
    limit: int,
) -> list[LinkReviewRow]:
    """Return the pairs of these verdicts before a (time, bucket, account, first, second), the latest found first."""
    found_at, bucket, account, first, second = before or (AFTER_EVERY_TIME, 0, b"", b"", b"")
    values = {
        "verdicts": list(verdicts),
        "found_at": found_at,
        "bucket": bucket,
        "account": account,
        "first": first,
        "second": second,
        "limit": limit,
    }
    return [_review(row) for row in connection.execute(LIST_REVIEWS, values).mappings()]


def _review(row: Mapping[Any, Any]) -> LinkReviewRow:
    ids = {name: bytes(row[name]) for name in ("account", "first", "second")}
    return LinkReviewRow(**{**row, **ids, "detail": orjson.loads(row["detail"])})
