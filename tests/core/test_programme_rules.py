"""Mistakes in rules' conditions, multipliers and groups: each is said at its place, with what to write instead."""

from pathlib import Path
from typing import Final

import pytest

from processor.core.programme_document import parse_programme

FOLDER: Final = Path(__file__).parents[2] / "examples" / "programmes" / "campaigns"
DOCUMENT: Final = (FOLDER / "programme.yaml").read_text(encoding="utf-8")
MERCHANTS: Final = {"merchants.csv": (FOLDER / "merchants.csv").read_text(encoding="utf-8")}
FUEL_RATE: Final = "exclusive: welcome\n    rate: {miles: 3"


@pytest.mark.parametrize(
    ("old", "new", "path", "problem"),
    [
        ('mccs: ["5811-5814"]', 'mccs: ["5814-5811"]', "earning[1].when.mccs[0]", "holds no code"),
        ('mccs: ["5811-5814"]', 'mccs: ["58"]', "earning[1].when.mccs[0]", "is '58'"),
        ("sectors: [grocery]", "sectors: [grocer]", "earning[2].when.sectors[0]", "did you mean 'grocery'?"),
        ("channels: [e-commerce]", "countries: [XX]", "earning[2].when.countries[0]", "is no country"),
        ("channels: [e-commerce]", "countries: [ua]", "earning[2].when.countries[0]", "is 'ua'"),
        ("channels: [e-commerce]", "zone: Europe/Kyiv", "earning[2].when.zone", "tells nothing without"),
        (
            "{weekdays: [saturday, sunday]}",
            "{weekdays: [sunday], zone: Europe/Kiyv}",
            "earning[3].when.zone",
            "did you mean 'Europe/Kyiv'?",
        ),
        ("channels: [e-commerce]", "channels: [web]", "earning[2].when.channels[0]", "is 'web'"),
        ("weekdays: [saturday, sunday]", "weekdays: []", "earning[3].when.weekdays", "is empty"),
        ("weekdays: [saturday, sunday]", "weekday: [sunday]", "earning[3].when.weekday", "is no known key"),
        ("{weekdays: [saturday, sunday]}", "{}", "earning[3].when", "is empty"),
        ('to: "02:00"', 'to: "20:00"', "earning[4].when.hours.to", "no time is within"),
        ('to: "02:00"', 'to: "24:00"', "earning[4].when.hours.to", "is '24:00'"),
        ("to: 2026-11-30", "to: 2026-10-30", "earning[5].when.dates.to", "no day is within"),
        ("to: 2026-11-30", "to: 2026-11-31", "earning[5].when.dates.to", "is no such day"),
        ('EUR: {from: "100.00"}', 'EUX: {from: "100.00"}', "earning[5].when.amounts.EUX", "is no currency"),
        ('{from: "100.00"}', '{from: "100.001"}', "earning[5].when.amounts.EUR.from", "at most 2 decimals"),
        ('{from: "100.00"}', '{from: "100.00", to: 99}', "earning[5].when.amounts.EUR.to", "no amount is within"),
        ("currencies: [EUR]", "currencies: [EUX]", "discounts[0].when.currencies[0]", "is no currency"),
        ('by: "3"', 'by: "1"', "earning[4].multiply.by", "adds nothing"),
        (
            '{rules: [base], by: "3"}',
            '{rules: [bass], by: "3"}',
            "earning[4].multiply.rules[0]",
            "did you mean 'base'?",
        ),
        ('{rules: [base], by: "3"}', '{rules: [gift], by: "3"}', "earning[4].multiply.rules[0]", "has no rate"),
        ("bonus: {miles: 250}", "bonus: {miles: 250.5}", "earning[5].bonus.miles", "at most 0 decimals"),
        ("bonus: {miles: 250}", "", "earning[5]", "has neither rate nor bonus nor multiply"),
        ("bonus: {miles: 100}", "bonus: {miles: 100}\n    multiply: {rules: [base], by: 2}", "earning[6]", "has both"),
        ('amounts: {EUR: "5.00"}', 'amounts: {EUR: "5.001"}', "discounts[0].amounts.EUR", "at most 2 decimals"),
        ('amounts: {EUR: "5.00"}', 'amounts: {EUX: "5.00"}', "discounts[0].amounts.EUX", "is no currency"),
        ('percent: "10"\n    rounding: half-up', 'percent: "10"', "discounts[1].percent", "without 'rounding'"),
        ("priority: 20", "priority: 2000", "earning[8].priority", "is the number 2000"),
        ("best: holder", "best: everyone", "exclusive[0].best", "is 'everyone'"),
        ("{id: till", "{id: welcome", "exclusive[1].id", "is taken by line"),
        (FUEL_RATE, FUEL_RATE.replace("welcome", "welcom"), "earning[7].exclusive", "did you mean 'welcome'?"),
        (FUEL_RATE, FUEL_RATE.replace("exclusive: welcome", ""), "exclusive[0].id", "is the group of 1 rules"),
        (FUEL_RATE, FUEL_RATE.replace("welcome", "till"), "discounts[0].exclusive", "this one gives a discount"),
        (
            "  - id: fuel-rate\n    partners: [unifuel]",
            "  - id: fuel-rate\n    partners: [corner]",
            "earning[7].exclusive",
            "never meets another",
        ),
        (
            "base: transaction\n    exclusive: till\n    percent",
            "base: billing\n    exclusive: till\n    percent",
            "discounts[1].exclusive",
            "different bases",
        ),
        ("miles: 500}", "miles: 200}", "caps[1].miles", "less than one step of 'big-basket'"),
        (
            "miles: 500}",
            "miles: 500}\n  - {id: till-daily, rules: [five-off], period: day, amount: 4, currency: EUR}",
            "caps[2].amount",
            "less than what 'five-off' gives",
        ),
    ],
)
def test_a_mistake_is_said_at_its_place(old: str, new: str, path: str, problem: str) -> None:
    """One change of a sound document gives an error at the path of the change."""
    assert 1 == DOCUMENT.count(old), old
    errors = parse_programme(DOCUMENT.replace(old, new), merchants=MERCHANTS, source="programme.yaml", revision=1)

    assert isinstance(errors, tuple)
    assert path in {error.path for error in errors}
    assert any(problem in str(error) for error in errors if error.path == path), [str(error) for error in errors]


@pytest.mark.parametrize(
    ("old", "new", "path", "expected"),
    [
        ("priority: 20", "priority: 2000", "earning[8].priority", "write -1000 to 1000: the rule's place"),
        ('by: "3"', "by: -1", "earning[4].multiply.by", "write a positive decimal"),
        ('{rules: [base], by: "3"}', '{rules: [x9], by: "3"}', "earning[4].multiply.rules[0]", "of an earning rule of"),
    ],
)
def test_a_mistake_says_what_may_be_written(old: str, new: str, path: str, expected: str) -> None:
    """What is expected is a range where there is one, and reads as one sentence."""
    errors = parse_programme(DOCUMENT.replace(old, new), merchants=MERCHANTS, source="programme.yaml", revision=1)

    assert isinstance(errors, tuple)
    assert any(expected in error.expected for error in errors if error.path == path), [str(error) for error in errors]


def test_a_multiplier_beside_what_is_multiplied_is_refused() -> None:
    """Whether the multiplied rule counts would depend on what multiplies it."""
    twisted = DOCUMENT.replace("when: {weekdays: [saturday, sunday]}", "exclusive: welcome").replace(
        '    rate: {miles: 1, per: {EUR: "2.00"}}', '    exclusive: welcome\n    rate: {miles: 1, per: {EUR: "2.00"}}'
    )
    errors = parse_programme(twisted, merchants=MERCHANTS, source="programme.yaml", revision=1)

    assert isinstance(errors, tuple)
    assert any("holds a multiplier, and 'base' is multiplied itself" in str(error) for error in errors)


@pytest.mark.parametrize(
    ("one", "other", "what"),
    [
        ('mccs: ["5411-5499"]', 'mccs: ["5500"]', "merchant category code"),
        ("sectors: [grocery]", "sectors: [fuel]", "partner"),
        (
            'merchants: [{acquirer: "412345", acceptor: A}]',
            'merchants: [{acquirer: "412345", acceptor: B}]',
            "merchant",
        ),
        ("countries: [DE, AT]", "countries: [FR]", "country"),
        ("channels: [contactless]", "channels: [e-commerce, wallet]", "channel"),
        ("currencies: [EUR]", "currencies: [USD]", "currency"),
        ("weekdays: [monday]", "weekdays: [saturday, sunday]", "weekday"),
        ('hours: {from: "22:00", to: "02:00"}', 'hours: {from: "02:00", to: "22:00"}', "hour"),
        ("dates: {to: 2026-11-01}", "dates: {from: 2026-11-02}", "date"),
        ('amounts: {EUR: {to: "9.99"}}', 'amounts: {EUR: {from: "10.00"}}', "amount"),
    ],
)
def test_rules_whose_conditions_exclude_each_other_are_no_group(one: str, other: str, what: str) -> None:
    """A group decides nothing where no purchase meets the conditions of two of its rules, and is refused."""
    errors = parse_programme(_excluding(one, other), merchants=MERCHANTS, source="programme.yaml", revision=1)

    assert isinstance(errors, tuple)
    problem = f"is a group in which this rule never meets another: no {what} is common to both"
    assert [problem, problem] == [error.problem for error in errors]


@pytest.mark.parametrize(
    ("best", "one", "other", "outdone", "why"),
    [
        (
            "holder",
            "bonus: {miles: 1}",
            "bonus: {miles: 2}",
            "pair-one",
            "'pair-other' applies wherever it does",
        ),
        (
            "funder",
            "bonus: {miles: 1}",
            "bonus: {miles: 2}",
            "pair-other",
            "always costs less",
        ),
        ("holder", "bonus: {miles: 2}", "bonus: {miles: 2}", "pair-other", "gives as much, before it by identifier"),
        (
            "holder",
            "bonus: {miles: 1}, when: {channels: [wallet]}",
            "bonus: {miles: 2}",
            "pair-one",
            "always gives more",
        ),
        ("first", "bonus: {miles: 9}, priority: 5", "bonus: {miles: 2}", "pair-one", "goes first"),
        ("first", "bonus: {miles: 9}", "bonus: {miles: 2}", "pair-other", "goes first"),
    ],
)
def test_a_rule_that_can_never_count_is_refused(best: str, one: str, other: str, outdone: str, why: str) -> None:
    """Beside a bonus that applies wherever it does and always goes before it, a rule of a group is there in vain."""
    errors = parse_programme(_paired(best, one, other), merchants=MERCHANTS, source="programme.yaml", revision=1)

    assert isinstance(errors, tuple)
    (error,) = errors
    assert error.problem.startswith("is a group in which this rule never counts: ")
    assert why in error.problem
    assert error.line == 1 + next(
        number for number, line in enumerate(_paired(best, one, other).splitlines()) if outdone in line
    )


@pytest.mark.parametrize(
    ("best", "one", "other"),
    [
        ("holder", "bonus: {miles: 1}", "bonus: {miles: 2}, when: {channels: [wallet]}"),
        ("holder", "bonus: {miles: 1}", 'rate: {miles: 2, per: {EUR: "1.00"}}, rounding: down'),
        ("first", 'rate: {miles: 2, per: {EUR: "1.00"}}, rounding: down', "bonus: {miles: 2}"),
        ("first", "bonus: {miles: 1}, when: {channels: [wallet]}", "bonus: {miles: 2}"),
    ],
)
def test_a_rule_that_counts_for_some_purchase_stays(best: str, one: str, other: str) -> None:
    """Where the other one asks for more, or gives by the amount, each may count."""
    parsed = parse_programme(_paired(best, one, other), merchants=MERCHANTS, source="programme.yaml", revision=1)

    assert not isinstance(parsed, tuple), parsed


def _paired(best: str, one: str, other: str) -> str:
    """Return the example with two more rules of a group of their own."""
    rules = "".join(
        f"  - {{id: {name}, partners: all, products: all, {gives}, funder: owner, exclusive: pair}}\n"
        for name, gives in (("pair-one", one), ("pair-other", other))
    )
    return DOCUMENT.replace("exclusive:\n", f"exclusive:\n  - {{id: pair, best: {best}}}\n", 1).replace(
        "earning:\n", f"earning:\n{rules}", 1
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('mccs: ["5411-5499"]', 'mccs: ["5499-5510"]'),
        ('hours: {from: "22:00", to: "02:01"}', 'hours: {from: "02:00", to: "22:00"}'),
        ("dates: {to: 2026-11-02}", "dates: {from: 2026-11-02}"),
        ("dates: {to: 2026-11-01}, zone: Europe/Kyiv", "dates: {from: 2026-11-02}"),
        ('amounts: {EUR: {to: "10.00"}}', 'amounts: {EUR: {from: "10.00"}}'),
        ('amounts: {EUR: {to: "9.00"}, CHF: {to: "9.00"}}', 'amounts: {EUR: {from: "10.00"}}'),
        ("channels: [contactless]", "weekdays: [sunday]"),
    ],
)
def test_rules_that_some_purchase_meets_are_a_group(one: str, other: str) -> None:
    """Where one purchase may meet both rules, or nothing can be told, the group stands."""
    parsed = parse_programme(_excluding(one, other), merchants=MERCHANTS, source="programme.yaml", revision=1)

    assert not isinstance(parsed, tuple), parsed


def _excluding(one: str, other: str) -> str:
    """Return the example with two more rules of a group of their own, each under one condition."""
    rules = "".join(
        f"  - {{id: {name}, partners: all, products: all, when: {{{when}}}, bonus: {{miles: 1}}, funder: owner, "
        "exclusive: pair}\n"
        for name, when in (("pair-one", one), ("pair-other", other))
    )
    return DOCUMENT.replace("exclusive:\n", "exclusive:\n  - {id: pair, best: first}\n", 1).replace(
        "earning:\n", f"earning:\n{rules}", 1
    )
