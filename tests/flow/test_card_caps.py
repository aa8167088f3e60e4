"""Caps for each card: cards of one account count apart, and a card that replaces another one counts on."""

from collections.abc import Sequence

import pytest

from processor.flow.submission import Answer
from tests.conftest import Database
from tests.flow.audit import assert_books_agree, rows
from tests.flow.conftest import SKYWAYS, Pipeline, apply_skyways, iso87, make_pipeline
from tests.flow.test_budgets import given
from tests.flow.test_card_file import GOLD, GOLD_TWO, record, submit
from tests.flow.test_explain import explain
from tests.flow.test_keys import approved, rotated


@pytest.fixture
def capped(database: Database) -> Pipeline:
    """Give a pipeline whose base rule, which gives 50 miles, gives each card 80 miles a day."""
    text = (SKYWAYS / "programme.yaml").read_text()
    cap = "  - {id: card-day, rules: [base], period: day, miles: 80, per: card}\n"
    apply_skyways(database, document=text.replace("\ncaps:\n", f"\ncaps:\n{cap}"))
    return make_pipeline(database)


def buys(pipeline: Pipeline, card: str, *numbers: int) -> list[int]:
    """Buy with a card for 100.00 EUR each time, and return what the base rule gives."""
    return given(pipeline.send(*(approved(number, card) for number in numbers)))


def counters(pipeline: Pipeline) -> list[int]:
    """Return what each card has used."""
    found = rows(pipeline.database, "SELECT used FROM limit_counter WHERE cap LIKE 'card-day#%' AND used > 0")
    return sorted(int(used) for (used,) in found)


def both(pipeline: Pipeline, **of_second: str) -> None:
    """Tell that two cards are of one account."""
    submit(pipeline, record(GOLD, "ACC-1", "alpha-gold"), record(GOLD_TWO, "ACC-1", "alpha-gold", **of_second))


def test_each_card_of_an_account_has_its_own_cap(capped: Pipeline) -> None:
    """What one card used up another of the same account still has, and undo gives back to the card that used it."""
    both(capped)

    assert [50, 30, 0] == buys(capped, GOLD, 1, 2, 3)
    assert [50, 30] == buys(capped, GOLD_TWO, 4, 5)
    assert [80, 80] == counters(capped)
    original = f"0100{1:06d}1120113000{'12345678':0>11}{'0':0>11}"
    undo = iso87("0420", pan=GOLD, trace_number="000901", original_data=original, retrieval_reference="")
    assert [-50] == given(capped.send(undo))
    assert [[0], [50]] == [buys(capped, GOLD_TWO, 6), buys(capped, GOLD, 7)]
    assert_books_agree(capped)


def test_a_card_that_replaces_another_counts_on(capped: Pipeline) -> None:
    """A re-issued card opens no cap anew, whether the file names it first or it earned in an account of its own."""
    submit(capped, record(GOLD, "ACC-1", "alpha-gold"))
    assert [50] == buys(capped, GOLD, 1)

    submit(capped, record(GOLD_TWO, "ACC-1", "alpha-gold", predecessor=GOLD))

    assert [30, 0] == buys(capped, GOLD_TWO, 2, 3)
    assert [80] == counters(capped)
    assert_books_agree(capped)


def test_a_card_that_is_named_later_counts_on_when_it_joins(capped: Pipeline) -> None:
    """What the new card earned in an account of its own is decided afresh under the name of the card it replaces."""
    submit(capped, record(GOLD, "ACC-1", "alpha-gold"))
    assert [[50], [50]] == [buys(capped, GOLD, 1), buys(capped, GOLD_TWO, 2)]
    other = make_pipeline(capped.database)
    assert [30] == buys(other, GOLD_TWO, 3)

    submit(capped, record(GOLD_TWO, "ACC-1", "alpha-gold", predecessor=GOLD))

    assert [80] == counters(capped)
    assert [0] == buys(other, GOLD_TWO, 4)
    assert_books_agree(capped)


def test_a_joined_card_of_its_own_keeps_its_name(capped: Pipeline) -> None:
    """A second card that earned apart counts apart after it joined, before and behind the same cap."""
    submit(capped, record(GOLD, "ACC-1", "alpha-gold"))
    assert [[50], [50]] == [buys(capped, GOLD, 1), buys(capped, GOLD_TWO, 2)]

    both(capped)

    assert [50, 50] == counters(capped)
    assert [30] == buys(capped, GOLD_TWO, 3)
    assert_books_agree(capped)


def test_a_card_keeps_its_name_when_the_keys_rotate(capped: Pipeline) -> None:
    """Under a new token key, also after a file named the cards by it, a card's counter is the one it had."""
    both(capped)
    assert [50] == buys(capped, GOLD, 1)
    after = rotated(capped)

    assert [30] == buys(after, GOLD, 2)
    both(after)
    assert [[0], [50]] == [buys(after, GOLD, 3), buys(after, GOLD_TWO, 4)]
    assert [50, 80] == counters(after)
    assert_books_agree(after)


def test_what_waited_counts_for_its_card(capped: Pipeline) -> None:
    """A message that waited for the card file counts in the cap of its own card when it is decided."""
    classic = "4000010000000001"
    capped.send(*(approved(number, classic) for number in (1, 2)))

    submit(capped, record(classic), record(GOLD, "ACC-1"))

    assert [80] == counters(capped)
    assert [50] == buys(capped, GOLD, 3)
    assert_books_agree(capped)


def test_an_explanation_names_the_cap_of_the_card(capped: Pipeline) -> None:
    """Why an award was cut is said in words, and computing it again gives the same."""
    both(capped)
    buys(capped, GOLD, 1)
    answers: Sequence[Answer] = capped.send(approved(2))

    explained = explain(capped, answers[0])

    assert explained.reproduced
    assert "Cap card-day, 80 SKY a day for each card, cut rule base by 20 SKY." in explained.sentences
