"""The statements that name accruals: how they stand, what they were answered, and where a step leads them.

Each takes the keys of all accruals concerned at once and names the bucket and the days of every row, so that a sharded
or partitioned engine goes to the leaves concerned and no others.
Nothing here commits.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Connection, text

from processor.store import copy_text as copy
from processor.store.card_side import Key, day_range


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Whose accruals: a programme's, of one bank's cards."""

    programme: str
    bank: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccrualRow:
    """An accrual and how far it is; ``code`` and ``text`` are the answer to its latest attempt, empty without one."""

    bucket: int
    id: bytes
    account: bytes
    bank: str
    programme: str
    purchase_id: bytes
    rule: str
    partner: str
    unit: str
    miles: int
    booked_at: datetime
    business_date: date
    state: str
    attempt: int
    member: str | None
    asked_by: str | None
    code: str
    text: str
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingRow:
    """An accrual that a response names, as it stands; ``answered`` maps its answered attempts to the answer."""

    key: Key
    account: bytes
    purchase_id: bytes
    unit: str
    miles: int
    state: str
    attempt: int
    answered: Mapping[int, bool]


ACCRUAL: Final = (
    "t.bucket, t.accrual_id AS id, t.account, t.bank, t.programme, t.purchase_id, t.rule, a.partner, a.unit,"
    " t.miles, a.booked_at, a.business_date, t.state, t.attempt, t.member, t.asked_by, COALESCE(n.code, '') AS code,"
    " COALESCE(n.text, '') AS text, t.updated_at"
    " FROM accrual_state t JOIN accrual a ON a.bucket = t.bucket AND a.id = t.accrual_id"
    " LEFT JOIN accrual_answer n ON n.bucket = t.bucket AND n.accrual_id = t.accrual_id AND n.attempt = t.attempt"
)
# One accrual.
LOAD_ACCRUAL: Final = text(
    f"SELECT {ACCRUAL} AND n.bucket = :bucket AND n.accrual_id = :id"
    " WHERE t.bucket = :bucket AND t.accrual_id = :id AND a.bucket = :bucket AND a.id = :id"
)
# Accruals that a response names, as they stand.
LOAD_STATES: Final = (
    "SELECT t.bucket, t.accrual_id, t.account, t.purchase_id, a.unit, t.miles, t.state, t.attempt, t.programme, t.bank"
    " FROM unnest(%(buckets)s::smallint[], %(ids)s::bytea[]) AS k (bucket, id)"
    " JOIN accrual_state t ON t.bucket = k.bucket AND t.accrual_id = k.id"
    " JOIN accrual a ON a.bucket = k.bucket AND a.id = k.id"
    " WHERE t.accrual_id >= %(low)s AND t.accrual_id < %(high)s AND a.id >= %(low)s AND a.id < %(high)s"
    "{bucket}{accrual_bucket}"
)
# What accruals that a response names were answered before.
LOAD_ANSWERS: Final = (
    "SELECT t.bucket, t.accrual_id, t.attempt, t.accepted"
    " FROM unnest(%(buckets)s::smallint[], %(ids)s::bytea[]) AS k (bucket, id)"
    " JOIN accrual_answer t ON t.bucket = k.bucket AND t.accrual_id = k.id"
    " WHERE t.accrual_id >= %(low)s AND t.accrual_id < %(high)s{bucket}"
)
# Bring accruals to the states that their answers lead to.
MARK_ANSWERED: Final = (
    "UPDATE accrual_state t SET state = k.state, updated_at = %(now)s"
    " FROM unnest(%(buckets)s::smallint[], %(ids)s::bytea[], %(states)s::text[]) AS k (bucket, id, state)"
    " WHERE t.bucket = k.bucket AND t.accrual_id = k.id AND t.accrual_id >= %(low)s AND t.accrual_id < %(high)s{bucket}"
)
# Say that accruals have left.
MARK_SENT: Final = (
    "UPDATE accrual_state t SET state = 'sent', attempt = k.attempt, updated_at = %(now)s"
    " FROM unnest(%(buckets)s::smallint[], %(ids)s::bytea[], %(attempts)s::smallint[]) AS k (bucket, id, attempt)"
    " WHERE t.bucket = k.bucket AND t.accrual_id = k.id AND t.accrual_id >= %(low)s AND t.accrual_id < %(high)s{bucket}"
)
# Change one accrual that operations deal with.
SET_STATE: Final = text(
    "UPDATE accrual_state t SET state = :state, member = :member, asked_by = :asked_by, updated_at = :now"
    " WHERE t.bucket = :bucket AND t.accrual_id = :id"
)


def load_accrual(connection: Connection, key: Key) -> AccrualRow | None:
    """Return one accrual, None where there is no such one."""
    row = connection.execute(LOAD_ACCRUAL, {"bucket": key[0], "id": key[1]}).mappings().one_or_none()
    return None if row is None else accrual_row(row)


def mark_sent(connection: Connection, sent: Sequence[tuple[Key, int]], now: datetime) -> None:
    """Say that accruals have left, given as (key, attempt)."""
    keys = [key for key, _ in sent]
    values = {**_keyed(keys), "attempts": copy.integer_array(attempt for _, attempt in sent), "now": now}
    _run(connection, MARK_SENT, keys, values)


def load_standing(connection: Connection, pair: Pair, keys: Sequence[Key]) -> dict[Key, StandingRow]:
    """Return those of the named accruals that are this pair's."""
    if not keys:
        return {}
    values = _keyed(keys)
    cursor = _run(connection, LOAD_ANSWERS, keys, values)
    answered: dict[Key, dict[int, bool]] = {}
    for bucket, id_, attempt, accepted in cursor.fetchall():
        answered.setdefault((bucket, bytes(id_)), {})[attempt] = accepted
    cursor = _run(connection, LOAD_STATES, keys, values)
    found: dict[Key, StandingRow] = {}
    for bucket, id_, account, purchase_id, unit, miles, state, attempt, programme, bank in cursor.fetchall():
        if (programme, bank) == (pair.programme, pair.bank):
            key = bucket, bytes(id_)
            found[key] = StandingRow(
                key=key,
                account=bytes(account),
                purchase_id=bytes(purchase_id),
                unit=unit,
                miles=miles,
                state=state,
                attempt=attempt,
                answered=answered.get(key, {}),
            )
    return found


def keep_answers(
    connection: Connection, answers: Iterable[tuple[Key, int, bool, str, str, str]], response: bytes, now: datetime
) -> None:
    """Append answers given as (key, attempt, accepted, code, text, new state), and bring their accruals there."""
    answers = list(answers)
    if not answers:
        return
    cursor = connection.connection.cursor()
    copy.copy_rows(
        cursor,
        "accrual_answer",
        "bucket, accrual_id, attempt, accepted, code, text, response, answered_at",
        [
            f"{bucket}\t{copy.binary(id_)}\t{attempt}\t{'t' if accepted else 'f'}\t{copy.text(code)}"
            f"\t{copy.text(said)}\t{copy.binary(response)}\t{now.isoformat()}"
            for (bucket, id_), attempt, accepted, code, said, _ in answers
        ],
    )
    keys = [answer[0] for answer in answers]
    states = [answer[5] for answer in answers]
    _run(connection, MARK_ANSWERED, keys, {**_keyed(keys), "states": states, "now": now})


def set_state(
    connection: Connection, key: Key, *, state: str, member: str | None, asked_by: str | None, now: datetime
) -> None:
    """Change one accrual that operations deal with."""
    values = {"bucket": key[0], "id": key[1], "state": state, "member": member, "asked_by": asked_by, "now": now}
    connection.execute(SET_STATE, values)


def _run(connection: Connection, statement: str, keys: Sequence[Key], values: dict[str, Any]) -> Any:
    """Run a statement, with the literal bucket of its keys where they all lie in one; return its cursor."""
    distinct = {bucket for bucket, _ in keys}
    only = next(iter(distinct)) if len(distinct) == 1 else None
    cursor = connection.connection.cursor()
    cursor.execute(
        statement.format(
            bucket="" if only is None else f" AND t.bucket = {only}",
            accrual_bucket="" if only is None else f" AND a.bucket = {only}",
        ),
        values,
    )
    return cursor


def _keyed(keys: Sequence[Key]) -> dict[str, Any]:
    low, high = day_range([id_ for _, id_ in keys])
    return {
        "buckets": copy.integer_array(bucket for bucket, _ in keys),
        "ids": copy.binary_array(id_ for _, id_ in keys),
        "low": low,
        "high": high,
    }


def accrual_row(row: Mapping[Any, Any]) -> AccrualRow:
    """Return an accrual from its row."""
    binary = {name: bytes(row[name]) for name in ("id", "account", "purchase_id")}
    return AccrualRow(**{**row, **binary})
