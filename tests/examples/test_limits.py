"""The page on limits says what its example programme gives."""

import re
from pathlib import Path
from typing import Final

from processor.core.money import decimal_amount
from processor.core.simulation import Simulation, simulate
from tests.examples.test_programmes import ROOT, programme_of

LIMITED: Final = ROOT / "examples" / "programmes" / "limited-offers"
PAGE: Final = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")


def simulation(folder: Path = LIMITED) -> Simulation:
    """Simulate the example's transactions."""
    text = (folder / "transactions.jsonl").read_text(encoding="utf-8")
    result = simulate([programme_of(folder)], text, source="transactions.jsonl")
    assert isinstance(result, Simulation)
    return result


def test_the_page_says_what_the_example_gives() -> None:
    """Each row of the page's tables is one rule that was weighed for a purchase, its total and what cut it."""
    shown = re.findall(r"(?m)^\| ([a-z-]+) \| ([a-z-]+) \| ([0-9.]+) ([A-Z]{3}) \| ?([a-z-]*) ?\|$", PAGE)
    expected = {
        (
            entry.transaction.id,
            award.rule,
            str(award.grant.granted if award.grant.unit == "TRM" else decimal_amount(award.grant.granted, "EUR")),
            award.grant.unit,
            award.cut_by or "",
        )
        for entry in simulation().transactions
        for award in entry.considered
    }
    assert len(shown) > 15
    assert set() == set(shown) - expected


def test_the_page_shows_the_example() -> None:
    """The lines of YAML on the page stand in the example's document."""
    document = (LIMITED / "programme.yaml").read_text(encoding="utf-8")
    blocks = re.findall(r"(?s)```yaml\n(.*?)```", PAGE)
    assert [] == [block for block in blocks if block not in document]


def test_every_budget_of_the_example_is_spent() -> None:
    """No budget or cap of the example is there in vain: each has cut an award."""
    cut = {award.cut_by for entry in simulation().transactions for award in entry.considered} - {None}
    programme = programme_of(LIMITED)
    limits = {budget.id for budget in programme.budgets} | {cap.id for cap in programme.caps}
    assert limits == cut
