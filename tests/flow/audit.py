"""What an auditor reads after a test: the books proved from their rows, balances, and plain counts."""

from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import text

from processor.core.grant import Grant
from processor.core.outcome import Outcome, Reason
from processor.core.posting import ChargeKey
from processor.core.programme import Programme
from processor.flow.submission import Answer
from processor.store.purchase_state import decode_purchase
from processor.store.verification import snapshot
from settlement.verification import Difference, verify
from tests.conftest import Database
from tests.flow.conftest import Pipeline


def assert_books_agree(pipeline: Pipeline) -> None:
    """Prove every stated figure from the rows below it."""

    def revision_of(programme: str, revision: int) -> Programme:
        return pipeline.snapshots.current.revision(programme, revision)

    with pipeline.database.owner.connect() as connection:
        pipeline.snapshots.refresh(connection)
    with snapshot(pipeline.database.owner) as connection:
        found: list[Difference] = []
        for checked in verify(connection, revision_of=revision_of):
            found.extend(checked.differences)
    assert [] == found, found


def rows(database: Database, sql: str, **values: Any) -> list[tuple[Any, ...]]:
    """Return what a statement finds."""
    with database.owner.connect() as connection:
        return [tuple(row) for row in connection.execute(text(sql), values)]


def count(database: Database, table: str, where: str = "true") -> int:
    """Return how many rows a table has."""
    return int(rows(database, f"SELECT count(*) FROM {table} WHERE {where}")[0][0])


def balances(database: Database) -> dict[bytes, tuple[int, int]]:
    """Return pending and available miles of every account that holds or owes any."""
    found = rows(database, "SELECT id, pending, available FROM account WHERE pending <> 0 OR available <> 0")
    return {bytes(account): (pending, available) for account, pending, available in found}


def totals(database: Database) -> tuple[int, int]:
    """Return pending and available miles of all accounts together."""
    pending, available = rows(database, "SELECT sum(pending), sum(available) FROM account")[0]
    return int(pending or 0), int(available or 0)


def said(answers: list[Answer]) -> list[tuple[Outcome, Reason]]:
    """Return the outcomes and reasons of answers, in order."""
    return [(answer.outcome, answer.reason) for answer in answers]


def ledger_sums(database: Database) -> dict[tuple[bytes, str, str], int]:
    """Return, for each account, ledger account and unit, credits minus debits; what comes to nothing is left out."""
    found = rows(
        database,
        "SELECT account, ledger, unit, sum(amount) FROM ("
        " SELECT account, credit AS ledger, unit, amount FROM posting"
        " UNION ALL SELECT account, debit, unit, -amount FROM posting) side"
        " GROUP BY account, ledger, unit HAVING sum(amount) <> 0",
    )
    return {(bytes(account), ledger, unit): int(amount) for account, ledger, unit, amount in found}


def award_sums(database: Database) -> dict[tuple[bytes, str, str], tuple[int, int]]:
    """Return, for each account, rule and unit, the pending and available changes of its awards together."""
    found = rows(
        database,
        "SELECT account, rule, unit, sum(pending_change), sum(available_change) FROM award GROUP BY account, rule, unit"
        " HAVING sum(pending_change) <> 0 OR sum(available_change) <> 0",
    )
    return {(bytes(row[0]), row[1], row[2]): (int(row[3]), int(row[4])) for row in found}


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseSeen:
    """A purchase as its holder and its funders see it; its id, which the order of arrival decides, is left out."""

    account: bytes
    messages: frozenset[bytes]
    occurred_on: date | None
    partner: str | None
    grants: frozenset[Grant]
    charges: frozenset[tuple[ChargeKey, int]]


def purchases(database: Database) -> set[PurchaseSeen]:
    """Return every purchase that was not merged into another."""
    found = rows(database, "SELECT account, id, state::text FROM purchase")
    decoded = [(bytes(account), decode_purchase(bytes(id_), state)) for account, id_, state in found]
    seen = [
        PurchaseSeen(
            account=account,
            messages=frozenset(event.message_id for event in purchase.events),
            occurred_on=purchase.occurred_on,
            partner=purchase.partner,
            grants=frozenset(grant for grant in purchase.grants if grant.entitled or grant.granted or grant.available),
            charges=frozenset(purchase.charges.items()),
        )
        for account, purchase in decoded
        if purchase.merged_into is None
    ]
    assert len(seen) == len(set(seen))
    return set(seen)
