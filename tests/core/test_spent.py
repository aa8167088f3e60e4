"""Miles that are spent when a refund takes them back: who keeps them, who pays, and that nobody gains twice."""

from dataclasses import replace
from random import Random
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.core.event import Event
from processor.core.money import divide
from processor.core.posting import MEMBER_AVAILABLE, PROGRAMME_ADJUSTED, Template, move
from processor.core.programme import Programme
from processor.core.rule import Funder, Spent
from processor.core.spent import Balance, Change, Kept, settle
from tests.core.strategies import BANK, FIRST, UNIT, Books, authorized, eur, presented, refunded, taken_back
from tests.core.test_timing import days, said

ONE, OTHER = bytes(16), bytes([1]) * 16


def change(miles: int, spent: Spent = Spent.WRITE_OFF, rule: str = "base") -> Change:
    """Return a change of what a rule made available."""
    return Change(rule, UNIT, BANK, spent, miles)


def kept(units: int, rule: str = "base") -> tuple[Kept, ...]:
    """Return what is kept of one rule."""
    return (Kept(rule, UNIT, BANK, units),) if units else ()


@pytest.mark.parametrize(
    ("before", "changes", "balance", "after", "left"),
    [
        (0, [change(-30)], 50, 0, 20),
        (0, [change(-30)], 10, 20, 0),
        (0, [change(-30)], -5, 30, -5),
        (0, [change(-30, Spent.NEGATIVE)], 10, 0, -20),
        (0, [change(-30, Spent.PENDING)], 50, 30, 50),
        (20, [change(30)], 0, 0, 10),
        (20, [change(5)], 0, 15, 0),
        (20, [change(-10)], 0, 30, 0),
        (0, [change(-30), change(25, rule="other")], 0, 5, 0),
        (7, [], 3, 7, 3),
    ],
)
def test_what_is_kept(before: int, changes: list[Change], balance: int, after: int, left: int) -> None:
    """A fall leaves with the holder what the policy says; a rise gives back first what was kept."""
    held = Balance(available=balance)
    assert kept(after) == settle(kept(before), changes, held).kept
    assert left == held.available


def programme_of(spent: Spent) -> Programme:
    """Return a programme of one rule, a mile for 2 EUR at the bank's cost, with a policy for what is spent."""
    (base,) = (rule for rule in FIRST.rules if rule.id == "base")
    return replace(FIRST, rules=(replace(base, spent=spent, funder=Funder.BANK),), caps=())


Arrived = list[tuple[bytes, Event]]


@st.composite
def histories(draw: st.DrawFn) -> Arrived:
    """Draw two purchases of one account with refunds, of which some are taken back, in any order."""
    found: Arrived = []
    for place, purchase in enumerate((ONE, OTHER)):
        number = 60 * place
        found.append((purchase, said(authorized(f"a{place}", eur(100_00)), number + 1)))
        found.append((purchase, said(presented(f"p{place}", eur(draw(st.integers(1, 100_00)))), number + 2)))
        for refund in range(draw(st.integers(0, 3))):
            amount = eur(draw(st.integers(1, 90_00)))
            back = replace(refunded(f"r{place}{refund}", amount))
            found.append((purchase, said(back, number + 10 + refund, draw(days(0, 9)))))
            if draw(st.booleans()):
                undone = replace(taken_back(f"r{place}{refund}", amount), credit=True)
                found.append((purchase, said(undone, number + 20 + refund, draw(days(9, 20)))))
    Random(draw(st.integers(0, 10**6))).shuffle(found)
    return found


LAW: Final = settings(max_examples=150, deadline=None)


@LAW
@given(histories(), st.sampled_from(Spent))
def test_what_is_kept_is_paid_for_and_conserved(history: Arrived, spent: Spent) -> None:
    """The balance is what was granted and what is kept; both are charged, and a write-off stops at nothing."""
    books = Books(revisions=(programme_of(spent),))
    for place, event in history:
        _, before = books.miles()
        books.take(place, event)
        _, after = books.miles()
        if spent is Spent.WRITE_OFF:
            assert after >= min(0, before)
        if spent is Spent.PENDING:
            assert after >= before
    purchases = books.purchases.values()
    granted = sum(grant.available for purchase in purchases for grant in purchase.grants)
    held = sum(entry.units for purchase in purchases for entry in purchase.kept)
    balances = books.balances()
    assert granted + held == balances.get((MEMBER_AVAILABLE, UNIT), 0)
    assert -held == balances.get((f"party/{BANK}/kept", UNIT), 0)
    assert held == 0 or spent is not Spent.NEGATIVE
    assert 0 == sum(units for (_, unit), units in balances.items() if unit == UNIT)
    price = FIRST.parties[BANK].mile_price
    assert price is not None
    for purchase in purchases:
        miles = sum(grant.available for grant in purchase.grants) + sum(entry.units for entry in purchase.kept)
        charged = divide(miles * price.ratio.numerator, price.ratio.denominator, price.rounding)
        assert charged == sum(purchase.charges.values())


@LAW
@given(histories(), st.sampled_from(Spent))
def test_a_refund_taken_back_leaves_nothing_behind(history: Arrived, spent: Spent) -> None:
    """Once every refund is taken back, the books are as if none had been: nobody has gained, and nobody has lost."""
    refunds = [(purchase, event) for purchase, event in history if event.credit and event.effect.name == "CLEARED"]
    undone = {event.acquirer_reference for _, event in history if event.credit and event.effect.name == "UNCLEARED"}
    books, without = Books(revisions=(programme_of(spent),)), Books(revisions=(programme_of(spent),))
    for purchase, event in history:
        books.take(purchase, event)
        if not event.credit:
            without.take(purchase, event)
    for number, (purchase, event) in enumerate(refunds):
        if event.acquirer_reference not in undone and event.amount is not None:
            back = replace(taken_back(event.acquirer_reference, event.amount), credit=True)
            books.take(purchase, said(back, 130 + number))
    assert without.balances() == books.balances()
    assert all(purchase.kept == () for purchase in books.purchases.values())


def test_a_merge_leaves_the_holder_what_was_kept() -> None:
    """Miles are given and spent, and their refund is written off; when another purchase takes over, that stays so."""
    books = Books(revisions=(programme_of(Spent.WRITE_OFF),))
    books.take(ONE, said(presented("p", eur(100_00)), 1))
    (_, given) = books.miles()
    books.postings += move(Template.ADJUSTMENT_GIVEN, PROGRAMME_ADJUSTED, MEMBER_AVAILABLE, UNIT, -given)
    books.take(ONE, said(refunded("r", eur(100_00)), 2))
    assert (given, 0) == (sum(entry.units for entry in books.purchases[ONE].kept), books.miles()[1])

    books.merge(ONE, OTHER)
    books.take(OTHER, said(authorized("a", eur(40_00)), 3))

    assert ((), 0) == (books.purchases[ONE].kept, books.miles()[1])
    assert given == sum(entry.units for entry in books.purchases[OTHER].kept)
    assert -given == books.balances()[f"party/{BANK}/kept", UNIT]


@LAW
@given(histories(), st.sampled_from([Spent.WRITE_OFF, Spent.PENDING]), st.integers(0, 10))
def test_what_is_kept_is_conserved_when_purchases_merge(history: Arrived, spent: Spent, after: int) -> None:
    """One purchase takes over the other in mid-history: what is kept before is kept behind it, and paid for."""
    books = Books(revisions=(programme_of(spent),))
    for number, (place, event) in enumerate(history):
        if number == after and ONE in books.purchases:
            before = {purchase: entry.kept for purchase, entry in books.purchases.items()}
            books.merge(ONE, OTHER)
            assert sum(units for *_, units in before[ONE]) == sum(units for *_, units in books.kept[OTHER])
        books.take(OTHER if number >= after else place, event)
        kept = sum(entry.units for purchase in books.purchases.values() for entry in purchase.kept)
        granted = sum(grant.available for purchase in books.purchases.values() for grant in purchase.grants)
        assert -kept == books.balances().get((f"party/{BANK}/kept", UNIT), 0)
        assert granted + kept == books.miles()[1]
