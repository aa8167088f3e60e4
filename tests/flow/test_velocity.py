"""Velocity limits: what goes beyond a window is held, and released or refused once, in whatever order words come."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.core.event import Event
from processor.core.grant import Grant
from processor.core.message import Direction, MessageKind
from processor.core.outcome import Reason
from processor.core.review import Rulings, held_rules, reviewed
from processor.core.velocity import VELOCITY, Velocity
from processor.flow.event_message import EventRefusal, EventRefused
from processor.flow.release_awards import Release, Released, release_awards
from processor.store.card_side import Key
from processor.store.purchases import AFTER_EVERY_ID, list_held
from tests.conftest import Database
from tests.core.strategies import authorized, eur, events, message
from tests.flow.audit import assert_books_agree, count, rows, totals
from tests.flow.conftest import SKYWAYS, Pipeline, apply_skyways, make_pipeline
from tests.flow.test_batch import approved
from tests.flow.test_explain import explain

EACH: Final = 50
"""What the base rule gives; the premium rule gives 25 beside it, which no limit of these tests watches."""


def watched(database: Database, limit: str, more: str = "") -> Pipeline:
    """Give a pipeline whose programme holds what goes beyond a limit."""
    text = (SKYWAYS / "programme.yaml").read_text() + f"\nvelocity:\n  - {limit}\n{more}"
    apply_skyways(database, document=text)
    return make_pipeline(database)


@pytest.fixture
def burst(database: Database) -> Pipeline:
    """Hold the third award of a day, under a budget of 1,000 miles."""
    limit = "{id: burst, rules: [base], awards: 2, within: {hours: 24}}"
    return watched(database, limit, "budgets:\n  - {id: launch, rules: [base], miles: 1000}\n")


def purchases(database: Database) -> list[tuple[Key, bytes]]:
    """Return the account of each purchase and its id, in the order in which they happened."""
    found = rows(
        database,
        "SELECT p.bucket, p.account, p.id FROM purchase p JOIN award a ON a.bucket = p.bucket AND a.purchase_id = p.id"
        " WHERE a.rule = 'base' AND a.pending_change + a.available_change > 0 ORDER BY a.booked_at, p.id",
    )
    return [((bucket, bytes(account)), bytes(purchase)) for bucket, account, purchase in found]


def held(database: Database) -> list[tuple[Key, bytes]]:
    """Return what operations find held for review."""
    with database.service.connect() as connection:
        found = list_held(connection, b"", before=(AFTER_EVERY_ID, 0), limit=50)
    return [(key, purchase.id) for key, purchase in found if held_rules(purchase.grants, purchase.events)]


def tell(pipeline: Pipeline, to: tuple[Key, bytes], *, refuses: bool, number: int = 1) -> Released | EventRefused:
    """Release or refuse what is held of a purchase."""
    word = Release(
        purchase=to[1], rules=(), reason="Ticket 4711", actor="ann", request_id=UUID(int=number), refuses=refuses
    )
    return release_awards(pipeline.decider, to[0], word)


def bought(pipeline: Pipeline, number: int) -> Reason:
    """Buy for 100.00 EUR a few seconds after the last time; it is authorized."""
    pipeline.now += timedelta(seconds=5)
    (answer,) = pipeline.send(approved(number))
    return answer.reason


def used(database: Database) -> int:
    """Return what is used of the budget."""
    return int(rows(database, "SELECT COALESCE(sum(used), 0) FROM budget_share")[0][0])


def test_the_award_beyond_the_window_is_held_and_refused(burst: Pipeline) -> None:
    """The third award is promised and held; refused, it is taken back with its budget, once, and the audit says so."""
    for number in range(1, 4):
        bought(burst, number)
    (third,) = held(burst.database)
    assert (225, 0) == totals(burst.database)
    assert 150 == used(burst.database)

    told = [tell(burst, third, refuses=True) for _ in range(2)]

    assert [False, True] == [isinstance(word, Released) and word.duplicate for word in told]
    assert (175, 0) == totals(burst.database)
    assert (100, []) == (used(burst.database), held(burst.database))
    assert 1 == count(burst.database, "audit", "action = 'refuse-awards'")
    again = tell(burst, third, refuses=True, number=2)
    assert isinstance(again, EventRefused)
    assert EventRefusal.NOTHING_TO_RELEASE is again.refusal
    assert_books_agree(burst)


def test_a_released_award_is_posted_when_it_clears(burst: Pipeline) -> None:
    """What is released counts as if it had never been held, and is on no list any more."""
    for number in range(1, 4):
        bought(burst, number)
    (third,) = held(burst.database)

    assert isinstance(tell(burst, third, refuses=False), Released)

    assert [] == held(burst.database)
    assert (225, 0) == totals(burst.database)
    assert_books_agree(burst)


def test_what_is_undone_no_longer_counts(burst: Pipeline) -> None:
    """After a reversal the window has room for another award that is not held."""
    for number in (1, 2):
        bought(burst, number)
    original = f"0100{1:06d}1120113000{'12345678':0>11}{'0':0>11}"
    burst.send(approved(501, "0420", original_data=original, retrieval_reference=""))

    bought(burst, 3)
    assert [] == held(burst.database)
    bought(burst, 4)
    assert 1 == len(held(burst.database))
    assert_books_agree(burst)


def test_miles_beyond_the_days_are_held(database: Database) -> None:
    """A limit of miles holds the award that would go beyond it, and what is held counts for the next."""
    pipeline = watched(database, "{id: much, rules: [base], miles: 120, within: {days: 7}}")

    for number in (1, 2, 3):
        bought(pipeline, number)
    pipeline.send(approved(9, amount="000000001000"))

    assert sorted(purchases(database)[2:]) == sorted(held(database))
    assert_books_agree(pipeline)


def test_an_explanation_says_what_holds_and_what_was_refused(burst: Pipeline) -> None:
    """A held award names its limit; a refused one says that operations refused it; both are reproduced."""
    answers = [burst.send(approved(number))[0] for number in range(1, 4)]

    explained = explain(burst, answers[2])
    (third,) = held(burst.database)
    told = tell(burst, third, refuses=True)
    assert isinstance(told, Released)
    refusal = explain(burst, replace(answers[2], explanation=told.verdict.explanation))

    assert explained.reproduced
    holds = (
        "Velocity limit burst, 2 awards in 24 hours, holds what rule base gives until operations release or refuse it."
    )
    assert holds in explained.sentences
    assert refusal.reproduced
    assert "Operations refused what rule base gives for this purchase." in refusal.sentences


LIMIT: Final = Velocity(id="burst", rules=frozenset({"base"}), awards=None, units=100, hours=2, days=None)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-20, 80), st.integers(0, 5)), max_size=12))
def test_windows_hold_what_grants_say(changes: list[tuple[int, int, int]]) -> None:
    """However purchases rise, fall and move in time, a window counts what grants hold, and all of it goes with them."""
    used: dict[tuple[str, str], int] = {}
    grants: dict[int, Grant] = {}
    (first,) = events(authorized("a", eur(1_00)))
    for purchase, total, hour in changes:
        before = grants.get(purchase, Grant("base", "SKY"))
        moment = first._replace(at=first.at + 3600 * hour)
        after = before._replace(granted=total, available=total)
        grants[purchase] = reviewed([LIMIT], before, after, moment, used, released=False)

    counted: dict[tuple[str, str], int] = {}
    for grant in grants.values():
        for pool, period, units in grant.budgets:
            counted[pool, period] = counted.get((pool, period), 0) + units
    assert counted == {key: units for key, units in used.items() if units}
    assert all(pool == f"burst{VELOCITY}" for pool, _ in counted)
    assert all(grant.available <= 0 for grant in grants.values() if grant.review)


def test_the_last_word_counts_in_any_order() -> None:
    """Of a release and a refusal the later one counts, on its rules, whichever arrives first."""
    words: Sequence[Event] = events(
        message(MessageKind.AWARD_RELEASED, Direction.ADVICE, ""),
        message(MessageKind.AWARD_REFUSED, Direction.ADVICE, ""),
        message(MessageKind.AWARD_RELEASED, Direction.ADVICE, ""),
    )
    ruled = [words[0], words[1], words[2]._replace(rules=("bonus",))]
    for ordered in (ruled, ruled[::-1]):
        rulings = Rulings(ordered)
        assert ("REFUSED", "RELEASED") == tuple(
            word.name for word in (rulings.on("base"), rulings.on("bonus")) if word is not None
        )
