"""Exchange rates: which figure stands on a day, what an amount is worth by it, and that order and undo stay exact."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.accrual import entitle_amounts
from processor.core.circumstances import Circumstances
from processor.core.conditions import AmountRange, Conditions
from processor.core.exchange import Exchange, Quotation, Quote, RateSource
from processor.core.money import Rounding, divide, exponent
from processor.core.programme import Programme
from processor.core.purchase import Amounts, Folded
from processor.core.rule import AmountBase, Benefit, Convert, Funder, Rule
from tests.core.strategies import FIRST, UNCAPPED, Histories, arrivals, histories, ratio, rule
from tests.core.test_expression import AT
from tests.core.test_laws import LAW, RANDOM, kept, shuffled, undoing

MONDAY: Final = date(2026, 11, 9)
TO_EUR: Final = Convert(to="EUR", by="bank")
CODES: Final = ("USD", "JPY", "KWD", "EUR")


def source(
    quotes: Mapping[str, Mapping[date, str]],
    *,
    quotation: Quotation = Quotation.INDIRECT,
    base: str = "EUR",
    days: int = 3,
) -> RateSource:
    """Return a source of these figures."""
    return RateSource(
        id="bank",
        name="the bank's rates",
        base=base,
        quotation=quotation,
        days=days,
        quotes={
            code: tuple(Quote(on, code, Decimal(rate)) for on, rate in sorted(rates.items()))
            for code, rates in quotes.items()
        },
    )


USD: Final = source({"USD": {MONDAY: "1.10", MONDAY + timedelta(2): "1.25"}})


@pytest.mark.parametrize(
    ("days_later", "rate"), [(-1, None), (0, "1.10"), (1, "1.10"), (2, "1.25"), (3, "1.25"), (5, "1.25"), (6, None)]
)
def test_the_figure_of_the_day_or_the_last_before_it_stands(days_later: int, rate: str | None) -> None:
    """A figure stands from its day until the next one, and for so many days more where none follows."""
    found = USD.quote("USD", MONDAY + timedelta(days_later))
    assert rate == (None if found is None else f"{found.rate}")


@pytest.mark.parametrize(
    ("quotation", "base", "currency", "to", "worth"),
    [
        (Quotation.INDIRECT, "EUR", "USD", "EUR", Fraction(10, 11)),
        (Quotation.DIRECT, "EUR", "USD", "EUR", Fraction(11, 10)),
        (Quotation.INDIRECT, "EUR", "EUR", "USD", Fraction(11, 10)),
        (Quotation.INDIRECT, "EUR", "USD", "JPY", Fraction(10, 11) * Fraction(16050, 100) / 100),
        (Quotation.DIRECT, "UAH", "USD", "JPY", Fraction(11, 10) / Fraction(16050, 100) / 100),
        (Quotation.INDIRECT, "EUR", "JPY", "EUR", 100 / Fraction(16050, 100)),
    ],
)
def test_an_amount_is_worth_what_the_figures_say(
    quotation: Quotation, base: str, currency: str, to: str, worth: Fraction
) -> None:
    """Both ways of quoting, through the base and not, between currencies of different minor units."""
    known = source({"USD": {MONDAY: "1.10"}, "JPY": {MONDAY: "160.50"}}, quotation=quotation, base=base)
    found = Exchange({"bank": known}, MONDAY).conversion(Convert(to=to, by="bank"), currency)
    assert found is not None
    assert worth == Fraction(found.ratio.numerator, found.ratio.denominator)
    assert {currency, to} - {base} == {quote.currency for quote in found.quotes}


def test_a_leg_without_a_figure_gives_no_conversion() -> None:
    """Both currencies need a figure that stands, unless one is the base."""
    exchange = Exchange({"bank": USD}, MONDAY)
    assert exchange.conversion(Convert(to="GBP", by="bank"), "USD") is None
    assert exchange.conversion(TO_EUR, "GBP") is None


def programme(*rules: Rule, rate: str = "1.10", code: str = "USD") -> Programme:
    """Return a programme of some rules, with one figure."""
    return replace(FIRST, rules=rules, caps=(), rate_sources={"bank": source({code: {MONDAY: rate}})})


def given_for(found: Programme, *amounts: Amounts) -> dict[str, int]:
    """Return what rules give for amounts that were paid on Monday."""
    at: Circumstances = AT._replace(partner=None, sector="", product="", local_date=MONDAY)
    folded = Folded(anchor=None, transaction=amounts, billing=amounts)
    entitled = entitle_amounts(found, folded, partner=None, at=at)
    return {entry.rule.id: entry.total for entry in entitled.entitlements} | dict.fromkeys(entitled.unrated, -1)


RATED: Final = replace(
    rule("rated", Benefit.MILES, {"EUR": ratio(1, 200)}, funder=Funder.BANK, base=AmountBase.TRANSACTION),
    convert=TO_EUR,
)
RATES: Final = st.decimals(Decimal("0.0001"), Decimal(9999), places=4)


@given(st.sampled_from(CODES), RATES, st.integers(-(10**9), 10**9), st.sampled_from(Rounding))
def test_a_rate_is_rounded_once(code: str, rate: Decimal, minor: int, rounding: Rounding) -> None:
    """What a rule gives for an amount is its exact worth times the rate, rounded once by the rule."""
    figures = source({} if code == "EUR" else {code: {MONDAY: str(rate)}})
    found = replace(programme(replace(RATED, rounding=rounding)), rate_sources={"bank": figures})
    exact = Fraction(minor, 200)
    if code != "EUR":
        exact = Fraction(minor, 10 ** exponent(code)) / Fraction(rate) / 2
    expected = divide(exact.numerator, exact.denominator, rounding)
    assert expected == given_for(found, Amounts(code, minor, 0))["rated"]


@given(st.sampled_from(CODES[:3]), RATES, st.integers(0, 10**7), st.integers(1, 10**5), st.integers(0, 10**5))
def test_a_range_holds_for_the_exact_worth(code: str, rate: Decimal, minor: int, least: int, more: int) -> None:
    """An amount lies in a range where its exact worth does, neither rounded in nor out of it."""
    ranged = Conditions(amounts={"EUR": AmountRange(lowest=least, highest=least + more)})
    bonus = replace(RATED, id="bonus", rates={}, fixed={FIRST.unit: 500}, when=ranged)
    worth = Fraction(minor, 10 ** exponent(code)) / Fraction(rate) * 100
    expected = {"bonus": 500} if minor and least <= worth <= least + more else {}
    assert expected == given_for(programme(bonus, rate=str(rate), code=code), Amounts(code, minor, 0))


def test_an_entry_of_its_own_comes_first() -> None:
    """A currency that a rule names is measured by its own entry, whatever it is worth."""
    own = replace(RATED, rates={"EUR": ratio(1, 200), "USD": ratio(1, 100)})
    assert {"rated": 10} == given_for(programme(own), Amounts("USD", 1_000, 0))
    assert {"rated": 4} == given_for(programme(RATED), Amounts("USD", 1_000, 0))


def test_without_a_figure_a_rule_gives_nothing() -> None:
    """A rule that cannot convert is among those without a rate, and a rule without convert is as it ever was."""
    without = replace(RATED, id="plain", convert=None)
    assert {"rated": -1, "plain": -1} == given_for(programme(RATED, without), Amounts("CHF", 1_000, 0))


def test_several_currencies_are_converted_each() -> None:
    """A purchase in two currencies earns for both; it lacks a rate only where all of them do."""
    amounts = Amounts("CHF", 1_000, 0), Amounts("USD", 1_100, 0)
    assert {"rated": 5} == given_for(programme(RATED), *amounts)
    assert {"rated": -1} == given_for(programme(RATED), amounts[0], Amounts("GBP", 1, 0))


def _converting(programme: Programme) -> Programme:
    """Return a programme whose rules rate nothing but dollars, and convert to them by daily rates of its revision."""
    first = date(2026, 11, 25)
    figures = {first + timedelta(day): f"{Decimal(105 + day % 7 + 10 * programme.revision) / 100}" for day in range(60)}
    rules = [
        replace(entry, rates={"USD": entry.rates["USD"]}, convert=Convert(to="USD", by="bank"))
        if "USD" in entry.rates
        else entry
        for entry in programme.rules
    ]
    return replace(programme, rules=tuple(rules), rate_sources={"bank": source({"USD": figures}, days=0)})


CONVERTING: Final = tuple(map(_converting, UNCAPPED))


@LAW
@given(histories(), RANDOM)
def test_the_order_of_arrival_does_not_matter(history: Histories, random: Random) -> None:
    """In any order, and however often a history is replayed, purchases with conversions end the same."""
    one, other = kept(arrivals(history), CONVERTING), kept(shuffled(history, random), CONVERTING)
    assert one.balances() == other.balances()
    for key, purchase in one.purchases.items():
        assert set(purchase.grants) == set(other.purchases[key].grants)


@LAW
@given(histories(), RANDOM)
def test_undo_is_exact(history: Histories, random: Random) -> None:
    """When all is reversed on whatever later day, nothing is left: the rate of the purchase's day takes it back."""
    books = kept(shuffled(tuple((*events, *undoing(events)) for events in history), random), CONVERTING)
    assert {} == books.balances()
