"""Caps that count cards: a card's counter holds what its own purchases were granted, whatever is undone or moves."""

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from processor.core.cap import Cap, CapHolder, CapPeriod
from settlement.counters import counters_of
from tests.core.strategies import FIRST, Books, authorized, eur, events, presented, reversed_

MOST = 150
CARD_MONTH = Cap(
    id="card-month", rules=frozenset({"base"}), period=CapPeriod.MONTH, limit=MOST, currency=None, per=CapHolder.CARD
)
PROGRAMME = replace(FIRST, caps=(CARD_MONTH,))

_MESSAGES = (authorized("a", eur(200_00)), presented("p", eur(180_00)), reversed_("r", "a"))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from("xy"), st.integers(0, 2)),
        max_size=14,
        unique_by=lambda e: (e[0], e[2]),
    )
)
def test_a_card_counts_what_its_purchases_hold(steps: list[tuple[int, str, int]]) -> None:
    """Messages of purchases in any order, also with another card than the one before, leave no card beyond its cap."""
    books = Books(revisions=(PROGRAMME,))
    for number, card, which in steps:
        event = events(*_MESSAGES)[which]
        identity = bytes(14) + bytes([number, which])
        books.take(bytes(15) + bytes([number]), event._replace(message_id=identity, card=card))

    held: Counter[str] = Counter()
    for purchase in books.purchases.values():
        held[purchase.card] += sum(max(grant.granted, 0) for grant in purchase.grants if grant.rule == "base")
    counted = {key: units for key, units in books.used.items() if units}
    assert counted == {(f"card-month#{card}", "2026-11"): units for card, units in held.items() if units}
    assert all(units <= MOST for units in counted.values())
    decided = [
        (purchase, PROGRAMME, purchase.occurred_on) for purchase in books.purchases.values() if purchase.occurred_on
    ]
    assert counted == {key: units for key, units in counters_of(decided).items() if units}
