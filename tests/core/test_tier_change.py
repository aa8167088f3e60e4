"""Computed tiers: after any messages in any order the tier is that of the counter; undoing all leaves none."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from random import Random
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.cap import CapPeriod
from processor.core.event import Event, event_of
from processor.core.message import CardMessage, MessageKind
from processor.core.person import Asked, Fact, FactKind, member_at
from processor.core.programme import BankCalendar, Programme
from processor.core.qualification import COUNTERS, Measure, Qualification, Qualifying, Reached, reached_of
from processor.core.tier_change import latest_reached, moved_counters, tier_changes, with_changes
from tests.core.strategies import (
    BANK,
    CAPPED,
    START,
    Books,
    Histories,
    arrivals,
    authorized,
    disputed,
    eur,
    histories,
    link,
    presented,
    refunded,
)
from tests.core.test_laws import LAW, RANDOM, shuffled, undoing

ZONE: Final = ZoneInfo("Europe/Vienna")
CALENDARS: Final = {BANK: BankCalendar(cut_off=time(22), time_zone=ZONE, holidays=None, weekend=frozenset({6, 7}))}
SPEND: Final = Measure(counts=Qualifying.SPEND, period=CapPeriod.MONTH, scale={"EUR": 11, "USD": 10})
MILES: Final = Measure(counts=Qualifying.MILES, period=CapPeriod.LIFETIME, rules=frozenset({"base", "bonus"}))
VISITS: Final = Measure(counts=Qualifying.PURCHASES, period=CapPeriod.YEAR, rules=frozenset({"base"}))
QUALIFICATIONS: Final = (
    Qualification(tier="regular", measure=VISITS, least=2, months=12),
    Qualification(tier="silver", measure=SPEND, least=20_00 * 11, further_periods=1),
    Qualification(tier="gold", measure=SPEND, least=70_00 * 11, falls_to="regular"),
    Qualification(tier="platinum", measure=MILES, least=80),
)
TIERS: Final = {"classic": "Classic", **{entry.tier: entry.tier.title() for entry in QUALIFICATIONS}}
REVISIONS: Final = tuple(
    replace(
        revision,
        tiers=TIERS,
        qualifications=QUALIFICATIONS
        if place == 0
        else (*QUALIFICATIONS[:2], replace(QUALIFICATIONS[2], least=40_00 * 11)),
        calendars=CALENDARS,
    )
    for place, revision in enumerate(CAPPED)
)
ASKED: Final = Asked(
    tiers=tuple(TIERS),
    segments=frozenset(),
    opted_in=frozenset(),
    listed=frozenset(),
    windows=frozenset(),
    by_tier=True,
    by_age=False,
)


@dataclass(slots=True, kw_only=True)
class Membership:
    """Books and the facts about tiers that their decisions record, each a second after the one before."""

    books: Books = field(default_factory=lambda: Books(revisions=REVISIONS))
    facts: tuple[Fact, ...] = ()
    at: int = int(START.timestamp())

    def take(self, purchase_id: bytes, event: Event) -> None:
        """Decide a message and look at the counters that it moved."""
        before = dict(self.books.used)
        self.books.take(purchase_id, event)
        self.look(before)

    def look(self, before: dict[tuple[str, str], int]) -> None:
        """Record what the counters that moved change."""
        self.at += 1
        changes = tier_changes(
            moved_counters(before, self.books.used),
            self.facts,
            bank=BANK,
            at=self.at,
            programme_at=self.books.programme_at,
            revision_of=self.books.terms().revision_of,
        )
        self.facts = with_changes(self.facts, changes)

    def held(self) -> dict[Reached, bool]:
        """Return which tiers hold now."""
        return {found: fact.holds for found, fact in latest_reached(self.facts).items()}

    def assert_sound(self) -> None:
        """Assert that counters are what purchases count, and that exactly those tiers hold that they give."""
        counted: dict[tuple[str, str], int] = {}
        for purchase in self.books.purchases.values():
            for counter, period, progress in purchase.qualifying:
                counted[counter, period] = counted.get((counter, period), 0) + progress
        stands = {key: units for key, units in self.books.used.items() if key[0].startswith(COUNTERS)}
        assert {key: units for key, units in counted.items() if units} == {k: v for k, v in stands.items() if v}
        terms = {revision.revision: revision.qualifications for revision in REVISIONS}
        for found, holds in self.held().items():
            asked = next(entry for entry in terms[found.revision] if entry.tier == found.given_by)
            if holds:
                assert stands[asked.measure.counter, found.period] >= asked.least
        holding = {(found.tier, found.period) for found, holds in self.held().items() if holds and not found.after}
        for entry in QUALIFICATIONS[:2]:  # Both revisions ask the same for these.
            given = {
                (entry.tier, period)
                for (counter, period), units in stands.items()
                if counter == entry.measure.counter and units >= entry.least
            }
            assert given == {held for held in holding if held[0] == entry.tier}


def lived(history: Iterable[tuple[bytes, Event]]) -> Membership:
    """Take a history, looking after each message whether all is sound."""
    membership = Membership()
    for purchase_id, event in history:
        membership.take(purchase_id, event)
        membership.assert_sound()
    return membership


@LAW
@given(histories(), RANDOM)
def test_the_tier_is_that_of_the_counter_after_each_message(history: Histories, random: Random) -> None:
    """Clearings, refunds, reversals and disputes in any order: at each moment those tiers hold that counters give."""
    lived(shuffled(history, random))


@LAW
@given(histories(), RANDOM)
def test_the_order_of_arrival_does_not_change_counters_nor_tiers(history: Histories, random: Random) -> None:
    """Any order ends with the same counters of amounts and purchases, and with the same tiers of them."""
    sides = []
    for order in (arrivals(history), shuffled(history, random)):
        membership = lived(order)
        stands = {
            key: units for key, units in membership.books.used.items() if key[0] in {SPEND.counter, VISITS.counter}
        }
        holding = {
            found.tier for found, holds in membership.held().items() if holds and found.tier in {"regular", "silver"}
        }
        sides.append(({key: units for key, units in stands.items() if units}, holding))
    assert sides[0] == sides[1]


@LAW
@given(histories(), RANDOM)
def test_undoing_everything_gives_every_tier_back(history: Histories, random: Random) -> None:
    """When all that cleared is taken back, every counter is at nothing and no tier holds."""
    membership = lived(shuffled(history, random))
    for purchase_id, purchase in sorted(membership.books.purchases.items()):
        for event in undoing(purchase.events):
            membership.take(purchase_id, event)
            membership.assert_sound()
    for purchase in membership.books.purchases.values():
        amounts = [entry for entry in purchase.qualifying if entry.counter in {SPEND.counter, VISITS.counter}]
        assert [] == [entry for entry in amounts if entry.progress > 0]
    assert set() == {found.tier for found, holds in membership.held().items() if holds} - {"platinum"}


@LAW
@given(histories(), RANDOM)
def test_a_merge_counts_once(history: Histories, random: Random) -> None:
    """A purchase that gives its events away counts nothing any more, and the survivor what both come to together."""
    membership = lived(shuffled(history, random))
    ids = sorted(membership.books.purchases)
    if len(ids) < 2:
        return
    gone, survivor = random.sample(ids, 2)
    before = dict(membership.books.used)
    membership.books.merge(gone, survivor)
    quiet = replace(presented("9", eur(0)), message_id=bytes(15) + b"\xff", transmitted_at=START)
    membership.books.take(survivor, event_of(quiet, link(), "classic"))
    membership.look(before)
    membership.assert_sound()
    assert () == membership.books.purchases[gone].qualifying


@LAW
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=12))
def test_a_member_has_the_highest_tier_that_holds(steps: list[tuple[int, bool]]) -> None:
    """However tiers are reached and given back, at each moment the highest of those that hold is the member's."""
    facts: tuple[Fact, ...] = ()
    holding: set[str] = set()
    for second, (place, holds) in enumerate(steps, start=1):
        tier = QUALIFICATIONS[place].tier
        value = Reached(tier, "2026", 1).value
        facts = (*facts, Fact(second, FactKind.REACHED, value, second, None, holds))
        holding = holding | {tier} if holds else holding - {tier}
        highest = max(("classic", *holding), key=list(TIERS).index)
        assert highest == member_at(ASKED, facts, at=second, on=date(2026, 11, 28)).tier
        by_hand = (*facts, Fact(99, FactKind.TIER, "gold", 0))
        expected = max((highest, "gold"), key=list(TIERS).index)
        assert expected == member_at(ASKED, by_hand, at=second, on=date(2026, 11, 28)).tier


def step(membership: Membership, purchase: int, number: int, message: CardMessage) -> list[tuple[str, bool]]:
    """Take one message of a purchase, and return the facts that it recorded."""
    known = len(membership.facts)
    sent = replace(message, message_id=bytes([number]) * 16, transmitted_at=START)
    membership.take(bytes([purchase]) * 16, event_of(sent, link(), "classic"))
    return [(reached_of(fact.value).tier, fact.holds) for fact in membership.facts[known:]]


def test_what_gives_and_takes_a_tier() -> None:
    """What is authorized reaches nothing; a chargeback takes what its purchase gave, and presenting again gives it."""
    membership = Membership()
    assert [[], [("silver", True)], [("silver", False)], [("silver", True)], [("silver", False)]] == [
        step(membership, 1, 1, authorized("A", eur(30_00))),
        step(membership, 1, 2, presented("1", eur(30_00))),
        step(membership, 1, 3, disputed(MessageKind.CHARGEBACK, "1", eur(30_00))),
        step(membership, 1, 4, disputed(MessageKind.SECOND_PRESENTMENT, "1", eur(30_00))),
        step(membership, 1, 5, refunded("1", eur(10_01))),
    ]


def test_one_message_may_reach_several_tiers_the_lowest_first() -> None:
    """75 EUR reach silver and gold at once, and a refund of 10 EUR takes gold alone."""
    membership = Membership()
    assert [("silver", True), ("gold", True), ("regular", True)] == step(membership, 1, 1, presented("1", eur(75_00)))
    assert [("gold", False), ("regular", False)] == step(membership, 1, 2, refunded("1", eur(10_00)))


def test_a_tier_falls_by_one_step_when_it_runs_out() -> None:
    """Gold of November is followed by the lower tier through December, and by nothing where gold was given back."""
    membership = Membership()
    step(membership, 1, 1, presented("1", eur(75_00)))
    december, january = (int(datetime(*day, 12, tzinfo=UTC).timestamp()) for day in ((2026, 12, 15), (2027, 1, 15)))
    facts = tuple(fact for fact in membership.facts if reached_of(fact.value).given_by == "gold")
    seen = [member_at(ASKED, facts, at=at, on=date(2026, 12, 1)).tier for at in (membership.at, december, january)]
    assert ["gold", "regular", "classic"] == seen
    step(membership, 1, 2, refunded("1", eur(75_00)))
    assert "classic" == member_at(ASKED, membership.facts, at=december, on=date(2026, 12, 15)).tier


def test_another_measure_gives_a_tier_of_its_own() -> None:
    """Where a revision counts something else, what the one counter takes leaves what the other one gave."""
    other = replace(SPEND, scale={"EUR": 1})
    changed = replace(REVISIONS[1], qualifications=(replace(QUALIFICATIONS[1], measure=other, least=20_00),))
    known = {1: REVISIONS[0], 2: changed}

    def change(moved: dict[tuple[str, str], int], facts: tuple[Fact, ...], at: int) -> tuple[Fact, ...]:
        changes = tier_changes(
            moved, facts, bank=BANK, at=at, programme_at=lambda _: changed, revision_of=known.__getitem__
        )
        return with_changes(facts, changes)

    start = int(START.timestamp())
    held = Fact(1, FactKind.REACHED, "silver/2026-11/1", start)
    facts = change({(other.counter, "2026-11"): 25_00, (SPEND.counter, "2026-11"): 0}, (held,), start + 1)
    assert {("silver/2026-11/1", False), ("silver/2026-11/2", True)} == {
        (found.value, fact.holds) for found, fact in latest_reached(facts).items()
    }


@pytest.mark.parametrize(
    ("period", "name", "further", "months", "expected"),
    [
        (CapPeriod.DAY, "2026-12-31", 0, None, "2026-12-31T23:00:00+00:00"),
        (CapPeriod.DAY, "2026-12-31", 1, None, "2027-01-01T23:00:00+00:00"),
        (CapPeriod.WEEK, "2026-W53", 0, None, "2027-01-03T23:00:00+00:00"),
        (CapPeriod.WEEK, "2026-W53", 1, None, "2027-01-10T23:00:00+00:00"),
        (CapPeriod.MONTH, "2026-12", 0, None, "2026-12-31T23:00:00+00:00"),
        (CapPeriod.MONTH, "2026-11", 1, None, "2026-12-31T23:00:00+00:00"),
        (CapPeriod.MONTH, "2026-06", 0, None, "2026-06-30T22:00:00+00:00"),
        (CapPeriod.QUARTER, "2026-Q4", 0, None, "2026-12-31T23:00:00+00:00"),
        (CapPeriod.QUARTER, "2026-Q2", 1, None, "2026-09-30T22:00:00+00:00"),
        (CapPeriod.YEAR, "2026", 0, None, "2026-12-31T23:00:00+00:00"),
        (CapPeriod.YEAR, "2026", 1, None, "2027-12-31T23:00:00+00:00"),
        (CapPeriod.LIFETIME, "lifetime", 0, None, None),
        (CapPeriod.MONTH, "2026-11", 0, 3, "2027-02-28T23:00:00+00:00"),
        (CapPeriod.YEAR, "2026", 0, 12, "2027-11-30T23:00:00+00:00"),
    ],
)
def test_how_long_a_tier_is_kept(
    period: CapPeriod, name: str, further: int, months: int | None, expected: str | None
) -> None:
    """Periods end at midnight of the bank's zone; months from 30 November end with the day, or with a shorter month."""
    measure = Measure(counts=Qualifying.PURCHASES, period=period)
    entry = Qualification(tier="gold", measure=measure, least=1, further_periods=further, months=months)
    until = entry.ends(name, int(datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()), ZONE)
    assert expected == (None if until is None else datetime.fromtimestamp(until, UTC).isoformat())


def test_a_tier_that_would_be_over_is_not_given() -> None:
    """A counter of a period that has ended gives a tier only where it is kept for longer."""
    programme: Programme = REVISIONS[0]
    january = int(datetime(2027, 1, 15, tzinfo=UTC).timestamp())
    changes = tier_changes(
        {(SPEND.counter, "2026-12"): 100_00 * 11},
        (),
        bank=BANK,
        at=january,
        programme_at=lambda _: programme,
        revision_of=lambda _: programme,
    )
    assert ["silver"] == [change.reached.tier for change in changes]


@pytest.mark.parametrize(("origin", "after"), [("", ""), ("a1b2c3", ""), ("", "platinum"), ("a1b2c3", "platinum")])
def test_a_value_says_what_was_reached(origin: str, after: str) -> None:
    """The value of a fact and what it says are two forms of one thing."""
    reached = Reached("gold", "2026-W01", 12, origin, after)
    assert reached == reached_of(reached.value)
