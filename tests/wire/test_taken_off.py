"""What of an amount a message says is not for goods, in every way that says so or fails to."""

import pytest

from processor.core.money import Money
from processor.wire.taken_off import taken_off

EUR_70: Money = Money(amount_minor=7000, currency="EUR")
CASH = "0040978D000000005000"
BALANCE = "0002978C000000123456"


@pytest.mark.parametrize(
    ("fields", "parts"),
    [
        ({}, ()),
        ({"processing_code": "090000", "additional_amounts": CASH}, (("cashback", 5000),)),
        ({"processing_code": "093000", "additional_amounts": BALANCE + CASH}, (("cashback", 5000),)),
        ({"processing_code": "090000", "additional_amounts": BALANCE}, ()),
        ({"processing_code": "000000", "additional_amounts": CASH}, ()),
        ({"processing_code": "090000", "additional_amounts": "0040840D000000005000"}, ()),
        ({"processing_code": "090000", "additional_amounts": "0040978D00000000500"}, ()),
        ({"processing_code": "090000", "additional_amounts": "0040978D000000007001"}, ()),
        ({"transaction_fee": "D00000150"}, (("surcharges", 150),)),
        ({"transaction_fee": "C00000150"}, ()),
        ({"transaction_fee": "D00000000"}, ()),
        ({"transaction_fee": "00000150"}, ()),
        (
            {"processing_code": "090000", "additional_amounts": CASH, "transaction_fee": "D00000150"},
            (("cashback", 5000), ("surcharges", 150)),
        ),
    ],
)
def test_what_is_not_for_goods(fields: dict[str, str], parts: tuple[tuple[str, int], ...]) -> None:
    """Only what is written as the standard has it, in the transaction's currency and within its amount, counts."""
    assert parts == taken_off({"currency": "978", **fields}, EUR_70)


def test_no_amount_has_no_parts() -> None:
    """A message without an amount says nothing of its parts."""
    assert taken_off({"transaction_fee": "D00000150"}, None) == ()
