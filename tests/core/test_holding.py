"""From which holdings a soft reward is used, and that never more is used than there is."""

from datetime import date, timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.holding import Drawn, Holding, draw, usable

TODAY: Final = date(2026, 6, 15)


def holding(number: int, left: int, *, days: int = 10, used: int = 0, unit: str = "visit") -> Holding:
    """Return a holding with so many left, valid for so many days from today."""
    return Holding(bytes([number]), "rule", unit, 0, left + used, used, TODAY + timedelta(days=days))


@pytest.mark.parametrize(
    ("holdings", "count", "expected"),
    [
        ([holding(1, 2)], 1, [(1, 1)]),
        ([holding(1, 2)], 2, [(1, 2)]),
        ([holding(1, 2)], 3, []),
        ([holding(1, 2, days=30), holding(2, 1, days=5)], 2, [(2, 1), (1, 1)]),
        ([holding(1, 2, days=0)], 1, [(1, 1)]),
        ([holding(1, 2, days=-1)], 1, []),
        ([holding(1, 2, unit="fitting")], 1, []),
        ([holding(1, -1, used=1), holding(2, 1)], 1, []),
        ([holding(1, -1, used=1), holding(2, 2)], 1, [(2, 1)]),
        ([holding(1, 0, used=2, days=-9)], -1, [(1, -1)]),
        ([holding(1, 0, used=1, days=5), holding(2, 0, used=1, days=9)], -2, [(2, -1), (1, -1)]),
        ([holding(1, 0, used=1)], -2, []),
        ([], 1, []),
    ],
)
def test_what_expires_first_is_used_first(holdings: list[Holding], count: int, expected: list[tuple[int, int]]) -> None:
    """What is valid is drawn by its last day, debts first made up for, and uses are taken back from the last."""
    drawn = draw(holdings, "visit", count, TODAY)
    assert expected == [(entry.holding.purchase_id[0], entry.units) for entry in drawn]


HOLDINGS: Final = st.lists(st.tuples(st.integers(-2, 4), st.integers(-3, 3), st.integers(0, 3)), max_size=6).map(
    lambda drawn: [holding(number, left, days=days, used=used) for number, (left, days, used) in enumerate(drawn)]
)


@given(holdings=HOLDINGS, count=st.integers(1, 8))
def test_never_more_is_used_than_there_is(holdings: list[Holding], count: int) -> None:
    """A draw takes all that is asked for or nothing, and nothing that it takes was expired or below zero before."""
    drawn = draw(holdings, "visit", count, TODAY)
    assert (sum(entry.units for entry in drawn) == count) is (count <= usable(holdings, "visit", TODAY))
    assert all(0 < entry.units <= entry.holding.left and entry.holding.last_day >= TODAY for entry in drawn)


@given(holdings=HOLDINGS, count=st.integers(1, 8))
def test_a_use_taken_back_leaves_what_there_was(holdings: list[Holding], count: int) -> None:
    """Using and taking back makes as many usable as before, whichever holdings were drawn on."""
    drawn = draw(holdings, "visit", count, TODAY)
    used = after(holdings, drawn)
    back = draw(used, "visit", -sum(entry.units for entry in drawn), TODAY) if drawn else ()
    total = sum(entry.left for entry in holdings)
    assert total == sum(entry.left for entry in after(used, back))


def after(holdings: list[Holding], drawn: tuple[Drawn, ...]) -> list[Holding]:
    """Return holdings as they are after some of them are drawn."""
    units = {entry.holding.purchase_id: entry.units for entry in drawn}
    return [entry._replace(used=entry.used + units.get(entry.purchase_id, 0)) for entry in holdings]
