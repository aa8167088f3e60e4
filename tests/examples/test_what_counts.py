"""What counts: every rule of the example gives something, and docs/criteria.md says what and why not."""

import re
from pathlib import Path
from typing import Final

from processor.core.exclusion import CODES
from processor.core.money import decimal_amount
from tests.examples.test_programmes import programme_of, simulated

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "examples" / "programmes" / "what-counts"
PAGE: Final = (ROOT / "docs" / "criteria.md").read_text(encoding="utf-8")


def test_every_rule_gives_something() -> None:
    """No rule of the example is there in vain: each is awarded at least once."""
    awarded = {award["rule"] for entry in simulated(FOLDER)["transactions"] for award in entry["awards"]}
    assert {rule.id for rule in programme_of(FOLDER).rules} == awarded


def test_the_page_says_what_the_example_gives() -> None:
    """Each row of the page's tables of awards is one of the simulation, with its total, and each award is shown."""
    shown = re.findall(r"(?m)^\| ([a-z-]+) \| ([a-z-]+) \| ([0-9.]+) ([A-Z]{3}) \|$", PAGE)
    given = {
        (
            entry["id"],
            award["rule"],
            str(award["granted"] if award["unit"] == "CNT" else decimal_amount(award["granted"], award["unit"])),
            award["unit"],
        )
        for entry in simulated(FOLDER)["transactions"]
        for award in entry["awards"]
    }
    assert given == set(shown)


def test_the_page_says_what_earns_nothing() -> None:
    """Each row of the page's table of exclusions is one of the simulation, with its category, and none is left out."""
    table = PAGE.partition("| purchase | earns nothing as |\n|---|---|\n")[2].partition("\n\n")[0]
    shown = dict(re.findall(r"(?m)^\| ([a-z-]+) \| ?([a-z-]*) \|$", table))
    given = {
        entry["id"]: entry.get("excluded_as", "")
        for entry in simulated(FOLDER)["transactions"]
        if entry["reason"] == "EXCLUDED"
    }
    assert given == shown


def test_the_page_lists_every_code() -> None:
    """The page's table of categories is the one that programmes are compiled with."""
    rows = re.findall(r"(?m)^\| `([a-z-]+)` \| ([0-9, ]*?) ?\| ([0-9, to]*?) ?\|$", PAGE)
    shown = {
        category: (set(mccs.split(", ")) - {""}, _listed(processing_codes)) for category, mccs, processing_codes in rows
    }
    assert {
        category.value: (set(codes.mccs), set(codes.processing_codes)) for category, codes in CODES.items()
    } == shown


def _listed(codes: str) -> set[str]:
    found: set[str] = set()
    for part in codes.split(", ") if codes else ():
        first, _, last = part.partition(" to ")
        found |= {f"{code:02d}" for code in range(int(first), int(last or first) + 1)}
    return found


def test_the_page_shows_the_example() -> None:
    """The lines of YAML on the page stand in the example's document."""
    document = (FOLDER / "programme.yaml").read_text(encoding="utf-8")
    blocks = re.findall(r"(?s)```yaml\n(.*?)```", PAGE)
    assert blocks
    assert [] == [block for block in blocks if block not in document]
