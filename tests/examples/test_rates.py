"""Rates and roundings: docs/rates.md says what each rule of the example gives, in whole miles and in hundredths."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest

from processor.core.money import decimal_amount
from processor.core.programme import Programme
from processor.core.programme_document import parse_programme
from processor.core.simulation import Simulation, simulate
from tests.examples.test_programmes import programme_of, simulated

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "examples" / "programmes" / "rates"
FOREIGN: Final = ROOT / "examples" / "programmes" / "foreign-currencies"
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
    """The lines of YAML and of rates on the page stand in the examples' files."""
    files = [DOCUMENT, *((FOREIGN / name).read_text(encoding="utf-8") for name in ("programme.yaml", "rates-ecb.csv"))]
    blocks = re.findall(r"(?s)```(?:yaml|csv)\n(.*?)```", PAGE)
    assert len(blocks) > 3
    assert [] == [block for block in blocks if not any(block in text for text in files)]


def test_the_page_says_what_conversions_give() -> None:
    """Each row of the page's last table is one award of the other example, and each award is shown."""
    shown = re.findall(r"(?m)^\| ([a-z-]+) \| ([a-z-]+) \| ([0-9]+) FXM \|$", PAGE)
    given = {
        (entry["id"], award["rule"], str(award["granted"]))
        for entry in simulated(FOREIGN)["transactions"]
        for award in entry["awards"]
    }
    assert given == set(shown)


def test_the_page_says_what_amounts_are_converted_to() -> None:
    """Each row of the page's table of conversions is one of the simulation, with its rates, and each is shown."""
    shown = re.findall(r"(?m)^\| ([a-z-]+) \| ([a-z-]+) \| ([0-9.]+) ([A-Z]{3}) \| (1 [^|]+) \|$", PAGE)
    given = {
        (entry["id"], row["rule"], str(decimal_amount(row["worth_minor"], row["to"])), row["to"], row["rates"])
        for entry in simulated(FOREIGN)["transactions"]
        for row in entry.get("converted", ())
    }
    assert given == set(shown)


def test_every_rule_of_the_example_converts() -> None:
    """No rule of the other example is there in vain, and two purchases find no rate that stands."""
    transactions = simulated(FOREIGN)["transactions"]
    assert {rule.id for rule in programme_of(FOREIGN).rules} == {
        row["rule"] for entry in transactions for row in entry.get("converted", ())
    }
    unrated = {entry["id"]: entry["unrated"] for entry in transactions if entry["unrated"]}
    assert {"cheese": ["large"], "tea": ["base", "large"]} == unrated
