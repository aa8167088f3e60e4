"""Postings: the code's templates and accounts are those of ``docs/ledger.md``, and each is posted by some message."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest

from processor.core.grant import Grant
from processor.core.message import CardMessage
from processor.core.money import Money
from processor.core.owner_accrual import AccrualState, step_postings
from processor.core.posting import (
    BETWEEN_PARTIES,
    MEMBER_AVAILABLE,
    MEMBER_PENDING,
    MEMBER_PROVISIONAL,
    MEMBER_REWARDS,
    MEMBER_REWARDS_PENDING,
    MEMBER_SUSPENSE,
    PROGRAMME_ADJUSTED,
    PROGRAMME_PROMISED,
    PROGRAMME_REWARDS_PROMISED,
    PROGRAMME_REWARDS_USED,
    PROGRAMME_WRITTEN_OFF,
    REVERSE_OF,
    ChargeKey,
    Posting,
    Template,
    charge_postings,
    charges_due,
    funder_party,
    miles_postings,
    move,
    party_kept,
    party_miles,
    party_of,
    party_rewards,
    party_settlement,
    reward_postings,
)
from processor.core.rule import Benefit, Funder
from processor.core.spent import Kept, kept_postings
from tests.core.strategies import (
    BANK,
    FIRST,
    OWNER,
    SECOND,
    UNIT,
    Books,
    authorized,
    decided,
    eur,
    events,
    financial,
    presented,
    refunded,
    reversed_,
    taken_back,
    usd,
)

LEDGER: Final = (Path(__file__).parents[2] / "docs" / "ledger.md").read_text(encoding="utf-8")
PAID: Final = eur(100_00)


def table(heading: str) -> list[dict[str, str]]:
    """Return the table below a heading of the page, one row by its column names."""
    section = LEDGER.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line.strip("| ") for line in section.split("\n") if line.startswith("|")]
    names, _, *rows = [[cell.strip().strip("`") for cell in re.split(r"\s*\|\s*", line)] for line in lines]
    return [dict(zip(names, [""] * (len(names) - len(row)) + row, strict=True)) for row in rows]


TEMPLATES: Final = {row["template"]: row for row in table("Posting templates")}
"""The page's templates by name."""


def test_the_page_lists_the_ledger_accounts() -> None:
    """Every account that code can post to stands on the page, and no other."""
    assert {
        MEMBER_PENDING,
        MEMBER_AVAILABLE,
        MEMBER_PROVISIONAL,
        MEMBER_SUSPENSE,
        PROGRAMME_PROMISED,
        PROGRAMME_ADJUSTED,
        MEMBER_REWARDS_PENDING,
        MEMBER_REWARDS,
        PROGRAMME_REWARDS_PROMISED,
        PROGRAMME_REWARDS_USED,
        party_rewards("ID"),
        party_kept("ID"),
        PROGRAMME_WRITTEN_OFF,
        party_miles("ID"),
        party_settlement("ID"),
    } == {row["ledger account"] for row in table("Ledger accounts")}


def test_the_page_lists_the_templates() -> None:
    """The page's templates stand in the order of their stored numbers, which run from one without a gap."""
    assert [template.name.lower() for template in sorted(Template)] == list(TEMPLATES)
    assert list(range(1, len(Template) + 1)) == sorted(Template)


def test_the_page_says_which_postings_two_parties_settle() -> None:
    """The templates between two parties are those that the page says are."""
    assert {template.name.lower() for template in BETWEEN_PARTIES} == {
        name for name, row in TEMPLATES.items() if row["between two parties"] == "yes"
    }


def test_each_template_is_taken_back_by_its_mirror() -> None:
    """Every template gives or takes back, and the one that takes back exchanges debit and credit on the page."""
    assert sorted(Template) == sorted([*REVERSE_OF, *REVERSE_OF.values()])
    for given, taken in REVERSE_OF.items():
        one, other = TEMPLATES[given.name.lower()], TEMPLATES[taken.name.lower()]
        assert (one["debit"], one["credit"], one["unit"]) == (other["credit"], other["debit"], other["unit"])


CASES: Final[dict[Template, tuple[tuple[CardMessage, ...], str, int]]] = {
    Template.MILES_PROMISED: ((authorized("a", PAID),), BANK, 50),
    Template.MILES_PROMISE_RELEASED: ((authorized("a", PAID), reversed_("r", "a")), BANK, 50),
    Template.MILES_ISSUED: ((financial("f", eur(10_00), place="grocer"),), "fresh-foods", 10),
    Template.MILES_CLAWED_BACK: (
        (presented("r", PAID, place="grocer"), taken_back("r", PAID)),
        "fresh-foods",
        100,
    ),
    Template.MILES_CHARGED: ((presented("r", PAID, place="hotel"),), "harbor-hotels", 130),
    Template.MILES_CHARGE_RETURNED: ((presented("r", PAID), refunded("c", PAID)), BANK, 40),
    Template.DISCOUNT_CHARGED: ((presented("r", usd(100_00), place="fashion"),), "moda-group", 5_00),
    Template.DISCOUNT_RETURNED: (
        (presented("r", usd(100_00), place="fashion"), refunded("c", usd(40_00))),
        "moda-group",
        2_00,
    ),
}
"""Messages that post each template of a purchase, who pays, and how much."""


CHARGED: Final = {
    Template.TILL_DISCOUNT_CHARGED: (OWNER, "moda-group"),
    Template.REWARD_CHARGED: (BANK, OWNER),
    Template.FEE_SHARED: (BANK, OWNER),
}
"""Debtor and creditor of the charges that rules of other tests give."""
STEPS: Final[dict[Template, tuple[AccrualState, AccrualState, int]]] = {
    Template.MILES_ACCEPTED: (AccrualState.SENT, AccrualState.ACCEPTED, 7),
    Template.MILES_RETURN_ACCEPTED: (AccrualState.SENT, AccrualState.ACCEPTED, -7),
    Template.MILES_SUSPENDED: (AccrualState.SENT, AccrualState.SUSPENDED, 7),
    Template.MILES_UNSUSPENDED: (AccrualState.SUSPENDED, AccrualState.WAITING, 7),
    Template.MILES_WRITTEN_OFF: (AccrualState.SUSPENDED, AccrualState.WRITTEN_OFF, 7),
    Template.MILES_RETURN_WRITTEN_OFF: (AccrualState.SUSPENDED, AccrualState.WRITTEN_OFF, -7),
}
"""Steps of an accrual that post each template of the ledger at the owner: the state before, after, and the miles."""


def posted_by(template: Template) -> tuple[Posting, str, str]:
    """Return one posting of a template, who pays for it, and the currency of its purchase."""
    if template in STEPS:
        state, following, miles = STEPS[template]
        (posting,) = step_postings(state, following, miles, UNIT)
        return posting, "", ""
    if template not in CASES:
        given = next(one for one, other in REVERSE_OF.items() if template in {one, other})
        sign = 1 if template is given else -1
        if given in CHARGED:
            debtor, creditor = CHARGED[given]
            charge = ChargeKey(template=given, debtor=debtor, creditor=creditor, currency="EUR")
            (posting,) = charge_postings({}, {charge: sign * 7})
            return posting, debtor, "EUR"
        if given in {Template.REWARD_PROMISED, Template.REWARD_GRANTED}:
            some = grant(7, 7 if given is Template.REWARD_GRANTED else 0)
            before, after = (grant(0, 0), some) if sign > 0 else (some, grant(0, 0))
            (posting,) = reward_postings(before, after, BANK)
            return posting, BANK, ""
        if given is Template.MILES_KEPT:
            kept = (Kept("base", UNIT, BANK, 7),)
            (posting,) = kept_postings((), kept) if sign > 0 else kept_postings(kept, ())
            return posting, BANK, ""
        if given is Template.REWARD_USED:
            (posting,) = move(given, MEMBER_REWARDS, PROGRAMME_REWARDS_USED, UNIT, sign * 7)
            return posting, "", ""
        (posting,) = move(Template.ADJUSTMENT_GIVEN, PROGRAMME_ADJUSTED, MEMBER_AVAILABLE, UNIT, sign * 7)
        return posting, "", ""
    messages, funder, amount = CASES[template]
    books = decided(*messages, revisions=(FIRST,))
    money = messages[0].amount
    assert money is not None
    (posting,) = (
        entry
        for entry in books.postings
        if (entry.template, entry.amount) == (template, amount)
        and (template.name.startswith("MILES_PROMISE") or f"party/{funder}/" in f"{entry.debit}{entry.credit}")
    )
    return posting, funder, money.currency


@pytest.mark.parametrize("template", Template, ids=lambda template: template.name)
def test_each_template_is_posted_as_the_page_says(template: Template) -> None:
    """Some message posts each template, with the page's debit, credit and unit, and an amount above nothing."""
    posting, funder, currency = posted_by(template)
    row = TEMPLATES[template.name.lower()]
    names = {"FUNDER": funder, "OWNER": OWNER, "BANK": BANK, "RETAILER": "moda-group"}
    units = {
        "miles": UNIT,
        "the reward": UNIT,
        "reward's currency": currency,
        "purchase's currency": currency,
        "funder's currency": FIRST.parties[funder].currency if funder else "",
    }
    debit, credit = (
        re.sub("FUNDER|OWNER|BANK|RETAILER", lambda found: names[found.group()], row[side])
        for side in ("debit", "credit")
    )
    assert (template, debit, credit, units[row["unit"]]) == (
        posting.template,
        posting.debit,
        posting.credit,
        posting.unit,
    )
    assert posting.amount > 0
    assert (row["between two parties"] == "yes") is posting.between_parties


def test_the_page_s_example_is_what_is_posted() -> None:
    """The example's messages post what stands beside them, in its order."""
    builders: dict[str, Callable[[str, Money], CardMessage]] = {
        "authorization": authorized,
        "presentment": presented,
        "refund": refunded,
    }
    messages: list[CardMessage] = []
    expected: list[list[tuple[str, str, str, Decimal, str]]] = []
    for row in table("An example"):
        if row["message"]:
            kind, amount, currency = row["message"].split()
            assert "EUR" == currency
            messages.append(builders[kind](f"m{len(messages)}", eur(int(Decimal(amount) * 100))))
            expected.append([])
        amount, unit = row["amount"].split()
        expected[-1].append((row["posting"], row["debit"], row["credit"], Decimal(amount), unit))
    books = Books(revisions=(FIRST,))
    actual = [
        [
            (
                posting.template.name.lower(),
                posting.debit,
                posting.credit,
                Decimal(posting.amount) if posting.unit == UNIT else Decimal(posting.amount) / 100,
                "miles" if posting.unit == UNIT else posting.unit,
            )
            for posting in books.take(bytes(16), event).postings
        ]
        for event in events(*messages)
    ]
    assert expected == actual
    assert 3 == len(actual)


def test_a_signed_amount_moves_one_way() -> None:
    """Above zero the template itself, below zero its mirror, at zero nothing."""
    given, taken = (
        Posting(template=template, debit=debit, credit=credit, unit=UNIT, amount=5, rule="base")
        for template, debit, credit in (
            (Template.MILES_ISSUED, party_miles(BANK), MEMBER_AVAILABLE),
            (Template.MILES_CLAWED_BACK, MEMBER_AVAILABLE, party_miles(BANK)),
        )
    )
    for amount, expected in ((5, [given]), (-5, [taken]), (0, [])):
        assert expected == list(move(Template.MILES_ISSUED, party_miles(BANK), MEMBER_AVAILABLE, UNIT, amount, "base"))


def test_a_mirror_cannot_be_moved_from() -> None:
    """A negative amount of what already takes back is a mistake of the caller, and is refused."""
    with pytest.raises(KeyError):
        list(move(Template.MILES_CLAWED_BACK, MEMBER_AVAILABLE, party_miles(BANK), UNIT, -5))


@pytest.mark.parametrize("party", [BANK, "fresh-foods"])
def test_an_account_names_its_party(party: str) -> None:
    """The party of an account is found again in its name."""
    assert {party} == {party_of(party_miles(party)), party_of(party_settlement(party))}


@pytest.mark.parametrize(
    ("funder", "partner", "party"),
    [
        (Funder.BANK, "grocer", BANK),
        (Funder.BANK, None, BANK),
        (Funder.OWNER, "grocer", OWNER),
        (Funder.PARTNER, "grocer", "fresh-foods"),
        (Funder.PARTNER, "hotel", "harbor-hotels"),
    ],
)
def test_who_pays(funder: Funder, partner: str | None, party: str) -> None:
    """The bank, the owner, or the retailer behind the matched partner pays."""
    assert party == funder_party(FIRST, funder, bank=BANK, partner=FIRST.partners[partner] if partner else None)


def grant(granted: int, available: int, unit: str = UNIT) -> Grant:
    """Return a grant of the base rule."""
    return Grant(rule="base", unit=unit, entitled=granted, granted=granted, available=available)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (grant(0, 0), grant(50, 0), [("miles_promised", 50)]),
        (grant(0, 0), grant(50, 50), [("miles_issued", 50)]),
        (grant(0, 0), grant(50, 20), [("miles_promised", 30), ("miles_issued", 20)]),
        (grant(50, 0), grant(50, 50), [("miles_promise_released", 50), ("miles_issued", 50)]),
        (grant(50, 0), grant(55, 55), [("miles_promise_released", 50), ("miles_issued", 55)]),
        (grant(50, 50), grant(50, 0), [("miles_promised", 50), ("miles_clawed_back", 50)]),
        (grant(50, 50), grant(0, 0), [("miles_clawed_back", 50)]),
        (grant(50, 50), grant(-5, -5), [("miles_clawed_back", 55)]),
        (grant(50, 0), grant(35, -15), [("miles_clawed_back", 15)]),
        (grant(50, 0), grant(0, 0), [("miles_promise_released", 50)]),
        (grant(50, 20), grant(50, 20), []),
    ],
)
def test_what_turns_one_grant_into_another(before: Grant, after: Grant, expected: Sequence[tuple[str, int]]) -> None:
    """Pending and available each move by their own difference."""
    postings = list(miles_postings(before, after, BANK))
    assert expected == [(posting.template.name.lower(), posting.amount) for posting in postings]
    assert {("base", UNIT)} >= {(posting.rule, posting.unit) for posting in postings}


MILES, DISCOUNT = Benefit.MILES, Benefit.DISCOUNT


def miles_of(funder: str, currency: str = "EUR") -> ChargeKey:
    """Return what a funder owes the owner for miles."""
    return ChargeKey(template=Template.MILES_CHARGED, debtor=funder, creditor=OWNER, currency=currency)


def discount_of(funder: str, currency: str = "EUR") -> ChargeKey:
    """Return what a funder owes the bank for discounts."""
    return ChargeKey(template=Template.DISCOUNT_CHARGED, debtor=funder, creditor=BANK, currency=currency)


@pytest.mark.parametrize(
    ("grants", "due"),
    [
        ([], {}),
        ([(grant(50, 0), MILES, BANK)], {miles_of(BANK): 0}),
        ([(grant(55, 55), MILES, BANK)], {miles_of(BANK): 44}),
        ([(grant(-55, -55), MILES, BANK)], {miles_of(BANK): -44}),
        ([(grant(3, 3), MILES, BANK)], {miles_of(BANK): 2}),
        ([(grant(2, 2), MILES, BANK), (grant(1, 1), MILES, BANK)], {miles_of(BANK): 2}),
        ([(grant(2, 2), MILES, BANK), (grant(2, 2), MILES, BANK)], {miles_of(BANK): 3}),
        ([(grant(50, 50), MILES, OWNER)], {}),
        ([(grant(50, 50), MILES, "moda-group")], {}),
        ([(grant(5, 5), MILES, "fresh-foods")], {miles_of("fresh-foods"): 6}),
        ([(grant(1, 1), MILES, "harbor-hotels")], {miles_of("harbor-hotels", "USD"): 2}),
        ([(grant(5_00, 5_00, "USD"), DISCOUNT, "moda-group")], {discount_of("moda-group", "USD"): 5_00}),
        ([(grant(5_00, 0, "USD"), DISCOUNT, "moda-group")], {discount_of("moda-group", "USD"): 0}),
        ([(grant(5_00, 5_00, "EUR"), DISCOUNT, BANK)], {}),
        ([(grant(1_00, 1_00, "EUR"), DISCOUNT, OWNER)], {discount_of(OWNER): 1_00}),
        (
            [(grant(1_00, 1_00, "EUR"), DISCOUNT, "moda-group"), (grant(2_00, 2_00, "EUR"), DISCOUNT, "moda-group")],
            {discount_of("moda-group"): 3_00},
        ),
    ],
)
def test_what_a_funder_owes(grants: list[tuple[Grant, Benefit, str]], due: dict[ChargeKey, int]) -> None:
    """Miles are priced over a funder's total and rounded once; the owner's miles and the bank's discounts are free."""
    assert due == charges_due(FIRST, grants, bank=BANK)


def test_the_owner_never_pays_itself() -> None:
    """Miles at the owner's own cost move no money, whatever price its party states."""
    priced = replace(FIRST.parties[OWNER], mile_price=FIRST.parties[BANK].mile_price)
    programme = replace(FIRST, parties={**FIRST.parties, OWNER: priced})
    assert {} == charges_due(programme, [(grant(50, 50), MILES, OWNER)], bank=BANK)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, {miles_of(BANK): 40}, [("miles_charged", BANK, OWNER, "EUR", 40)]),
        ({miles_of(BANK): 40}, {miles_of(BANK): 36}, [("miles_charge_returned", OWNER, BANK, "EUR", 4)]),
        ({miles_of(BANK): 40}, {}, [("miles_charge_returned", OWNER, BANK, "EUR", 40)]),
        ({miles_of(BANK): 40}, {miles_of(BANK): 40}, []),
        (
            {miles_of("fresh-foods"): 11},
            {miles_of("fresh-foods", "USD"): 15, discount_of("moda-group"): 5, miles_of(BANK): 4},
            [
                ("miles_charged", BANK, OWNER, "EUR", 4),
                ("miles_charge_returned", OWNER, "fresh-foods", "EUR", 11),
                ("miles_charged", "fresh-foods", OWNER, "USD", 15),
                ("discount_charged", "moda-group", BANK, "EUR", 5),
            ],
        ),
    ],
)
def test_what_turns_charges_into_others(
    before: dict[ChargeKey, int], after: dict[ChargeKey, int], expected: list[tuple[str, str, str, str, int]]
) -> None:
    """Each charge moves by its own difference, in an order that does not depend on how they were found."""
    for reordered in (after, dict(reversed(after.items()))):
        assert expected == [
            (
                posting.template.name.lower(),
                party_of(posting.debit),
                party_of(posting.credit),
                posting.unit,
                posting.amount,
            )
            for posting in charge_postings(before, reordered)
        ]


def test_a_price_in_another_currency_than_the_funder_settles_in() -> None:
    """Money is owed in the currency of the price, which a revision may change."""
    assert {miles_of("fresh-foods", "USD"): 15} == charges_due(
        SECOND, [(grant(10, 10), Benefit.MILES, "fresh-foods")], bank=BANK
    )
