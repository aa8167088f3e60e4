"""Expressions: what they read, what is refused and where, what cannot be evaluated, and that order does not matter."""

import re
from datetime import date
from itertools import permutations
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.circumstances import Circumstances
from processor.core.conditions import Conditions, Unmet
from processor.core.expressed import amount_of, unexpressed, unmet_expression
from processor.core.expression import MOST_CHARACTERS, VARIABLES, Amount, Expression, Refused, compile_expression
from processor.core.money import Rounding
from processor.core.programme import Programme
from processor.core.programme_document import parse_programme
from processor.core.purchase import Amounts, Folded
from processor.core.rule import AmountBase, Benefit, Funder, Rule
from processor.core.simulation import Simulation, simulate

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "examples" / "programmes" / "what-counts"
DOCUMENT: Final = (FOLDER / "programme.yaml").read_text(encoding="utf-8")
MERCHANTS: Final = {"merchants.csv": (FOLDER / "merchants.csv").read_text(encoding="utf-8")}
AT: Final = Circumstances(
    partner="corner",
    sector="grocery",
    product="blue",
    mcc="5411",
    acquirer="412345",
    acceptor="SHOP",
    channel="e-commerce",
    currency="EUR",
    local_date=date(2026, 11, 28),
    local_time="2005",
)
AMOUNT: Final = Amount(amount_minor=1999, billing_minor=2150, billing_currency="USD")


def compiled(source: str) -> Expression:
    """Compile an expression that is one."""
    found = compile_expression(source)
    assert isinstance(found, Expression), found
    return found


def rule_of(source: str, **conditions: Any) -> Rule:
    """Return a rule with an expression."""
    return Rule(
        id="odd",
        benefit=Benefit.MILES,
        base=AmountBase.BILLING,
        rates={},
        rounding=Rounding.DOWN,
        funder=Funder.BANK,
        when=Conditions(expression=compiled(source), **conditions),
        fixed={"CNT": 1},
    )


@pytest.mark.parametrize(
    ("source", "holds"),
    [
        ("partner == 'corner' && sector == 'grocery' && product == 'blue'", True),
        ("mcc in ['5411', '5499'] || false", True),
        ("mcc.startsWith('55')", False),
        ("acquirer == '412345' && acceptor.contains('HO') && size(acceptor) == 4", True),
        ("channel != 'contactless' && country == '' && currency == 'EUR'", True),
        ("local_date >= '2026-11-28' && local_date < '2026-11-29'", True),
        ("month == 11 && day == 28 && weekday == 6", True),
        ("local_time >= '20:05' && local_time < '20:06'", True),
        ("amount_minor == 1999 && billing_minor > amount_minor && billing_currency == 'USD'", True),
        ("amount_minor % 100 == 99 ? weekday == 6 : false", True),
        ("{'corner': 2, 'other': 3}[partner] == 2", True),
        ("partner == 'all(' || partner != 'mcc > 5'", True),
        ("100 / (amount_minor - 1999) > 1", None),
        ("{'other': 3}[partner] == 2", None),
        ("amount_minor * 9223372036854775807 > 0", None),
        ("['5411'][amount_minor] == mcc", None),
    ],
)
def test_an_expression(source: str, holds: bool | None) -> None:
    """Each variable is what the purchase states; what cannot be evaluated is neither true nor false."""
    assert holds is compiled(source).holds(AT, AMOUNT)


def test_what_is_not_stated_is_empty() -> None:
    """No partner, no time and no channel are empty texts."""
    bare = AT._replace(partner=None, local_time="", channel="")
    assert compiled("partner == '' && local_time == '' && channel == ''").holds(bare, AMOUNT) is True


@pytest.mark.parametrize(
    ("source", "problem", "line", "column"),
    [
        ("mcc ==", "is no CEL expression: mismatched input '<EOF>'", 1, 7),
        ("mcc == '5411'\n  && (", "is no CEL expression", 2, 7),
        ("", "is no CEL expression", 1, 1),
        ("mcc == '5411' && age > 3", "names 'age', which is no variable", 1, 18),
        ("true && mcc == 5411", "mixes texts and numbers", 1, 9),
        ("true || '6' >= weekday", "mixes texts and numbers", 1, 11),
        ("size(mcc) == mcc + mcc + '' || mcc < size(mcc)", "mixes texts and numbers", 1, 1),
        ("mcc", "is neither true nor false", 1, 1),
        ("amount_minor * 2", "is neither true nor false", 1, 1),
        ("amount_minor > amount_minor * 1.5", "mixes texts and numbers", 1, 1),
        ("mcc.matches('5.*')", "calls 'matches'", 1, 5),
        ("timestamp('2026-01-01T00:00:00Z') < timestamp(local_date)", "calls 'timestamp'", 1, 1),
        ("true &&\n [1, 2].all(x, x > 0)", "repeats work with all", 2, 9),
        ("[mcc].exists(mcc, mcc == '1')", "repeats work with exists", 1, 7),
        ("[1].map(day, day)[0] == 1", "repeats work with map", 1, 5),
        ("mcc == '''5411'''", "holds a text of several lines", 1, 1),
        ("mcc == r'5411'", "holds a text of several lines", 1, 1),
        (f"mcc == '{'1' * MOST_CHARACTERS}'", "characters", 1, MOST_CHARACTERS + 1),
    ],
)
def test_what_is_refused(source: str, problem: str, line: int, column: int) -> None:
    """What is no condition, or could take more than its length in work, is refused at its place."""
    found = compile_expression(source)
    assert isinstance(found, Refused)
    assert problem in found.problem
    assert (line, column) == (found.line, found.column)


@given(st.text(max_size=60))
def test_no_text_breaks_the_compiler(source: str) -> None:
    """Any text is either a condition or refused with a place in it."""
    found = compile_expression(source)
    if isinstance(found, Refused):
        assert found.line >= 1
        assert found.column >= 1
    else:
        assert found.holds(AT, AMOUNT) in {True, False, None}


@given(
    st.recursive(
        st.sampled_from(["weekday", "day", "amount_minor", "7"]),
        lambda inner: st.tuples(inner, st.sampled_from("+-*/%"), inner).map("({0[0]} {0[1]} {0[2]})".format),
        max_leaves=12,
    )
)
def test_the_same_purchase_gives_the_same(source: str) -> None:
    """Evaluating again gives the same, and never raises, whatever the arithmetic."""
    found = compile_expression(f"{source} > 3")
    assert isinstance(found, Expression)
    assert found.holds(AT, AMOUNT) is found.holds(AT, AMOUNT)


def test_an_error_stands_in_the_document() -> None:
    """The document's line and column are those of the expression, and the message says where in it."""
    broken = DOCUMENT.replace("weekday < 6", "weekday < '6'")
    errors = parse_programme(broken, merchants=MERCHANTS, source="p", revision=1)
    assert isinstance(errors, tuple)
    lines = broken.splitlines()
    place = next(number for number, line in enumerate(lines, start=1) if "expression:" in line)
    assert [(place, lines[place - 1].index("local_time") + 1)] == [(error.line, error.column) for error in errors]
    assert "mixes texts and numbers (its line 1, character 51)" in str(errors[0])


def test_it_is_evaluated_behind_the_amount() -> None:
    """A rule whose range of amounts is not met is not evaluated at all."""
    folded = Folded(anchor=None, transaction=(Amounts("EUR", 500, 0),), billing=(Amounts("EUR", 500, 0),))
    document = DOCUMENT.replace("      expression:", '      amounts: {EUR: {from: "10.00"}}\n      expression:')
    programme = parse_programme(document, merchants=MERCHANTS, source="p", revision=1)
    assert isinstance(programme, Programme)
    dinner = AT._replace(mcc="5812")
    assert [] == unexpressed([programme.rule("long-lunch")], folded, dinner)
    more = folded._replace(billing=(Amounts("EUR", 1000, 0),))
    assert ["long-lunch"] == unexpressed([programme.rule("long-lunch")], more, dinner)


def test_what_is_not_met_has_a_name() -> None:
    """A condition that does not hold differs from one that cannot be evaluated."""
    unmet = [
        unmet_expression(rule_of(source), AT, AMOUNT) for source in ("day == 28", "day == 27", "1 / (day - 28) == 1")
    ]
    assert [None, Unmet.EXPRESSION, Unmet.EXPRESSION_FAILS] == unmet


@pytest.mark.parametrize(
    ("transaction", "billing", "amount"),
    [
        ([("EUR", 300, 200)], [("EUR", 300, 200)], Amount(500, 500, "EUR")),
        ([("EUR", 0, -500)], [("USD", 0, -550)], Amount(500, 550, "USD")),
        ([("EUR", 100, 0), ("USD", 900, 0)], [("EUR", 100, 0), ("USD", 900, 0)], Amount(100, 0, "")),
        ([], [], Amount(0, 0, "")),
    ],
)
def test_the_amount(transaction: list[Any], billing: list[Any], amount: Amount) -> None:
    """It is what the purchase comes to in its own currency, and what is billed where that is in one."""
    folded = Folded(
        anchor=None,
        transaction=tuple(Amounts(*entry) for entry in transaction),
        billing=tuple(Amounts(*entry) for entry in billing),
    )
    assert amount == amount_of(folded, AT)


def test_order_does_not_matter() -> None:
    """An authorization at lunch that arrives behind its late clearing moves the purchase to lunch time."""
    programme = parse_programme(DOCUMENT, merchants=MERCHANTS, source="p", revision=1)
    assert isinstance(programme, Programme)
    own = '"account": "ada", "product": "plain", "amount": "70.00", "currency": "EUR", "mcc": "5812"'
    lines = [
        f'{{"id": "a", "type": "authorization", "at": "2026-11-07T12:45:00+01:00", {own}}}',
        f'{{"id": "b", "type": "clearing", "at": "2026-11-08T03:00:00+01:00", "purchase": "a", {own}}}',
    ]
    held = []
    for order in permutations(lines):
        result = simulate([programme], "\n".join(order), source="t")
        assert isinstance(result, Simulation)
        held.append([(balance.pending, balance.available) for balance in result.balances])
    assert [[(0, 110)], [(0, 110)]] == held


def test_the_page_lists_every_variable() -> None:
    """The page's table has each variable with its type."""
    page = (ROOT / "docs" / "criteria.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"(?m)^\| `([a-z_]+)` \| (text|number|list of texts) \|", page))
    words = {str: "text", int: "number", list: "list of texts"}
    types = {name: words[type(read(AT, AMOUNT))] for name, read in VARIABLES.items()}
    assert types == shown
