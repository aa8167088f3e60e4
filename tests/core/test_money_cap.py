"""Caps in money on miles: they hold what the funders pay for what purchases were granted, and never more than that."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from processor.core.cap import Cap, CapHolder, CapPeriod
from processor.core.draw import affordable, cost
from processor.core.household import OWN
from processor.core.programme import Programme
from settlement.counters import counters_of
from tests.core.strategies import ACCEPTORS, FIRST, SECOND, START, Books, authorized, eur, events, presented, reversed_

MOST = 90


def capped(programme: Programme, per: CapHolder) -> Programme:
    """Return a revision whose miles cost the funders at most 0.90 EUR in a month."""
    rules = frozenset({"base", "bonus"})
    cap = Cap(id="cost", rules=rules, period=CapPeriod.MONTH, limit=MOST, currency="EUR", per=per)
    return replace(programme, caps=(cap,))


STEPS = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from(sorted(ACCEPTORS)), st.integers(0, 2), st.integers(0, 4)),
    max_size=14,
    unique_by=lambda step: (step[0], step[2]),
)


def history(steps: list[tuple[int, str, int, int]], per: CapHolder) -> Books:
    """Decide messages of purchases in any order, at places with funders of their own, over two revisions and months."""
    books = Books(revisions=(capped(FIRST, per), capped(SECOND, per)))
    for number, place, which, days in steps:
        messages = (authorized("a", eur(60_00), place=place), presented("p", eur(55_00), place=place))
        event = events(*messages, reversed_("r", "a"))[which]
        moved = event.at + int(timedelta(days=days).total_seconds())
        local = (START + timedelta(days=days)).date()
        identity = bytes(14) + bytes([number, which])
        card = "xy"[number % 2]
        books.take(
            bytes(15) + bytes([number]), event._replace(message_id=identity, at=moved, local_date=local, card=card)
        )
    return books


@settings(max_examples=80, deadline=None)
@given(STEPS, st.sampled_from([CapHolder.ACCOUNT, CapHolder.CARD]))
def test_a_cap_in_money_holds_what_grants_cost(steps: list[tuple[int, str, int, int]], per: CapHolder) -> None:
    """Whoever pays by then, the counter is what the grants keep, within the cap, and verification finds the same."""
    books = history(steps, per)

    kept: Counter[tuple[str, str]] = Counter()
    for purchase in books.purchases.values():
        for grant in purchase.grants:
            kept.update({(pool, period): units for pool, period, units in grant.budgets})
    counted = {key: units for key, units in books.used.items() if units}
    assert counted == dict(kept)
    assert all(name.endswith(OWN) and 0 < units <= MOST for (name, _), units in counted.items())
    decided = [
        (purchase, books.terms().revision_of(purchase.revision), purchase.occurred_on)
        for purchase in books.purchases.values()
        if purchase.revision is not None and purchase.occurred_on is not None
    ]
    assert counted == {key: units for key, units in counters_of(decided).items() if units}


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_undo_gives_a_cap_in_money_back(steps: list[tuple[int, str, int, int]]) -> None:
    """When every purchase has given back all it was granted, nothing of the cap is used."""
    books = history(steps, CapHolder.ACCOUNT)
    for purchase in list(books.purchases):
        books.merge(purchase, bytes(16))

    assert {} == {key: units for key, units in books.used.items() if units}


@given(st.integers(0, 10_000), st.sampled_from([*FIRST.parties.values(), *SECOND.parties.values()]))
def test_the_most_that_an_amount_buys(units: int, party: object) -> None:
    """What an amount buys costs no more than it, and one mile more does, by every way of rounding."""
    price = getattr(party, "mile_price", None)
    most = affordable(price, units)
    assert cost(price, most) <= units < cost(price, most + 1)
