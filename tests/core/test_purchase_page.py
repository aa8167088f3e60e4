"""docs/purchase.md beside the tables it explains."""

import re
from pathlib import Path

from processor.core.lifecycle import AUTHORIZATION_LIFE, EFFECTS, PurchaseState
from processor.core.links import Confidence
from processor.flow.event_message import EventRefusal

PAGE = (Path(__file__).parents[2] / "docs" / "purchase.md").read_text(encoding="utf-8")


def _column(heading: str, column: int = 0) -> list[str]:
    """Return one column of the first table under a heading, without backticks."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [row.strip("|").split("|")[column].strip().strip("`") for row in rows]


def test_the_diagram_is_drawn_from_the_table() -> None:
    """The page draws every step that leads to another state, and no other."""
    arrows = re.findall(r"^    (\w+) --> (\w+): (\w+)$", PAGE, re.MULTILINE)
    drawn = {(before, effect, after) for before, after, effect in arrows}
    steps = {
        (before.value, effect.name, after.value)
        for before, row in AUTHORIZATION_LIFE.items()
        for effect, after in row.items()
        if before is not after
    }
    assert steps == drawn


def test_every_kind_has_its_effect() -> None:
    """The page lists what each kind of message does, in the table's order."""
    listed = list(zip(_column("What a message does"), _column("What a message does", 1), strict=True))
    assert [(kind.name, effect.name) for kind, effect in EFFECTS.items()] == listed


def test_every_state_of_a_purchase_is_explained() -> None:
    """The page lists exactly the states, in their order."""
    assert [state.value for state in PurchaseState] == _column("What has become of a purchase")


def test_every_tie_is_explained() -> None:
    """The page lists the ties, the surest first."""
    assert [confidence.name for confidence in Confidence] == _column("What is one purchase")


def test_refusals_on_the_page_are_refusals() -> None:
    """Every refusal that the page explains is one that operations can get."""
    assert [] == [name for name in _column("Links to review") if name not in list(EventRefusal)]
