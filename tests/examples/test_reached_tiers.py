"""The airline whose tiers are reached: every rule and every tier occurs, and docs/tiers.md says how."""

import re
from pathlib import Path
from typing import Final

from tests.examples.test_programmes import programme_of, simulated

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "examples" / "programmes" / "reached-tiers"
PAGE: Final = (ROOT / "docs" / "tiers.md").read_text(encoding="utf-8")


def test_every_rule_gives_something_and_every_tier_is_reached() -> None:
    """No rule and no tier of the example is there in vain."""
    programme, entries = programme_of(FOLDER), simulated(FOLDER)["transactions"]
    assert {rule.id for rule in programme.rules} == {award["rule"] for entry in entries for award in entry["awards"]}
    assert {entry.tier for entry in programme.qualifications} == {
        change["tier"] for entry in entries for change in entry.get("tiers", ())
    }


def test_the_page_says_what_the_example_gives() -> None:
    """Each row of the page's tables is one award of the simulation with its total, or one change of a tier."""
    entries = simulated(FOLDER)["transactions"]
    shown = re.findall(r"(?m)^\| ([a-z-]+) \| ([a-z-]+) \| ([0-9]+) AUR \|$", PAGE)
    given = {(entry["id"], award["rule"], str(award["granted"])) for entry in entries for award in entry["awards"]}
    assert len(shown) > 12
    assert set() == set(shown) - given
    changed = re.findall(r"(?m)^\| ([a-z-]+) \| ([a-z-]+) \| (reached|given back|follows) \| ?([0-9T:+-]*) ?\|$", PAGE)
    assert [
        (entry["id"], change["tier"], change["change"], change.get("until", ""))
        for entry in entries
        for change in entry.get("tiers", ())
    ] == sorted(changed, key=lambda row: [entry["id"] for entry in entries].index(row[0]))


def test_the_page_shows_the_example() -> None:
    """The lines of YAML on the page stand in the example's document."""
    document = (FOLDER / "programme.yaml").read_text(encoding="utf-8")
    blocks = re.findall(r"(?s)```yaml\n(.*?)```", PAGE)
    assert len(blocks) == 4
    assert [] == [block for block in blocks if block not in document]
