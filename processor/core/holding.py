"""What an account holds of soft rewards, purchase by purchase, and from which of it one is used.

It takes holdings and returns values; ``flow/entitlements.py`` reads them from the postings and books a use.
What was taken back after it was used leaves a holding below zero, and later rewards of the kind count against it.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import NamedTuple


class Holding(NamedTuple):
    """What one rule gave of one soft reward for one purchase; ``last_day`` is when it is valid for the last time."""

    purchase_id: bytes
    rule: str
    unit: str
    pending: int
    granted: int
    used: int
    last_day: date

    @property
    def left(self) -> int:
        """What was granted and not used; below zero where what was used has been taken back."""
        return self.granted - self.used


class Drawn(NamedTuple):
    """So many of one holding are used; below zero so many uses of it are taken back."""

    holding: Holding
    units: int


def usable(holdings: Iterable[Holding], unit: str, on: date) -> int:
    """Return how many of a reward can be used on a day: what is left and valid, less what is owed; never below zero."""
    of_unit = [holding for holding in holdings if holding.unit == unit]
    valid = sum(holding.left for holding in of_unit if holding.left > 0 and holding.last_day >= on)
    return max(0, valid + sum(holding.left for holding in of_unit if holding.left < 0))


def draw(holdings: Sequence[Holding], unit: str, count: int, on: date) -> tuple[Drawn, ...]:
    """Return from which holdings ``count`` are used on a day: those that expire first, then by purchase and rule.

    Below zero, uses are taken back where they were made last. None where there are not so many.
    """
    if count > 0 and count > usable(holdings, unit, on):
        return ()
    ordered = sorted(
        (holding for holding in holdings if holding.unit == unit),
        key=lambda holding: (holding.last_day, holding.purchase_id, holding.rule),
        reverse=count < 0,
    )
    drawn: list[Drawn] = []
    missing = abs(count)
    for holding in ordered:
        there = holding.used if count < 0 else holding.left if holding.last_day >= on else 0
        part = max(0, min(missing, there))
        if part:
            drawn.append(Drawn(holding, part if count > 0 else -part))
            missing -= part
    return () if missing else tuple(drawn)
