"""Mistakes in when a programme's miles are posted: each is said at its place, with what to write instead."""

from pathlib import Path
from typing import Final

import pytest

from processor.core.programme import Programme
from processor.core.programme_document import parse_programme
from processor.core.rule import Clawback
from processor.core.timing import Moment, Timing

FOLDER: Final = Path(__file__).parents[2] / "examples" / "programmes" / "returns"
DOCUMENT: Final = (FOLDER / "programme.yaml").read_text(encoding="utf-8")
MERCHANTS: Final = {"merchants.csv": (FOLDER / "merchants.csv").read_text(encoding="utf-8")}


@pytest.mark.parametrize(
    ("old", "new", "path", "problem"),
    [
        ("posting: statement", "posting: statment", "earning[3].posting", "is 'statment'"),
        ("posting: {after_days: 14}", "posting: {days: 14}", "posting.days", "is no known key"),
        ("posting: {after_days: 14}", "posting: {after_days: 0}", "posting.after_days", "is the number 0"),
        ("statement_day: 31\n", "statement_day: 32\n", "banks[0].statement_day", "is the number 32"),
        ("    statement_day: 31\n", "", "earning[3].posting", "cards of 'silk' have no statement day"),
        (
            "bonus: {miles: 500}",
            "multiply: {rules: [fashion], by: 2}\n    rounding: down",
            "earning[4].posting",
            "means nothing for a multiplier",
        ),
        (
            "bonus: {miles: 500}",
            "clawback: exact\n    multiply: {rules: [fashion], by: 2}\n    rounding: down",
            "earning[4].clawback",
            "means nothing for a multiplier",
        ),
        ("clawback: proportional", "clawback: half", "earning[2].clawback", "is 'half'"),
        ("rules: [restaurants],", "rules: [travel],", "caps[0].period", "statements on days 15 and 31"),
        ("clearing_days: 2", "clearing_days: 61", "purchases.clearing_days", "is the number 61"),
    ],
)
def test_a_mistake_is_said_at_its_place(old: str, new: str, path: str, problem: str) -> None:
    """One change of a sound document gives an error at the path of the change."""
    assert 1 == DOCUMENT.count(old), old
    errors = parse_programme(DOCUMENT.replace(old, new), merchants=MERCHANTS, source="programme.yaml", revision=1)

    assert isinstance(errors, tuple)
    assert path in {error.path for error in errors}
    assert problem in "\n".join(map(str, errors))


def test_a_rule_posts_as_the_programme_does_unless_it_says_otherwise() -> None:
    """The programme's word holds for rules that say nothing, and a bank's statement day for products that have none."""
    programme = parse_programme(DOCUMENT, merchants=MERCHANTS, source="programme.yaml", revision=1)
    assert isinstance(programme, Programme)
    assert {
        "fashion": Timing(moment=Moment.AFTER_DAYS, days=14),
        "large-basket": None,
        "restaurants": None,
        "travel": Timing(moment=Moment.STATEMENT),
        "subscriber": Timing(moment=Moment.RELEASE),
    } == {rule.id: rule.timing for rule in programme.rules}
    assert {"large-basket"} == {rule.id for rule in programme.rules if rule.clawback is Clawback.PROPORTIONAL}
    assert [15] == [cap.statement_day for cap in programme.caps]
    assert {"plain": 15, "silk": 31} == {product.id: product.statement_day for product in programme.products.values()}
