"""Multipliers and exclusive groups: what counts, what loses, and that no order of the document matters."""

from dataclasses import replace
from itertools import permutations
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.accrual import entitle_amounts
from processor.core.conditions import AmountRange, Conditions
from processor.core.contest import Entitlement, Lost
from processor.core.purchase import Amounts, Folded
from processor.core.rule import Benefit, Best, Funder, Multiplication, Ratio, Rule, Stacking
from tests.core.strategies import FIRST, UNIT, ratio, rule
from tests.core.test_accrual import SOMEWHERE

BASE = rule("base", Benefit.MILES, {"EUR": ratio(1, 100)}, funder=Funder.BANK)


def multiplier(name: str, by: Ratio, *, group: str | None = None, priority: int = 0, of: str = "base") -> Rule:
    """Return a multiplier of one rule."""
    start = rule(name, Benefit.MILES, {}, funder=Funder.OWNER)
    return replace(
        start, multiplication=Multiplication(rules=frozenset({of}), by=by), exclusive=group, priority=priority
    )


def bonus(name: str, miles: int, *, group: str | None = None, priority: int = 0) -> Rule:
    """Return a rule that gives a fixed number of miles."""
    start = rule(name, Benefit.MILES, {}, funder=Funder.OWNER)
    return replace(start, fixed={UNIT: miles}, exclusive=group, priority=priority)


class Result(NamedTuple):
    """What counts and what lost."""

    entitlements: tuple[Entitlement, ...]
    lost: list[Lost]


def entitled(
    *rules: Rule,
    open_minor: int = 0,
    cleared_minor: int = 10_00,
    best: Best = Best.HOLDER,
    stacking: Stacking = Stacking.BEST,
) -> Result:
    """Return what rules give for one purchase in euros, and what lost."""
    programme = replace(FIRST, rules=rules, caps=(), groups={"one": best}, stacking=stacking)
    amounts = (Amounts(currency="EUR", open_minor=open_minor, cleared_minor=cleared_minor),)
    folded = Folded(anchor=None, transaction=amounts, billing=amounts)
    losers: list[Lost] = []
    given = entitle_amounts(programme, folded, partner=None, at=SOMEWHERE, lost=losers)
    assert given == entitle_amounts(programme, folded, partner=None, at=SOMEWHERE)
    return Result(given.entitlements, losers)


def gives(result: Result) -> dict[str, int]:
    """Return the total of each rule."""
    return {entry.rule.id: entry.total for entry in result.entitlements}


def lost(result: Result) -> list[tuple[str, int, str]]:
    """Return what lost: the rule, what it would have given, and the winner."""
    return [(entry.rule, entry.total, entry.winner) for entry in result.lost]


@pytest.mark.parametrize(
    ("stacking", "expected", "losers"),
    [
        (Stacking.BEST, {"base": 10, "triple": 20}, [("double", 10, "triple")]),
        (Stacking.ADD, {"base": 10, "double": 10, "triple": 20}, []),
        (Stacking.COMPOUND, {"base": 10, "double": 10, "triple": 40}, []),
    ],
)
def test_stacking(stacking: Stacking, expected: dict[str, int], losers: list[tuple[str, int, str]]) -> None:
    """Two and three times ten: the higher alone, both beside each other, or the one upon the other."""
    result = entitled(BASE, multiplier("double", ratio(2, 1)), multiplier("triple", ratio(3, 1)), stacking=stacking)

    assert expected == gives(result)
    assert losers == lost(result)


def test_a_multiplier_multiplies_what_cleared_too() -> None:
    """One and a half times: the addition is rounded for itself, of what is promised and of what has cleared."""
    result = entitled(BASE, multiplier("half-more", ratio(3, 2)), open_minor=4_00, cleared_minor=7_00)

    assert [("base", 11, 7), ("half-more", 5, 3)] == [
        (entry.rule.id, entry.total, entry.cleared) for entry in result.entitlements
    ]


def test_a_multiplier_alone_gives_nothing() -> None:
    """Where the rule that it multiplies does not apply, nothing is there to multiply."""
    assert {} == gives(entitled(multiplier("double", ratio(2, 1))))


@pytest.mark.parametrize(("best", "winner"), [(Best.HOLDER, "large"), (Best.FUNDER, "small"), (Best.FIRST, "middle")])
def test_one_of_a_group_counts(best: Best, winner: str) -> None:
    """The most for the holder, the least for the funder, or the first by priority; the others are said to have lost."""
    rules = (
        bonus("small", 5, group="one", priority=3),
        bonus("middle", 7, group="one", priority=1),
        bonus("large", 9, group="one", priority=2),
    )
    result = entitled(BASE, *rules, best=best)

    assert {"base", winner} == set(gives(result))
    assert {"small", "middle", "large"} - {winner} == {name for name, _, _ in lost(result)}
    assert {winner} == {to for _, _, to in lost(result)}


def test_ties_go_by_identifier() -> None:
    """Two that give the same: the identifier that comes first counts, wherever the document has it."""
    for rules in permutations((bonus("b", 5, group="one"), bonus("a", 5, group="one"))):
        assert {"a": 5} == gives(entitled(*rules))


def test_what_gives_nothing_does_not_compete() -> None:
    """For the funder's best a rule that gives nothing is no offer."""
    nothing = replace(rule("none", Benefit.MILES, {"EUR": ratio(1, 1_000_00)}, funder=Funder.OWNER), exclusive="one")

    result = entitled(nothing, bonus("gift", 5, group="one"), best=Best.FUNDER)

    assert {"gift": 5} == {name: total for name, total in gives(result).items() if total}
    assert [] == lost(result)


def test_a_multiplier_competes_with_a_bonus() -> None:
    """A group may hold a multiplier: what it adds is what it gives."""
    rules = (BASE, multiplier("double", ratio(2, 1), group="one"), bonus("gift", 9, group="one"))

    assert {"base": 10, "double": 10} == gives(entitled(*rules))
    assert {"base": 8, "gift": 9} == gives(entitled(*rules, cleared_minor=8_00))


def test_a_multiplier_multiplies_the_winner_alone() -> None:
    """Of a group without a multiplier the loser is not multiplied."""
    rival = replace(rule("rival", Benefit.MILES, {"EUR": ratio(1, 200)}, funder=Funder.OWNER), exclusive="one")
    rules = (replace(BASE, exclusive="one"), rival, multiplier("double", ratio(2, 1), of="rival"))

    assert {"base": 10} == gives(entitled(*rules))


@given(
    order=st.permutations(range(6)),
    amount_minor=st.integers(min_value=-500_00, max_value=500_00),
    stacking=st.sampled_from(Stacking),
    best=st.sampled_from(Best),
)
def test_the_documents_order_means_nothing(order: list[int], amount_minor: int, stacking: Stacking, best: Best) -> None:
    """Any order of the rules gives the same, one of the group counts at most, and nothing is given and lost at once."""
    rules = (
        BASE,
        multiplier("double", ratio(2, 1)),
        multiplier("more", ratio(7, 5), priority=-1),
        bonus("gift", 5, group="one"),
        replace(rule("rated", Benefit.MILES, {"EUR": ratio(1, 150)}, funder=Funder.OWNER), exclusive="one", priority=2),
        bonus("always", 3),
    )
    usual = entitled(*rules, cleared_minor=amount_minor, stacking=stacking, best=best)
    shuffled = entitled(*(rules[place] for place in order), cleared_minor=amount_minor, stacking=stacking, best=best)

    assert usual == shuffled
    counted = {name for name, total in gives(usual).items() if total}
    assert len(counted & {"gift", "rated"}) <= 1
    assert set() == counted & {name for name, _, _ in lost(usual)}


@pytest.mark.parametrize(
    ("cleared_minor", "expected"), [(49_99, {"base": 49}), (50_00, {"base": 50, "double": 50}), (0, {"base": 0})]
)
def test_a_multiplier_asks_for_an_amount(cleared_minor: int, expected: dict[str, int]) -> None:
    """A multiplier from 50.00 EUR on multiplies nothing below it."""
    double = multiplier("double", ratio(2, 1))
    double = replace(double, when=Conditions(amounts={"EUR": AmountRange(lowest=50_00, highest=None)}))

    assert expected == gives(entitled(BASE, double, cleared_minor=cleared_minor))


def test_a_multiplier_of_a_purchase_in_two_currencies_asks_for_one_of_its_amounts() -> None:
    """Of 60.00 EUR and 10.00 USD a multiplier from 50.00 EUR on multiplies all, of 40.00 EUR and 10.00 USD nothing."""
    base = replace(BASE, rates={"EUR": ratio(1, 100), "USD": ratio(1, 100)})
    double = multiplier("double", ratio(2, 1))
    double = replace(double, when=Conditions(amounts={"EUR": AmountRange(lowest=50_00, highest=None)}))
    programme = replace(FIRST, rules=(base, double), caps=())

    def total(euros: int) -> int:
        amounts = tuple(Amounts(code, 0, minor) for code, minor in (("EUR", euros), ("USD", 10_00)))
        folded = Folded(anchor=None, transaction=amounts, billing=amounts)
        found = entitle_amounts(programme, folded, partner=None, at=SOMEWHERE).entitlements
        return sum(entry.total for entry in found)

    assert (2 * 70, 50) == (total(60_00), total(40_00))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["rated", "fixed", "multiplier"]),
            st.integers(0, 5),
            st.integers(0, 2),
            st.sampled_from([None, "one", "two"]),
            st.tuples(st.integers(0, 3), st.none() | st.integers(3, 6)),
        ),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from(list(Best)),
    st.sampled_from(list(Stacking)),
    st.integers(-7, 7),
    st.integers(-7, 7),
)
def test_what_counts_is_the_same_whether_it_is_asked_what_lost(
    drawn: list[tuple[str, int, int, str | None, tuple[int, int | None]]],
    best: Best,
    stacking: Stacking,
    open_minor: int,
    cleared_minor: int,
) -> None:
    """What a decision computes in one go is what an explanation settles step by step, for any rules and amounts."""
    rules = []
    for number, (kind, size, priority, group, (lowest, highest)) in enumerate(drawn):
        start = {
            "rated": rule(f"r{number}", Benefit.MILES, {"EUR": ratio(size, 2)}, funder=Funder.BANK),
            "fixed": bonus(f"r{number}", size + 1),
            "multiplier": multiplier(f"r{number}", ratio(size + 1, 2)),
        }[kind]
        when = Conditions(amounts={"EUR": AmountRange(lowest=lowest, highest=highest)})
        rules.append(replace(start, when=when, exclusive=group, priority=priority))
    programme = replace(FIRST, rules=(BASE, *rules), caps=(), groups={"one": best, "two": best}, stacking=stacking)
    amounts = (Amounts("EUR", open_minor, cleared_minor),)
    folded = Folded(anchor=None, transaction=amounts, billing=amounts)

    at_once = entitle_amounts(programme, folded, partner=None, at=SOMEWHERE)
    assert at_once == entitle_amounts(programme, folded, partner=None, at=SOMEWHERE, lost=[])
    assert at_once == entitle_amounts(programme, folded, partner=None, at=SOMEWHERE)
