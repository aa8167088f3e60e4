"""Soft rewards and fees: what gives them, how long they are valid, what takes them back, and who owes whom."""

from collections import Counter
from dataclasses import replace
from datetime import date
from pathlib import Path
from random import Random
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.core.cap import Cap, CapPeriod
from processor.core.conditions import AmountRange
from processor.core.message import CardMessage, MessageKind
from processor.core.posting import MEMBER_REWARDS, MEMBER_REWARDS_PENDING, Posting, Template, party_of
from processor.core.programme import Programme
from processor.core.programme_document import parse_programme
from processor.core.reward import Price, SoftReward, Validity, is_reward
from processor.core.rule import AmountBase, Benefit, Funder, Rule
from tests.core.strategies import (
    BANK,
    FIRST,
    OWNER,
    UNIT,
    Books,
    Histories,
    arrivals,
    authorized,
    decided,
    disputed,
    eur,
    events,
    financial,
    histories,
    presented,
    ratio,
    refunded,
    reversed_,
    rule,
    taken_back,
)

FOLDER: Final = Path(__file__).parents[2] / "examples" / "programmes" / "closed-club"
DOCUMENT: Final = (FOLDER / "programme.yaml").read_text(encoding="utf-8")
MERCHANTS: Final = {"merchants.csv": (FOLDER / "merchants.csv").read_text(encoding="utf-8")}


def reward(name: str, count: int, funder: Funder, *partners: str) -> Rule:
    """Return a rule that gives visits for purchases of 50.00 EUR and more."""
    given = rule(name, Benefit.REWARD, {}, funder=funder, partners=partners)
    when = replace(given.when, amounts={"EUR": AmountRange(lowest=50_00, highest=None)})
    return replace(given, fixed={"visit": count}, entitlement="visit", when=when)


VISIT: Final = SoftReward(id="visit", name="Visit", counted=True, price=Price(amount_minor=18_00, currency="EUR"))
MILES: Final = rule("base", Benefit.MILES, {"EUR": ratio(1, 100)}, funder=Funder.BANK)
CLUB: Final = replace(FIRST, rules=(MILES, reward("two", 2, Funder.BANK, "grocer")), caps=(), rewards={"visit": VISIT})
PAID: Final = presented("r", eur(100_00), place="grocer")


def held(books: Books) -> tuple[int, int]:
    """Return the visits that are promised and granted, as the ledger says."""
    balances = books.balances()
    return balances.get((MEMBER_REWARDS_PENDING, "visit"), 0), balances.get((MEMBER_REWARDS, "visit"), 0)


def owed(postings: list[Posting], given: Template, taken: Template) -> dict[tuple[str, str], int]:
    """Return who owes whom by one template and its reverse, netted by pair."""
    sums: Counter[tuple[str, str]] = Counter()
    for posting in postings:
        debtor, creditor = party_of(posting.debit), party_of(posting.credit)
        if posting.template is given:
            sums[debtor, creditor] += posting.amount
        elif posting.template is taken:
            sums[creditor, debtor] -= posting.amount
    return {pair: amount for pair, amount in sums.items() if amount}


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ((authorized("a", eur(100_00), place="grocer"),), (2, 0)),
        ((authorized("a", eur(49_99), place="grocer"),), (0, 0)),
        ((authorized("a", eur(100_00), place="hotel"),), (0, 0)),
        ((authorized("a", eur(100_00), place="grocer"), reversed_("b", "a")), (0, 0)),
        ((authorized("a", eur(100_00), place="grocer"), PAID), (0, 2)),
        ((financial("f", eur(100_00), place="grocer"),), (0, 2)),
        ((PAID, refunded("r", eur(100_00))), (0, 0)),
        ((PAID, refunded("r", eur(50_00))), (0, 2)),
        ((PAID, refunded("r", eur(50_01))), (0, 0)),
        ((PAID, disputed(MessageKind.CHARGEBACK, "r", eur(100_00))), (0, 0)),
        ((PAID, taken_back("r", eur(100_00))), (0, 0)),
        ((refunded("r", eur(100_00)),), (0, 0)),
    ],
)
def test_what_a_purchase_gives(messages: tuple[CardMessage, ...], expected: tuple[int, int]) -> None:
    """A reward is promised, granted once something clears, and taken back with the purchase."""
    assert expected == held(decided(*messages, revisions=(CLUB,)))


def test_a_priced_reward_is_owed_to_the_owner() -> None:
    """The funder owes the owner the price of each, and has it back when the reward is taken back."""
    charged = Template.REWARD_CHARGED, Template.REWARD_CHARGE_RETURNED
    assert {(BANK, OWNER): 36_00} == owed(decided(PAID, revisions=(CLUB,)).postings, *charged)
    undone = decided(PAID, refunded("r", eur(100_00)), revisions=(CLUB,))
    assert {} == owed(undone.postings, *charged)
    assert {} == {key: amount for key, amount in undone.balances().items() if "settlement" not in key[0]}


@pytest.mark.parametrize(
    "programme",
    [
        replace(CLUB, rewards={"visit": replace(VISIT, price=None)}),
        replace(CLUB, rules=(reward("two", 2, Funder.OWNER, "grocer"),)),
    ],
)
def test_a_reward_without_a_price_or_of_the_owner_moves_no_money(programme: Programme) -> None:
    """Nobody owes anything for what has no price, and the owner never pays itself."""
    books = decided(PAID, revisions=(programme,))
    assert (0, 2) == held(books)
    assert {} == owed(books.postings, Template.REWARD_CHARGED, Template.REWARD_CHARGE_RETURNED)


def test_a_cap_leaves_what_is_left_and_takes_it_back() -> None:
    """Three visits a year: the second purchase gets one, and the first one's refund frees its two for later ones."""
    cap = Cap(id="few", rules=frozenset({"two"}), period=CapPeriod.YEAR, limit=3, currency=None)
    books = Books(revisions=(replace(CLUB, caps=(cap,)),))
    for number in range(3):
        (event,) = events(presented(f"r{number}", eur(100_00), place="grocer"))
        books.take(bytes([number] * 16), event)
    assert [2, 1, 0] == [
        sum(grant.granted for grant in books.purchases[bytes([number] * 16)].grants if grant.rule == "two")
        for number in range(3)
    ]
    assert {3} == set(books.used.values())


@pytest.mark.parametrize(
    ("validity", "expected"),
    [
        (Validity(days=365), date(2027, 2, 2)),
        (Validity(days=1), date(2026, 2, 3)),
        (Validity(until=date(2027, 2, 28)), date(2027, 2, 28)),
        (Validity(end_of_year=True), date(2026, 12, 31)),
        (Validity(), date.max),
    ],
)
def test_how_long_a_reward_is_valid(validity: Validity, expected: date) -> None:
    """The last day counts from the purchase's local date."""
    assert expected == validity.last_day(date(2026, 2, 2))


def test_a_unit_says_what_it_counts() -> None:
    """Rewards are told from miles and money by their unit."""
    assert [True, False, False] == [is_reward(unit) for unit in ("lounge-access", UNIT, "EUR")]


FEE: Final = replace(
    CLUB,
    rules=(
        MILES,
        rule("fee", Benefit.FEE, {"*": ratio(4, 5)}, funder=Funder.BANK, partners=("grocer",)),
        rule("off", Benefit.DISCOUNT, {"*": ratio(1, 10)}, funder=Funder.PARTNER, partners=("grocer", "fashion")),
        reward("two", 2, Funder.BANK, "grocer"),
    ),
)
SHARED: Final = (Template.FEE_SHARED, Template.FEE_SHARE_RETURNED)


def test_a_fee_is_shared_and_earns_nothing() -> None:
    """The bank owes the owner its share at presentment; no miles and no discount, but rewards."""
    assert {} == owed(decided(authorized("a", eur(100_00), place="grocer"), revisions=(FEE,)).postings, *SHARED)
    books = decided(PAID, revisions=(FEE,))
    assert {(BANK, OWNER): 80_00} == owed(books.postings, *SHARED)
    assert ((0, 0), (0, 2)) == (books.miles(), held(books))
    assert {} == owed(books.postings, Template.DISCOUNT_CHARGED, Template.DISCOUNT_RETURNED)


def test_a_fee_given_back_is_returned() -> None:
    """What was shared of the part that is given back goes back, and with all of it the rewards."""
    assert {(BANK, OWNER): 40_00} == owed(decided(PAID, refunded("r", eur(50_00)), revisions=(FEE,)).postings, *SHARED)
    whole = decided(PAID, refunded("r", eur(100_00)), revisions=(FEE,))
    assert ({}, (0, 0)) == (owed(whole.postings, *SHARED), held(whole))


def test_other_purchases_earn_beside_a_fee_rule() -> None:
    """A fee rule changes nothing for what it does not cover."""
    books = decided(presented("r", eur(100_00), place="fashion"), revisions=(FEE,))
    assert ((0, 100), {}) == (books.miles(), owed(books.postings, *SHARED))


LAW: Final = settings(max_examples=100, deadline=None)


def kept(history: Histories, random: Random | None = None) -> Books:
    """Return the books after a history, in its order or in another one."""
    arrived = arrivals(history)
    if random is not None:
        random.shuffle(arrived)
    books = Books(revisions=(FEE,))
    for purchase, event in arrived:
        books.take(purchase, event)
    return books


@given(history=histories(3), random=st.randoms(use_true_random=False))
@LAW
def test_no_order_of_arrival_changes_rewards_and_shares(history: Histories, random: Random) -> None:
    """Where no cap binds, rewards, their price and the shares of fees are the same in any order."""
    one, other = kept(history), kept(history, random)
    assert one.balances() == other.balances()


@given(history=histories(3))
@LAW
def test_rewards_are_conserved(history: Histories) -> None:
    """Every visit that a member holds or is promised was given at a funder's cost, and is held by its purchase."""
    books = kept(history)
    balances = books.balances()
    assert 0 == sum(amount for (_, unit), amount in balances.items() if unit == "visit")
    grants = [grant for purchase in books.purchases.values() for grant in purchase.grants if grant.unit == "visit"]
    assert held(books) == (sum(grant.pending for grant in grants), sum(grant.available for grant in grants))
    price = 18_00 * sum(grant.available for grant in grants)
    assert price == sum(owed(books.postings, Template.REWARD_CHARGED, Template.REWARD_CHARGE_RETURNED).values())


@pytest.mark.parametrize(
    ("old", "new", "path", "problem"),
    [
        ("kind: status}", "kind: state}", "entitlements[0].kind", "is 'state'"),
        ("{id: fitting, name", "{id: lounge-access, name", "entitlements[2].id", "is taken by line"),
        ("entitlement: fitting", "entitlement: fiting", "rewards[3].entitlement", "did you mean 'fitting'?"),
        ("entitlement: fitting", "entitlement: club-member", "entitlements[2].id", "is given by no rule"),
        ("entitlement: club-member", "entitlement: club-member\n    count: 2", "rewards[0].count", "is a status"),
        ("count: 2\n", "count: 0\n", "rewards[1].count", "is the number 0"),
        ("valid: end-of-year", "valid: end-of-month", "rewards[2].valid", "is 'end-of-month'"),
        ("until: 2027-02-28", "until: 2027-02-30", "rewards[3].valid.until", "is no such day"),
        ('amount: "18.00"', 'amount: "18.001"', "entitlements[1].price.amount", "at most 2 decimals"),
        ("currency: EUR}}", "currency: EUX}}", "entitlements[1].price.currency", "is no currency"),
        ("id: large-purchase", "id: club-fee", "fees[0].id", "is taken by line"),
        ('share: "80"', 'share: "180"', "fees[0].share", "is '180'"),
        (
            "  - id: club-fee\n    partners: [club-desk]",
            "  - id: club-fee\n    partners: all",
            "fees[0].partners",
            "every purchase would be a fee",
        ),
        ("rules: [large-purchase], period", "rules: [base], period", "caps[0].rules[0]", "gives no reward"),
        ("rules: [large-purchase], period", "rules: [club-fee], period", "caps[0].rules[0]", "is a fee"),
        ("period: year, count: 3", "period: year, miles: 3", "caps[0].rules[0]", "the cap counts none"),
        (
            "rules: [large-purchase], period: year, count: 3",
            "rules: [yearly-lounge], period: year, count: 1",
            "caps[0].count",
            "write 2 or more",
        ),
        ("    funder: partner\n\nearning", "    funder: shop\n\nearning", "rewards[3].funder", "is 'shop'"),
    ],
)
def test_a_mistake_is_said_at_its_place(old: str, new: str, path: str, problem: str) -> None:
    """One change of a sound document gives an error at the path of the change, with its line and column."""
    assert 1 == DOCUMENT.count(old), old
    errors = parse_programme(DOCUMENT.replace(old, new), merchants=MERCHANTS, source="programme.yaml", revision=1)

    assert isinstance(errors, tuple)
    found = [error for error in errors if error.path == path]
    assert any(problem in str(error) for error in found), [str(error) for error in errors]
    assert all(error.line > 1 and error.column > 1 for error in found)


def test_what_a_document_says_is_compiled() -> None:
    """The example's entitlements, rewards and fee come out as they are written."""
    compiled = parse_programme(DOCUMENT, merchants=MERCHANTS, source="programme.yaml", revision=1)
    assert isinstance(compiled, Programme)
    assert SoftReward(id="fitting", name="Private fitting", counted=True, price=None) == compiled.rewards["fitting"]
    lounge = compiled.rule("yearly-lounge")
    assert (Benefit.REWARD, {"lounge-access": 2}, Validity(days=365)) == (lounge.benefit, lounge.fixed, lounge.validity)
    fee = compiled.rule("club-fee")
    assert (Benefit.FEE, {"*": ratio(4, 5)}, AmountBase.BILLING) == (fee.benefit, fee.rates, fee.base)
