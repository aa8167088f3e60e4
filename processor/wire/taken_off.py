"""What of an amount a message says is not for goods: cash handed out with them, and what the card acceptor charges.

Cashback is amount type 40 of the additional amounts (DE54) of a purchase with cash (processing code 09): account type
2, amount type 2, currency 3, sign 1, amount 12 digits (ISO 8583:1987 and :1993, additional amounts).
A surcharge is the transaction fee (DE28) of ISO 8583:1987: D, which the holder pays, and eight digits.
Both are in the currency of the transaction; what is written otherwise, or in another currency, takes nothing off.
"""

import re
from collections.abc import Mapping
from typing import Final

from processor.core.money import Money
from processor.core.taken_off import Part

_WITH_CASH: Final = "09"
_AMOUNT: Final = re.compile(r"[0-9]{2}([0-9]{2})([0-9]{3})[CD]([0-9]{12})")
_AMOUNT_LENGTH: Final = 20
_CASH: Final = "40"
_CHARGED: Final = re.compile(r"D([0-9]{8})")


def taken_off(fields: Mapping[str, str], amount: Money | None) -> tuple[tuple[str, int], ...]:
    """Return the parts of an amount that are not for goods, in its minor units, those of nothing left out.

    All parts together are never more than the amount; what says so is not believed.
    """
    additional, fee = fields.get("additional_amounts"), fields.get("transaction_fee")
    if amount is None or not (additional or fee):
        return ()
    cash = (
        _cash(additional or "", fields.get("currency", ""))
        if fields.get("processing_code", "")[:2] == _WITH_CASH
        else 0
    )
    charged = _CHARGED.fullmatch(fee or "")
    surcharge = int(charged[1]) if charged else 0
    parts = [(part.value, minor) for part, minor in ((Part.CASHBACK, cash), (Part.SURCHARGES, surcharge)) if minor]
    return tuple(parts) if cash + surcharge <= amount.amount_minor else ()


def _cash(additional: str, currency: str) -> int:
    """Return the sum of the cash amounts in the transaction's currency."""
    places = range(0, len(additional), _AMOUNT_LENGTH)
    amounts = [_AMOUNT.fullmatch(additional[place : place + _AMOUNT_LENGTH]) for place in places]
    return sum(int(found[3]) for found in amounts if found and (found[1], found[2]) == (_CASH, currency))
