"""Card data that is in no other place of the tests, so that wherever it turns up it was let through."""

from typing import Final

GOLD: Final = "4000001234567899"
CLASSIC: Final = "4000019876543218"
PLATINUM: Final = "5413331357924686"
BLUE: Final = "2223008642135792"
NEW_GOLD: Final = "4000002468135791"
NUMBERS: Final = (GOLD, CLASSIC, PLATINUM, BLUE, NEW_GOLD)

VERIFICATION_VALUE: Final = "93715284"
"""Longer than a real one, so that it does not come up by chance."""
LETTERED_VALUE: Final = "QZXVKW"
"""A verification value for six characters."""
PIN_BLOCK: Final = "0412AC89ABCDEF67"
DISCRETIONARY: Final = "8391746205"
HOLDER: Final = "QUIXLEYZ/TESTA"

TRACK_1: Final = "B{pan}^" + HOLDER + "^3012101" + DISCRETIONARY
TRACK_2: Final = "{pan}=3012101" + DISCRETIONARY
TRACK_3: Final = "01{pan}=978" + DISCRETIONARY

SECRETS: Final = (*NUMBERS, VERIFICATION_VALUE, LETTERED_VALUE, PIN_BLOCK, DISCRETIONARY, HOLDER)


def parts_of(number: str) -> tuple[str, str]:
    """Return what is left of a number that is cut on the right or on the left, and still is too much to keep."""
    return number[:-6], number[6:]
