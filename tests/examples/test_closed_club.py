"""The closed club: docs/rewards.md says what its example programme gives, and shows lines of it."""

import re
from pathlib import Path
from typing import Final

from processor.core.money import NUMERIC_CODE_OF_CURRENCY, decimal_amount
from tests.examples.test_programmes import programme_of, simulated

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "examples" / "programmes" / "closed-club"
PAGE: Final = (ROOT / "docs" / "rewards.md").read_text(encoding="utf-8")


def shown(amount: int, unit: str) -> str:
    """Return an amount as the page writes it."""
    return str(decimal_amount(amount, unit)) if unit in NUMERIC_CODE_OF_CURRENCY else str(amount)


def test_the_page_says_what_the_example_gives() -> None:
    """Each row of the worked example is one award that became available, with its unit."""
    rows = re.findall(r"(?m)^\| ([a-z-]+) \| ([a-z-]+) \| (-?[0-9.]+) \| ([A-Za-z-]+) \|$", PAGE)
    expected = {
        (entry["id"], award["rule"], shown(award["available_change"], award["unit"]), award["unit"])
        for entry in simulated(FOLDER)["transactions"]
        for award in entry["awards"]
    }
    assert len(rows) > 10
    assert set() == set(rows) - expected


def test_the_page_shows_the_example() -> None:
    """The lines of YAML on the page stand in the example's document."""
    document = (FOLDER / "programme.yaml").read_text(encoding="utf-8")
    blocks = re.findall(r"(?s)```yaml\n(.*?)```", PAGE)
    assert len(blocks) > 2
    assert [] == [block for block in blocks if block not in document]


def test_every_rule_of_the_club_gives_something() -> None:
    """No rule of the example is there in vain."""
    awarded = {award["rule"] for entry in simulated(FOLDER)["transactions"] for award in entry["awards"]}
    assert {rule.id for rule in programme_of(FOLDER).rules} == awarded
