"""Collecting accruals: which postings each one carries, once and for all.

A posting that changes what a member has, in a programme whose owner keeps the ledger, is in exactly one accrual.
Collecting takes every committed posting that is in none, and sums what is of one purchase (and of one rule, where the
terms say so) into one accrual; what commits later joins the next collection.
It is done under the desk's lock, inside the transaction of whoever sends.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from hashlib import blake2b
from itertools import groupby, islice
from typing import Any, Final

from sqlalchemy import Connection, Row

from processor.core.accrual_terms import AccrualPer, AccrualTerms
from processor.core.owner_accrual import AccrualState
from processor.store import accrual as store
from processor.store.accrual import DeskRow, NewAccrual
from processor.store.accrual_state import Pair
from processor.store.schema import id_of_day
from settlement.cycle import LONGEST_COMMIT

ACCRUALS_A_WRITE: Final = 2000
"""How many accruals are in memory at once."""
_ZONES: Final = timedelta(days=2)
"""A posting's business date lies no further than this before the UTC day on which it is booked."""


def collect(connection: Connection, pair: Pair, desk: DeskRow, terms: AccrualTerms, now: datetime) -> DeskRow:
    """Give every posting without an accrual its accrual, and return the desk as it is then."""
    collection = desk.collection + 1
    rows = store.stream_uncollected(connection, pair, desk.collected_to, by_rule=terms.per is AccrualPer.RULE)
    made = _accruals(rows, now)
    while some := list(islice(made, ACCRUALS_A_WRITE)):
        store.keep_accruals(connection, pair, some, collection, now)
    store.net_unsent(connection, pair, now)
    return DeskRow(
        collection=collection, dispatch=desk.dispatch, collected_to=max(desk.collected_to, collected_to(now))
    )


def collected_to(now: datetime) -> date:
    """Return a date up to which a collection finds every posting: what is booked later is dated later, for sure."""
    return (now - LONGEST_COMMIT).date() - _ZONES


def _accruals(rows: Iterator[Row[Any]], now: datetime) -> Iterator[NewAccrual]:
    for _, entries in groupby(
        rows, key=lambda row: (row.bucket, bytes(row.account), bytes(row.purchase_id), *row[3:5])
    ):
        yield _accrual(list(entries), now)


def _accrual(entries: list[Row[Any]], now: datetime) -> NewAccrual:
    """Return the accrual of one purchase's postings; what adds up to nothing never leaves."""
    first, postings = entries[0], tuple(bytes(entry.id) for entry in entries)
    miles = sum(entry.miles for entry in entries)
    digest = blake2b(min(postings), digest_size=13, person=b"cobrand-accrual").digest()
    return NewAccrual(
        bucket=first.bucket,
        id=id_of_day(now.date()) + digest,
        account=bytes(first.account),
        purchase_id=bytes(first.purchase_id),
        rule=first.rule,
        partner=max(entry.partner for entry in entries),
        unit=first.unit,
        miles=miles,
        postings=postings,
        booked_at=max(entry.booked_at for entry in entries),
        business_date=max(entry.business_date for entry in entries),
        state=AccrualState.WAITING if miles else AccrualState.NETTED,
    )
