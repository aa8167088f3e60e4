"""Product codes: a rule applies to purchases of which any message lists one of them, in whatever order they come."""

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.conditions import Conditions, Kinds, Unmet
from processor.core.expression import Amount, Refused, compile_expression
from processor.core.lifecycle import Effect
from processor.core.product_codes import products_of
from processor.core.programme import Programme
from processor.core.programme_document import parse_programme
from processor.core.rule import Benefit
from tests.core.strategies import UNCAPPED, Histories, arrivals, histories
from tests.core.test_expression import AT, compiled, rule_of
from tests.core.test_laws import LAW, RANDOM, kept, shuffled

FOLDER: Final = Path(__file__).parents[2] / "examples" / "programmes" / "what-counts"
DOCUMENT: Final = (FOLDER / "programme.yaml").read_text(encoding="utf-8")
MERCHANTS: Final = {"merchants.csv": (FOLDER / "merchants.csv").read_text(encoding="utf-8")}
FUEL: Final = frozenset({"019", "020"})


@pytest.mark.parametrize(
    ("codes", "unmet"),
    [((), Unmet.PRODUCT_CODES), (("400",), Unmet.PRODUCT_CODES), (("019",), None), (("020", "400"), None)],
)
def test_one_code_will_do(codes: tuple[str, ...], unmet: Unmet | None) -> None:
    """A purchase of one of the codes meets the condition, whatever else it is of; one of none does not."""
    assert unmet is Conditions(product_codes=FUEL).unmet(AT._replace(product_codes=codes))


def test_purchases_of_other_products_are_alike() -> None:
    """Codes that no condition names are no part of a purchase's kind, and all of them are where none names any."""
    kinds, others = Kinds([Conditions(product_codes=FUEL)]), Kinds([Conditions()])
    fuel, crisps, none = (AT._replace(product_codes=codes) for codes in (("019",), ("400",), ()))
    assert kinds.of(crisps) == kinds.of(none) != kinds.of(fuel)
    assert others.of(crisps) == others.of(none) == others.of(fuel)


def test_a_range_stands_for_its_codes() -> None:
    """A range has all its codes with the digits that are written."""
    compiled = parse_programme(DOCUMENT, merchants=MERCHANTS, source="p", revision=1)
    assert isinstance(compiled, Programme)
    assert frozenset(f"{code:03d}" for code in range(1, 100)) == compiled.rule("motor-fuel").when.product_codes
    assert compiled.asks_products


@pytest.mark.parametrize("odd", ["099-001", "01-099", "1-99999"])
def test_an_odd_range_is_refused(odd: str) -> None:
    """A range counts upwards in codes of equal length, at its place."""
    errors = parse_programme(DOCUMENT.replace("001-099", odd), merchants=MERCHANTS, source="p", revision=1)
    assert isinstance(errors, tuple)
    assert ["earning[6].when.product_codes[0]"] == [error.path for error in errors]


def test_an_expression_can_look_at_them() -> None:
    """The codes are a list to an expression, and the programme looks at what was bought for it alone."""
    expression = compiled("'019' in product_codes && size(product_codes) < 3")
    amount = Amount(0, 0, "")
    assert [True, False] == [
        expression.holds(AT._replace(product_codes=codes), amount) for codes in (("019", "400"), ("400",))
    ]
    asking, other = (
        replace(UNCAPPED[0], rules=(rule_of(source),)) for source in ("'019' in product_codes", "mcc == '5541'")
    )
    assert (True, False) == (asking.asks_products, other.asks_products)
    assert isinstance(compile_expression("product_codes == '019'"), Refused)


def _asking(programme: Programme) -> Programme:
    """Return a programme whose rules that give miles are for fuel alone."""
    rules = [
        replace(rule, when=replace(rule.when, product_codes=FUEL)) if rule.benefit is Benefit.MILES else rule
        for rule in programme.rules
    ]
    return replace(programme, rules=tuple(rules))


ASKING: Final = tuple(map(_asking, UNCAPPED))
LISTS: Final = st.sampled_from([(), ("019",), ("400",), ("020", "400")])


def _listed(history: Histories, lists: list[tuple[str, ...]]) -> Histories:
    """Return a history whose messages list these codes in turn."""
    return tuple(
        tuple(event._replace(product_codes=lists[place % len(lists)]) for place, event in enumerate(events))
        for events in history
    )


@LAW
@given(histories(), st.lists(LISTS, min_size=1, max_size=5), RANDOM)
def test_the_order_of_arrival_does_not_matter(history: Histories, lists: list[tuple[str, ...]], random: Random) -> None:
    """Whichever message lists the codes and whenever it comes, purchases end the same."""
    listed = _listed(history, lists)
    one, other = kept(arrivals(listed), ASKING), kept(shuffled(listed, random), ASKING)
    assert one.balances() == other.balances()
    for key, purchase in one.purchases.items():
        assert set(purchase.grants) == set(other.purchases[key].grants)


@LAW
@given(histories(), RANDOM)
def test_without_codes_nothing_is_earned(history: Histories, random: Random) -> None:
    """Messages that list nothing earn nothing of rules that ask for codes."""
    for purchase in kept(shuffled(history, random), ASKING).purchases.values():
        assert [] == [grant for grant in purchase.grants if grant.unit == UNCAPPED[0].unit and grant.granted]


@given(histories(1))
def test_what_was_declined_or_given_back_lists_nothing(history: Histories) -> None:
    """Codes of refunds and of declined messages are not of the purchase."""
    events = [event._replace(product_codes=("019",)) for event in history[0]]
    bought = {Effect.AUTHORIZED, Effect.FINAL, Effect.CLEARED, Effect.REQUESTED}
    expected = ("019",) if any(event.effect in bought and not event.credit for event in events) else ()
    assert expected == products_of(events)
