"""Mistakes in discounts at the till: each is said at its place, with what to write instead."""

from pathlib import Path
from typing import Final

import pytest

from processor.core.programme import Programme
from processor.core.programme_document import parse_programme

FOLDER: Final = Path(__file__).parents[2] / "examples" / "programmes" / "till-discounts"
DOCUMENT: Final = (FOLDER / "programme.yaml").read_text(encoding="utf-8")
MERCHANTS: Final = {"merchants.csv": (FOLDER / "merchants.csv").read_text(encoding="utf-8")}
MODE: Final = '  - id: mode-ten\n    mode: at-the-till\n    partners: [mode]\n    products: all\n    percent: "10"\n'
GROUP: Final = "exclusive:\n  - {id: one, best: holder}\n\ndiscounts:\n"


@pytest.mark.parametrize(
    ("changes", "path", "problem"),
    [
        ({MODE: MODE.replace("at-the-till", "at-till")}, "discounts[0].mode", "is 'at-till'"),
        (
            {f"{MODE}    base: transaction": f"{MODE}    base: billing"},
            "discounts[0].base",
            "the till knows only what it charges; write transaction",
        ),
        ({MODE: MODE.replace("[mode]", "all")}, "discounts[0].partners", "name the partners, or write mode"),
        ({MODE: MODE.replace('"10"', '"100"')}, "discounts[0].percent", "leaves nothing to approve; write less"),
        ({"iso87-ascii, mode: inline": "iso87-ascii, mode: copy"}, "discounts[0].mode", "all its links are copies"),
        (
            {
                "discounts:\n": GROUP,
                MODE: f"{MODE}    exclusive: one\n",
                'percent: "3"\n': 'percent: "3"\n    exclusive: one\n',
            },
            "discounts[3].exclusive",
            "is a group of discounts that are at-the-till, and this one is billed-less",
        ),
    ],
)
def test_a_mistake_is_said_at_its_place(changes: dict[str, str], path: str, problem: str) -> None:
    """A change of a sound document gives an error at the path of the change, with its line and column."""
    text = DOCUMENT
    for old, new in changes.items():
        assert 1 == text.count(old), old
        text = text.replace(old, new)
    errors = parse_programme(text, merchants=MERCHANTS, source="programme.yaml", revision=1)

    assert isinstance(errors, tuple)
    found = [error for error in errors if error.path == path]
    assert any(problem in str(error) for error in found), [str(error) for error in errors]
    assert all(error.line > 1 and error.column > 1 for error in found)


def test_a_rule_without_a_mode_is_billed_less() -> None:
    """What the mode's default says is what a rule has that states none."""
    text = DOCUMENT.replace("    mode: billed-less\n", "")
    compiled = [
        parse_programme(each, merchants=MERCHANTS, source="programme.yaml", revision=1) for each in (DOCUMENT, text)
    ]
    assert isinstance(compiled[0], Programme)
    assert isinstance(compiled[1], Programme)
    assert compiled[0].rules == compiled[1].rules
    assert {"mode-ten", "cafe-two", "sport-five"} == compiled[0].at_till
