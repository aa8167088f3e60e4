"""What an account holds of soft rewards, purchase by purchase, and from which of it one is used.

It takes holdings and returns values; ``flow/entitlements.py`` reads them from the postings and books a use.
What was taken back after it was used leaves a holding below zero, and later rewards of the kind count against it.
A rule that looks at a period takes back at one purchase what it gave at another: the two are settled with each other.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import NamedTuple


class Holding(NamedTuple):
    """What one rule gave of one soft reward for one purchase; ``last_day`` is when it is valid for the last time.

    ``cycle`` names the counter that the rule's purchases of a period share, empty where it looks at each alone.
    ``moved`` is what a purchase took back of what others of the cycle were given: added there, taken off here.
    """

    purchase_id: bytes
    rule: str
    unit: str
    pending: int
    granted: int
    used: int
    last_day: date
    cycle: str = ""
    moved: int = 0

    @property
    def left(self) -> int:
        """What was granted and not used; below zero where what was used has been taken back."""
        return self.granted - self.used + self.moved


class Drawn(NamedTuple):
    """So many of one holding are used; below zero so many uses of it are taken back."""

    holding: Holding
    units: int


def settled(holdings: Sequence[Holding]) -> list[Holding]:
    """Take what is missing at one purchase of a cycle off what is left at others of the same cycle.

    It is taken where it is valid longest, for a cycle takes back what it gave last, also where that has expired since:
    what was never used is not owed. What stays below zero was used.
    """
    moved = [0] * len(holdings)
    longest = sorted(range(len(holdings)), key=lambda place: (holdings[place].last_day, place), reverse=True)
    for owing, holding in enumerate(holdings):
        missing = -holding.left if holding.cycle else 0
        for place in longest:
            other = holdings[place]
            if missing <= 0:
                break
            if (other.cycle, other.unit) == (holding.cycle, holding.unit) and other.left + moved[place] > 0:
                part = min(missing, other.left + moved[place])
                missing -= part
                moved[place] -= part
                moved[owing] += part
    return [holding._replace(moved=units) for holding, units in zip(holdings, moved, strict=True)]


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
