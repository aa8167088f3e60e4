"""Closing cycles on a real PostgreSQL: membership, order, repetition, crashes, callers at once."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, select, text
from sqlalchemy.exc import OperationalError

from processor.core.posting import Template
from processor.store import settlement as store
from processor.store.engine import connect
from processor.store.settlement import CycleKey
from processor.store.tables import cycle, cycle_obligation, cycle_posting
from settlement.cycle import Closing, Cycle, Refusal, Refused, close_cycle, load_cycle, settled_up_to
from settlement.obligations import Obligation
from tests.conftest import Database
from tests.settlement.books import FRIDAY, NIGHT, Charge, book, cycle_key, example_charges

DAY = timedelta(days=1)


def _book(engine: Engine, *charges: Charge) -> None:
    with engine.begin() as connection:
        book(connection, charges)


def _close(engine: Engine, day: date = FRIDAY, now: datetime = NIGHT) -> Cycle:
    closing = close_cycle(engine, cycle_key(day), current=day, now=now)
    assert isinstance(closing, Closing)
    return closing.cycle


def _members(engine: Engine) -> dict[bytes, date]:
    with engine.connect() as connection:
        rows = connection.execute(select(cycle_posting.c.posting_id, cycle_posting.c.business_date))
        return {bytes(row.posting_id): row.business_date for row in rows}


def test_closing_takes_every_posting_dated_up_to_the_day(database: Database) -> None:
    """The cycle holds the day's postings and unassigned earlier ones; a later one and another bank's stay out."""
    charges = example_charges()
    tomorrow = replace(charges[0], name="tomorrow", day=FRIDAY + DAY)
    other = replace(charges[0], name="other bank", bank="beta")
    _book(database.service, *charges, tomorrow, other)
    closed = _close(database.service)
    assert len(charges) == closed.postings
    assert {charge.id: FRIDAY for charge in charges} == _members(database.service)


def test_obligations_are_sums_per_ordered_pair_and_currency(database: Database) -> None:
    """Charges and returns of one pair stand in one obligation each, currencies apart, in order of the pairs."""
    _book(database.service, *example_charges())
    closed = _close(database.service)
    assert (
        Obligation(debtor="alpha", creditor="moda-group", currency="EUR", amount_minor=300, postings=1),
        Obligation(debtor="alpha", creditor="skyways", currency="EUR", amount_minor=52, postings=2),
        Obligation(debtor="fresh-foods", creditor="skyways", currency="EUR", amount_minor=1210, postings=1),
        Obligation(debtor="moda-group", creditor="alpha", currency="EUR", amount_minor=795, postings=1),
        Obligation(debtor="moda-group", creditor="alpha", currency="JPY", amount_minor=250, postings=1),
    ) == closed.obligations
    with database.service.connect() as connection:
        assert closed == load_cycle(connection, cycle_key())


def test_closing_again_changes_nothing(database: Database) -> None:
    """A second closing returns the first one's cycle, its closing time included, and takes no more postings."""
    _book(database.service, *example_charges())
    first = _close(database.service)
    _book(database.service, Charge(name="straggler", debtor="alpha", creditor="skyways", amount=9))
    again = close_cycle(database.service, cycle_key(), current=FRIDAY, now=NIGHT + DAY)
    assert Closing(cycle=first, already_closed=True) == again


def test_a_straggler_joins_the_next_cycle(database: Database) -> None:
    """A posting of a closed date, booked after the closing, is settled once, with the next date."""
    _book(database.service, *example_charges())
    _close(database.service)
    straggler = Charge(name="straggler", debtor="alpha", creditor="skyways", amount=9)
    _book(database.service, straggler)
    monday = _close(database.service, FRIDAY + 3 * DAY, NIGHT + 3 * DAY)
    assert (Obligation(debtor="alpha", creditor="skyways", currency="EUR", amount_minor=9, postings=1),) == (
        monday.obligations
    )
    assert FRIDAY + 3 * DAY == _members(database.service)[straggler.id]


def test_a_day_without_postings_closes(database: Database) -> None:
    """An empty cycle is closed like any other and owes nothing."""
    assert Cycle(key=cycle_key(), closed_at=NIGHT, postings=0, obligations=()) == _close(database.service)


def test_a_date_that_has_not_come_is_refused(database: Database) -> None:
    """A date after the bank's current business date is not closed, and nothing is left of the attempt."""
    refused = close_cycle(database.service, cycle_key(FRIDAY + 3 * DAY), current=FRIDAY, now=NIGHT)
    assert isinstance(refused, Refused)
    assert Refusal.NOT_YET == refused.refusal
    with database.service.connect() as connection:
        assert [] == connection.execute(select(cycle)).all()


def test_an_earlier_date_is_refused_once_a_later_one_is_closed(database: Database) -> None:
    """Its postings joined the later cycle, so the earlier date has nothing of its own any more."""
    early = replace(example_charges()[0], day=FRIDAY - DAY)
    _book(database.service, early)
    _close(database.service)
    refused = close_cycle(database.service, cycle_key(FRIDAY - DAY), current=FRIDAY, now=NIGHT)
    assert isinstance(refused, Refused)
    assert Refusal.LATER_DATE_CLOSED == refused.refusal
    assert {early.id: FRIDAY} == _members(database.service)


def test_an_earlier_date_that_was_closed_is_still_answered(database: Database) -> None:
    """The repeat is recognised before the order of dates is looked at."""
    first = _close(database.service, FRIDAY - DAY, NIGHT - DAY)
    _close(database.service)
    again = close_cycle(database.service, cycle_key(FRIDAY - DAY), current=FRIDAY, now=NIGHT)
    assert Closing(cycle=first, already_closed=True) == again


@pytest.mark.parametrize("statement", ["INSERT INTO cycle_posting", "INSERT INTO cycle_obligation", "UPDATE cycle "])
def test_a_crash_leaves_nothing_half_done(database: Database, statement: str) -> None:
    """The server ends the connection in the middle: no row is left, and closing again does the whole work."""
    _book(database.service, *example_charges())
    other = connect(database.urls.service_url)

    def end_connection(connection: Connection, cursor: Any, sql: str, *_rest: Any) -> None:
        if sql.startswith(statement):
            with other.connect() as killer:
                killer.execute(text(f"SELECT pg_terminate_backend({cursor.connection.info.backend_pid})"))

    event.listen(database.service, "after_cursor_execute", end_connection)
    with pytest.raises(OperationalError):
        close_cycle(database.service, cycle_key(), current=FRIDAY, now=NIGHT)
    event.remove(database.service, "after_cursor_execute", end_connection)
    other.dispose()
    with database.owner.connect() as connection:
        for table in (cycle, cycle_posting, cycle_obligation):
            assert [] == connection.execute(select(table)).all()
    assert len(example_charges()) == _close(database.service).postings


@pytest.mark.parametrize("first_cycle", [True, False], ids=["first cycle", "later cycle"])
def test_callers_at_once_end_in_one_closing(database: Database, first_cycle: bool) -> None:
    """Of several callers one closes the date, and all get the same cycle."""
    if not first_cycle:
        _close(database.service, FRIDAY - 2 * DAY, NIGHT - 2 * DAY)
    _book(database.service, *example_charges())
    barrier = Barrier(4)

    def close(second: int) -> Closing | Refused:
        barrier.wait()
        return close_cycle(database.service, cycle_key(), current=FRIDAY, now=NIGHT + timedelta(seconds=second))

    with ThreadPoolExecutor(4) as pool:
        closings = list(pool.map(close, range(4)))
    cycles = {closing.cycle for closing in closings if isinstance(closing, Closing)}
    assert 1 == len(cycles)
    assert Counter({True: 3, False: 1}) == Counter(
        closing.already_closed for closing in closings if isinstance(closing, Closing)
    )


@pytest.mark.parametrize("attempt", range(5))
def test_two_dates_closed_at_once_end_as_if_one_after_the_other(database: Database, attempt: int) -> None:
    """Even before there is a first cycle, every posting gets into one cycle, and the dates stay in order."""
    charges = example_charges()
    _book(database.service, *charges, replace(charges[1], name="next day", day=FRIDAY + DAY))
    days = [FRIDAY, FRIDAY + DAY]
    barrier = Barrier(2)

    def close(day: date) -> Closing | Refused:
        barrier.wait()
        return close_cycle(database.service, cycle_key(day), current=FRIDAY + DAY, now=NIGHT)

    with ThreadPoolExecutor(2) as pool:
        friday, saturday = pool.map(close, days)
    assert isinstance(saturday, Closing)
    if isinstance(friday, Closing):
        assert (6, 1) == (friday.cycle.postings, saturday.cycle.postings)
    else:
        assert (Refusal.LATER_DATE_CLOSED, 7) == (friday.refusal, saturday.cycle.postings)


def test_closing_while_others_book_loses_nothing(database: Database) -> None:
    """Postings that commit during a closing are in that cycle or in the next one, never in none or in both."""
    charges = [Charge(name=f"busy {number}", debtor="alpha", creditor="skyways", amount=1) for number in range(120)]

    def book_some(part: int) -> None:
        for charge in charges[part::3]:
            _book(database.service, charge)

    with ThreadPoolExecutor(4) as pool:
        busy = [pool.submit(book_some, part) for part in range(3)]
        first = _close(database.service)
        for future in busy:
            future.result()
    second = _close(database.service, FRIDAY + DAY, NIGHT + DAY)
    assert len(charges) == first.postings + second.postings
    assert {charge.id for charge in charges} == set(_members(database.service))


def test_each_closing_of_a_long_row_takes_only_what_is_left(database: Database) -> None:
    """Cycles that are surely complete are left out of the search, and a late posting of a newer date is found."""
    _book(database.service, *example_charges())
    for number in range(6):
        _close(database.service, FRIDAY + number * DAY, NIGHT + number * DAY)
    late = replace(example_charges()[0], name="late", day=FRIDAY + 4 * DAY)
    _book(database.service, late)
    last = _close(database.service, FRIDAY + 6 * DAY, NIGHT + 6 * DAY)
    assert 1 == last.postings
    assert {**{charge.id: FRIDAY for charge in example_charges()}, late.id: FRIDAY + 6 * DAY} == _members(
        database.service
    )


def test_only_postings_between_parties_are_settled(database: Database) -> None:
    """Miles postings stay in the ledger; the service role reads both kinds."""
    charge = Charge(name="miles", debtor="alpha", creditor="skyways", amount=5, template=Template.MILES_ISSUED)
    _book(database.service, charge)
    with database.owner.begin() as connection:
        connection.execute(text("UPDATE posting SET between_parties = false"))
    assert 0 == _close(database.service).postings


@pytest.mark.parametrize(
    ("closings", "sure"),
    [
        ([], date.min),
        ([(FRIDAY, NIGHT)], date.min),
        ([(FRIDAY, NIGHT), (FRIDAY - DAY, NIGHT - DAY)], date.min),
        ([(FRIDAY, NIGHT), (FRIDAY - DAY, NIGHT - DAY), (FRIDAY - 3 * DAY, NIGHT - 2 * DAY)], FRIDAY - 3 * DAY),
        ([(FRIDAY, NIGHT), (FRIDAY - DAY, NIGHT), (FRIDAY - 3 * DAY, NIGHT - DAY)], date.min),
        (
            [(FRIDAY, NIGHT), (FRIDAY - DAY, NIGHT), (FRIDAY - 2 * DAY, NIGHT - DAY), (FRIDAY - 3 * DAY, NIGHT - DAY)],
            FRIDAY - 3 * DAY,
        ),
    ],
)
def test_the_floor_is_a_date_that_a_later_closing_surely_completed(
    closings: list[tuple[date, datetime]], sure: date
) -> None:
    """It needs a later date that had closed an hour before the latest closing took what was left."""
    assert sure == settled_up_to(closings)


def test_cycles_are_listed_newest_first_in_pages(database: Database) -> None:
    """Pages follow one another without gap or overlap, over one bank or all."""
    for number in range(3):
        _close(database.service, FRIDAY + number * DAY, datetime(2026, 11, 25, tzinfo=UTC))
    beta = CycleKey(bank="beta", programme="skyways", business_date=FRIDAY + DAY)
    close_cycle(database.service, beta, current=FRIDAY + DAY, now=NIGHT)
    seen: list[CycleKey] = []
    after: CycleKey | None = None
    with database.service.connect() as connection:
        while page := store.list_cycles(connection, bank=None, programme="skyways", after=after, limit=2):
            seen += [row.key for row in page]
            after = page[-1].key
        of_beta = store.list_cycles(connection, bank="beta", programme=None, after=None, limit=9)
    assert [cycle_key(FRIDAY + 2 * DAY), cycle_key(FRIDAY + DAY), beta, cycle_key()] == seen
    assert [beta] == [row.key for row in of_beta]
