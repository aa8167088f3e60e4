"""The statements that read what accounts hold of soft rewards, from their postings.

They name the account's bucket; rewards are held for years, so that they go back over the months.
Nothing here writes.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Connection, text

from processor.core.posting import REVERSE_OF, Template
from processor.store.card_side import Key, on_one_bucket
from processor.store.copy_text import binary_array, integer_array

_GIVEN: Final = {
    "pending": Template.REWARD_PROMISED,
    "granted": Template.REWARD_GRANTED,
    "used": Template.REWARD_USED,
}
_SUMS: Final = ", ".join(
    f"CAST(sum(CASE t.template WHEN {int(given)} THEN t.amount WHEN {int(REVERSE_OF[given])} THEN -t.amount ELSE 0 END)"
    f" AS bigint) AS {name}"
    for name, given in _GIVEN.items()
)
_TEMPLATES: Final = ", ".join(str(int(end)) for given in _GIVEN.values() for end in (given, REVERSE_OF[given]))


_SIGNS: Final = {
    Template.REWARD_GRANTED: (1, 0),
    Template.REWARD_TAKEN_BACK: (-1, 0),
    Template.REWARD_USED: (0, 1),
    Template.REWARD_USE_RETURNED: (0, -1),
}
"""What each template does to what is granted and to what is used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldingRow:
    """What one rule gave of one reward for one purchase, under which revision, and the purchase's local date.

    ``revision`` and ``occurred_on`` are None where another purchase took over what the purchase was.
    """

    purchase_id: bytes
    rule: str
    unit: str
    pending: int
    granted: int
    used: int
    revision: int | None
    occurred_on: date | None


# Add up what each purchase of an account gave of each soft reward, and what of it was used.
LIST_HOLDINGS: Final = text(
    "SELECT s.purchase_id, s.rule, s.unit, s.pending, s.granted, s.used,"  # noqa: S608 - from this module's constants.
    " CAST(p.state ->> 'revision' AS integer) AS revision, CAST(p.state ->> 'occurred_on' AS date) AS occurred_on"
    f" FROM (SELECT t.bucket, t.purchase_id, t.rule, t.unit, {_SUMS} FROM posting t"
    f" WHERE t.bucket = :bucket AND t.account = :account AND t.template IN ({_TEMPLATES})"
    " GROUP BY t.bucket, t.purchase_id, t.rule, t.unit) s"
    " JOIN purchase p ON p.bucket = s.bucket AND p.bucket = :bucket AND p.id = s.purchase_id"
    " WHERE s.pending <> 0 OR s.granted <> 0 OR s.used <> 0 ORDER BY s.unit, s.purchase_id, s.rule"
)


# Read every booking of some soft rewards of accounts, with what tells how long they are valid; locks cover them.
LOAD_BOOKINGS: Final = """
SELECT t.bucket, t.account, t.booked_at, t.purchase_id, t.rule, t.unit, t.template, t.amount,
 CAST(p.state ->> 'revision' AS integer), CAST(p.state ->> 'occurred_on' AS date)
FROM unnest(%(buckets)s::smallint[], %(ids)s::bytea[]) AS k (bucket, account)
JOIN posting t ON t.bucket = k.bucket AND t.account = k.account
JOIN purchase p ON p.bucket = t.bucket AND p.id = t.purchase_id
WHERE t.template = ANY (%(templates)s::smallint[]) AND t.unit = ANY (%(units)s::text[]){bucket}{purchase_bucket}
ORDER BY t.booked_at, t.id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingRow:
    """One booking of a soft reward, signed: ``granted`` or ``used``; the rest is as in :class:`HoldingRow`."""

    booked_at: datetime
    purchase_id: bytes
    rule: str
    unit: str
    granted: int
    used: int
    revision: int | None
    occurred_on: date | None


def load_bookings(cursor: Any, accounts: Sequence[Key], units: Collection[str]) -> dict[Key, list[BookingRow]]:
    """Return what was booked of some soft rewards of accounts, in the order of booking."""
    statement = on_one_bucket(LOAD_BOOKINGS, {bucket for bucket, _ in accounts})
    cursor.execute(
        statement,
        {
            "buckets": integer_array(bucket for bucket, _ in accounts),
            "ids": binary_array(account for _, account in accounts),
            "templates": [int(template) for template in _SIGNS],
            "units": list(units),
        },
    )
    found: dict[Key, list[BookingRow]] = {}
    for bucket, account, booked_at, purchase_id, rule, unit, template, amount, revision, day in cursor.fetchall():
        granted, used = _SIGNS[Template(template)]
        row = BookingRow(
            booked_at=booked_at,
            purchase_id=bytes(purchase_id),
            rule=rule,
            unit=unit,
            granted=granted * amount,
            used=used * amount,
            revision=revision,
            occurred_on=day,
        )
        found.setdefault((bucket, bytes(account)), []).append(row)
    return found


def list_holdings(connection: Connection, key: Key) -> list[HoldingRow]:
    """Return what an account holds, by reward and purchase; what came to nothing is left out."""
    rows = connection.execute(LIST_HOLDINGS, {"bucket": key[0], "account": key[1]}).mappings()
    return [HoldingRow(**{**row, "purchase_id": bytes(row["purchase_id"])}) for row in rows]
