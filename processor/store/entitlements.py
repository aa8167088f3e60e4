"""The statement that reads what an account holds of soft rewards, from its postings.

It names the account's bucket; rewards are held for years, so that it goes back over the months.
Nothing here writes.
"""

from dataclasses import dataclass
from datetime import date
from typing import Final

from sqlalchemy import Connection, text

from processor.core.posting import REVERSE_OF, Template
from processor.store.card_side import Key

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


def list_holdings(connection: Connection, key: Key) -> list[HoldingRow]:
    """Return what an account holds, by reward and purchase; what came to nothing is left out."""
    rows = connection.execute(LIST_HOLDINGS, {"bucket": key[0], "account": key[1]}).mappings()
    return [HoldingRow(**{**row, "purchase_id": bytes(row["purchase_id"])}) for row in rows]
