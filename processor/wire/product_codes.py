"""What was bought, as far as a message lists it: the product codes that a dialect or a bank's extract keeps.

A dialect names an element or a sub-field ``product_codes`` where it holds a list, and ``product_code_1`` to
``product_code_9`` where each code has a place of its own.
Codes of eight characters at most are kept, so that none is an account number, and sixteen of them; quantities, prices
and all else around them are forgotten.
"""

import re
from collections.abc import Mapping
from typing import Final

from processor.core.card import Pan
from processor.wire.card_copies import copies_of

LISTED: Final = "product_codes"
PLACES: Final = tuple(f"product_code_{place}" for place in range(1, 10))
MOST: Final = 16
"""More codes than these are not kept."""

_CODE: Final = re.compile(r"[0-9A-Z]{1,8}")
_BETWEEN: Final = re.compile(r"[ ,;/|\\]+")


def product_codes(
    fields: Mapping[str, str], places: tuple[str, ...], pan: Pan | None, oddities: list[str]
) -> tuple[str, ...]:
    """Return the codes that a message lists, each once and in order; what is no code is noted as odd.

    ``places`` are the fields with one code each that the dialect keeps.
    Codes that together hold the account number are none.
    """
    stated = [fields[name] for name in (LISTED, *places) if name in fields]
    if not stated:
        return ()
    written = [part for text in stated for part in _BETWEEN.split(text.strip().upper()) if part]
    codes = [part for part in written if _CODE.fullmatch(part)]
    if len(codes) < len(written):
        oddities.append(f"{LISTED} holds what is no product code")
    if pan is not None and copies_of(pan, {LISTED: "".join(codes)}):
        oddities.append(f"{LISTED} holds the card number")
        return ()
    found = sorted(set(codes))
    if len(found) > MOST:
        oddities.append(f"{LISTED} holds more than {MOST} codes")
    return tuple(found[:MOST])
