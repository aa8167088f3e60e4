"""Amounts as an explanation writes them: miles and money in their own decimals, with the unit behind."""

from decimal import Decimal

from processor.core.money import decimal_amount
from processor.core.programme import Programme
from processor.core.reward import is_reward


def units(programme: Programme, amount: int, unit: str, sign: str = "") -> str:
    """Return an amount of miles or money in its own decimals; ``sign`` "+" shows the sign of what is not negative."""
    if is_reward(unit):
        return f"{amount:{sign},} {unit}"
    value = Decimal(amount).scaleb(-programme.decimals) if unit == programme.unit else decimal_amount(amount, unit)
    return f"{value:{sign},f} {unit}"


def money(amount_minor: int, currency: str) -> str:
    """Return an amount of money in its major unit."""
    return f"{decimal_amount(amount_minor, currency):,f} {currency}"
