"""Cycles of money and soft rewards: docs/cycles.md says what its example programme gives, and shows lines of it."""

import re
from pathlib import Path
from typing import Final

from tests.examples.test_closed_club import shown
from tests.examples.test_programmes import programme_of, simulated

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "examples" / "programmes" / "spend-and-get"
PAGE: Final = (ROOT / "docs" / "cycles.md").read_text(encoding="utf-8")


def test_the_page_says_what_the_example_gives() -> None:
    """Each row of its tables is one change of an award by a cycle, with its unit and the cap that cut it."""
    rows = re.findall(r"(?m)^\| ([a-z-]+) \| ([a-z-]+) \| (-?[0-9.]+) ([A-Za-z]+) \|(?: ([a-z-]+) \|)?$", PAGE)
    changes = {
        (
            entry["id"],
            award["rule"],
            shown(award["available_change"] or award["pending_change"], award["unit"]),
            award["unit"],
            award["cut_by"] or "",
        )
        for entry in simulated(FOLDER)["transactions"]
        for award in entry["awards"]
    }
    assert len(rows) > 12
    assert set() == set(rows) - changes


def test_the_page_shows_the_example() -> None:
    """The lines of YAML on the page stand in the example's document."""
    document = (FOLDER / "programme.yaml").read_text(encoding="utf-8")
    blocks = re.findall(r"(?s)```yaml\n(.*?)```", PAGE)
    assert len(blocks) > 2
    assert [] == [block for block in blocks if block not in document]


def test_every_rule_gives_something() -> None:
    """No rule of the example is there in vain."""
    awarded = {award["rule"] for entry in simulated(FOLDER)["transactions"] for award in entry["awards"]}
    assert {rule.id for rule in programme_of(FOLDER).rules} == awarded
