"""Closing a cycle: which postings it settles, once and for all, and what they make each party owe.

A cycle is (bank, programme, business date).
Closing takes every committed posting between two parties that is dated up to the day and belongs to no cycle yet, in
one transaction; what commits later joins the next cycle.
Dates close in order: once a date is closed no earlier one can be, because the postings of the earlier one have joined.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, Engine

from processor.store import settlement as store
from processor.store.settlement import CycleKey
from settlement.obligations import Obligation

LONGEST_COMMIT: Final = timedelta(hours=1)
"""A posting commits within this time of its booking: the server ends a transaction that idles for half a minute."""

_CLOSINGS_LOOKED_AT: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """A closed cycle, how many postings it settles, and what they make each party owe each other."""

    key: CycleKey
    closed_at: datetime
    postings: int
    obligations: tuple[Obligation, ...]


class Refusal(StrEnum):
    """Why a date is not closed."""

    NOT_YET = "not-yet"
    LATER_DATE_CLOSED = "later-date-closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A date that is not closed: why, and what the caller can do."""

    refusal: Refusal
    explanation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """A closed cycle; ``already_closed`` tells that an earlier call closed it and this one changed nothing."""

    cycle: Cycle
    already_closed: bool


def close_cycle(engine: Engine, key: CycleKey, *, current: date, now: datetime) -> Closing | Refused:
    """Close a business date; closed again, it stays as it is.

    ``current`` is the bank's business date now: a later one cannot be closed.
    Several callers at once end in one closing; a crash leaves nothing behind.
    """
    with engine.begin() as connection:
        store.lock_cycles(connection, key.bank, key.programme)
        found = load_cycle(connection, key)
        if found is not None:
            return Closing(cycle=found, already_closed=True)
        closed = store.load_closed(connection, key.bank, key.programme, _CLOSINGS_LOOKED_AT)
        refused = _refusal(key, current, closed[0].key.business_date if closed else date.min)
        if refused is not None:
            return refused
        store.open_cycle(connection, key, now)
        closings = [(row.key.business_date, row.closed_at) for row in closed if row.closed_at is not None]
        postings = store.assign_postings(connection, key, settled_up_to(closings))
        obligations = tuple(Obligation(**row) for row in store.sum_obligations(connection, key))
        store.keep_obligations(connection, key, map(asdict, obligations))
        store.close_cycle(connection, key, now)
        cycle = Cycle(key=key, closed_at=now, postings=postings, obligations=obligations)
        return Closing(cycle=cycle, already_closed=False)


def _refusal(key: CycleKey, current: date, last_closed: date) -> Refused | None:
    if key.business_date > current:
        explanation = (
            f"{key.business_date} lies after {key.bank}'s current business date, {current}; "
            f"close {current} or wait for the bank's cut-off"
        )
        return Refused(refusal=Refusal.NOT_YET, explanation=explanation)
    if key.business_date < last_closed:
        explanation = (
            f"{last_closed} is closed already, and the postings dated up to {key.business_date} joined it or an "
            f"earlier cycle; postings that were booked later join the next date to be closed"
        )
        return Refused(refusal=Refusal.LATER_DATE_CLOSED, explanation=explanation)
    return None


def load_cycle(connection: Connection, key: CycleKey) -> Cycle | None:
    """Return a closed cycle with its obligations, or None where the date is not closed."""
    row = store.load_cycle(connection, key)
    if row is None or row.closed_at is None:
        return None
    obligations = tuple(Obligation(**kept) for kept in store.load_obligations(connection, key))
    return Cycle(key=key, closed_at=row.closed_at, postings=row.postings, obligations=obligations)


def settled_up_to(closings: Sequence[tuple[date, datetime]]) -> date:
    """Return a date up to which every posting belongs to a cycle for sure; ``date.min`` where none is sure.

    ``closings`` are (business date, when it closed) of consecutive cycles, newest first.
    What was booked on a date can commit up to :data:`LONGEST_COMMIT` after a later date has closed, because a date
    closes only once it has come; the first closing after that takes it.
    """
    if not closings:
        return date.min
    newest_at = closings[0][1]
    for index, (_, closed_at) in enumerate(closings[1:-1], start=1):
        if closed_at <= newest_at - LONGEST_COMMIT:
            return closings[index + 1][0]
    return date.min
