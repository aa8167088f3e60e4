"""The airline with tiers: every rule gives something, and docs/members.md says what."""

import re
from pathlib import Path
from typing import Final

from processor.core.money import decimal_amount
from tests.examples.test_programmes import programme_of, simulated

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "examples" / "programmes" / "airline-tiers"
PAGE: Final = (ROOT / "docs" / "members.md").read_text(encoding="utf-8")


def test_every_rule_gives_something() -> None:
    """No rule of the example is there in vain: each is awarded at least once."""
    awarded = {award["rule"] for entry in simulated(FOLDER)["transactions"] for award in entry["awards"]}
    assert {rule.id for rule in programme_of(FOLDER).rules} == awarded


def test_the_page_says_what_the_example_gives() -> None:
    """Each row of the page's tables is one award of the simulation, with its total and the cap that cut it."""
    shown = re.findall(r"(?m)^\| ([a-z-]+) \| ([a-z-]+) \| ([0-9.]+) ([A-Z]{3}) \|(?: ([a-z-]*) ?\|)?$", PAGE)
    given = {
        (
            entry["id"],
            award["rule"],
            str(award["granted"] if award["unit"] == "MCM" else decimal_amount(award["granted"], award["unit"])),
            award["unit"],
            award["cut_by"] or "",
        )
        for entry in simulated(FOLDER)["transactions"]
        for award in entry["awards"]
    }
    assert len(shown) > 20
    assert set() == set(shown) - given


def test_the_page_shows_the_example() -> None:
    """The lines of YAML on the page stand in the example's document, those of JSON in its transactions."""
    document = (FOLDER / "programme.yaml").read_text(encoding="utf-8")
    transactions = (FOLDER / "transactions.jsonl").read_text(encoding="utf-8")
    blocks = re.findall(r"(?s)```(yaml|json)\n(.*?)```", PAGE)
    assert len(blocks) > 8
    assert [] == [block for kind, block in blocks if block not in (document if kind == "yaml" else transactions)]
