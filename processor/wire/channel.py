"""How a card was used, from its message: DE22, DE25 in the 1987 version, wallet data, and pumps by their MCC.

It decides by the place of the value what it means: three digits are the 1987 entry mode, twelve characters the 1993
point of service data code.
It never guesses: where the fields say nothing, neither does it.
"""

from collections.abc import Mapping
from typing import Final

from processor.core.conditions import Channel

_DATA_CODE_LENGTH: Final = 12
_CARDHOLDER: Final = 4
_CARD: Final = 5
_INPUT: Final = 6
"""Places in the 1993 data code: is the cardholder there, is the card there, and how it was read (ISO 8583:1993)."""

_BY_CARDHOLDER: Final[Mapping[str, Channel]] = {
    "2": Channel.MAIL_PHONE,
    "3": Channel.MAIL_PHONE,
    "4": Channel.RECURRING,
    "5": Channel.E_COMMERCE,
}
"""Not there, by mail, by telephone, standing order, electronic order; the last one is a later use of the networks."""
_CARD_IS_THERE: Final = "1"
_CONTACTLESS_INPUTS: Final = frozenset({"A", "M"})
"""Contactless magnetic stripe and contactless chip, as clearing files of the networks write them."""

_BY_CONDITION: Final[Mapping[str, Channel]] = {"08": Channel.MAIL_PHONE, "59": Channel.E_COMMERCE}
"""Mail or telephone order (ISO 8583:1987), and the networks' own value for orders over the Internet (DE25)."""
_BY_ENTRY: Final[Mapping[str, Channel]] = {
    "02": Channel.CARD_PRESENT,
    "05": Channel.CARD_PRESENT,
    "07": Channel.CONTACTLESS,
    "80": Channel.CARD_PRESENT,
    "81": Channel.E_COMMERCE,
    "90": Channel.CARD_PRESENT,
    "91": Channel.CONTACTLESS,
}
"""How the number was entered (the first two digits of DE22): stripe, chip, contactless, fallback, electronic order."""


_AUTOMATED_FUEL_DISPENSER: Final = "5542"
"""The merchant category of pumps that take cards (ISO 18245)."""
_AT_THE_PLACE: Final = frozenset({None, Channel.CARD_PRESENT, Channel.CONTACTLESS, Channel.WALLET})


def channel_of(entry_mode: str, condition_code: str, mcc: str = "", wallet: str = "") -> Channel | None:
    """Return how the card was used, None where the message does not say.

    ``wallet`` is what a dialect keeps of a wallet's data.
    The most telling counts: a pump that takes cards, then a wallet, then how the number was entered.
    """
    channel = Channel.WALLET if wallet.strip() else _entered(entry_mode, condition_code)
    return Channel.PAY_AT_PUMP if mcc == _AUTOMATED_FUEL_DISPENSER and channel in _AT_THE_PLACE else channel


def _entered(entry_mode: str, condition_code: str) -> Channel | None:
    if len(entry_mode) == _DATA_CODE_LENGTH:
        return _of_data_code(entry_mode)
    return _BY_CONDITION.get(condition_code) or _BY_ENTRY.get(entry_mode[:2])


def _of_data_code(code: str) -> Channel | None:
    if code[_CARDHOLDER] in _BY_CARDHOLDER:
        return _BY_CARDHOLDER[code[_CARDHOLDER]]
    if code[_CARD] != _CARD_IS_THERE:
        return None
    return Channel.CONTACTLESS if code[_INPUT] in _CONTACTLESS_INPUTS else Channel.CARD_PRESENT
