"""The statements of a programme's accruals as a whole: collecting, sending, listing, and what was answered with them.

Whoever changes accruals of a bank and programme holds that pair's desk row first, and locks accounts only then.
All of it sweeps over every bucket of the pair by design; what names one accrual is in ``accrual_state``.
Nothing here commits.
"""

# ruff: noqa: S608 - statements are put together from this module's own constants.

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import orjson
from sqlalchemy import Connection, Row, text

from processor.core.posting import MEMBER_PROVISIONAL
from processor.store import copy_text as copy
from processor.store.accrual_state import ACCRUAL, AccrualRow, Pair, accrual_row, mark_sent
from processor.store.card_side import Key
from processor.store.tables import POSTING_TO_ACCRUE

ROWS_A_FETCH: Final = 5000
"""How many rows of a sweep are in memory at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskRow:
    """How far a pair's accruals are: the last collection and dispatch, and up to which date all is collected."""

    collection: int
    dispatch: int
    collected_to: date


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccrual:
    """An accrual to keep: ``miles`` is the signed sum of ``postings``; the partner is empty where none matched."""

    bucket: int
    id: bytes
    account: bytes
    purchase_id: bytes
    rule: str
    partner: str
    unit: str
    miles: int
    postings: tuple[bytes, ...]
    booked_at: datetime
    business_date: date
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SentRow:
    """One accrual of a dispatch, as the owner sees it."""

    number: int
    bucket: int
    id: bytes
    attempt: int
    member: str
    purchase_id: bytes
    rule: str
    partner: str
    unit: str
    miles: int
    booked_at: datetime
    business_date: date


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchRow:
    """What left together, as it was first made; ``name`` and ``layout`` are empty where it was fetched by a call.

    ``accrued`` and ``taken_back`` are the sums of miles above and below zero, both written above zero.
    """

    sequence: int
    by: str
    request: bytes
    name: str
    layout: str
    unit: str
    decimals: int
    size_bytes: int
    sha256: bytes
    record_count: int
    accrued: int
    taken_back: int
    made_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseRow:
    """A response that was taken: how many answers it held of each kind, and those that were left aside.

    ``exceptions`` lists ``[number, accrual in hex, attempt, verdict]``.
    """

    id: bytes
    name: str
    accepted: int
    rejected: int
    repeated: int
    exceptions: tuple[tuple[int, str, int, str], ...]
    received_at: datetime


# Give a pair its desk.
OPEN_DESK: Final = text(
    "INSERT INTO accrual_desk (programme, bank, collection, dispatch, collected_to)"
    " VALUES (:programme, :bank, 0, 0, '0001-01-01') ON CONFLICT DO NOTHING"
)
# Make those who change a pair's accruals wait for each other.
LOCK_DESK: Final = text(
    "SELECT collection, dispatch, collected_to FROM accrual_desk WHERE programme = :programme AND bank = :bank"
    " FOR UPDATE"
)
# Say how far a pair's accruals are.
SET_DESK: Final = text(
    "UPDATE accrual_desk SET collection = :collection, dispatch = :dispatch, collected_to = :collected_to"
    " WHERE programme = :programme AND bank = :bank"
)
# The postings that no accrual carries yet, accrual by accrual. Those dated up to ``floor`` all are in one for sure.
# The partner is that of the awards which the same message gave the same purchase in the same transaction.
STREAM_UNCOLLECTED: Final = text(
    "SELECT p.bucket, p.account, p.purchase_id, CASE WHEN :by_rule THEN p.rule ELSE '' END AS rule, p.unit, p.id,"
    f" CASE WHEN p.credit = '{MEMBER_PROVISIONAL}' THEN p.amount ELSE -p.amount END AS miles,"
    " p.booked_at, p.business_date, COALESCE("
    "  (SELECT max(a.partner) FROM award a WHERE a.bucket = p.bucket AND a.id > p.message_id"
    r"   AND a.id <= p.message_id || '\xffff'::bytea AND a.purchase_id = p.purchase_id AND a.booked_at = p.booked_at),"
    "  '') AS partner"
    " FROM posting p"
    f" WHERE {POSTING_TO_ACCRUE} AND p.programme = :programme AND p.bank = :bank AND p.business_date > :floor"
    " AND NOT EXISTS (SELECT FROM accrual_posting m WHERE m.bucket = p.bucket AND m.posting_id = p.id)"
    ' ORDER BY p.bucket, p.account, p.purchase_id, 4, p.unit COLLATE "C", p.booked_at, p.id'
)
# Accruals that have not left and that together take back what they give: none of them needs to leave.
NET_UNSENT: Final = text(
    "WITH unsent AS (SELECT s.bucket, s.account, s.purchase_id, s.rule FROM accrual_state s"
    "  WHERE s.programme = :programme AND s.bank = :bank AND s.state = 'waiting'"
    "  GROUP BY s.bucket, s.account, s.purchase_id, s.rule"
    "  HAVING count(*) > 1 AND sum(s.miles) = 0 AND max(s.attempt) = 0)"
    " UPDATE accrual_state t SET state = 'netted', updated_at = :now FROM unsent u"
    " WHERE t.bucket = u.bucket AND t.account = u.account AND t.purchase_id = u.purchase_id AND t.rule = u.rule"
    " AND t.state = 'waiting'"
)
# The accruals that may leave now: their member is known, and no earlier one of their purchase is still open.
FIND_SENDABLE: Final = text(
    "SELECT s.bucket, s.accrual_id, s.attempt + 1 AS attempt,"
    " COALESCE(s.member, CASE WHEN :by_reference THEN m.bank_reference ELSE m.member_number END) AS member"
    " FROM accrual_state s JOIN accrual a ON a.bucket = s.bucket AND a.id = s.accrual_id"
    " LEFT JOIN member_profile m ON m.bucket = s.bucket AND m.account = s.account"
    " WHERE s.programme = :programme AND s.bank = :bank AND s.state = 'waiting'"
    " AND COALESCE(s.member, CASE WHEN :by_reference THEN m.bank_reference ELSE m.member_number END) IS NOT NULL"
    " AND NOT EXISTS (SELECT FROM accrual_state e WHERE e.bucket = s.bucket AND e.account = s.account"
    "  AND e.purchase_id = s.purchase_id AND e.rule = s.rule AND e.collection < s.collection"
    "  AND e.state IN ('waiting', 'sent', 'suspended'))"
    " ORDER BY a.booked_at, s.bucket, s.accrual_id LIMIT :limit"
)
# How many accruals wait, and for how many of them nobody has said who the member is.
COUNT_WAITING: Final = text(
    "SELECT count(*) AS waiting, count(*) FILTER (WHERE COALESCE(s.member,"
    "  CASE WHEN :by_reference THEN m.bank_reference ELSE m.member_number END) IS NULL) AS nameless"
    " FROM accrual_state s LEFT JOIN member_profile m ON m.bucket = s.bucket AND m.account = s.account"
    " WHERE s.programme = :programme AND s.bank = :bank AND s.state = 'waiting'"
)
# The accruals of a dispatch in the order of their numbers.
STREAM_DISPATCH: Final = text(
    "SELECT t.number, t.bucket, t.accrual_id AS id, t.attempt, t.member, a.purchase_id, a.rule, a.partner, a.unit,"
    " a.miles, a.booked_at, a.business_date"
    " FROM accrual_attempt t JOIN accrual a ON a.bucket = t.bucket AND a.id = t.accrual_id"
    " WHERE t.programme = :programme AND t.bank = :bank AND t.dispatch = :sequence ORDER BY t.number"
)
# Keep what a dispatch is.
KEEP_DISPATCH: Final = text(
    "INSERT INTO accrual_dispatch (programme, bank, sequence, by, request, name, layout, unit, decimals, size_bytes,"
    " sha256, record_count, accrued, taken_back, made_at)"
    " VALUES (:programme, :bank, :sequence, :by, :request, :name, :layout, :unit, :decimals, :size_bytes, :sha256,"
    " :record_count, :accrued, :taken_back, :made_at)"
)
_DISPATCH: Final = (
    "SELECT sequence, by, request, name, layout, unit, decimals, size_bytes, sha256, record_count, accrued,"
    " taken_back, made_at FROM accrual_dispatch WHERE programme = :programme AND bank = :bank"
)
# A page of a pair's dispatches, the latest first.
LIST_DISPATCHES: Final = text(f"{_DISPATCH} AND sequence < :before ORDER BY sequence DESC LIMIT :limit")
# Every dispatch of a pair, the first one first.
LOAD_DISPATCHES: Final = text(f"{_DISPATCH} ORDER BY sequence")
# The dispatch that a request made.
FIND_DISPATCH: Final = text(f"{_DISPATCH} AND request = :request")
# Every pair that ever accrued.
LOAD_PAIRS: Final = text("SELECT programme, bank FROM accrual_desk ORDER BY programme, bank")

# A page of a pair's accruals, of one state or of all.
LIST_ACCRUALS: Final = text(
    f"SELECT {ACCRUAL} WHERE t.programme = :programme AND t.bank = :bank"
    " AND (CAST(:state AS text) IS NULL OR t.state = :state) AND (t.bucket, t.accrual_id) > (:bucket, :id)"
    " ORDER BY t.bucket, t.accrual_id LIMIT :limit"
)
# Keep a response that was taken.
KEEP_RESPONSE: Final = text(
    "INSERT INTO accrual_response (programme, bank, id, name, accepted, rejected, repeated, exceptions, received_at)"
    " VALUES (:programme, :bank, :id, :name, :accepted, :rejected, :repeated, CAST(:exceptions AS json), :received_at)"
)
# A response by its id.
FIND_RESPONSE: Final = text(
    "SELECT id, name, accepted, rejected, repeated, exceptions::text AS exceptions, received_at FROM accrual_response"
    " WHERE programme = :programme AND bank = :bank AND id = :id"
)


def lock_desk(connection: Connection, pair: Pair) -> DeskRow:
    """Wait for whoever changes a pair's accruals, keep others waiting, and return how far they are."""
    connection.execute(OPEN_DESK, _named(pair))
    row = connection.execute(LOCK_DESK, _named(pair)).one()
    return DeskRow(collection=row.collection, dispatch=row.dispatch, collected_to=row.collected_to)


def set_desk(connection: Connection, pair: Pair, desk: DeskRow) -> None:
    """Say how far a pair's accruals are."""
    values = {"collection": desk.collection, "dispatch": desk.dispatch, "collected_to": desk.collected_to}
    connection.execute(SET_DESK, {**_named(pair), **values})


def stream_uncollected(connection: Connection, pair: Pair, floor: date, *, by_rule: bool) -> Iterator[Row[Any]]:
    """Yield the postings that no accrual carries, ordered by what would be one accrual."""
    values = {**_named(pair), "floor": floor, "by_rule": by_rule}
    return iter(connection.execute(STREAM_UNCOLLECTED, values, execution_options={"yield_per": ROWS_A_FETCH}))


def keep_accruals(
    connection: Connection, pair: Pair, accruals: Sequence[NewAccrual], collection: int, now: datetime
) -> None:
    """Append accruals and their postings, and begin their states."""
    cursor = connection.connection.cursor()
    stamp = now.isoformat()
    of_pair = f"{copy.text(pair.bank)}\t{copy.text(pair.programme)}"
    copy.copy_rows(
        cursor,
        "accrual",
        "bucket, id, account, bank, programme, purchase_id, rule, partner, unit, miles, postings, booked_at,"
        " business_date, collection, collected_at",
        [
            f"{new.bucket}\t{copy.binary(new.id)}\t{copy.binary(new.account)}\t{of_pair}"
            f"\t{copy.binary(new.purchase_id)}\t{copy.text(new.rule)}\t{copy.text(new.partner)}\t{new.unit}"
            f"\t{new.miles}\t{len(new.postings)}\t{new.booked_at.isoformat()}\t{new.business_date.isoformat()}"
            f"\t{collection}\t{stamp}"
            for new in accruals
        ],
    )
    copy.copy_rows(
        cursor,
        "accrual_posting",
        "bucket, posting_id, accrual_id",
        [
            f"{new.bucket}\t{copy.binary(posting)}\t{copy.binary(new.id)}"
            for new in accruals
            for posting in new.postings
        ],
    )
    copy.copy_rows(
        cursor,
        "accrual_state",
        "bucket, accrual_id, account, bank, programme, purchase_id, rule, miles, collection, state, attempt,"
        " updated_at",
        [
            f"{new.bucket}\t{copy.binary(new.id)}\t{copy.binary(new.account)}\t{of_pair}"
            f"\t{copy.binary(new.purchase_id)}\t{copy.text(new.rule)}\t{new.miles}\t{collection}\t{new.state}\t0"
            f"\t{stamp}"
            for new in accruals
        ],
    )


def net_unsent(connection: Connection, pair: Pair, now: datetime) -> int:
    """End the accruals that have not left and add up to nothing; return how many."""
    return connection.execute(NET_UNSENT, {**_named(pair), "now": now}).rowcount


def find_sendable(connection: Connection, pair: Pair, *, by_reference: bool, limit: int) -> list[tuple[Key, int, str]]:
    """Return the accruals that may leave now as (key, attempt, member), in the order in which they were booked."""
    values = {**_named(pair), "by_reference": by_reference, "limit": limit}
    rows = connection.execute(FIND_SENDABLE, values)
    return [((row.bucket, bytes(row.accrual_id)), row.attempt, row.member) for row in rows]


def count_waiting(connection: Connection, pair: Pair, *, by_reference: bool) -> tuple[int, int]:
    """Return how many accruals wait, and how many of them for the member to be named."""
    row = connection.execute(COUNT_WAITING, {**_named(pair), "by_reference": by_reference}).one()
    return row.waiting, row.nameless


def keep_attempts(
    connection: Connection, pair: Pair, dispatch: int, sent: Sequence[tuple[Key, int, str]], now: datetime
) -> None:
    """Append the attempts of a dispatch, numbered from 1, and say that their accruals have left."""
    cursor = connection.connection.cursor()
    copy.copy_rows(
        cursor,
        "accrual_attempt",
        "bucket, accrual_id, attempt, bank, programme, dispatch, number, member",
        [
            f"{bucket}\t{copy.binary(id_)}\t{attempt}\t{copy.text(pair.bank)}\t{copy.text(pair.programme)}"
            f"\t{dispatch}\t{number}\t{copy.text(member)}"
            for number, ((bucket, id_), attempt, member) in enumerate(sent, 1)
        ],
    )
    mark_sent(connection, [(key, attempt) for key, attempt, _ in sent], now)


def stream_dispatch(connection: Connection, pair: Pair, sequence: int) -> Iterator[SentRow]:
    """Yield the accruals of a dispatch in order, a few thousand in memory at a time."""
    rows = connection.execute(
        STREAM_DISPATCH, {**_named(pair), "sequence": sequence}, execution_options={"yield_per": ROWS_A_FETCH}
    ).mappings()
    for row in rows:
        yield SentRow(**{**row, "id": bytes(row["id"]), "purchase_id": bytes(row["purchase_id"])})


def keep_dispatch(connection: Connection, pair: Pair, row: DispatchRow) -> None:
    """Keep what a dispatch is."""
    values = {name: getattr(row, name) for name in DispatchRow.__dataclass_fields__}
    connection.execute(KEEP_DISPATCH, {**_named(pair), **values})


def list_dispatches(connection: Connection, pair: Pair, *, before: int, limit: int) -> list[DispatchRow]:
    """Return a page of a pair's dispatches with sequence numbers below ``before``, the latest first."""
    rows = connection.execute(LIST_DISPATCHES, {**_named(pair), "before": before, "limit": limit}).mappings()
    return list(map(_dispatch, rows))


def load_dispatches(connection: Connection, pair: Pair) -> list[DispatchRow]:
    """Return every dispatch of a pair, the first one first."""
    return list(map(_dispatch, connection.execute(LOAD_DISPATCHES, _named(pair)).mappings()))


def find_dispatch(connection: Connection, pair: Pair, request: bytes) -> DispatchRow | None:
    """Return the dispatch that a request made, None where it made none."""
    row = connection.execute(FIND_DISPATCH, {**_named(pair), "request": request}).mappings().one_or_none()
    return None if row is None else _dispatch(row)


def load_pairs(connection: Connection) -> list[Pair]:
    """Return every pair of programme and bank that ever accrued."""
    return [Pair(programme=row.programme, bank=row.bank) for row in connection.execute(LOAD_PAIRS)]


def list_accruals(connection: Connection, pair: Pair, *, state: str | None, after: Key, limit: int) -> list[AccrualRow]:
    """Return a page of a pair's accruals behind a key, of one state or of all."""
    values = {**_named(pair), "state": state, "bucket": after[0], "id": after[1], "limit": limit}
    return list(map(accrual_row, connection.execute(LIST_ACCRUALS, values).mappings()))


def keep_response(connection: Connection, pair: Pair, response: ResponseRow) -> None:
    """Keep a response that was taken."""
    connection.execute(
        KEEP_RESPONSE,
        {
            **_named(pair),
            "id": response.id,
            "name": response.name,
            "accepted": response.accepted,
            "rejected": response.rejected,
            "repeated": response.repeated,
            "exceptions": orjson.dumps(response.exceptions).decode(),
            "received_at": response.received_at,
        },
    )


def find_response(connection: Connection, pair: Pair, response: bytes) -> ResponseRow | None:
    """Return a response that was taken before, None where it was not."""
    row = connection.execute(FIND_RESPONSE, {**_named(pair), "id": response}).mappings().one_or_none()
    if row is None:
        return None
    exceptions = tuple(tuple(entry) for entry in orjson.loads(row["exceptions"]))
    return ResponseRow(**{**row, "id": bytes(row["id"]), "exceptions": exceptions})


def _named(pair: Pair) -> dict[str, Any]:
    return {"programme": pair.programme, "bank": pair.bank}


def _dispatch(row: Mapping[Any, Any]) -> DispatchRow:
    return DispatchRow(**{**row, "request": bytes(row["request"]), "sha256": bytes(row["sha256"])})
