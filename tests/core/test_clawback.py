"""What a refund takes back in proportion: the page's table, and the laws that no order or cut of refunds changes."""

import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.core.cap import Cap, CapPeriod
from processor.core.conditions import AmountRange, Conditions
from processor.core.event import Event
from processor.core.expression import Expression, compile_expression
from processor.core.money import Rounding
from processor.core.programme import Programme
from processor.core.rule import AmountBase, Benefit, Clawback, Funder, Multiplication, Rule
from processor.core.timing import Moment, Timing
from tests.core.strategies import FIRST, UNIT, authorized, eur, presented, ratio, refunded
from tests.core.test_timing import PURCHASE, books_of, days, held, said, sweep

PAGE: Final = (Path(__file__).parents[2] / "docs" / "timing.md").read_text(encoding="utf-8")
TABLE: Final = re.findall(r"(?m)^\| ([^|]+) \| ([0-9.]+) \| ([0-9.]+) \| ([0-9]+) \| ([0-9]+) \|$", PAGE)
PLAIN: Final = Rule(
    id="rule",
    benefit=Benefit.MILES,
    base=AmountBase.BILLING,
    rates={"EUR": ratio(1, 300)},
    rounding=Rounding.DOWN,
    funder=Funder.BANK,
    when=Conditions(),
)
TEN: Final = replace(PLAIN, rates={}, fixed={UNIT: 10})
RULES: Final = {
    "1 mile per 3.00, down": PLAIN,
    "1 mile per 3.00, up": replace(PLAIN, rounding=Rounding.UP),
    "10 miles a purchase": TEN,
    "10 miles from 80.00 on": replace(TEN, when=Conditions(amounts={"EUR": AmountRange(lowest=80_00, highest=None)})),
    "1 mile per 1.00, 40 at most": replace(PLAIN, rates={"EUR": ratio(1, 100)}),
}
AT_MOST: Final = Cap(id="at-most", rules=frozenset({"rule"}), period=CapPeriod.PURCHASE, limit=40, currency=None)


def programme_of(rule: Rule, clawback: Clawback = Clawback.PROPORTIONAL, *, capped: bool = False) -> Programme:
    """Return a programme of one rule that takes back in one way."""
    return replace(FIRST, rules=(replace(rule, clawback=clawback),), caps=(AT_MOST,) if capped else ())


def minor(amount: str) -> int:
    """Return an amount of the page in cents."""
    return int(Decimal(amount) * 100)


def test_the_page_has_a_row_for_every_rule() -> None:
    """The table that the next test reads is there, with every rule that it names."""
    assert set(RULES) == {row[0] for row in TABLE}


@pytest.mark.parametrize(("name", "bought", "back", "exact", "proportional"), TABLE)
def test_what_remains_is_what_the_page_says(name: str, bought: str, back: str, exact: str, proportional: str) -> None:
    """A purchase and its refund leave what the page says, exactly and in proportion."""
    events = said(presented("p", eur(minor(bought))), 1), said(refunded("r", eur(minor(back))), 2)
    for clawback, left in ((Clawback.EXACT, exact), (Clawback.PROPORTIONAL, proportional)):
        programme = programme_of(RULES[name], clawback, capped="at most" in name)
        assert (0, int(left)) == held(programme, *events)


def test_a_lone_refund_takes_what_its_amount_earned() -> None:
    """There is no purchase to be a part of; when it comes, the refund takes its part of that."""
    programme = programme_of(PLAIN)
    refund, purchase = said(refunded("r", eur(50_00)), 2), said(presented("p", eur(100_00)), 1)
    assert (0, -16) == held(programme, refund)
    assert (0, 17) == held(programme, refund, purchase)


def test_what_is_authorized_still_keeps_its_part() -> None:
    """A refund of a part that cleared takes its part of the whole, and leaves pending what has not cleared."""
    programme = programme_of(replace(PLAIN, rates={"EUR": ratio(1, 100)}))
    first = said(presented("p", eur(60_00), part=(1, 2)), 1)
    assert (40, 30) == held(programme, said(authorized("a", eur(100_00)), 3), first, said(refunded("r", eur(30_00)), 2))


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Draw parts of a purchase and refunds of them, in any amounts."""
    parts = draw(st.lists(st.integers(1, 100_00), min_size=1, max_size=3))
    refunds = draw(st.lists(st.integers(1, 100_00), max_size=4))
    found = [
        said(presented(f"p{n}", eur(amount), part=(n + 1, 3)), 1 + n, draw(days(0, 9)))
        for n, amount in enumerate(parts)
    ]
    found += [said(refunded(f"r{n}", eur(amount)), 20 + n, draw(days(0, 30))) for n, amount in enumerate(refunds)]
    if draw(st.booleans()):
        found.append(said(authorized("a", eur(draw(st.integers(1, 300_00)))), 40))
    return found


@settings(max_examples=200, deadline=None)
@given(histories(), st.sampled_from(sorted(RULES)), st.randoms(use_true_random=False))
def test_neither_order_nor_cut_of_refunds_matters(events: list[Event], name: str, random: Random) -> None:
    """What is left follows from the sum that was given back; it is never below nothing, nor over the whole."""
    programme = programme_of(RULES[name])
    shuffled = list(events)
    random.shuffle(shuffled)
    one, other = books_of(programme, events), books_of(programme, shuffled)
    assert one.purchases[PURCHASE].grants == other.purchases[PURCHASE].grants
    assert one.balances() == other.balances()
    whole = held(programme, *(event for event in events if not event.credit))
    left = held(programme, *events)
    assert 0 <= sum(left) <= sum(whole)
    assert 0 <= left[1] <= whole[1]


@settings(max_examples=100, deadline=None)
@given(histories(), st.sampled_from(sorted(RULES)))
def test_all_refunds_together_take_all(events: list[Event], name: str) -> None:
    """Once everything that cleared is given back, nothing of it is left in any ledger account."""
    cleared = [event for event in events if event.effect.name == "CLEARED" and not event.credit]
    total = sum(event.amount.amount_minor for event in cleared if event.amount)
    books = books_of(programme_of(RULES[name]), [*cleared, said(refunded("all", eur(total)), 90)])
    assert {} == books.balances()


@settings(max_examples=100, deadline=None)
@given(histories(), st.sampled_from(sorted(RULES)))
def test_what_waits_is_posted_in_the_end(events: list[Event], name: str) -> None:
    """With days of return the same is available in the end as without them, and no more ever is."""
    later = programme_of(replace(RULES[name], timing=Timing(moment=Moment.AFTER_DAYS, days=14)))
    books = books_of(later, events)
    _, at_once = held(programme_of(RULES[name]), *events)
    assert books.miles()[1] <= at_once
    sweep(later, books, events[0].local_date.replace(year=2027), number=100)
    assert at_once == books.miles()[1]


@pytest.mark.parametrize(
    ("expression", "amounts", "left"),
    [
        ("amount_minor >= 8000", {}, 8),
        ("amount_minor < 8000", {}, 0),
        ("mcc == '0000'", {"EUR": AmountRange(lowest=80_00, highest=None)}, 0),
    ],
)
def test_an_expression_is_asked_of_the_whole_purchase(
    expression: str, amounts: dict[str, AmountRange], left: int
) -> None:
    """What is given back in part takes its part of what the whole purchase gave, as with a range of amounts."""
    condition = compile_expression(expression)
    assert isinstance(condition, Expression)
    programme = programme_of(replace(TEN, when=Conditions(amounts=amounts, expression=condition)))
    events = said(presented("p", eur(100_00)), 1), said(refunded("r", eur(21_00)), 2)
    assert (0, left) == held(programme, *events)


def test_a_multiplier_follows_what_it_multiplies() -> None:
    """60 miles are doubled from 50.00 EUR on; 20.00 EUR back take a third of both, although 40.00 EUR are left."""
    points = replace(PLAIN, id="points", rates={"EUR": ratio(1, 100)}, clawback=Clawback.PROPORTIONAL)
    twice = replace(
        PLAIN,
        id="twice",
        rates={},
        multiplication=Multiplication(rules=frozenset({"points"}), by=ratio(2, 1)),
        when=Conditions(amounts={"EUR": AmountRange(lowest=50_00, highest=None)}),
    )
    programme = replace(FIRST, rules=(points, twice), caps=())
    books = books_of(programme, [said(presented("p", eur(60_00)), 1), said(refunded("r", eur(20_00)), 2)])

    grants = books.purchases[PURCHASE].grants
    assert {"points": 40, "twice": 40} == {grant.rule: grant.granted for grant in grants}
