"""Account number to token: the step after which nobody holds the number.

It decides the token, which is HMAC-SHA-256 of the digits under a named key, and the product from the card ranges.
It never prints a key or a number.
"""

import hmac
from collections.abc import Mapping
from typing import Final

from processor.core.card import CardReference, Pan

KEY_BYTES: Final = 32
_UNDECODED: Final = b"undecoded:"


class Tokeniser:
    """Makes the references of cards under the live keys; ``active`` names the key that new tokens are made with.

    ``card_ranges`` maps the leading digits of account numbers to a card product; the longest match wins.
    Raises ``ValueError`` for a key of another length than 32 bytes, an unknown active key or a range not of digits.
    """

    __slots__ = ("_active", "_active_key", "_lengths", "_other_keys", "_ranges")

    def __init__(self, keys: Mapping[str, bytes], active: str, card_ranges: Mapping[str, str]) -> None:
        for key_id, key in keys.items():
            if len(key) != KEY_BYTES:
                raise ValueError(f"token key {key_id!r} has {len(key)} bytes; give one of {KEY_BYTES}")
        if active not in keys:
            raise ValueError(f"the active token key {active!r} is not among the keys; add it or name another")
        for prefix in card_ranges:
            if not (prefix.isascii() and prefix.isdecimal()):
                raise ValueError(f"card range {prefix!r} is not digits; write the leading digits of the card numbers")
        self._active = active
        self._active_key = keys[active]
        self._other_keys = tuple(key for key_id, key in keys.items() if key_id != active)
        self._ranges = dict(card_ranges)
        self._lengths = tuple(sorted({len(prefix) for prefix in card_ranges}, reverse=True))

    def with_card_ranges(self, card_ranges: Mapping[str, str]) -> "Tokeniser":
        """Return a tokeniser of the same keys that knows other card ranges."""
        keys = {self._active: self._active_key}
        other = Tokeniser(keys, self._active, card_ranges)
        other._other_keys = self._other_keys
        return other

    def reference(self, pan: Pan) -> CardReference:
        """Return what stands for the card, with its tokens under the other live keys as alternates."""
        clear = pan.clear()
        digits = clear.encode()
        return CardReference(
            token=hmac.digest(self._active_key, digits, "sha256"),
            key_id=self._active,
            last_four=pan.last_four,
            product=self._product(clear),
            alternates=tuple([hmac.digest(key, digits, "sha256") for key in self._other_keys]),
        )

    def digest(self, raw: bytes) -> bytes:
        """Return a keyed digest of bytes that did not decode, to know them again without keeping them."""
        return hmac.digest(self._active_key, _UNDECODED + raw, "sha256")

    def _product(self, clear: str) -> str | None:
        for length in self._lengths:
            product = self._ranges.get(clear[:length])
            if product is not None:
                return product
        return None

    def __repr__(self) -> str:
        return f"Tokeniser(active={self._active!r}, keys={1 + len(self._other_keys)}, ranges={len(self._ranges)})"
