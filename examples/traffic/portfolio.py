"""The banks' cards and accounts: who holds them and how the processor comes to know them.

The portfolio depends on the number of accounts and the window's days alone, not on the seed, so that traffic of several
seeds is about the same cards.
Card numbers lie in the programme's card ranges, which are networks' test ranges, and pass the Luhn check.
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum
from typing import Final

from examples.traffic.skyways import links, product_of, programme
from processor.core.card import Pan
from processor.core.programme import Enrolment

STREAMS: Final = 16
CARD_FILE_COLUMNS: Final = (
    "card_number",
    "account_reference",
    "product",
    "role",
    "predecessor_card_number",
    "member_number",
    "opened_on",
    "status",
    "status_from",
)

_CARDS_OF_ACCOUNT: Final = 2
_SERIAL_DIGITS: Final = 9


class Holding(Enum):
    """How the processor comes to know an account's cards."""

    LISTED = "the full card file names its card"
    SUPPLEMENTED = "the full card file names its card and a supplementary one"
    REISSUED = "the full card file names its card and the one that replaced it"
    REISSUED_LATER = "the full card file names its card, the later one the card that replaced it"
    REISSUED_AND_ENROLS = "as before, and until then the card that replaced it enrols with its first message"
    NAMED_LATER = "the later card file names its card, which waits until then"
    NEVER_NAMED = "no card file names its card, which waits for ever"
    ENROLS_ITSELF = "its card enrols with its first message, and no card file names it"
    ENROLS_ITSELF_AND_NAMED = "its card enrols with its first message, and the later card file names it"


ORDINARY: Final = (Holding.LISTED, Holding.SUPPLEMENTED, Holding.REISSUED)
"""Accounts whose cards are all known before the first message."""

_SPECIAL: Final = tuple(holding for holding in Holding if holding is not Holding.LISTED)
_WAITING: Final = frozenset({Holding.NAMED_LATER, Holding.NEVER_NAMED, Holding.REISSUED_LATER})
_IN_NO_FULL_FILE: Final = frozenset(
    {Holding.NAMED_LATER, Holding.NEVER_NAMED, Holding.ENROLS_ITSELF, Holding.ENROLS_ITSELF_AND_NAMED}
)
_REPLACED_LATER: Final = frozenset({Holding.REISSUED_LATER, Holding.REISSUED_AND_ENROLS})
_REPLACED: Final = _REPLACED_LATER | {Holding.REISSUED}
_IN_LATER_FILE: Final = _REPLACED_LATER | {Holding.NAMED_LATER, Holding.ENROLS_ITSELF_AND_NAMED}
_SELF_ENROLLING: Final = frozenset(
    {Holding.ENROLS_ITSELF, Holding.ENROLS_ITSELF_AND_NAMED, Holding.REISSUED_AND_ENROLS}
)

LEAST_ACCOUNTS: Final = 2 * (len(_SPECIAL) + len(ORDINARY))
"""Fewer accounts than this are not made, so that every holding occurs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A card; ``first_day`` and ``last_day`` bound its use, None where nothing does."""

    pan: Pan
    product: str
    role: str
    expiry: str
    predecessor: Pan | None = None
    first_day: date | None = None
    last_day: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account of a bank; ``number`` counts over the accounts of all banks."""

    number: int
    bank: str
    reference: str
    holding: Holding
    cards: tuple[Card, ...]
    member_number: str
    opened_on: date

    @property
    def stream(self) -> int:
        """The stream all messages of this account travel in."""
        return self.number % STREAMS

    def cards_on(self, day: date) -> list[Card]:
        """Return the cards that may be used on a day."""
        return [
            card
            for card in self.cards
            if (card.first_day is None or card.first_day <= day) and (card.last_day is None or day <= card.last_day)
        ]


def check_digit(digits: str) -> str:
    """Return the digit that makes a number pass the Luhn check (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (2 if place % 2 == 0 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return str(-total % 10)


def card_number(product: str, serial: int) -> Pan:
    """Return the card number of a product with this serial number, of 16 digits."""
    digits = f"{programme().products[product].card_ranges[0]}{serial:0{_SERIAL_DIGITS}d}"
    return Pan(digits + check_digit(digits))


def open_accounts(accounts: int, first_day: date) -> tuple[Account, ...]:
    """Return the accounts of all banks; a fifth of them is special, and each kind occurs at each bank."""
    banks = list(links())
    opened: list[Account] = []
    for number in range(max(accounts, LEAST_ACCOUNTS)):
        bank, turn = banks[number % len(banks)], number // len(banks)
        opened.append(_account(number, bank, turn, _holding(turn), first_day))
    return tuple(opened)


def _holding(turn: int) -> Holding:
    """Return the holding of a bank's account by its turn: first each once, then four ordinary ones to a special one."""
    if turn < len(ORDINARY):
        return Holding.LISTED
    if turn < len(ORDINARY) + len(_SPECIAL):
        return _SPECIAL[turn - len(ORDINARY)]
    return _SPECIAL[turn // 5 % len(_SPECIAL)] if turn % 5 == 0 else Holding.LISTED


def _account(number: int, bank: str, turn: int, holding: Holding, first_day: date) -> Account:
    waits = holding in _WAITING or (holding not in _SELF_ENROLLING and turn % 3 == 0)
    product = product_of(bank, Enrolment.CARD_FILE if waits else Enrolment.AUTOMATIC)
    expiry = f"{(first_day.year + 3) % 100:02d}{1 + number % 12:02d}"
    serial = number * _CARDS_OF_ACCOUNT
    first = Card(pan=card_number(product, serial), product=product, role="primary", expiry=expiry)
    return Account(
        number=number,
        bank=bank,
        reference=f"{bank.upper()}-{number:06d}",
        holding=holding,
        cards=tuple(_cards(first, card_number(product, serial + 1), holding, first_day + timedelta(8 + number % 12))),
        member_number=f"SK{number:07d}",
        opened_on=first_day - timedelta(30 + number * 7 % 2000),
    )


def _cards(first: Card, second: Pan, holding: Holding, replaced_on: date) -> Iterator[Card]:
    """Yield an account's cards; a card that is replaced is used until the day before."""
    if holding is Holding.SUPPLEMENTED:
        yield first
        yield Card(pan=second, product=first.product, role="supplementary", expiry=first.expiry)
    elif holding in _REPLACED:
        day_before = replaced_on - timedelta(1)
        yield Card(pan=first.pan, product=first.product, role=first.role, expiry=first.expiry, last_day=day_before)
        yield Card(
            pan=second,
            product=first.product,
            role=first.role,
            expiry=first.expiry,
            predecessor=first.pan,
            first_day=replaced_on,
        )
    else:
        yield first


def full_card_file(accounts: tuple[Account, ...], bank: str) -> str:
    """Return the bank's full card file as CSV, as it stood before the first message that needs the later one."""
    rows = []
    for account in accounts:
        if account.bank != bank or account.holding in _IN_NO_FULL_FILE:
            continue
        if account.holding in _REPLACED_LATER:
            rows.append(_row(account, account.cards[0], replaced=False))
        else:
            rows += [_row(account, card, replaced=card.last_day is not None) for card in account.cards]
    return _csv(rows)


def later_card_file(accounts: tuple[Account, ...], bank: str) -> str:
    """Return the bank's later card file as CSV: only what is new or has changed."""
    listed = [account for account in accounts if account.bank == bank and account.holding in _IN_LATER_FILE]
    return _csv(
        [_row(account, card, replaced=card.last_day is not None) for account in listed for card in account.cards]
    )


def _row(account: Account, card: Card, *, replaced: bool) -> tuple[str, ...]:
    status_from = card.first_day or account.opened_on
    if replaced and card.last_day is not None:
        status_from = card.last_day + timedelta(1)
    return (
        card.pan.clear(),
        account.reference,
        card.product,
        card.role,
        card.predecessor.clear() if card.predecessor else "",
        account.member_number,
        account.opened_on.isoformat(),
        "closed" if replaced else "active",
        status_from.isoformat(),
    )


def _csv(rows: list[tuple[str, ...]]) -> str:
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(CARD_FILE_COLUMNS)
    writer.writerows(rows)
    return written.getvalue()
