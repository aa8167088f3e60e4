"""Rates and roundings: docs/rates.md says what each rule of the example gives, in whole miles and in hundredths."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest

from processor.core.programme import Programme
from processor.core.programme_document import parse_programme
from processor.core.simulation import Simulation, simulate

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "examples" / "programmes" / "rates"
PAGE: Final = (ROOT / "docs" / "rates.md").read_text(encoding="utf-8")
DOCUMENT: Final = (FOLDER / "programme.yaml").read_text(encoding="utf-8")


def given(decimals: int) -> set[tuple[str, str, str]]:
    """Return every award of the example, with so many decimals of a mile."""
    merchants = {"merchants.csv": (FOLDER / "merchants.csv").read_text(encoding="utf-8")}
    text = DOCUMENT.replace("decimals: 0", f"decimals: {decimals}")
    programme = parse_programme(text, merchants=merchants, source="p", revision=1)
    assert isinstance(programme, Programme)
    result = simulate([programme], (FOLDER / "transactions.jsonl").read_text(encoding="utf-8"), source="t")
    assert isinstance(result, Simulation)
    return {
        (entry.transaction.id, award.rule, f"{Decimal(award.grant.granted).scaleb(-decimals):f}")
        for entry in result.transactions
        for award in entry.awards
    }


@pytest.mark.parametrize(("decimals", "column"), [(0, 2), (2, 3)])
def test_the_page_says_what_the_example_gives(decimals: int, column: int) -> None:
    """Each row of the page's tables is one award, and each award is shown."""
    rows = re.findall(r"(?m)^\| ([a-z-]+) \| ([a-z-]+) \| ([0-9]+) \| ([0-9.]+) \|$", PAGE)
    assert given(decimals) == {(row[0], row[1], row[column]) for row in rows}


def test_the_page_shows_the_example() -> None:
    """The lines of YAML on the page stand in the example's document."""
    blocks = re.findall(r"(?s)```yaml\n(.*?)```", PAGE)
    assert blocks
    assert [] == [block for block in blocks if block not in DOCUMENT]
