"""Accrual: what a folded purchase is entitled to, rule by rule, and why nothing where it is nothing."""

from dataclasses import replace
from datetime import date

import pytest

from processor.core.accrual import Entitled, by_rule_and_unit, entitle, entitle_amounts
from processor.core.circumstances import Circumstances
from processor.core.conditions import Conditions
from processor.core.message import CardMessage
from processor.core.money import Rounding
from processor.core.outcome import Reason
from processor.core.programme import Programme
from processor.core.purchase import Amounts, Folded, fold
from processor.core.rule import AmountBase, Benefit, Funder, Rule
from tests.core.strategies import (
    FIRST,
    UNIT,
    authorized,
    declined,
    eur,
    events,
    presented,
    ratio,
    refunded,
    requested,
    reversed_,
    rule,
    taken_back,
    usd,
)

GBP = replace(eur(100_00), currency="GBP")
PAID = eur(100_00)
NO_AMOUNT = replace(authorized("a", PAID), amount=None)
NO_RULES = replace(FIRST, rules=())
EURO_ONLY = replace(FIRST, rules=(rule("base", Benefit.MILES, {"EUR": ratio(1, 200)}, funder=Funder.BANK),))


def entitled(*messages: CardMessage, programme: Programme = FIRST, product: str = "classic") -> Entitled:
    """Return what one purchase's messages are entitled to."""
    return entitle(programme, fold(events(*messages, product=product)))


SOMEWHERE = Circumstances(
    partner=None,
    sector="",
    product="classic",
    mcc="",
    acquirer="",
    acceptor="",
    channel="",
    currency="EUR",
    local_date=date(2026, 11, 28),
    local_time="",
)


def totals(result: Entitled) -> list[tuple[str, str, int, int]]:
    """Return rule, unit, total and cleared part of each entitlement."""
    return [(entry.rule.id, entry.unit, entry.total, entry.cleared) for entry in result.entitlements]


def amounts(*entries: tuple[str, int, int]) -> tuple[Amounts, ...]:
    """Return amounts of (currency, open, cleared)."""
    return tuple(
        Amounts(currency=currency, open_minor=open_minor, cleared_minor=cleared_minor)
        for currency, open_minor, cleared_minor in entries
    )


def of_rule(one: Rule, *entries: tuple[str, int, int]) -> list[tuple[str, int, int]]:
    """Return unit, total and cleared part of what one rule alone gives for amounts."""
    folded = Folded(anchor=None, transaction=amounts(*entries), billing=amounts(*entries))
    result = entitle_amounts(replace(FIRST, rules=(one,), caps=()), folded, partner=None, at=SOMEWHERE)
    return [(entry.unit, entry.total, entry.cleared) for entry in result.entitlements]


@pytest.mark.parametrize(
    ("messages", "programme", "reason"),
    [
        ((), FIRST, Reason.AWAITING_ORIGINAL),
        ((replace(reversed_("r", "a"), mcc="6011"),), FIRST, Reason.AWAITING_ORIGINAL),
        ((taken_back("r", PAID),), NO_RULES, Reason.AWAITING_ORIGINAL),
        ((replace(authorized("a", PAID), mcc="6011"),), FIRST, Reason.EXCLUDED),
        ((replace(authorized("a", PAID), processing_code="010000"),), FIRST, Reason.EXCLUDED),
        ((replace(authorized("a", eur(0)), mcc="6011"),), NO_RULES, Reason.EXCLUDED),
        ((replace(declined("a", PAID), mcc="6011"),), FIRST, Reason.EXCLUDED),
        ((replace(authorized("a", PAID), mcc="6011"), reversed_("r", "a")), FIRST, Reason.EXCLUDED),
        ((authorized("a", eur(0)),), NO_RULES, Reason.ZERO_AMOUNT),
        ((authorized("a", eur(0)), reversed_("r", "a")), FIRST, Reason.ZERO_AMOUNT),
        ((authorized("a", PAID), reversed_("r", "a")), NO_RULES, Reason.REVERSED),
        ((presented("r", PAID), refunded("c", PAID)), FIRST, Reason.REVERSED),
        ((NO_AMOUNT, presented("r", PAID), refunded("c", PAID)), FIRST, Reason.REVERSED),
        ((presented("r", PAID), taken_back("r", PAID)), FIRST, Reason.REVERSED),
        ((declined("a", PAID),), NO_RULES, Reason.DECLINED),
        ((declined("a", PAID), reversed_("r", "a")), FIRST, Reason.DECLINED),
        ((requested("a", PAID),), NO_RULES, Reason.UNDECIDED),
        ((requested("a", PAID), declined("a", PAID)), FIRST, Reason.DECLINED),
        ((replace(authorized("a", PAID), credit=True),), FIRST, Reason.UNCHANGED),
        ((refunded("c", PAID), replace(taken_back("c", PAID), credit=True)), FIRST, Reason.UNCHANGED),
        ((authorized("a", GBP),), NO_RULES, Reason.NO_RULE),
        ((authorized("a", GBP),), FIRST, Reason.CURRENCY_NOT_RATED),
        ((authorized("a", usd(100_00)),), EURO_ONLY, Reason.CURRENCY_NOT_RATED),
        ((authorized("a", PAID),), FIRST, None),
        ((authorized("a", eur(1)),), FIRST, None),
    ],
)
def test_why_nothing_is_due(messages: tuple[CardMessage, ...], programme: Programme, reason: Reason | None) -> None:
    """The guards stand in order of precedence: each holds whatever the ones below it would say."""
    result = entitled(*messages, programme=programme)
    assert reason is result.reason
    assert (reason is None) == bool(result.entitlements)


def test_an_excluded_purchase_still_names_its_partner() -> None:
    """What matched is kept for the explanation, whether it earns or not."""
    excluded = entitled(replace(authorized("a", PAID, place="grocer"), processing_code="010000"))
    assert excluded.partner is FIRST.partners["grocer"]
    assert entitled(reversed_("r", "a")).partner is None


@pytest.mark.parametrize(
    ("place", "product", "rules"),
    [
        ("corner", "classic", ["base"]),
        ("corner", "gold", ["base", "premium"]),
        ("grocer", "classic", ["base", "bonus"]),
        ("grocer", "gold", ["base", "bonus", "premium"]),
        ("fashion", "classic", ["base", "five-off", "owner-off"]),
        ("hotel", "gold", ["base", "bonus", "premium", "bank-off", "owner-off"]),
    ],
)
def test_which_rules_apply(place: str, product: str, rules: list[str]) -> None:
    """Every rule of the partner and product applies, in their order; one of all partners always does."""
    result = entitled(authorized("a", PAID, place=place), product=product)
    assert rules == [entry.rule.id for entry in result.entitlements]
    assert rules == [key[0] for key in by_rule_and_unit(result)]
    assert (None if place == "corner" else place) == (result.partner.id if result.partner else None)


@pytest.mark.parametrize(
    ("rounding", "miles_of"),
    [
        (Rounding.UP, {0: 0, 1: 1, 99: 1, 100: 1, 101: 1, 200: 1, 201: 2, 300: 2, 500: 3, 700: 4}),
        (Rounding.DOWN, {0: 0, 1: 0, 199: 0, 200: 1, 201: 1, 300: 1, 399: 1, 500: 2, 700: 3}),
        (Rounding.HALF_UP, {0: 0, 99: 0, 100: 1, 101: 1, 299: 1, 300: 2, 500: 3, 700: 4}),
        (Rounding.HALF_EVEN, {0: 0, 99: 0, 100: 0, 101: 1, 299: 1, 300: 2, 500: 2, 700: 4}),
    ],
)
def test_rounding(rounding: Rounding, miles_of: dict[int, int]) -> None:
    """One mile for 2.00 EUR under each rounding, and the same taken for a refund that stands alone."""
    one = rule("base", Benefit.MILES, {"EUR": ratio(1, 200)}, funder=Funder.BANK, rounding=rounding)
    for amount_minor, miles in miles_of.items():
        assert [(UNIT, miles, 0)] == of_rule(one, ("EUR", amount_minor, 0))
        assert [(UNIT, miles, miles)] == of_rule(one, ("EUR", 0, amount_minor))
        assert [(UNIT, -miles, -miles)] == of_rule(one, ("EUR", 0, -amount_minor))


BASE = FIRST.rule("base")
BONUS = replace(FIRST.rule("bonus"), when=Conditions())
FIVE_OFF = replace(FIRST.rule("five-off"), when=Conditions())


@pytest.mark.parametrize(
    ("one", "entries", "expected"),
    [
        (BASE, [("EUR", 199, 199)], [(UNIT, 1, 0)]),
        (BASE, [("EUR", 100_00, -100_00)], [(UNIT, 0, -50)]),
        (BASE, [("EUR", 100_00, -30_00)], [(UNIT, 35, -15)]),
        (BASE, [("EUR", 199, 0), ("USD", 219, 0)], [(UNIT, 0, 0)]),
        (BASE, [("EUR", 200, 0), ("USD", 0, 220)], [(UNIT, 2, 1)]),
        (BASE, [("EUR", 200, 0), ("GBP", 100_00, 0)], [(UNIT, 1, 0)]),
        (BASE, [("GBP", 100_00, 0)], []),
        (BONUS, [("USD", 220, 440)], [(UNIT, 9, 6)]),
        (FIVE_OFF, [("EUR", 30, 0)], [("EUR", 2, 0)]),
        (FIVE_OFF, [("EUR", 0, 10), ("GBP", 40, 0), ("USD", 0, -100)], [("EUR", 0, 0), ("GBP", 2, 0), ("USD", -5, -5)]),
    ],
)
def test_what_a_rule_gives(
    one: Rule, entries: list[tuple[str, int, int]], expected: list[tuple[str, int, int]]
) -> None:
    """The whole is rounded once a currency; miles of all rated currencies add up, a discount is one per currency."""
    assert expected == of_rule(one, *entries)


def test_a_rule_measures_its_base() -> None:
    """A rule on the billing amount sees what the holder is billed, one on the transaction amount the receipt."""
    result = entitled(
        authorized("a", usd(110_00), eur(99_00), "grocer"), presented("r", usd(110_00), eur(101_00), (1, 2), "grocer")
    )
    assert {AmountBase.BILLING, AmountBase.TRANSACTION} == {entry.rule.base for entry in result.entitlements}
    assert [("base", UNIT, 50, 50), ("bonus", UNIT, 150, 150)] == totals(result)


def test_rules_without_a_rate_are_named() -> None:
    """A rule that does not rate the currency is named as such and leaves the others alone."""
    result = entitled(authorized("a", usd(220_00)), product="gold")
    assert [("base", UNIT, 100, 0)] == totals(result)
    assert ("premium",) == result.unrated


def test_entitled_to_nothing_is_not_unrated() -> None:
    """An amount too small for one unit is entitled to nothing, by a rule that does rate it."""
    result = entitled(authorized("a", eur(199)))
    assert [("base", UNIT, 0, 0)] == totals(result)
    assert () == result.unrated


@pytest.mark.parametrize("product", ["gold", "classic"])
def test_the_product_of_the_purchase_counts(product: str) -> None:
    """The product is the one of the event that says where the purchase happened, not of what came later."""
    (first,) = events(authorized("a", PAID), product=product)
    (later,) = events(authorized("b", PAID), product="platinum")
    result = entitle(FIRST, fold([later._replace(at=first.at + 1, message_id=b"later"), first]))
    assert (product == "gold") == ("premium" in {entry.rule.id for entry in result.entitlements})
