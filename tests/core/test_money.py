"""Amounts: rounding is symmetric and equals the decimal library's, currencies come from ISO 4217."""

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, ROUND_UP, Context, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.money import (
    CURRENCY_OF_NUMERIC_CODE,
    NUMERIC_CODE_OF_CURRENCY,
    Money,
    Rounding,
    decimal_amount,
    divide,
    exponent,
)

DECIMAL_ROUNDING = {
    Rounding.UP: ROUND_UP,
    Rounding.DOWN: ROUND_DOWN,
    Rounding.HALF_UP: ROUND_HALF_UP,
    Rounding.HALF_EVEN: ROUND_HALF_EVEN,
}

numerators = st.integers(min_value=-(10**24), max_value=10**24)
# A power of two and five gives a quotient that a decimal holds exactly.
exact_denominators = st.builds(lambda two, five: 2**two * 5**five, st.integers(0, 20), st.integers(0, 20))
roundings = st.sampled_from(Rounding)


@pytest.mark.parametrize(
    ("numerator", "up", "down", "half_up", "half_even"),
    [
        (0, 0, 0, 0, 0),
        (1, 1, 0, 0, 0),
        (2, 1, 0, 1, 0),
        (3, 1, 0, 1, 1),
        (4, 1, 1, 1, 1),
        (6, 2, 1, 2, 2),
        (10, 3, 2, 3, 2),
        (-1, -1, 0, 0, 0),
        (-2, -1, 0, -1, 0),
        (-6, -2, -1, -2, -2),
        (-10, -3, -2, -3, -2),
    ],
)
def test_divide_by_four(numerator: int, up: int, down: int, half_up: int, half_even: int) -> None:
    """Quarters round as each mode says, on the magnitude."""
    assert (up, down, half_up, half_even) == tuple(divide(numerator, 4, mode) for mode in Rounding)


@given(numerators, exact_denominators, roundings)
def test_divide_equals_decimal_rounding(numerator: int, denominator: int, rounding: Rounding) -> None:
    """Every mode agrees with the decimal library's mode of the same name."""
    context = Context(prec=200, rounding=DECIMAL_ROUNDING[rounding])
    expected = int(context.divide(Decimal(numerator), Decimal(denominator)).to_integral_value(context=context))
    assert expected == divide(numerator, denominator, rounding)


@given(numerators, st.integers(1, 10**12), roundings)
def test_divide_is_symmetric(numerator: int, denominator: int, rounding: Rounding) -> None:
    """What a refund takes is exactly what its purchase gave."""
    assert -divide(numerator, denominator, rounding) == divide(-numerator, denominator, rounding)


@given(numerators, st.integers(1, 10**12), roundings)
def test_divide_is_within_one_of_the_quotient(numerator: int, denominator: int, rounding: Rounding) -> None:
    """A rounded quotient is never a whole unit away from the exact one."""
    assert abs(divide(numerator, denominator, rounding) * denominator - numerator) < denominator


@given(numerators, numerators, st.integers(1, 10**12), roundings)
def test_divide_is_monotone(first: int, second: int, denominator: int, rounding: Rounding) -> None:
    """A larger amount never gives less."""
    low, high = sorted((first, second))
    assert divide(low, denominator, rounding) <= divide(high, denominator, rounding)


@pytest.mark.parametrize(("currency", "digits"), [("EUR", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4)])
def test_exponent_of_a_currency(currency: str, digits: int) -> None:
    """The minor unit's decimals are those of ISO 4217."""
    assert digits == exponent(currency)


@pytest.mark.parametrize("currency", ["SKY", "eur", "", "978"])
def test_exponent_refuses_what_is_no_currency(currency: str) -> None:
    """An unknown code is an error that says what to write."""
    with pytest.raises(ValueError, match="is not an ISO 4217 letter code; write one such as EUR"):
        exponent(currency)


@pytest.mark.parametrize(
    ("amount_minor", "currency", "text"),
    [(1050, "EUR", "10.50"), (-5, "EUR", "-0.05"), (1050, "JPY", "1050"), (1050, "KWD", "1.050"), (0, "USD", "0.00")],
)
def test_decimal_amount_has_all_decimals(amount_minor: int, currency: str, text: str) -> None:
    """The major unit shows every decimal the currency has."""
    assert text == str(decimal_amount(amount_minor, currency))


def test_numeric_codes_and_letter_codes_are_inverse() -> None:
    """Each three-digit code stands for one letter code and back."""
    assert len(CURRENCY_OF_NUMERIC_CODE) == len(NUMERIC_CODE_OF_CURRENCY)
    assert (CURRENCY_OF_NUMERIC_CODE["978"], NUMERIC_CODE_OF_CURRENCY["ALL"]) == ("EUR", "008")
    assert all(NUMERIC_CODE_OF_CURRENCY[code] == digits for digits, code in CURRENCY_OF_NUMERIC_CODE.items())


def test_money_of_other_currencies_differs() -> None:
    """An amount is equal only to the same amount of the same currency."""
    assert Money(amount_minor=1, currency="EUR") == Money(amount_minor=1, currency="EUR")
    assert Money(amount_minor=1, currency="EUR") != Money(amount_minor=1, currency="USD")
