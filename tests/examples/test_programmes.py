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
PAGES: Final = {"offers": ("campaigns", "NWC"), "milestones": ("milestones", "HRV"), "timing": ("returns", "")}
"""Pages whose examples are a programme's, with the unit of its miles."""


def page(name: str) -> tuple[str, Path, str]:
    """Return a page's text, its programme's folder and the unit of its miles."""
    programme, unit = PAGES[name]
    text = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    return text, ROOT / "examples" / "programmes" / programme, unit


def programme_of(folder: Path) -> Programme:
    """Compile an example's programme."""
    merchants = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.csv")}
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


@pytest.mark.parametrize("name", ["offers", "milestones"])
def test_every_rule_of_an_example_gives_something(name: str) -> None:
    """No rule of the example is there in vain: each is awarded at least once."""
    _, folder, _ = page(name)
    awarded = {award["rule"] for entry in simulated(folder)["transactions"] for award in entry["awards"]}
    assert {rule.id for rule in programme_of(folder).rules} == awarded


@pytest.mark.parametrize("name", ["offers", "milestones"])
def test_the_page_says_what_the_example_gives(name: str) -> None:
    """Each row of the page's tables is one award of the simulation, with its total and the cap that cut it."""
    text, folder, unit = page(name)
    shown = re.findall(r"(?m)^\| ([a-z-]+) \| ([a-z-]+) \| ([0-9.]+) ([A-Z]{3}) \|(?: ([a-z-]+) \|)?$", text)
    expected = {
        (
            entry["id"],
            award["rule"],
            str(award["granted"] if award["unit"] == unit else decimal_amount(award["granted"], award["unit"])),
            award["unit"],
            award["cut_by"] or "",
        )
        for entry in simulated(folder)["transactions"]
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
        for entry in simulated(ROOT / "examples" / "programmes" / "returns")["transactions"]
        for award in entry["awards"]
    }
    assert len(shown) > 10
    assert set() == {(line, rule, int(pending), int(available)) for line, rule, pending, available in shown} - expected
    kept = re.findall(r"(?m)^\| ([a-z-]+) \| ([a-z-]+) \| ([0-9]+) \|$", page)
    assert {(line, rule, int(units)) for line, rule, units in kept} == {
        (entry["id"], held["rule"], held["units"])
        for entry in simulated(ROOT / "examples" / "programmes" / "returns")["transactions"]
        for held in entry.get("kept", ())
    }


@pytest.mark.parametrize("name", PAGES)
def test_the_page_shows_the_example(name: str) -> None:
    """The lines of YAML on the page stand in the example's document."""
    text, folder, _ = page(name)
    document = (folder / "programme.yaml").read_text(encoding="utf-8")
    blocks = re.findall(r"(?s)```yaml\n(.*?)```", text)
    assert len(blocks) >= 3
    assert [] == [block for block in blocks if block not in document]
