"""Grants: what the caps leave of what is due, what they count, and what they get back."""

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.core.cap import Cap, CapPeriod, CounterKey, period_of
from processor.core.contest import Entitlement
from processor.core.grant import Grant, regrant, release
from processor.core.money import Money
from processor.core.rule import Benefit
from tests.core.strategies import (
    FIRST,
    SECOND,
    UNIT,
    Books,
    authorized,
    eur,
    events,
    presented,
    refunded,
    reversed_,
    usd,
)

PURCHASE = bytes(15) + b"\x0f"
DAY = date(2026, 11, 30)
MONTHLY, YEARLY, DAILY, SINGLE, FASHION = FIRST.caps
ONE_CAP = replace(FIRST, caps=(replace(MONTHLY, limit=100),))
TWO_CAPS = replace(FIRST, caps=(replace(MONTHLY, limit=100), replace(YEARLY, limit=70)))
MONTH: CounterKey = ("monthly", "2026-11")


def base(entitled: int, granted: int, available: int = 0) -> Grant:
    """Return a grant of the base rule."""
    return Grant(rule="base", unit=UNIT, entitled=entitled, granted=granted, available=available)


@pytest.mark.parametrize(
    ("period", "name"),
    [
        (CapPeriod.PURCHASE, PURCHASE.hex()),
        (CapPeriod.DAY, "2026-11-30"),
        (CapPeriod.MONTH, "2026-11"),
        (CapPeriod.BILLING_PERIOD, "S2026-12-31"),
        (CapPeriod.YEAR, "2026"),
    ],
)
def test_which_period_a_purchase_counts_in(period: CapPeriod, name: str) -> None:
    """A cap adds up one purchase, or those of one local day, month or year."""
    assert name == period_of(replace(MONTHLY, period=period), DAY, PURCHASE)


@pytest.mark.parametrize(
    ("rule", "unit", "caps"),
    [
        ("base", UNIT, (MONTHLY, YEARLY)),
        ("premium", UNIT, (MONTHLY,)),
        ("bonus", UNIT, (YEARLY, DAILY, SINGLE)),
        ("five-off", "EUR", (FASHION,)),
        ("five-off", "USD", ()),
        ("bank-off", "EUR", ()),
        ("no such rule", UNIT, ()),
    ],
)
def test_which_caps_limit_a_rule(rule: str, unit: str, caps: tuple[Cap, ...]) -> None:
    """A miles cap limits the rules it names; a discount cap counts its own currency alone."""
    assert caps == FIRST.caps_on(rule, unit)


@pytest.mark.parametrize(
    ("previous", "total", "cleared", "used", "reserved", "granted", "available", "used_after", "cut_by"),
    [
        ((0, 0), 60, 0, 0, 0, 60, 0, 60, None),
        ((0, 0), 60, 60, 0, 0, 60, 60, 60, None),
        ((0, 0), 100, 0, 0, 0, 100, 0, 100, None),
        ((0, 0), 101, 0, 0, 0, 100, 0, 100, "monthly"),
        ((0, 0), 60, 40, 70, 0, 30, 30, 100, "monthly"),
        ((0, 0), 60, 20, 70, 0, 30, 20, 100, "monthly"),
        ((0, 0), 60, 0, 100, 0, 0, 0, 100, "monthly"),
        ((0, 0), 60, 0, 130, 0, 0, 0, 130, "monthly"),
        ((0, 0), 60, 0, 0, 50, 50, 0, 50, "monthly"),
        ((0, 0), 60, 0, 60, 50, 0, 0, 60, "monthly"),
        ((60, 60), 80, 0, 60, 0, 80, 0, 80, None),
        ((60, 60), 80, 0, 90, 0, 70, 0, 100, "monthly"),
        ((60, 30), 80, 0, 100, 0, 30, 0, 100, "monthly"),
        ((60, 30), 80, 0, 30, 0, 50, 0, 50, None),
        ((60, 30), 60, 60, 30, 0, 30, 30, 30, None),
        ((60, 60), 50, 50, 60, 0, 50, 50, 50, None),
        ((60, 30), 50, 50, 30, 0, 30, 30, 30, None),
        ((60, 30), 20, 20, 100, 0, 20, 20, 90, None),
        ((60, 60), 0, 0, 60, 0, 0, 0, 0, None),
        ((60, 60), -20, -20, 60, 0, -20, -20, 0, None),
        ((0, 0), -20, -20, 10, 0, -20, -20, 10, None),
        ((-20, -20), -5, -5, 10, 0, -5, -5, 10, None),
        ((-20, -20), 40, 40, 0, 0, 40, 40, 40, None),
        ((-20, -20), 40, 40, 90, 0, 10, 10, 100, "monthly"),
        ((-20, -20), 40, 40, 100, 0, 0, 0, 100, "monthly"),
        ((-20, -20), -40, -40, 10, 0, -40, -40, 10, None),
        ((50, 50), 50, -20, 50, 0, 50, -20, 50, None),
    ],
)
def test_what_a_cap_leaves(
    previous: tuple[int, int],
    total: int,
    cleared: int,
    used: int,
    reserved: int,
    granted: int,
    available: int,
    used_after: int,
    cut_by: str | None,
) -> None:
    """A rise asks a cap of 100 for the difference, a fall gives it back, and nothing below zero counts."""
    counters = {MONTH: used}
    grant, cut = regrant(
        ONE_CAP,
        base(*previous),
        Entitlement(rule=ONE_CAP.rule("base"), unit=UNIT, total=total, cleared=cleared),
        occurred_on=DAY,
        purchase_id=PURCHASE,
        used=counters,
        reserved={MONTH: reserved},
    )
    assert (base(total, granted, available), cut_by) == (grant, cut)
    assert {MONTH: used_after} == counters
    assert granted - available == grant.pending


def test_a_rule_that_no_longer_applies_gives_all_back() -> None:
    """Without an entitlement nothing is due, and the counter gets back what was taken."""
    counters = {MONTH: 80}
    grant, cut = regrant(
        ONE_CAP, base(60, 50, 30), None, occurred_on=DAY, purchase_id=PURCHASE, used=counters, reserved={}
    )
    assert (base(0, 0), None) == (grant, cut)
    assert {MONTH: 30} == counters


@pytest.mark.parametrize(
    ("monthly", "yearly", "granted", "cut_by"),
    [(0, 0, 70, "yearly"), (60, 0, 40, "monthly"), (60, 60, 10, "yearly"), (90, 65, 5, "yearly"), (30, 0, 70, None)],
)
def test_the_tightest_cap_binds(monthly: int, yearly: int, granted: int, cut_by: str | None) -> None:
    """Of several caps on a rule the one with the least headroom cuts, and each counts what was granted."""
    counters = {MONTH: monthly, ("yearly", "2026"): yearly}
    total = 70 if cut_by is None else 90
    entitlement = Entitlement(rule=TWO_CAPS.rule("base"), unit=UNIT, total=total, cleared=0)
    grant, cut = regrant(
        TWO_CAPS, base(0, 0), entitlement, occurred_on=DAY, purchase_id=PURCHASE, used=counters, reserved={}
    )
    assert (granted, cut_by) == (grant.granted, cut)
    assert {MONTH: monthly + granted, ("yearly", "2026"): yearly + granted} == counters


def test_release_gives_back_what_was_taken() -> None:
    """Everything a purchase took goes back to the periods it came from; what it owed had taken nothing."""
    bonus = Grant(rule="bonus", unit=UNIT, entitled=40, granted=40)
    counters = {MONTH: 50, ("yearly", "2026"): 90, ("daily", "2026-11-30"): 40, ("single", PURCHASE.hex()): 40}
    release(FIRST, (base(70, 50), bonus, Grant(rule="premium", unit=UNIT, granted=-9)), DAY, PURCHASE, counters)
    assert {0} == set(counters.values())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-200, 300), min_size=1, max_size=8), st.integers(0, 150))
def test_one_purchase_and_its_cap(totals: list[int], used: int) -> None:
    """However often entitled rises and falls, the counter holds the others' use and this grant, within the limit."""
    counters = {MONTH: used}
    grant = base(0, 0)
    for total in totals:
        entitlement = Entitlement(rule=ONE_CAP.rule("base"), unit=UNIT, total=total, cleared=total)
        grant, _ = regrant(
            ONE_CAP, grant, entitlement, occurred_on=DAY, purchase_id=PURCHASE, used=counters, reserved={}
        )
        assert used + max(grant.granted, 0) == counters[MONTH]
        assert counters[MONTH] <= max(used, 100)
        assert min(total, 0) <= grant.granted <= total


ONE, OTHER = b"1" * 16, b"2" * 16


def test_freed_headroom_never_reopens_a_purchase() -> None:
    """What a reversal frees serves the next purchase; the one that was cut stays as it was decided."""
    books = Books(revisions=(FIRST,))
    first, undo = events(authorized("a", eur(400_00)), reversed_("r", "a"))
    second, cleared = events(authorized("b", eur(400_00)), presented("p", eur(400_00)))
    third = events(authorized("c", eur(400_00)))[0]
    taken = []
    for purchase, event in ((ONE, first), (OTHER, second), (ONE, undo), (OTHER, cleared), (b"3" * 16, third)):
        taken.append(sum(award.grant.granted for award in books.take(purchase, event).considered))
    assert [200, 50, 0, 50, 200] == taken
    assert 250 == books.used[MONTH]


def test_a_rise_asks_for_the_difference_alone() -> None:
    """A purchase that was cut is not made whole by a rise: only the rise itself meets the headroom of its day."""
    books = Books(revisions=(FIRST,))
    first, undo = events(authorized("a", eur(400_00)), reversed_("r", "a"))
    second, more = events(authorized("b", eur(200_00)), authorized("c", eur(100_00)))
    for purchase, event in ((ONE, first), (OTHER, second), (ONE, undo), (OTHER, more)):
        books.take(purchase, event)
    (grant,) = books.purchases[OTHER].grants
    assert (150, 50 + 50) == (grant.entitled, grant.granted)


def test_each_cap_counts_its_own_period() -> None:
    """Purchase, day, month and year: each cap cuts where its own period is full, and the next one begins at nothing."""
    books = Books(revisions=(FIRST,))
    granted = []
    for number, (amount_minor, day) in enumerate(
        [
            (250_00, date(2026, 11, 28)),
            (150_00, date(2026, 11, 28)),
            (200_00, date(2026, 11, 29)),
            (100_00, date(2026, 12, 1)),
            (100_00, date(2027, 1, 1)),
        ]
    ):
        (event,) = events(replace(authorized("a", eur(amount_minor), place="grocer"), local_date=day))
        considered = books.take(bytes([number] * 16), event).considered
        granted.append([(award.grant.granted, award.cut_by) for award in considered])
    assert [
        [(125, None), (200, "single")],
        [(75, None), (100, "daily")],
        [(50, "monthly"), (150, "yearly")],
        [(0, "yearly"), (0, "yearly")],
        [(50, None), (100, None)],
    ] == granted


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        (eur(400_00), [("five-off", "EUR", 20_00, None), ("owner-off", "EUR", 0, "fashion-monthly")]),
        (eur(340_00), [("five-off", "EUR", 17_00, None), ("owner-off", "EUR", 3_00, "fashion-monthly")]),
        (usd(800_00), [("five-off", "USD", 40_00, None), ("owner-off", "USD", 8_00, None)]),
    ],
)
def test_a_discount_cap_counts_its_currency(amount: Money, expected: list[tuple[str, str, int, str | None]]) -> None:
    """Rules share a cap in their order, and discounts in another currency are not counted."""
    (event,) = events(authorized("a", amount, place="fashion"))
    considered = Books(revisions=(FIRST,)).take(ONE, event).considered
    assert expected == [
        (award.rule, award.grant.unit, award.grant.granted, award.cut_by)
        for award in considered
        if award.benefit is Benefit.DISCOUNT
    ]


def test_a_fall_gives_back_to_the_period_it_came_from() -> None:
    """A refund in December frees November's headroom, where the purchase counted, and none of December's."""
    books = Books(revisions=(FIRST,))
    bought, back = events(presented("r", eur(400_00)), refunded("c", eur(100_00)))
    december = events(replace(presented("s", eur(100_00)), local_date=date(2026, 12, 2)))[0]
    books.take(ONE, bought)
    books.take(OTHER, december)
    books.take(ONE, back._replace(local_date=date(2026, 12, 3)))
    assert (150, 50) == (books.used[MONTH], books.used["monthly", "2026-12"])


def test_an_earlier_event_moves_a_purchase_to_its_own_period() -> None:
    """Where an authorization arrives after its clearing record, the headroom of the record's date is given back."""
    books = Books(revisions=(FIRST,))
    bought = events(replace(authorized("a", eur(400_00)), local_date=date(2026, 11, 30)))[0]
    cleared = events(replace(presented("r", eur(400_00)), local_date=date(2026, 12, 1)))[0]
    books.take(ONE, cleared)
    assert 200 == books.used["monthly", "2026-12"]
    books.take(ONE, bought._replace(message_id=b"a"))
    assert (200, 0) == (books.used[MONTH], books.used["monthly", "2026-12"])
    assert (0, 200) == books.miles()


def test_headroom_that_quotes_hold_is_not_granted() -> None:
    """What quotes of other purchases reserve stays theirs until they are decided or expire."""
    books = Books(revisions=(FIRST,), reserved={MONTH: 240})
    books.take(ONE, events(authorized("a", eur(100_00)))[0])
    assert (10, 0) == books.miles()
    assert 10 == books.used[MONTH]


def test_a_lower_limit_takes_nothing_back() -> None:
    """A revision that lowers a cap's limit grants nothing more in a period already above it, and counts on."""
    books = Books(revisions=(FIRST, SECOND))
    first, second = events(authorized("a", eur(500_00)), authorized("b", eur(100_00)))
    books.take(ONE, first)
    books.take(OTHER, second._replace(at=int(SECOND.effective_from.timestamp()), local_date=date(2026, 11, 30)))
    assert (250, 0) == books.miles()
    assert 250 == books.used[MONTH]
