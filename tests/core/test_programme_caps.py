"""Mistakes in caps in money on miles: each is said at its place, with what to write instead."""

import pytest

from processor.core.cap import CapPeriod
from processor.core.programme import Programme
from processor.core.programme_document import parse_programme
from tests.core.test_programme_budgets import DOCUMENT, MERCHANTS

PENS = 'rules: [pens], period: quarter, amount: "15.00", currency: EUR'


def test_a_household_s_cap_of_one_purchase_means_nothing() -> None:
    """One purchase is of one household, as it is of one card."""
    text = DOCUMENT.replace("period: month, miles: 200, per: household", "period: purchase, miles: 200, per: household")
    found = parse_programme(text, merchants=MERCHANTS, source="programme.yaml", revision=1)

    assert isinstance(found, tuple)
    said = [(error.path, error.problem) for error in found]
    assert [("caps[0].per", "means nothing: one purchase is of one household")] == said


def test_a_household_has_no_billing_period_where_accounts_have_their_own() -> None:
    """Accounts with statement days of their own have no billing period in common."""
    text = DOCUMENT.replace("period: month, miles: 200, per", "period: billing-period, miles: 200, per")
    text = text.replace("    cut_off:", "    statement_day: 5\n    account_statement_days: true\n    cut_off:", 1)
    found = parse_programme(text, merchants=MERCHANTS, source="programme.yaml", revision=1)

    assert isinstance(found, tuple)
    assert ["caps[0].period"] == [error.path for error in found]
    assert "statement days of their own" in found[0].problem


@pytest.mark.parametrize(
    ("new", "path", "problem"),
    [
        (PENS.replace("[pens]", "[opening]"), "caps[2].rules[0]", "gives miles at the owner's cost"),
        (PENS.replace("EUR", "USD"), "caps[2].rules[0]", "write a cap in EUR"),
        (
            PENS.replace("15.00", "0.07"),
            "caps[2].amount",
            "is less than what one step of 'pens' costs, which is 0.0750",
        ),
        (PENS.replace("15.00", "15.001"), "caps[2].amount", "at most 2 decimals"),
        (PENS.replace("[pens]", "[pens, till]").replace("15.00", "9.00"), "caps[2].amount", "less than what 'till'"),
    ],
)
def test_a_mistake_is_said_at_its_place(new: str, path: str, problem: str) -> None:
    """One mistake gives one error, which names the value and says what to write."""
    assert 1 == DOCUMENT.count(PENS)
    found = parse_programme(DOCUMENT.replace(PENS, new), merchants=MERCHANTS, source="programme.yaml", revision=1)

    assert isinstance(found, tuple)
    assert [path] == [error.path for error in found]
    assert problem in f"{found[0].problem} {found[0].expected}"


def test_a_cap_in_money_may_share_miles_and_discounts() -> None:
    """One cap counts what earning and discount rules cost together; it is compiled to minor units."""
    text = DOCUMENT.replace(PENS, PENS.replace("[pens]", "[pens, till]"))
    compiled = parse_programme(text, merchants=MERCHANTS, source="programme.yaml", revision=1)

    assert isinstance(compiled, Programme)
    cap = compiled.caps[2]
    assert (frozenset({"pens", "till"}), CapPeriod.QUARTER, 1500, "EUR") == (
        cap.rules,
        cap.period,
        cap.limit,
        cap.currency,
    )
    assert {"pens": (cap,), "till": (cap,), "garden": (compiled.caps[0],)} == compiled.kept_caps_of_rule
    assert ((), ()) == (compiled.caps_on("pens", "TRM"), compiled.caps_on("till", "EUR"))
