"""Which amount a rule measures where its document does not say, by its funder and by what it multiplies."""

from typing import Any

import pytest

from processor.core.programme_base import base_of
from processor.core.rule import AmountBase

BILLING, TRANSACTION = AmountBase.BILLING, AmountBase.TRANSACTION
RULES: dict[str, dict[str, Any]] = {
    "base": {"funder": "bank"},
    "shop": {"funder": "partner"},
    "paid": {"funder": "owner", "base": "transaction"},
}


@pytest.mark.parametrize(
    ("entry", "base"),
    [
        ({"funder": "bank"}, BILLING),
        ({"funder": "owner"}, BILLING),
        ({"funder": "partner"}, TRANSACTION),
        ({"funder": "partner", "base": "billing"}, BILLING),
        ({"funder": "bank", "base": "transaction"}, TRANSACTION),
        ({"funder": "bank", "multiply": {"rules": ["shop"]}}, TRANSACTION),
        ({"funder": "bank", "multiply": {"rules": ["shop", "paid"]}}, TRANSACTION),
        ({"funder": "partner", "multiply": {"rules": ["base"]}}, BILLING),
        ({"funder": "partner", "multiply": {"rules": ["base", "shop"]}}, TRANSACTION),
        ({"funder": "bank", "multiply": {"rules": ["base", "shop"]}}, BILLING),
        ({"funder": "bank", "base": "billing", "multiply": {"rules": ["shop"]}}, BILLING),
    ],
)
def test_the_base_of_a_rule(entry: dict[str, Any], base: AmountBase) -> None:
    """What is stated counts, then what is multiplied, then who pays."""
    assert base == base_of(entry, RULES)
