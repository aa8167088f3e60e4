"""Who pays together: docs/funding.md says what its example gives, part by part, and who owes whom in the end."""

import re
from pathlib import Path
from typing import Final

from processor.core.funding import parts_of
from processor.core.simulation import Simulation, simulate
from tests.examples.test_closed_club import shown
from tests.examples.test_programmes import programme_of, simulated

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "examples" / "programmes" / "coalition"
PAGE: Final = (ROOT / "docs" / "funding.md").read_text(encoding="utf-8")


def test_the_page_says_who_pays_which_part() -> None:
    """Each row of its first table is one party's part of all that a rule has posted for a purchase."""
    rows = re.findall(r"(?m)^\| ([a-z-]+) \| ([a-z-]+) \| ([0-9.]+) ([A-Z]+) \| ([a-z]+) \| ([0-9.]+) \|$", PAGE)
    transactions = (FOLDER / "transactions.jsonl").read_text(encoding="utf-8")
    result = simulate([programme_of(FOLDER)], transactions, source="transactions.jsonl")
    assert isinstance(result, Simulation)
    parts = [
        (
            entry.transaction.id,
            award.rule,
            shown(award.grant.available, award.grant.unit),
            award.grant.unit,
            party,
            shown(part.available, award.grant.unit),
        )
        for entry in result.transactions
        for award in entry.awards
        if award.payers and award.grant.available
        for party, part in parts_of(award.grant, award.funder, award.payers)
    ]
    assert parts == rows


def test_the_page_says_who_owes_whom() -> None:
    """Its second table is what the simulation nets in the end."""
    rows = re.findall(r"(?m)^\| ([a-z]+) \| ([a-z]+) \| ([0-9.]+) ([A-Z]+) \|$", PAGE)
    owed = [
        (entry["debtor"], entry["creditor"], shown(entry["amount_minor"], entry["currency"]), entry["currency"])
        for entry in simulated(FOLDER)["obligations"]
    ]
    assert owed == rows


def test_the_page_shows_the_example() -> None:
    """The lines of YAML on the page stand in the example's document."""
    document = (FOLDER / "programme.yaml").read_text(encoding="utf-8")
    assert [] == [block for block in re.findall(r"(?s)```yaml\n(.*?)```", PAGE) if block not in document]
