"""What a message earned, as text in the award element of an answer: tag (2), length (3), value, in Latin-1.

Tags: ``PT`` partner, ``MI`` miles (signed), ``DI`` discount in minor units, ``DC`` its currency, ``OC`` outcome.
In the answer to a request the till may lower: ``TI`` what it may take off, ``TA`` what is left to pay, ``TC`` their
currency.
A reader skips tags that it does not know, so new ones may follow.
"""

from dataclasses import dataclass
from typing import Final

from processor.core.money import Miles, Money

_PARTNER: Final = "PT"
_MILES: Final = "MI"
_DISCOUNT: Final = "DI"
_DISCOUNT_CURRENCY: Final = "DC"
_OUTCOME: Final = "OC"
_TILL_DISCOUNT: Final = "TI"
_TILL_AMOUNT: Final = "TA"
_TILL_CURRENCY: Final = "TC"
_HEADER: Final = 5


class AwardTextError(ValueError):
    """An award text is not tag, length, value; says at which character."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AwardText:
    """What an answer tells the host: what is None nothing is said of.

    ``discount`` sums all discounts; ``till_discount`` is the part that the till takes off, which leaves ``till_amount``
    of the amount that was asked for.
    """

    outcome: str = ""
    partner: str = ""
    miles: Miles | None = None
    discount: Money | None = None
    till_discount: Money | None = None
    till_amount: Money | None = None


def encode_award(award: AwardText) -> str:
    """Return the award as text; raises :class:`AwardTextError` for a value outside Latin-1 or over 999 characters."""
    parts = []
    if award.outcome:
        parts.append((_OUTCOME, award.outcome))
    if award.partner:
        parts.append((_PARTNER, award.partner))
    if award.miles is not None:
        parts.append((_MILES, str(award.miles)))
    if award.discount is not None:
        parts.append((_DISCOUNT, str(award.discount.amount_minor)))
        parts.append((_DISCOUNT_CURRENCY, award.discount.currency))
    if award.till_discount is not None and award.till_amount is not None:
        parts.append((_TILL_DISCOUNT, str(award.till_discount.amount_minor)))
        parts.append((_TILL_AMOUNT, str(award.till_amount.amount_minor)))
        parts.append((_TILL_CURRENCY, award.till_amount.currency))
    for tag, value in parts:
        if len(value) > 999 or any(character > "\xff" for character in value):
            raise AwardTextError(f"{tag} does not fit: at most 999 characters of Latin-1 are carried")
    return "".join([f"{tag}{len(value):03d}{value}" for tag, value in parts])


def decode_award(text: str) -> AwardText:
    """Return the award that a text says; raises :class:`AwardTextError`."""
    values: dict[str, str] = {}
    at = 0
    while at < len(text):
        length = text[at + 2 : at + _HEADER]
        if len(length) != 3 or not length.isdecimal() or at + _HEADER + int(length) > len(text):
            raise AwardTextError(f"no tag of two and length of three characters fit at character {at}")
        end = at + _HEADER + int(length)
        values[text[at : at + 2]] = text[at + _HEADER : end]
        at = end
    miles = _number(values, _MILES)
    return AwardText(
        outcome=values.get(_OUTCOME, ""),
        partner=values.get(_PARTNER, ""),
        miles=None if miles is None else Miles(miles),
        discount=_money(values, _DISCOUNT, _DISCOUNT_CURRENCY),
        till_discount=_money(values, _TILL_DISCOUNT, _TILL_CURRENCY),
        till_amount=_money(values, _TILL_AMOUNT, _TILL_CURRENCY),
    )


def _money(values: dict[str, str], tag: str, currency: str) -> Money | None:
    amount_minor = _number(values, tag)
    return None if amount_minor is None else Money(amount_minor=amount_minor, currency=values.get(currency, ""))


def _number(values: dict[str, str], tag: str) -> int | None:
    value = values.get(tag)
    if value is None:
        return None
    if not value.removeprefix("-").isdecimal():
        raise AwardTextError(f"{tag} is not a whole number")
    return int(value)
