"""Caps for each household: what its accounts hold together is what is counted, within the cap, and all comes back."""

from collections import Counter
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.cap import Cap, CapHolder, CapPeriod, CounterKey
from processor.core.contest import Entitlement
from processor.core.grant import Grant, regrant, release
from processor.core.household import cap_in, household_in, is_household, kept_counter
from processor.core.member_fact import refusal_of
from processor.core.person import Fact, FactKind, member_at
from tests.core.strategies import BANK, FIRST, UNIT

DAY = date(2026, 11, 30)
MOST = 100
STEPS = st.lists(st.tuples(st.integers(0, 5), st.integers(-40, 90), st.sampled_from(["", "H-1", "H-2"])), max_size=16)


def capped(limit: int = MOST, currency: str | None = None, *, purchases: bool = False) -> Cap:
    """Return a cap for each household."""
    return Cap(
        id="family",
        rules=frozenset({"base"}),
        period=CapPeriod.MONTH,
        limit=limit,
        currency=currency,
        purchases=purchases,
        per=CapHolder.HOUSEHOLD,
    )


@given(STEPS, st.sampled_from([capped(), capped(60, "EUR"), capped(2, purchases=True)]))
def test_a_household_counts_what_its_accounts_hold(steps: list[tuple[int, int, str]], cap: Cap) -> None:
    """Purchases of three accounts rise, fall and change their household, in any order; then all are undone."""
    programme = replace(FIRST, caps=(cap,))
    accounts: dict[int, dict[CounterKey, int]] = {0: {}, 1: {}, 2: {}}
    households: dict[CounterKey, int] = {}
    grants: dict[int, Grant] = {}

    def keep(account: int, used: dict[CounterKey, int]) -> None:
        for key, units in used.items():
            (households if household_in(key[0]) else accounts[account])[key] = units

    for purchase, total, household in steps:
        used = {**accounts[purchase % 3], **households}
        grants[purchase], _ = regrant(
            programme,
            grants.get(purchase, Grant(rule="base", unit=UNIT)),
            Entitlement(programme.rule("base"), UNIT, total, total),
            occurred_on=DAY,
            purchase_id=bytes([purchase]) * 16,
            used=used,
            reserved={},
            funder=BANK,
            household=household,
        )
        keep(purchase % 3, used)

    held: Counter[tuple[int, str]] = Counter()
    for purchase, grant in grants.items():
        for pool, _, units in grant.budgets:
            held[-1 if household_in(pool) else purchase % 3, pool] += units
    counted = {(-1, key[0]): units for key, units in households.items() if units}
    counted |= {(of, key[0]): units for of, used in accounts.items() for key, units in used.items() if units}
    assert {key: units for key, units in held.items() if units} == counted
    assert all(0 < units <= cap.limit for units in counted.values())

    for purchase, grant in grants.items():
        used = {**accounts[purchase % 3], **households}
        release(programme, (grant,), DAY, bytes([purchase]) * 16, used)
        keep(purchase % 3, used)
    assert set() == {units for used in (households, *accounts.values()) for units in used.values()} - {0}


def test_the_household_of_a_purchase_is_the_one_in_force() -> None:
    """A fact counts from its moment to its end, and nothing is known where no cap counts households."""
    programme = replace(FIRST, caps=(capped(),))
    facts = [
        Fact(1, FactKind.HOUSEHOLD, "H-1", 100),
        Fact(2, FactKind.HOUSEHOLD, "H-2", 200, 300),
        Fact(3, FactKind.HOUSEHOLD, "", 400, None, holds=False),
    ]
    assert programme.asked is not None
    asked = programme.asked
    found = [member_at(asked, facts, at=at, on=DAY).household for at in (99, 100, 200, 299, 300, 400)]
    assert ["", "H-1", "H-2", "H-2", "H-1", ""] == found
    assert FIRST.asked is None


@pytest.mark.parametrize(
    ("text", "names"),
    [("H-12", True), ("a.b_c", True), ("x" * 32, True), ("x" * 33, False), ("", False), ("a b", False), ("a@b", False)],
)
def test_what_can_name_a_household(text: str, names: bool) -> None:
    """A key has few kinds of characters, none of which a counter's name needs for itself."""
    assert names == is_household(text)
    assert names == (refusal_of(FactKind.HOUSEHOLD, text, [FIRST], DAY) is None)
    if names:
        assert (text, "family") == (household_in(kept_counter("family", text)), cap_in(kept_counter("family", text)))


def test_a_counter_of_an_account_is_of_no_household() -> None:
    """Neither the account's own counter nor one of its cards is taken for a household's."""
    assert ("", "") == (household_in(kept_counter("family")), household_in("family#0a1b"))
