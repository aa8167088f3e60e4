"""The example programmes: each gives what stands beside it, and docs/offers.md says what they give."""

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

from processor.core.money import decimal_amount
from processor.core.programme import Programme
from processor.core.programme_document import parse_programme
from processor.core.simulation import Simulation, simulate, simulation_as_data

ROOT: Final = Path(__file__).parents[2]
EXAMPLES: Final = sorted(path.parent for path in (ROOT / "examples").glob("**/transactions.jsonl"))
CAMPAIGNS: Final = ROOT / "examples" / "programmes" / "campaigns"
RETURNS: Final = ROOT / "examples" / "programmes" / "returns"
PAGE: Final = (ROOT / "docs" / "offers.md").read_text(encoding="utf-8")


def programme_of(folder: Path) -> Programme:
    """Compile an example's programme."""
    merchants = {"merchants.csv": (folder / "merchants.csv").read_text(encoding="utf-8")}
    text = (folder / "programme.yaml").read_text(encoding="utf-8")
    compiled = parse_programme(text, merchants=merchants, source="programme.yaml", revision=1)
    assert isinstance(compiled, Programme)
    return compiled


def simulated(folder: Path) -> dict[str, Any]:
    """Simulate an example's transactions."""
    transactions = (folder / "transactions.jsonl").read_text(encoding="utf-8")
    result = simulate([programme_of(folder)], transactions, source="transactions.jsonl")
    assert isinstance(result, Simulation)
    return simulation_as_data(result)


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda folder: folder.name)
def test_an_example_gives_what_is_published(folder: Path) -> None:
    """The transactions of each example programme give the result that stands beside them."""
    assert json.loads((folder / "simulated.json").read_text(encoding="utf-8")) == simulated(folder)


def test_every_rule_of_the_campaigns_gives_something() -> None:
    """No rule of the example is there in vain: each is awarded at least once."""
    awarded = {award["rule"] for entry in simulated(CAMPAIGNS)["transactions"] for award in entry["awards"]}
    assert {rule.id for rule in programme_of(CAMPAIGNS).rules} == awarded


def test_the_page_says_what_the_example_gives() -> None:
    """Each row of the page's tables is one award of the simulation, with its total and the cap that cut it."""
    shown = re.findall(r"(?m)^\| ([a-z-]+) \| ([a-z-]+) \| ([0-9.]+) ([A-Z]{3}) \|(?: ([a-z-]+) \|)?$", PAGE)
    expected = {
        (
            entry["id"],
            award["rule"],
            str(award["granted"] if award["unit"] == "NWC" else decimal_amount(award["granted"], award["unit"])),
            award["unit"],
            award["cut_by"] or "",
        )
        for entry in simulated(CAMPAIGNS)["transactions"]
        for award in entry["awards"]
    }
    assert len(shown) > 10
    assert set() == set(shown) - expected


def test_the_page_of_timing_says_what_the_example_gives() -> None:
    """Each row of its tables is one award of the simulation, with what it changes."""
    page = (ROOT / "docs" / "timing.md").read_text(encoding="utf-8")
    shown = re.findall(r"(?m)^\| ([a-z-]+) \| ([a-z-]+) \| ([+-]?[0-9]+) \| ([+-]?[0-9]+) \|$", page)
    expected = {
        (entry["id"], award["rule"], award["pending_change"], award["available_change"])
        for entry in simulated(RETURNS)["transactions"]
        for award in entry["awards"]
    }
    assert len(shown) > 10
    assert set() == {(line, rule, int(pending), int(available)) for line, rule, pending, available in shown} - expected
    kept = re.findall(r"(?m)^\| ([a-z-]+) \| ([a-z-]+) \| ([0-9]+) \|$", page)
    assert {(line, rule, int(units)) for line, rule, units in kept} == {
        (entry["id"], held["rule"], held["units"])
        for entry in simulated(RETURNS)["transactions"]
        for held in entry.get("kept", ())
    }


@pytest.mark.parametrize(
    ("name", "folder", "least"), [("offers.md", CAMPAIGNS, 6), ("timing.md", RETURNS, 3)], ids=["offers", "timing"]
)
def test_the_page_shows_the_example(name: str, folder: Path, least: int) -> None:
    """The lines of YAML on the page stand in the example's document."""
    document = (folder / "programme.yaml").read_text(encoding="utf-8")
    blocks = re.findall(r"(?s)```yaml\n(.*?)```", (ROOT / "docs" / name).read_text(encoding="utf-8"))
    assert len(blocks) >= least
    assert [] == [block for block in blocks if block not in document]
