"""A bank's mark-up: taken off foreign amounts alone, exactly, in one currency or several, and refused where odd."""

from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.accrual import entitle_amounts
from processor.core.circumstances import Circumstances
from processor.core.programme import Programme
from processor.core.programme_document import parse_programme
from processor.core.purchase import Amounts, Folded
from tests.core.test_expression import AT

FOLDER: Final = Path(__file__).parents[2] / "examples" / "programmes" / "what-counts"
DOCUMENT: Final = (FOLDER / "programme.yaml").read_text(encoding="utf-8")
MERCHANTS: Final = {"merchants.csv": (FOLDER / "merchants.csv").read_text(encoding="utf-8")}
ABROAD: Final[Circumstances] = AT._replace(partner=None, sector="", product="plain", mcc="5942", local_time="")


@cache
def programme() -> Programme:
    """Compile the example."""
    compiled = parse_programme(DOCUMENT, merchants=MERCHANTS, source="p", revision=1)
    assert isinstance(compiled, Programme)
    return compiled


def base_of(paid: list[Amounts], billed: list[Amounts]) -> int:
    """Return what the base rule, a mile for each EUR billed, gives."""
    folded = Folded(anchor=None, transaction=tuple(paid), billing=tuple(billed))
    given = entitle_amounts(programme(), folded, partner=None, at=ABROAD).entitlements
    return sum(entry.total for entry in given if entry.rule.id == "base")


@given(st.integers(0, 10**9))
def test_it_is_taken_off_exactly(billed_minor: int) -> None:
    """What is left is the exact fraction, rounded once by the rule; what was paid in EUR is left whole."""
    billed = [Amounts("EUR", billed_minor, 0)]
    foreign = base_of([Amounts("USD", 1 + billed_minor, 0)], billed)
    assert int(Fraction(billed_minor, 100) / (1 + Fraction(25, 1000))) == foreign
    assert billed_minor // 100 == base_of(billed, billed)


def test_of_several_currencies_the_foreign_are_marked_up() -> None:
    """A purchase paid in two currencies and billed in one that is among them has no mark-up, in a third one it has."""
    paid = [Amounts("EUR", 10_250, 0), Amounts("USD", 500, 0)]
    assert base_of(paid, [Amounts("EUR", 10_250, 0)]) == 102
    assert base_of([Amounts("GBP", 1, 0), Amounts("USD", 500, 0)], [Amounts("EUR", 10_250, 0)]) == 100


@pytest.mark.parametrize("odd", ['"0"', '"100.1"', '"-2"', '"two"'])
def test_an_odd_mark_up_is_refused(odd: str) -> None:
    """A mark-up is over 0 and at most 100 percent."""
    errors = parse_programme(
        DOCUMENT.replace('mark_up_percent: "2.5"', f"mark_up_percent: {odd}"),
        merchants=MERCHANTS,
        source="p",
        revision=1,
    )
    assert isinstance(errors, tuple)
    assert ["banks[0].mark_up_percent"] == [error.path for error in errors]
