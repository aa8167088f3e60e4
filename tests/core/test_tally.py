"""Tallies: what a period's progress is worth, and that purchases together earn exactly that, in any order."""

from collections import Counter
from dataclasses import replace
from datetime import date
from random import Random
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.cap import Cap, CapPeriod, CounterKey
from processor.core.event import event_of
from processor.core.message import CardMessage
from processor.core.money import Rounding
from processor.core.programme import Programme
from processor.core.rule import Benefit, Funder, Rule
from processor.core.tally import Bracket, Counted, Counting, Cycle, Tally, count, uncount
from tests.core.strategies import (
    CAPPED,
    FIRST,
    START,
    UNIT,
    Books,
    Histories,
    arrivals,
    authorized,
    eur,
    histories,
    link,
    presented,
    ratio,
    refunded,
    reversed_,
    rule,
)
from tests.core.test_laws import LAW, RANDOM, audit, kept, shuffled

DAY: Final = date(2026, 11, 2)
RATE: Final = Tally(period=CapPeriod.MONTH, scale={"EUR": 1}, brackets=(Bracket(0, 1),), denominator=200)
HALF_UP: Final = replace(RATE, rounding=Rounding.HALF_UP)
STEPS: Final = Tally(
    period=CapPeriod.MONTH,
    scale={"EUR": 1},
    brackets=(Bracket(100_00, 1), Bracket(300_00, 2)),
    denominator=100,
    counting=Counting.EXCESS,
)
WHOLE: Final = replace(STEPS, counting=Counting.WHOLE)
MOST: Final = replace(STEPS, most=250)
HUNDREDS: Final = Tally(period=CapPeriod.MONTH, scale={"EUR": 1}, cycle=Cycle(every=100_00, gives=50, times=None))
VISITS: Final = Tally(period=CapPeriod.MONTH, cycle=Cycle(every=3, gives=30, times=2))


@pytest.mark.parametrize(
    ("tally", "progress", "worth"),
    [
        (RATE, 199, 0),
        (RATE, 200, 1),
        (RATE, 1_199, 5),
        (RATE, -399, -1),
        (HALF_UP, 300, 2),
        (HALF_UP, -300, -2),
        (STEPS, -50_00, 0),
        (STEPS, 0, 0),
        (STEPS, 100_00, 0),
        (STEPS, 101_00, 1),
        (STEPS, 300_00, 200),
        (STEPS, 310_00, 220),
        (WHOLE, 100_00, 0),
        (WHOLE, 100_01, 100),
        (WHOLE, 310_00, 620),
        (MOST, 310_00, 220),
        (MOST, 900_00, 250),
        (HUNDREDS, -1, 0),
        (HUNDREDS, 99_99, 0),
        (HUNDREDS, 250_00, 100),
        (VISITS, 2, 0),
        (VISITS, 3, 30),
        (VISITS, 30, 60),
    ],
)
def test_what_progress_is_worth(tally: Tally, progress: int, worth: int) -> None:
    """A rate rounds the sum once, brackets begin above their sums, cycles come full circle and stop at their times."""
    assert worth == tally.worth(progress)


def test_other_terms_count_anew() -> None:
    """The counter's name tells terms apart, so that a revision that changes them begins at nothing."""
    assert RATE.counter("rule", DAY) == replace(RATE).counter("rule", DAY)
    assert RATE.counter("rule", DAY)[1] == "2026-11"
    assert len({tally.counter("rule", DAY) for tally in (RATE, HALF_UP, STEPS, WHOLE, MOST, HUNDREDS, VISITS)}) == 7


def test_the_purchase_that_reaches_a_step_earns_it() -> None:
    """What has cleared counts, the rest is promised by what it would add; undone, the first takes the step away."""
    used: dict[CounterKey, int] = {}
    key = HUNDREDS.counter("hundreds", DAY)
    first, promised = count(HUNDREDS, key, Counted(), whole=60_00, cleared=0, used=used)
    assert (Counted(), 0, {}) == (first, promised, used)
    first, _ = count(HUNDREDS, key, first, whole=60_00, cleared=60_00, used=used)
    second, promised = count(HUNDREDS, key, Counted(), whole=60_00, cleared=0, used=used)
    assert (Counted(), 50) == (second, promised)
    second, promised = count(HUNDREDS, key, second, whole=60_00, cleared=60_00, used=used)
    assert (Counted(60_00, 50), 0) == (second, promised)
    assert -50 == uncount(HUNDREDS, key, first, used)
    assert {key: 60_00} == used


def tally_rule(name: str, tally: Tally, funder: Funder = Funder.OWNER) -> Rule:
    """Return a rule that gives by a tally."""
    rated = rule(name, Benefit.MILES, {"EUR": ratio(1, 200)} if tally.brackets else {}, funder=funder)
    return replace(rated, tally=tally, fixed={UNIT: tally.cycle.gives} if tally.cycle else {})


RULES: Final = (
    tally_rule("sum", RATE, Funder.BANK),
    tally_rule("steps", replace(STEPS, brackets=(Bracket(20_00, 1), Bracket(60_00, 2)))),
    tally_rule("whole", replace(WHOLE, brackets=(Bracket(30_00, 1),), period=CapPeriod.WEEK)),
    tally_rule("thirties", replace(HUNDREDS, cycle=Cycle(every=30_00, gives=7, times=None), period=CapPeriod.DAY)),
    tally_rule("visits", replace(VISITS, cycle=Cycle(every=2, gives=11, times=None), period=CapPeriod.LIFETIME)),
    tally_rule("first", replace(VISITS, cycle=Cycle(every=1, gives=500, times=1), period=CapPeriod.LIFETIME)),
)
TALLIED: Final = tuple(replace(revision, rules=(*revision.rules, *RULES)) for revision in CAPPED)
UNCAPPED: Final = tuple(replace(revision, caps=()) for revision in TALLIED)
LIMITED: Final = tuple(
    replace(
        revision,
        caps=(
            *revision.caps,
            Cap(id="few", rules=frozenset({"sum", "steps"}), period=CapPeriod.MONTH, limit=40, currency=None),
            Cap(
                id="once",
                rules=frozenset({"visits"}),
                period=CapPeriod.MONTH,
                limit=1,
                currency=None,
                purchases=True,
            ),
        ),
    )
    for revision in TALLIED
)


def assert_worth(books: Books) -> None:
    """Assert that purchases have earned by each tally what their progress is worth, and nothing besides."""
    earned: Counter[str] = Counter()
    progress: Counter[tuple[str, CounterKey]] = Counter()
    tallies: dict[tuple[str, CounterKey], Tally] = {}
    for purchase in books.purchases.values():
        for grant in purchase.grants:
            earned[grant.rule] += grant.counted.earned
            programme = next(entry for entry in books.revisions if entry.revision == purchase.revision)
            if grant.rule in programme.tallies and purchase.occurred_on is not None:
                tally = programme.tallies[grant.rule]
                key = grant.rule, tally.counter(grant.rule, purchase.occurred_on)
                progress[key] += grant.counted.progress
                tallies[key] = tally
    worth: Counter[str] = Counter()
    for key, stands in progress.items():
        worth[key[0]] += tallies[key].worth(stands)
    assert {name: units for name, units in earned.items() if units} == {
        name: units for name, units in worth.items() if units
    }


@LAW
@given(histories(), RANDOM, st.sampled_from([TALLIED, LIMITED]))
def test_purchases_earn_what_their_progress_is_worth(
    history: Histories, random: Random, revisions: tuple[Programme, ...]
) -> None:
    """After each message, in any order and under caps, the books balance and tallies add up."""
    books = kept(shuffled(history, random), revisions)
    audit(books)
    assert_worth(books)


@LAW
@given(histories(), RANDOM)
def test_the_order_of_purchases_does_not_matter(history: Histories, random: Random) -> None:
    """Without caps, any order of messages ends with the same miles for what has cleared."""
    one, other = kept(arrivals(history), UNCAPPED), kept(shuffled(history, random), UNCAPPED)
    assert one.miles()[1] == other.miles()[1]
    assert {key: units for key, units in one.used.items() if units} == {
        key: units for key, units in other.used.items() if units
    }


@LAW
@given(histories(), RANDOM)
def test_a_merge_leaves_what_it_is_worth(history: Histories, random: Random) -> None:
    """A purchase that hands over its events takes nothing with it: the survivor keeps what tallies owe."""
    books = kept(shuffled(history, random), TALLIED)
    ids = sorted(books.purchases)
    if len(ids) < 2:
        return
    gone, survivor = random.sample(ids, 2)
    books.merge(gone, survivor)
    quiet = replace(presented("9", eur(0)), message_id=bytes(15) + b"\xff", transmitted_at=START)
    books.take(survivor, event_of(quiet, link(), "classic"))
    audit(books)
    assert_worth(books)


@LAW
@given(st.lists(st.integers(1, 150_00), min_size=1, max_size=6), st.lists(st.booleans(), min_size=6, max_size=6))
def test_undoing_every_purchase_leaves_nothing(amounts: list[int], clears: list[bool]) -> None:
    """Whatever was cleared and is refunded, or was authorized and is reversed, ends at nothing everywhere."""
    books = Books(revisions=LIMITED)
    for number, (minor, cleared) in enumerate(zip(amounts, clears, strict=False)):
        steps = (
            [presented("1", eur(minor)), refunded("1", eur(minor))]
            if cleared
            else [authorized("A", eur(minor)), reversed_("B", "A")]
        )
        for place, message in enumerate(steps):
            sent = replace(message, message_id=bytes([1, number, place]) + bytes(13), transmitted_at=START)
            books.take(bytes([number]) + bytes(15), event_of(sent, link(), "classic"))
    audit(books)
    assert_worth(books)
    assert (0, 0) == books.miles()
    assert {0} >= set(books.used.values())


@LAW
@given(st.lists(st.integers(1, 150_00), min_size=2, max_size=6), RANDOM)
def test_undoing_in_any_order_leaves_nothing_under_limits(amounts: list[int], random: Random) -> None:
    """Purchases that limits cut, and that are all refunded afterwards in any order, leave no mile and no progress."""
    books = Books(revisions=LIMITED)
    places = range(len(amounts))
    for step, said, order in ((0, presented, places), (1, refunded, random.sample(places, len(amounts)))):
        for number in order:
            sent = replace(
                said("1", eur(amounts[number])), message_id=bytes([1, number, step]) + bytes(13), transmitted_at=START
            )
            books.take(bytes([number]) + bytes(15), event_of(sent, link(), "classic"))
    audit(books)
    assert_worth(books)
    assert (0, 0) == books.miles()
    assert {0} >= {units for (counter, _), units in books.used.items() if "~" in counter}


def test_a_refund_takes_back_what_another_purchase_reached() -> None:
    """60 and 60 EUR reach the step with the second; the first's refund takes the second's bonus, once."""
    books = Books(revisions=(replace(FIRST, rules=(tally_rule("hundreds", HUNDREDS),), caps=()),))

    def take(purchase: int, number: int, message: CardMessage) -> int:
        sent = replace(message, message_id=bytes([number]) * 16, transmitted_at=START)
        decision = books.take(bytes([purchase]) * 16, event_of(sent, link(), "classic"))
        return sum(award.available_change for award in decision.awards)

    assert [0, 50, -50, 0] == [
        take(1, 1, presented("1", eur(60_00))),
        take(2, 2, presented("2", eur(60_00))),
        take(1, 3, refunded("1", eur(60_00))),
        take(2, 4, refunded("2", eur(60_00))),
    ]


def test_a_kind_of_message_that_clears_nothing_counts_nothing() -> None:
    """An authorization promises the bonus of a first purchase and reaches nothing."""
    books = Books(revisions=(replace(FIRST, rules=(tally_rule("first", RULES[5].tally or VISITS),), caps=()),))
    sent = replace(authorized("A", eur(60_00)), message_id=bytes(16), transmitted_at=START)
    decision = books.take(bytes(16), event_of(sent, link(), "classic"))
    assert [(500, 0)] == [(award.pending_change, award.available_change) for award in decision.awards]
    assert {} == books.used
