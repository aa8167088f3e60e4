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


def test_a_multiplier_beside_what_is_multiplied_is_refused() -> None:
    """Whether the multiplied rule counts would depend on what multiplies it."""
    twisted = DOCUMENT.replace("when: {weekdays: [saturday, sunday]}", "exclusive: welcome").replace(
        '    rate: {miles: 1, per: {EUR: "2.00"}}', '    exclusive: welcome\n    rate: {miles: 1, per: {EUR: "2.00"}}'
    )
    errors = parse_programme(twisted, merchants=MERCHANTS, source="programme.yaml", revision=1)

    assert isinstance(errors, tuple)
    assert any("holds a multiplier, and 'base' is multiplied itself" in str(error) for error in errors)
