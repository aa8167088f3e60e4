"""Mistakes in budgets: each is said at its place, with what to write instead."""

from pathlib import Path
from typing import Final

import pytest

from processor.core.budget import AtEdge
from processor.core.cap import CapPeriod
from processor.core.programme import Programme
from processor.core.programme_document import parse_programme

FOLDER: Final = Path(__file__).parents[2] / "examples" / "programmes" / "limited-offers"
DOCUMENT: Final = (FOLDER / "programme.yaml").read_text(encoding="utf-8")
MERCHANTS: Final = {"merchants.csv": (FOLDER / "merchants.csv").read_text(encoding="utf-8")}


@pytest.mark.parametrize(
    ("old", "new", "path", "problem"),
    [
        ("rules: [opening], miles", "rules: [openin], miles", "budgets[0].rules[0]", "did you mean 'opening'?"),
        ("rules: [opening], miles", "rules: [till], miles", "budgets[0].rules[0]", "gives a discount"),
        ("id: first-guests", "id: opening-week", "budgets[1].id", "is taken by line"),
        ("miles: 1000}", "miles: 1000.5}", "budgets[0].miles", "at most 0 decimals"),
        ("miles: 1000}", "miles: 399, at_edge: refuse}", "budgets[0].miles", "is less than 'opening' gives"),
        ("miles: 1000}", 'miles: 1000, amount: "1.00", currency: EUR}', "budgets[0]", "has both miles and amount"),
        ("miles: 1000}", "period: purchase, miles: 1000}", "budgets[0].period", "is 'purchase'"),
        ("miles: 1000}", 'amount: "9.00", currency: EUR}', "budgets[0].rules[0]", "at the owner's cost"),
        ("holders: 2", "holders: 0", "budgets[1].holders", "is the number 0"),
        ("holders: 2", "holders: 2, at_edge: refuse", "budgets[1].at_edge", "an account has a place or none"),
        ('"25.00", currency: EUR', '"9.99", currency: EUR', "budgets[2].amount", "is less than 'till' gives"),
        ('"25.00", currency: EUR', '"25.00", currency: USD', "budgets[2].rules[0]", "gives no USD"),
        ('"25.00", currency: EUR', '"25.00", currency: EUX', "budgets[2].currency", "is no currency"),
        ('"25.00", currency: EUR', '"25.001", currency: EUR', "budgets[2].amount", "at most 2 decimals"),
        ('"10.00", currency: EUR', '"10.00", currency: USD', "budgets[3].rules[0]", "pays for the miles of 'reader'"),
        (", holders: 2", "", "budgets[1]", "has no size"),
    ],
)
def test_a_mistake_is_said_at_its_place(old: str, new: str, path: str, problem: str) -> None:
    """One mistake gives one error, which names the value and says what to write."""
    assert 1 == DOCUMENT.count(old)
    found = parse_programme(DOCUMENT.replace(old, new), merchants=MERCHANTS, source="programme.yaml", revision=1)

    assert isinstance(found, tuple)
    assert [path] == [error.path for error in found]
    assert problem in f"{found[0].problem} {found[0].expected}"


def test_a_budget_is_compiled_to_the_smallest_unit() -> None:
    """What is not stated is the default: for life, and what is left at the edge."""
    compiled = parse_programme(DOCUMENT, merchants=MERCHANTS, source="programme.yaml", revision=1)

    assert isinstance(compiled, Programme)
    opening, guests, sale, _ = compiled.budgets
    assert (1000, None, CapPeriod.LIFETIME, AtEdge.PARTIAL) == (
        opening.limit,
        opening.holders,
        opening.period,
        opening.at_edge,
    )
    assert (None, 2) == (guests.limit, guests.holders)
    assert (2500, "EUR", AtEdge.REFUSE) == (sale.limit, sale.currency, sale.at_edge)
