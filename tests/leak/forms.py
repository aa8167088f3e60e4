"""The search for card data: how a secret may look in what is written, and whether something holds it in any such form.

Text, ASCII and EBCDIC, and the hexadecimal and base64 of both; packed digits at either half of a byte, with any
padding, as the bytes themselves, in hexadecimal and in base64; packed with the halves of each byte exchanged;
and digits in groups with spaces or dashes between them.
"""

from base64 import b64encode
from collections.abc import Iterable
from functools import cache
from string import hexdigits
from typing import Final

CODECS: Final = ("latin-1", "cp500", "cp037")
SHORTEST_BASE64: Final = 7
"""Fewer characters come up by chance."""
_BETWEEN_DIGITS: Final = bytes.maketrans(b"\xa0", b" ")


def exchanged(digits: str) -> str:
    """Return packed digits with the halves of each byte exchanged, an odd count filled with F."""
    filled = digits + "F" * (len(digits) % 2)
    return "".join(filled[at + 1] + filled[at] for at in range(0, len(filled), 2))


def based(data: bytes) -> set[bytes]:
    """Return how bytes look in base64 at each of the three places of a group, without what their neighbours decide."""
    found = set()
    for before in range(3):
        encoded = b64encode(bytes(before) + data)[: (before + len(data)) // 3 * 4]
        whole = encoded[-(-before * 4 // 3) :]
        if len(whole) >= SHORTEST_BASE64:
            found.add(whole)
    return found


@cache
def _texts(secret: str) -> frozenset[bytes]:
    """Return the forms that are looked for in the bytes as they are."""
    spelled = {secret.encode(codec) for codec in CODECS} | {secret.lower().encode()}
    forms = set(spelled)
    for spelling in spelled:
        forms |= {spelling.hex().encode(), spelling.hex().upper().encode(), *based(spelling)}
    for packed in _packed(secret):
        forms |= {packed.encode(), packed.lower().encode()}
        for aligned in (packed, f"0{packed}"):
            forms |= based(bytes.fromhex(aligned[: len(aligned) // 2 * 2]))
    return frozenset(forms)


@cache
def _packed(secret: str) -> tuple[str, ...]:
    """Return the halves of bytes that packed digits are, none where a secret is no digits."""
    if not set(secret) <= set(hexdigits):
        return ()
    return secret, exchanged(secret)


def leaks(found: bytes, secrets: Iterable[str]) -> set[str]:
    """Return the secrets that some bytes hold in any form."""
    halves = found.hex().upper()
    ungrouped = found.translate(_BETWEEN_DIGITS, b" -")
    return {
        secret
        for secret in secrets
        if any(form in found for form in _texts(secret))
        or any(packed.upper() in halves for packed in _packed(secret))
        or secret.encode() in ungrouped
    }
