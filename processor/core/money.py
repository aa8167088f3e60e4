"""Amounts: money in minor units with its currency, miles as a type of their own, and every rounding mode.

Money is ``int`` minor units with an ISO 4217 code; a float never appears.
Miles are ``int`` in the programme's smallest unit.
Each division goes through :func:`divide`, which names its rounding mode.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import Final, NewType

from iso4217 import Currency

Miles = NewType("Miles", int)
"""Miles in the programme's smallest unit, possibly negative."""


class Rounding(StrEnum):
    """How a division rounds; each works on the magnitude, so that minus x rounds to minus of what x rounds to."""

    UP = "up"
    DOWN = "down"
    HALF_UP = "half-up"
    HALF_EVEN = "half-even"


def divide(numerator: int, denominator: int, rounding: Rounding) -> int:
    """Divide two integers and round the magnitude; the sign is put back afterwards.

    ``denominator`` is positive.
    Symmetry around zero makes a refund undo exactly what its purchase earned.
    """
    magnitude, remainder = divmod(abs(numerator), denominator)
    if remainder:
        if rounding is Rounding.UP:
            magnitude += 1
        elif rounding is Rounding.HALF_UP:
            magnitude += 2 * remainder >= denominator
        elif rounding is Rounding.HALF_EVEN:
            twice = 2 * remainder
            magnitude += twice > denominator or (twice == denominator and magnitude % 2 == 1)
    return magnitude if numerator >= 0 else -magnitude


def prepared(numerator: int, denominator: int, rounding: Rounding) -> tuple[int, int, int]:
    """Return a factor as :func:`scaled` takes it: what to multiply by, what to add, and what to divide by.

    ``denominator`` is positive; half-even has no number to add and is marked by one below zero.
    """
    if rounding is Rounding.HALF_UP:
        return 2 * numerator, denominator, 2 * denominator
    more = {Rounding.DOWN: 0, Rounding.UP: denominator - 1, Rounding.HALF_EVEN: -1}[rounding]
    return numerator, more, denominator


def scaled(amount: int, numerator: int, more: int, denominator: int) -> int:
    """Return what :func:`divide` gives for ``amount`` times a prepared factor, with less work for each amount."""
    product = amount * numerator
    if more < 0:
        return divide(product, denominator, Rounding.HALF_EVEN)
    return (product + more) // denominator if product >= 0 else -((more - product) // denominator)


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """An amount of one currency: ``amount_minor`` in its smallest unit, ``currency`` an ISO 4217 letter code."""

    amount_minor: int
    currency: str


@cache
def exponent(currency: str) -> int:
    """Return how many decimals a currency's minor unit has; raises ``ValueError`` for a code ISO 4217 lacks."""
    try:
        digits = Currency(currency).exponent
    except ValueError:
        msg = f"{currency!r} is not an ISO 4217 letter code; write one such as EUR"
        raise ValueError(msg) from None
    return digits or 0


def _numeric_codes() -> dict[str, str]:
    return {f"{entry.number:03d}": entry.code for entry in Currency if entry.number is not None}


CURRENCY_OF_NUMERIC_CODE: Final[dict[str, str]] = _numeric_codes()
"""ISO 4217 three-digit code, as ISO 8583 carries it, to the letter code."""

NUMERIC_CODE_OF_CURRENCY: Final[dict[str, str]] = {code: digits for digits, code in CURRENCY_OF_NUMERIC_CODE.items()}
"""ISO 4217 letter code to the three digits ISO 8583 carries."""


def decimal_amount(amount_minor: int, currency: str) -> Decimal:
    """Return minor units as a decimal of the major unit, with all the currency's decimals: 1050 EUR is 10.50."""
    return Decimal(amount_minor).scaleb(-exponent(currency))
