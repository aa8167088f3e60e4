"""docs/outcomes.md beside the lists it explains."""

import re
from pathlib import Path

from processor.core.outcome import Outcome, Reason

PAGE = Path(__file__).parent.parent.parent / "docs" / "outcomes.md"
ROW = re.compile(r"^\| `([A-Z_]+)` \| (\d+) \| (.+) \|$", re.MULTILINE)


def _sections() -> dict[str, list[tuple[str, int, str]]]:
    """Return the rows of each section by its heading."""
    _, *sections = PAGE.read_text(encoding="utf-8").split("\n## ")
    return {
        section.partition("\n")[0]: [(name, int(number), rest) for name, number, rest in ROW.findall(section)]
        for section in sections
    }


def test_every_outcome_is_explained() -> None:
    """The page lists exactly the outcomes, in their order and with their numbers."""
    listed = [(name, number) for name, number, _ in _sections()["Outcomes"]]
    assert [(outcome.name, outcome.value) for outcome in Outcome] == listed


def test_every_reason_is_explained_under_its_outcome() -> None:
    """The page lists exactly the reasons, each under the outcome that its number belongs to."""
    ranges = {
        "Accepted": range(1, 40),
        "Parked": range(40, 60),
        "Rejected": range(60, 80),
        "Unavailable": range(80, 100),
    }
    sections = _sections()
    listed = {heading: [(name, number) for name, number, _ in sections[heading]] for heading in ranges}
    expected = {
        heading: [(reason.name, reason.value) for reason in Reason if reason.value in numbers]
        for heading, numbers in ranges.items()
    }
    assert expected == listed


def test_every_row_says_what_to_do() -> None:
    """No row of the page has an empty cell."""
    cells = [cell for rows in _sections().values() for _, _, rest in rows for cell in rest.split(" | ")]
    assert [] == [cell for cell in cells if not cell.strip()]
