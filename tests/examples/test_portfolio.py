"""The portfolio: card numbers that are test numbers, accounts that stay the same, and every kind of holding."""

import re
from datetime import date
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from examples.traffic.portfolio import (
    LEAST_ACCOUNTS,
    Holding,
    card_number,
    check_digit,
    full_card_file,
    later_card_file,
    open_accounts,
)
from examples.traffic.skyways import links, programme
from processor.core.programme import Enrolment

FIRST_DAY: Final = date(2026, 10, 23)

_ENROLS: Final = {Holding.ENROLS_ITSELF, Holding.ENROLS_ITSELF_AND_NAMED, Holding.REISSUED_AND_ENROLS}
_WAITS: Final = {Holding.NAMED_LATER, Holding.NEVER_NAMED, Holding.REISSUED_LATER}


def _passes_luhn(digits: str) -> bool:
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(number // 10 + number % 10 for number in doubled) % 10 == 0


def test_the_check_digit_is_that_of_a_known_number() -> None:
    """The example of the standard's annex, 7992739871, has the check digit 3."""
    assert "3" == check_digit("7992739871")


@given(serial=st.integers(0, 999_999_999), product=st.sampled_from(sorted(programme().products)))
def test_card_numbers_are_of_their_range_and_pass_the_check(serial: int, product: str) -> None:
    """A card number begins with its product's range, has sixteen digits and passes the Luhn check."""
    digits = card_number(product, serial).clear()

    assert digits.startswith(programme().products[product].card_ranges)
    assert 16 == len(digits)
    assert _passes_luhn(digits)


def test_every_holding_occurs_at_every_bank() -> None:
    """The smallest portfolio has each kind of account at each bank."""
    accounts = open_accounts(0, FIRST_DAY)

    assert LEAST_ACCOUNTS == len(accounts)
    assert {(bank, holding) for bank in links() for holding in Holding} == {
        (account.bank, account.holding) for account in accounts
    }


def test_a_larger_portfolio_begins_with_the_smaller() -> None:
    """Accounts do not depend on how many there are."""
    assert open_accounts(40, FIRST_DAY) == open_accounts(400, FIRST_DAY)[:40]


def test_no_card_belongs_to_two_accounts() -> None:
    """Card numbers and account references are unique, and a reference never looks like a card number."""
    accounts = open_accounts(500, FIRST_DAY)
    numbers = [card.pan for account in accounts for card in account.cards]

    assert len(numbers) == len(set(numbers))
    assert len(accounts) == len({account.reference for account in accounts})
    for account in accounts:
        assert re.fullmatch(r"[A-Z]+-[0-9]{6}", account.reference)
        assert re.fullmatch(r"SK[0-9]{7}", account.member_number)


def test_cards_that_must_wait_are_of_products_that_wait() -> None:
    """A card that no file names yet waits or enrols by the terms of its own product."""
    for account in open_accounts(500, FIRST_DAY):
        enrolments = {programme().products[card.product].enrolment for card in account.cards}
        if account.holding in _WAITS:
            assert {Enrolment.CARD_FILE} == enrolments
        elif account.holding in _ENROLS:
            assert {Enrolment.AUTOMATIC} == enrolments


def test_a_replaced_card_is_used_until_the_day_before() -> None:
    """On every day of the traffic exactly one of a replaced card and its successor is used."""
    reissued = [account for account in open_accounts(0, FIRST_DAY) if account.holding is Holding.REISSUED]
    for account in reissued:
        old, new = account.cards
        assert new.predecessor == old.pan
        used = [account.cards_on(date.fromordinal(FIRST_DAY.toordinal() + days)) for days in range(30)]
        assert {1} == {len(cards) for cards in used}
        assert [[old], [new]] == [used[0], used[-1]]


def test_the_files_name_each_holding_as_it_says() -> None:
    """How often each holding's accounts stand in the full and in the later card file."""
    accounts = open_accounts(0, FIRST_DAY)
    named = {}
    for account in accounts:
        files = (full_card_file(accounts, account.bank), later_card_file(accounts, account.bank))
        named[account.holding] = tuple(text.count(account.reference) for text in files)

    assert {
        Holding.LISTED: (1, 0),
        Holding.SUPPLEMENTED: (2, 0),
        Holding.REISSUED: (2, 0),
        Holding.REISSUED_LATER: (1, 2),
        Holding.REISSUED_AND_ENROLS: (1, 2),
        Holding.NAMED_LATER: (0, 1),
        Holding.NEVER_NAMED: (0, 0),
        Holding.ENROLS_ITSELF: (0, 0),
        Holding.ENROLS_ITSELF_AND_NAMED: (0, 1),
    } == named
