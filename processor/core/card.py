"""Cards: the account number as a type that never prints itself, and the token that stands for it.

A :class:`Pan` lives only inside ``wire/``: it becomes a :class:`CardReference` there, and nothing behind ``wire/``
ever holds the number again.
"""

import re
from dataclasses import dataclass
from typing import Final


class Pan:
    """A primary account number; ``str``, ``repr`` and formatting show it masked, :meth:`clear` alone gives the digits.

    The mask keeps the first six and the last four digits (PCI DSS 3.4.1 allows at most the BIN and the last four).
    """

    __slots__ = ("_digits",)

    def __init__(self, digits: str) -> None:
        self._digits = digits

    def clear(self) -> str:
        """Return the digits themselves; call it only to tokenise or to encode an answer to the host that sent them."""
        return self._digits

    @property
    def last_four(self) -> str:
        """The last four digits, which may be kept for statements."""
        return self._digits[-4:]

    @property
    def masked(self) -> str:
        """The number for a person's eyes: the first six and the last four digits, or stars alone if it is short."""
        if len(self._digits) < 13:
            return "****"
        return f"{self._digits[:6]}{'*' * (len(self._digits) - 10)}{self._digits[-4:]}"

    def __repr__(self) -> str:
        return f"Pan({self.masked})"

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pan) and other._digits == self._digits

    def __hash__(self) -> int:
        return hash(self._digits)

    def __reduce__(self) -> str | tuple[object, ...]:
        msg = "a Pan is never serialised; tokenise it"
        raise TypeError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class CardReference:
    """What stands for a card behind ``wire/``.

    ``token`` is the 32 bytes of HMAC-SHA-256 over the number under the key named ``key_id``;
    ``alternates`` are the tokens under the other live keys, tried when a key was rotated since the card was enrolled.
    ``last_four`` and ``product`` may be kept for statements; ``product`` is None where no card range is known.
    """

    token: bytes
    key_id: str
    last_four: str
    product: str | None
    alternates: tuple[bytes, ...] = ()


def passes_check_digit(digits: str) -> bool:
    """Tell whether the last digit is right by the Luhn formula (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


_WRITTEN: Final = re.compile(
    r"(?<![0-9])(?:[0-9]{12,19}|[0-9]{4}(?:[ -][0-9]{4}){2}(?:[ -][0-9]{1,4}){1,2}|[0-9]{4}[ -][0-9]{6}[ -][0-9]{4,5})"
    r"(?![0-9])"
)
"""What is written like a card number: 12 to 19 digits in one run, in groups of four, or of 4, 6 and 4 or 5."""


def holds_card_number(text: str) -> bool:
    """Tell whether a text holds what is written like a card number and has its check digit."""
    digits = (re.sub(r"[ -]", "", found.group()) for found in _WRITTEN.finditer(text))
    return any(map(passes_check_digit, digits))
