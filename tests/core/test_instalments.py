"""Instalments: what a purchase in parts has after each of them, in any order, as docs/criteria.md says."""

import re
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any, Final

import pytest

from processor.core.programme import Programme
from processor.core.programme_document import parse_programme
from tests.core.test_taken_off import DOCUMENT, MERCHANTS, PROGRAMME, balance, line

PAGE: Final = (Path(__file__).parents[2] / "docs" / "criteria.md").read_text(encoding="utf-8")
AT_ONCE: Final = replace(PROGRAMME, instalments_at_once=True)
BOUGHT: Final = line("sofa", "authorization", 1, 9000)
PARTS: Final = [line(f"part-{n}", "clearing", 1 + n, 3000, purchase="sofa", part=[n, 3]) for n in (1, 2, 3)]
LEFT: Final = line("rest", "reversal", 9, 0, original="sofa", remaining="30.00")


def test_the_page_says_what_each_part_gives() -> None:
    """Each row of the page's table is what a purchase has after one more message."""
    rows = re.findall(r"(?m)^\| (?:authorization|part [1-3] of 3) \| (.*?) \| (.*?) \|$", PAGE)
    lines = [BOUGHT, *PARTS]
    given = [
        tuple(
            "{} pending, {} available".format(*balance(programme, lines[:count])) for programme in (PROGRAMME, AT_ONCE)
        )
        for count in range(1, 5)
    ]
    assert rows == given


@pytest.mark.parametrize("order", list(permutations(range(4))))
@pytest.mark.parametrize("programme", [PROGRAMME, AT_ONCE], ids=["as-billed", "at-once"])
def test_order_does_not_matter(programme: Programme, order: tuple[int, ...]) -> None:
    """Whatever comes first, all parts give the whole."""
    lines = [BOUGHT, *PARTS]
    assert (0, 90) == balance(programme, [lines[place] for place in order])


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize(("programme", "left"), [(PROGRAMME, (60, 30)), (AT_ONCE, (0, 90))])
def test_two_messages_and_a_refund(programme: Programme, left: tuple[int, int], order: tuple[int, ...]) -> None:
    """A refund takes back from what the first part gave, and the rest stays as it was."""
    lines = [BOUGHT, PARTS[0], line("back", "refund", 8, 1000, purchase="sofa")]
    pending, available = left
    assert (pending, available - 10) == balance(programme, [lines[place] for place in order])


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_what_is_not_billed_is_taken_back(order: tuple[int, ...]) -> None:
    """A reversal that leaves only what was billed leaves only what that earns."""
    reversal = {key: value for key, value in LEFT.items() if key not in {"amount", "currency"}}
    lines = [BOUGHT, PARTS[0], reversal]
    assert (0, 30) == balance(AT_ONCE, [lines[place] for place in order])


def test_parts_without_an_authorization_earn_as_billed() -> None:
    """Nothing says what the parts come to where no authorization is known."""
    first: dict[str, Any] = {key: value for key, value in PARTS[0].items() if key != "purchase"}
    assert (0, 30) == balance(AT_ONCE, [first])


@pytest.mark.parametrize("more", ["posting: release\n", "posting: {after_days: 14}\n", "clawback: proportional\n"])
def test_what_looks_at_each_part_is_refused(more: str) -> None:
    """A posting of its own and a clawback in proportion stand against instalments at once."""
    text = f"{DOCUMENT}\npurchases: {{instalments: at-once}}\n{more}"
    errors = parse_programme(text, merchants=MERCHANTS, source="p", revision=1)
    assert isinstance(errors, tuple)
    assert ["looks at each part as it clears" in str(error) for error in errors] == [True]


def test_a_document_states_it() -> None:
    """The word in the document reaches the compiled programme."""
    text = f"{DOCUMENT}\npurchases: {{instalments: at-once}}\nposting: clearing\n"
    programme = parse_programme(text, merchants=MERCHANTS, source="p", revision=1)
    assert isinstance(programme, Programme)
    assert programme.instalments_at_once
