"""Copies of the account number in other fields: the last thing decoding looks for before a message leaves it.

It decides which fields repeat the number: as digits, in groups, packed, as the hexadecimal of characters, or cut to the
width of a field that is too narrow for it.
It never returns a value.
"""

from collections.abc import Mapping
from typing import Final

from processor.core.card import Pan

_BETWEEN: Final = "\x00"
_ASCII: Final = "3"
_EBCDIC: Final = "F"
"""What stands before each digit in the hexadecimal of ASCII and of EBCDIC characters."""
_OF_A_SHORT_NUMBER: Final = 4
_OF_A_NUMBER: Final = 6
"""Digits that a cut number has lost; what is left tells the whole, beside the BIN and the last four, which are kept."""
_MONEY: Final = ("amount", "amounts")
"""How the names of fields end that are never dropped for a mere likeness to a part of a number."""


def copies_of(pan: Pan, fields: Mapping[str, str]) -> list[str]:
    """Return the names of the fields that hold the account number in any form; packed digits read as digits do."""
    digits = pan.clear()
    lost = _OF_A_NUMBER if len(digits) >= 16 else _OF_A_SHORT_NUMBER
    # What is left when either end is cut; what is cut on the left begins where a field would, not with a run of zeros.
    parts = (digits[:-lost], digits[len(digits[: lost + 1].rstrip("0")) - 1 :])
    # Nearly every message holds neither, so that all fields are looked through at once first.
    said = _BETWEEN.join(fields.values())
    if not (_holds(said, parts[0]) or _holds(said, parts[1])):
        return []
    return [
        name
        for name, value in fields.items()
        if _holds(value, digits)
        or (len(value) < len(digits) and not name.endswith(_MONEY) and any(_holds(value, part) for part in parts))
    ]


def _holds(said: str, digits: str) -> bool:
    if digits in said or _ASCII.join(digits) in said:
        return True
    ebcdic = _EBCDIC.join(digits)
    if ebcdic in said or ebcdic.lower() in said:
        return True
    return (" " in said or "-" in said) and digits in said.replace(" ", "").replace("-", "")
