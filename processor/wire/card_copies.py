"""Copies of the account number in other fields: the last thing decoding looks for before a message leaves it.

It decides which fields repeat the number: as digits, in groups, packed, or as the hexadecimal of characters.
It never returns a value.
"""

from collections.abc import Mapping
from typing import Final

from processor.core.card import Pan

_BETWEEN: Final = "\x00"
_ASCII: Final = "3"
_EBCDIC: Final = "F"
"""What stands before each digit in the hexadecimal of ASCII and of EBCDIC characters."""


def copies_of(pan: Pan, fields: Mapping[str, str]) -> list[str]:
    """Return the names of the fields that hold the account number in any form; packed digits read as digits do."""
    digits = pan.clear()
    forms = (digits, _ASCII.join(digits), _EBCDIC.join(digits))
    if not _holds(_BETWEEN.join(fields.values()), forms):
        return []
    return [name for name, value in fields.items() if _holds(value, forms)]


def _holds(said: str, forms: tuple[str, str, str]) -> bool:
    digits, ascii_form, ebcdic_form = forms
    if digits in said.replace(" ", "").replace("-", "") or ascii_form in said:
        return True
    return ebcdic_form in said or ebcdic_form.lower() in said
