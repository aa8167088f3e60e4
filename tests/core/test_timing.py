"""When miles are posted: the statement's days, what is due of a purchase, and that no order of arrival matters."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from random import Random
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.core.course import start_of
from processor.core.due import day_to_post, waiting_for_release
from processor.core.event import Event, event_of
from processor.core.grant import Grant
from processor.core.kept_purchase import Purchase
from processor.core.message import CardMessage, Direction, MessageKind
from processor.core.programme import CardProduct, Enrolment, Programme
from processor.core.statement import statement_after
from processor.core.timing import Moment, Timing
from tests.core.strategies import (
    FIRST,
    START,
    UNIT,
    Books,
    authorized,
    eur,
    link,
    message,
    presented,
    refunded,
    taken_back,
)

TWO_WEEKS: Final = Timing(moment=Moment.AFTER_DAYS, days=14)
STATEMENT: Final = Timing(moment=Moment.STATEMENT)
RELEASE: Final = Timing(moment=Moment.RELEASE)
PRODUCTS: Final = {
    "classic": CardProduct(
        id="classic", bank="alpha", name="Classic", card_ranges=(), enrolment=Enrolment.AUTOMATIC, statement_day=15
    )
}
TODAY: Final = START.date()
PURCHASE: Final = bytes(16)


def timed(timing: Timing) -> Programme:
    """Return the first programme with its base rule alone, which gives a mile for 2 EUR, posted by a timing."""
    (base,) = (rule for rule in FIRST.rules if rule.id == "base")
    return replace(FIRST, rules=(replace(base, timing=timing),), caps=(), products=PRODUCTS)


def said(entry: CardMessage, number: int, day: date = TODAY) -> Event:
    """Return the event of a message that was sent on a day."""
    sent = replace(entry, message_id=bytes(15) + bytes([number]), transmitted_at=start_of(day), local_date=day)
    return event_of(sent, link(), "classic")


def has_come(day: date, about: int, number: int = 200) -> Event:
    """Return the processor's word that a day has come."""
    word = replace(message(MessageKind.DUE, Direction.ADVICE, ""), refers_to=(bytes(15) + bytes([about]),))
    return said(word, number, day)


def released(*about: int, rules: tuple[str, ...] = (), number: int = 220, day: date = TODAY) -> Event:
    """Return a release of what was earned by clearing messages."""
    word = message(MessageKind.AWARD_RELEASED, Direction.ADVICE, "")
    return said(replace(word, refers_to=tuple(bytes(15) + bytes([name]) for name in about), rules=rules), number, day)


def books_of(programme: Programme, events: Sequence[Event]) -> Books:
    """Return the books after events that arrive in this order."""
    books = Books(revisions=(programme,))
    for event in events:
        books.take(PURCHASE, event)
    return books


def held(programme: Programme, *events: Event) -> tuple[int, int]:
    """Return the member's pending and available miles after events."""
    pending, available = books_of(programme, events).miles()
    return pending, available


@pytest.mark.parametrize(
    ("day", "statement_day", "expected"),
    [
        (date(2026, 11, 14), 15, date(2026, 11, 15)),
        (date(2026, 11, 15), 15, date(2026, 12, 15)),
        (date(2026, 12, 20), 15, date(2027, 1, 15)),
        (date(2027, 1, 30), 31, date(2027, 1, 31)),
        (date(2027, 1, 31), 31, date(2027, 2, 28)),
        (date(2027, 2, 28), 30, date(2027, 3, 30)),
        (date(2028, 2, 1), 30, date(2028, 2, 29)),
    ],
)
def test_a_statement_is_made_once_a_month(day: date, statement_day: int, expected: date) -> None:
    """The next statement lies behind the day itself, and a short month has it on its last day."""
    assert expected == statement_after(day, statement_day)


@given(st.dates(date(2020, 1, 1), date(2030, 1, 1)), st.integers(1, 31))
def test_every_day_lies_in_one_period(day: date, statement_day: int) -> None:
    """Statements follow each other within 31 days, and a day that is no statement day shares the next one's period."""
    following = statement_after(day, statement_day)
    assert 1 <= (following - day).days <= 31
    if day + timedelta(days=1) != following:
        assert following == statement_after(day + timedelta(days=1), statement_day)


BOUGHT: Final = said(presented("c", eur(100_00)), 1)


def test_what_clears_waits_its_days() -> None:
    """Nothing is due a day before; on the day it is, and what is posted is found no more."""
    programme = timed(TWO_WEEKS)
    assert (50, 0) == held(programme, BOUGHT)
    waiting = books_of(programme, [BOUGHT]).purchases[PURCHASE]
    day = TODAY + timedelta(days=14)
    assert day_to_post(programme, waiting, day - timedelta(days=1)) is None
    found = day_to_post(programme, waiting, day + timedelta(days=30))
    assert found == (day, BOUGHT.message_id)
    assert (0, 50) == held(programme, BOUGHT, has_come(day, 1))
    posted = books_of(programme, [BOUGHT, has_come(day, 1)]).purchases[PURCHASE]
    assert day_to_post(programme, posted, day + timedelta(days=30)) is None


def test_a_return_in_time_posts_nothing() -> None:
    """A refund within the days takes the promise; nothing is posted, and nothing is due."""
    programme = timed(TWO_WEEKS)
    returned = said(refunded("r", eur(100_00)), 2, TODAY + timedelta(days=3))
    books = books_of(programme, [BOUGHT, returned])
    assert {} == books.balances()
    assert not any("available" in posting.credit for posting in books.postings)
    assert day_to_post(programme, books.purchases[PURCHASE], TODAY + timedelta(days=90)) is None


def test_a_return_in_part_comes_off_what_is_not_due() -> None:
    """Of two parts one is posted; a refund takes first what waits, and only the rest of it what is posted."""
    programme = timed(TWO_WEEKS)
    first = said(presented("a", eur(60_00), part=(1, 2)), 1)
    second = said(presented("b", eur(40_00), part=(2, 2)), 2, TODAY + timedelta(days=10))
    come = has_come(TODAY + timedelta(days=14), 1)
    assert (20, 30) == held(programme, first, second, come)
    assert (5, 30) == held(programme, first, second, come, said(refunded("r", eur(30_00)), 3))
    assert (0, 25) == held(programme, first, second, come, said(refunded("r", eur(50_00)), 3))


def test_a_release_is_about_what_had_cleared() -> None:
    """What clears later needs a release of its own; one for another rule does nothing here."""
    programme = timed(RELEASE)
    first = said(presented("a", eur(60_00), part=(1, 2)), 1)
    second = said(presented("b", eur(40_00), part=(2, 2)), 2)
    assert (30, 0) == held(programme, first)
    assert (0, 30) == held(programme, first, released(1))
    assert (20, 30) == held(programme, first, released(1), second)
    assert (0, 50) == held(programme, first, released(1), second, released(2, number=221, rules=("base",)))
    assert (30, 0) == held(programme, first, released(1, rules=("other",)))
    grant = Grant(rule="base", unit=UNIT, entitled=50, granted=50, available=30)
    purchase = Purchase(id=PURCHASE, events=(first, second, released(1)), grants=(grant,))
    assert (second.message_id,) == waiting_for_release(programme, purchase, ())
    assert () == waiting_for_release(programme, purchase, ("other",))


def test_a_purchase_without_anything_pending_waits_for_no_release() -> None:
    """A purchase to which another rule gave everything has nothing to release, although some rule waits for it."""
    programme, first = timed(RELEASE), said(presented("a", eur(60_00)), 1)
    other = Grant(rule="other", unit=UNIT, entitled=30, granted=30, available=30)
    assert () == waiting_for_release(programme, Purchase(id=PURCHASE, events=(first,), grants=(other,)), ())


def test_a_statement_posts_what_cleared_before_it() -> None:
    """What cleared before the statement day is posted on it, and nothing else is."""
    programme = timed(STATEMENT)
    early, late = date(2026, 12, 14), date(2026, 12, 15)
    one = said(presented("a", eur(60_00), part=(1, 2)), 1, early)
    other = said(presented("b", eur(40_00), part=(2, 2)), 2, late)
    purchase = books_of(programme, [one, other]).purchases[PURCHASE]
    assert (late, one.message_id) == day_to_post(programme, purchase, late)
    assert (20, 30) == held(programme, one, other, has_come(late, 1))
    assert (0, 50) == held(programme, one, other, has_come(date(2027, 1, 15), 1))


def test_a_lone_refund_takes_at_once() -> None:
    """A refund without its purchase has no days to wait; when the purchase comes, nothing is left of either."""
    programme = timed(TWO_WEEKS)
    refund = said(refunded("r", eur(100_00)), 2)
    assert (0, -50) == held(programme, refund)
    assert (0, 0) == held(programme, refund, BOUGHT)


def days(least: int, most: int) -> st.SearchStrategy[date]:
    """Return a strategy of days after the first one."""
    return st.integers(least, most).map(lambda after: TODAY + timedelta(days=after))


@st.composite
def courses(draw: st.DrawFn) -> list[Event]:
    """Draw a purchase's messages with days that come and releases, each message at most once."""
    found = [said(authorized("a", eur(100_00)), 1)]
    for number in range(2, draw(st.integers(3, 5))):
        part = presented(f"p{number}", eur(draw(st.integers(1, 60_00))), part=(number - 1, 3))
        found.append(said(part, number, draw(days(0, 20))))
    if draw(st.booleans()):
        found.append(said(taken_back("p2", eur(1), part=(1, 3)), 20, draw(days(0, 30))))
    amounts = st.integers(1, 80_00).map(eur)
    given_back = draw(st.lists(st.tuples(amounts, days(0, 40)), max_size=2))
    found += [said(refunded(f"r{number}", amount), 30 + number, day) for number, (amount, day) in enumerate(given_back)]
    come = draw(st.lists(days(5, 60), max_size=2))
    found += [has_come(day, 2, 40 + number) for number, day in enumerate(come)]
    releases = draw(st.lists(st.tuples(st.sets(st.integers(2, 4), min_size=1), days(0, 60)), max_size=2))
    found += [released(*about, number=50 + number, day=day) for number, (about, day) in enumerate(releases)]
    return found


@settings(max_examples=150, deadline=None)
@given(courses(), st.sampled_from([TWO_WEEKS, STATEMENT, RELEASE]), st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(events: list[Event], timing: Timing, random: Random) -> None:
    """Entitled, posted and charged are the same in whatever order messages, days and releases arrive."""
    programme = timed(timing)
    shuffled = list(events)
    random.shuffle(shuffled)
    one, other = books_of(programme, events), books_of(programme, shuffled)
    assert one.purchases[PURCHASE].grants == other.purchases[PURCHASE].grants
    assert one.purchases[PURCHASE].charges == other.purchases[PURCHASE].charges
    assert one.balances() == other.balances()


@settings(max_examples=100, deadline=None)
@given(courses(), st.sampled_from([TWO_WEEKS, STATEMENT]), st.lists(days(0, 120), max_size=6))
def test_sweeps_post_the_same_whenever_they_run(events: list[Event], timing: Timing, runs: list[date]) -> None:
    """A sweep a day and one at the end post the same: all of it, once nothing is awaited any more."""
    programme = timed(timing)
    plain = [event for event in events if event.kind is not MessageKind.DUE]
    end = TODAY + timedelta(days=150)
    often, once = books_of(programme, plain), books_of(programme, plain)
    for number, day in enumerate([*sorted(runs), end]):
        sweep(programme, often, day, number=100 + number)
    sweep(programme, once, end, number=100)
    assert often.purchases[PURCHASE].grants == once.purchases[PURCHASE].grants
    assert often.balances() == once.balances()
    (whole,) = [books_of(timed_at_once(), plain)]
    assert whole.balances().get(("member/available", UNIT), 0) == once.balances().get(("member/available", UNIT), 0)


def timed_at_once() -> Programme:
    """Return the same programme that posts everything as soon as it clears."""
    programme = timed(TWO_WEEKS)
    return replace(programme, rules=tuple(replace(rule, timing=None) for rule in programme.rules))


def sweep(programme: Programme, books: Books, day: date, *, number: int) -> None:
    """Post what is due by a day, as the service's sweep does."""
    found = day_to_post(programme, books.purchases[PURCHASE], day)
    if found is not None:
        books.take(PURCHASE, has_come(found.day, found.message_id[-1], number))
