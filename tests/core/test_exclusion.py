"""Exclusions: which categories earn nothing, what a programme includes, and the contradictions that are refused."""

from itertools import combinations
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.exclusion import CODES, Category, category_of, excluded_codes, excluding_category
from processor.core.programme import Programme
from processor.core.programme_document import parse_programme

FOLDER: Final = Path(__file__).parents[2] / "examples" / "programmes" / "what-counts"
DOCUMENT: Final = (FOLDER / "programme.yaml").read_text(encoding="utf-8")
MERCHANTS: Final = {"merchants.csv": (FOLDER / "merchants.csv").read_text(encoding="utf-8")}


def test_a_code_is_of_one_category() -> None:
    """No code tells two categories, so that including one of them opens no other."""
    assert [] == [
        (one, other)
        for one, other in combinations(CODES, 2)
        if CODES[one].mccs & CODES[other].mccs or CODES[one].processing_codes & CODES[other].processing_codes
    ]


@given(st.sets(st.sampled_from(Category)))
def test_what_is_included_is_not_excluded(included: set[Category]) -> None:
    """The codes of a category are excluded exactly where it is not included."""
    excluded = excluded_codes({"included": [category.value for category in included]})
    assert included == {
        category
        for category, codes in CODES.items()
        if not codes.mccs & excluded.mccs and not codes.processing_codes & excluded.processing_codes
    }


@pytest.mark.parametrize(
    ("mcc", "processing_code", "category"),
    [
        ("6011", "000000", Category.CASH),
        ("5411", "010000", Category.CASH),
        ("9406", "000000", None),
        ("9406", "110000", Category.QUASI_CASH),
        ("5411", "720000", Category.GIFT_CARDS),
        ("5411", "450000", Category.TRANSFERS),
        ("6540", "000000", Category.WALLET_LOADS),
        ("6530", "000000", Category.WALLET_LOADS),
        ("6538", "000000", Category.TRANSFERS),
        ("6050", "000000", Category.QUASI_CASH),
        ("6012", "000000", None),
        ("6531", "000000", None),
        ("5947", "000000", None),
        ("9311", "000000", None),
        ("5411", "000000", None),
        ("", "", None),
    ],
)
def test_the_category_that_excludes(mcc: str, processing_code: str, category: Category | None) -> None:
    """A payment is excluded by its merchant category or else by its transaction type; what is included excludes not."""
    programme = parse_programme(DOCUMENT, merchants=MERCHANTS, source="p", revision=1)
    assert isinstance(programme, Programme)
    assert category == excluding_category(programme, mcc=mcc, processing_code=processing_code)


def test_a_refund_is_of_no_category() -> None:
    """Money back (20) is never excluded by its transaction type."""
    assert category_of(mcc="5411", processing_code="200000") is None


@pytest.mark.parametrize(
    ("old", "new", "path", "problem"),
    [
        ("included: [gambling]", "included: [betting]", "included[0]", "is 'betting'"),
        ("included: [gambling]", "included: []", "included", "is empty"),
        ('mccs: ["9311"]', 'mccs: ["9311", "7995"]', "excluded.mccs[1]", "is of gambling, which included names"),
        ("included: [gambling]", "", "earning[1].when.mccs[0]", "is of gambling, which earns nothing"),
        ('["7995", "9406"]', '["7995", "6010-6011"]', "earning[1].when.mccs[1]", "included: [cash]"),
    ],
)
def test_a_contradiction_is_refused(old: str, new: str, path: str, problem: str) -> None:
    """What is both included and excluded, and a rule for what earns nothing, are refused at their place."""
    assert DOCUMENT.count(old) == 1
    errors = parse_programme(DOCUMENT.replace(old, new), merchants=MERCHANTS, source="p", revision=1)
    assert isinstance(errors, tuple)
    assert [path] == [error.path for error in errors][:1]
    assert problem in str(errors[0])


def test_a_range_beside_what_earns_nothing_is_taken() -> None:
    """A range of codes of which one earns nothing is for the others."""
    document = DOCUMENT.replace('["7995", "9406"]', '["6009-6011", "9406"]')
    assert isinstance(parse_programme(document, merchants=MERCHANTS, source="p", revision=1), Programme)
