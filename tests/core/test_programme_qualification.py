"""How tiers are reached in a programme document: what it compiles to, and what is said of mistakes at their place."""

from pathlib import Path
from typing import Final

import pytest

from processor.core.cap import CapPeriod
from processor.core.programme import Programme
from processor.core.programme_document import parse_programme
from processor.core.qualification import Qualifying

FOLDER: Final = Path(__file__).parents[2] / "examples" / "programmes" / "reached-tiers"
DOCUMENT: Final = (FOLDER / "programme.yaml").read_text(encoding="utf-8")
MERCHANTS: Final = {"merchants.csv": (FOLDER / "merchants.csv").read_text(encoding="utf-8")}
SILVER: Final = 'reached_by: {spend: {EUR: "2000.00", UAH: "80000.00"}, over: year}'
GOLD: Final = "reached_by: {miles: 5000, rules: [base, hotel], over: year}"
LIFELONG: Final = 'reached_by: {spend: {EUR: "20000.00"}, over: lifetime}'
CLASSIC: Final = "  - {id: classic, name: Classic}"


def parse(old: str, new: str) -> Programme | list[str]:
    """Parse the example with one change; the errors as text where there are any."""
    assert 1 == DOCUMENT.count(old), old
    parsed = parse_programme(DOCUMENT.replace(old, new), merchants=MERCHANTS, source="p.yaml", revision=1)
    return parsed if isinstance(parsed, Programme) else [str(error) for error in parsed]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (CLASSIC, CLASSIC.replace("}", f", {SILVER}}}"), "tiers[0].reached_by: reaches the lowest tier"),
        (
            CLASSIC,
            CLASSIC.replace("}", ", kept: {months: 2}}"),
            "tiers[0].kept: says how long a tier is kept that is not",
        ),
        (SILVER, SILVER.replace("over: year", ""), "tiers[2].reached_by: lacks the key 'over'"),
        (SILVER, "reached_by: {over: year}", "tiers[2].reached_by: has neither spend nor miles nor purchases"),
        (SILVER, SILVER.replace("{spend", "{miles: 1, spend"), "tiers[2].reached_by"),
        (SILVER, SILVER.replace("year", "decade"), "tiers[2].reached_by.over: is 'decade'"),
        (SILVER, SILVER.replace("UAH:", "UAX:"), "tiers[2].reached_by.spend.UAX: 'UAX' is no currency"),
        (SILVER, SILVER.replace("2000.00", "2000.001"), "tiers[2].reached_by.spend.EUR: '2000.001' is no whole number"),
        (SILVER, SILVER.replace("2000.00", "1999999.99"), None),
        (
            SILVER,
            SILVER.replace("2000.00", "99999999999.99").replace("80000.00", "88888888888.87"),
            "tiers[2].reached_by.spend: has amounts that are in no round proportion",
        ),
        (
            GOLD,
            GOLD.replace("hotel", "hotels"),
            "tiers[3].reached_by.rules[1]: 'hotels' is no earning rule; did you mean",
        ),
        (
            GOLD,
            GOLD.replace("5000", "5000.5"),
            "tiers[3].reached_by.miles: 5000.5 is no whole number of the smallest mile",
        ),
        (
            GOLD,
            SILVER.replace("2000.00", "3000.00"),
            "tiers[3].reached_by.spend.UAH: is '80000.00', which is not above",
        ),
        (
            GOLD,
            SILVER,
            "tiers[3].reached_by.spend.EUR: is '2000.00', which is not above '2000.00' of 'silver' below it",
        ),
        (LIFELONG, LIFELONG + "\n    kept: {months: 12}", "tiers[4].kept: ends a tier that counts over a lifetime"),
        (
            "{until: end-of-next-period, then: silver}",
            "{months: 11}",
            "tiers[3].kept.months: is 11, and the tier would end before the year",
        ),
        ("{until: end-of-next-period, then: silver}", "{months: 0}", "tiers[3].kept.months: is the number 0"),
        ("{until: end-of-next-period, then: silver}", "{until: never}", "tiers[3].kept.until: is 'never'"),
        ("{until: end-of-next-period, then: silver}", "{}", "tiers[3].kept"),
        (
            "then: silver",
            "then: sliver",
            "tiers[3].kept.then: 'sliver' is no tier below 'gold'; did you mean 'silver'?",
        ),
        ("then: silver", "then: lifelong", "tiers[3].kept.then: 'lifelong' is no tier below 'gold'"),
        ("then: silver", "then: classic", "tiers[3].kept.then: 'classic' is the lowest tier"),
        (
            "rules: [fuel], over",
            "rules: [feul], over",
            "tiers[1].reached_by.rules[0]: 'feul' is no rule; did you mean 'fuel'?",
        ),
    ],
)
def test_mistakes_are_refused_at_their_place(old: str, new: str, said: str | None) -> None:
    """Each contradiction is named with its path, and what to write instead."""
    found = parse(old, new)
    if said is None:
        assert isinstance(found, Programme)
        return
    assert isinstance(found, list)
    assert any(said in error for error in found), found
    assert all(error.startswith("p.yaml:") for error in found)


def test_line_and_column_are_those_of_the_value() -> None:
    """An error points at the word itself."""
    found = parse(GOLD, GOLD.replace("hotel", "hotels"))
    line = next(number for number, text in enumerate(DOCUMENT.split("\n"), start=1) if GOLD in text)
    column = DOCUMENT.split("\n")[line - 1].index("hotel") + 1
    assert isinstance(found, list)
    assert found[0].startswith(f"p.yaml:{line}:{column} ")


def test_what_the_example_compiles_to() -> None:
    """Amounts become progress in whole numbers, miles the smallest unit; the periods that count are loaded."""
    programme = parse("Aurora Club", "Aurora Society")
    assert isinstance(programme, Programme)
    regular, silver, gold, lifelong = programme.qualifications
    assert (Qualifying.PURCHASES, 3, 2, 0) == (regular.measure.counts, regular.least, regular.months, 0)
    assert ({"EUR": 40, "UAH": 1}, 80_000_00) == (silver.measure.scale, silver.least)
    assert (5_000, 1, frozenset({"base", "hotel"})) == (gold.least, gold.further_periods, gold.measure.rules)
    assert ["", "silver"] == [silver.falls_to, gold.falls_to]
    assert (CapPeriod.LIFETIME, {"EUR": 1}, 20_000_00) == (
        lifelong.measure.period,
        lifelong.measure.scale,
        lifelong.least,
    )
    assert {CapPeriod.MONTH, CapPeriod.YEAR, CapPeriod.LIFETIME} == {period for period, _ in programme.periods}
    assert 4 == len(programme.measures)


def test_tiers_that_count_the_same_share_a_counter() -> None:
    """Two thresholds of one amount in a year are one counter; another proportion of the currencies is another one."""
    same = parse(GOLD, SILVER.replace("2000.00", "5000.00").replace("80000.00", "200000.00"))
    other = parse(GOLD, SILVER.replace("2000.00", "5000.00").replace("80000.00", "200001.00"))
    assert isinstance(same, Programme)
    assert isinstance(other, Programme)
    assert [1, 2] == [
        len({entry.measure.counter for entry in programme.qualifications if entry.tier in {"silver", "gold"}})
        for programme in (same, other)
    ]
