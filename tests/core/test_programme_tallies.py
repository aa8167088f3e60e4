"""Tallies in a programme document: what they compile to, and what is said of mistakes."""

from pathlib import Path
from typing import Final

import pytest

from processor.core.programme import Programme
from processor.core.programme_document import parse_programme
from processor.core.tally import Bracket, Counting

FOLDER: Final = Path(__file__).parents[2] / "examples" / "programmes" / "milestones"
DOCUMENT: Final = (FOLDER / "programme.yaml").read_text(encoding="utf-8")
MERCHANTS: Final = {"merchants.csv": (FOLDER / "merchants.csv").read_text(encoding="utf-8")}
DOUBLE: Final = """\
  - id: double
    partners: all
    products: all
    multiply: {rules: [monthly], by: 2}
    rounding: down
    funder: bank
  - id: monthly
"""
GROUP: Final = """\
exclusive:
  - {id: one, best: holder}
earning:
  - {id: a, exclusive: one, partners: all, products: all, bonus: {miles: 1}, funder: bank,
     every: {purchases: 2, over: week}}
  - {id: b, exclusive: one, partners: all, products: all, bonus: {miles: 1}, funder: bank}
"""
MONTHLY: Final = 'rate: {miles: 1, per: {EUR: "10.00"}}\n    accumulate: {over: month}'


def parse(old: str, new: str) -> Programme | list[str]:
    """Parse the example with one change; the errors as text where there are any."""
    assert 1 == DOCUMENT.count(old), old
    parsed = parse_programme(DOCUMENT.replace(old, new), merchants=MERCHANTS, source="p.yaml", revision=1)
    return parsed if isinstance(parsed, Programme) else [str(error) for error in parsed]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (MONTHLY, MONTHLY.replace("over: month", ""), "earning[0].accumulate: lacks the key 'over'"),
        (MONTHLY, MONTHLY.replace("month", "purchase"), "earning[0].accumulate.over: is 'purchase'"),
        ("counting: whole", "counting: all", "earning[2].accumulate.counting: is 'all'"),
        ('above: "300.00"', 'above: "300.001"', "earning[2].accumulate.above: '300.001' is no whole number"),
        ('[{above: "500.00"', '[{above: "200.00"', "earning[1].accumulate.steps[0].above: is '200.00', which is not"),
        ("most: 400", "most: 0.5", "earning[1].accumulate.most: 0.5 is no whole number of the smallest mile"),
        ('per: {EUR: "5.00"}', 'per: {EUR: "5.00", USD: "5"}', "accumulate.steps: is an amount, and the rule rates 2"),
        (MONTHLY, MONTHLY.replace('"10.00"}', '"9999999.91", USD: "8888888.83"}'), "into too many parts"),
        ("every: {purchases: 3, over: week, times: 3}", "every: {over: week}", "has neither purchases nor amount"),
        ("every: {purchases: 3, over", "every: {purchases: 0, over", "every.purchases: is the number 0"),
        ("every: {purchases: 3, over", "every: {purchases: 2.5, over", "every.purchases: is"),
        (
            'every: {amount: {EUR: "100.00"}',
            'every: {amount: {EUX: "100.00"}',
            "amount.EUX: 'EUX' is no currency",
        ),
        ('every: {amount: {EUR: "100.00"}', 'every: {amount: {EUR: "100.005"}', "every.amount.EUR: '100.005' is no"),
        (
            "bonus: {miles: 50}\n",
            "rate: {miles: 1, per: {EUR: 1}}\n    rounding: down\n",
            "every: has 'every' without 'bonus'",
        ),
        (
            "  - id: monthly\n",
            DOUBLE,
            "accumulate: looks at a period, and 'monthly' is multiplied for each purchase",
        ),
        (
            "earning:\n",
            GROUP,
            "earning[0].exclusive: is a group of which one rule counts for each purchase, and every looks at a period",
        ),
        ("[early-bird], period: month", "[early-bird, monthly], period: month", "shares a cap of purchases"),
        ("period: month, purchases: 2", "period: month, purchases: 2, miles: 5", "caps[0]"),
    ],
)
def test_a_mistake_is_said_at_its_place(old: str, new: str, said: str) -> None:
    """One change of a sound document is refused, and the text says what is wrong there."""
    errors = parse(old, new)
    assert isinstance(errors, list)
    assert any(said in error for error in errors), errors


def test_rates_in_several_currencies_add_up_in_parts_of_a_mile() -> None:
    """1 point per 10 EUR or 12 USD: a cent is six or five parts of six thousand."""
    programme = parse(MONTHLY, MONTHLY.replace('"10.00"}', '"10.00", USD: "12.00"}'))
    assert isinstance(programme, Programme)
    tally = programme.tallies["monthly"]
    assert ({"EUR": 6, "USD": 5}, 6_000, (Bracket(0, 1),)) == (tally.scale, tally.denominator, tally.brackets)
    assert 1 == tally.worth(5_00 * 6 + 6_00 * 5)
    assert 0 == tally.worth(5_00 * 6 + 5_99 * 5)


def test_amounts_in_several_currencies_come_full_circle_together() -> None:
    """Every 100 EUR or 40 USD: half of the one and half of the other give the bonus."""
    programme = parse('every: {amount: {EUR: "100.00"}', 'every: {amount: {EUR: "100.00", USD: "40.00"}')
    assert isinstance(programme, Programme)
    tally = programme.tallies["hundreds"]
    assert 50 == tally.worth(50_00 * tally.scale["EUR"] + 20_00 * tally.scale["USD"])
    assert 0 == tally.worth(50_00 * tally.scale["EUR"] + 19_99 * tally.scale["USD"])


def test_steps_compile_to_brackets() -> None:
    """1 point, then 2, for each 5 EUR: 500 parts of a cent of which one or two are earned."""
    programme = parse("counting: excess, ", "")
    assert isinstance(programme, Programme)
    tally = programme.tallies["growing"]
    assert (Bracket(200_00, 1), Bracket(500_00, 2)) == tally.brackets
    assert (500, Counting.EXCESS, 400) == (tally.denominator, tally.counting, tally.most)
