"""Conditions on what an account holds: what was booked before a purchase happened, and nothing that came later."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.awarding import Award
from processor.core.event import Event, event_of
from processor.core.held import Entry, Seen, facts_seen, first_second, held_facts, last_usable
from processor.core.holding import Holding, settled, usable
from processor.core.message import CardMessage
from processor.core.person import Fact, FactKind, Person, asked_by, member_at
from processor.core.programme import Programme
from processor.core.programme_document import parse_programme
from processor.core.rule import Benefit, Funder
from processor.core.simulation import Simulation, simulate
from processor.flow.decision_detail import decision_detail
from processor.flow.explain import is_reproduced, recompute
from processor.flow.explain_sentences import sentences_of
from processor.store.operations import DecisionRow
from processor.store.purchase_state import decode_purchase, encode_purchase
from tests.core.strategies import FIRST, START, Books, authorized, eur, link, presented, ratio, reversed_, rule
from tests.core.test_laws import LAW
from tests.core.test_reward import DOCUMENT, MERCHANTS, VISIT, reward

DAY: Final = date(2026, 11, 28)


def entry(at: int, granted: int, used: int = 0, *, days: int = 0, purchase: int = 1, cycle: str = "") -> Entry:
    """Return a booking of visits, valid for some days from the day of the test."""
    return Entry(at, bytes([purchase]), "two", "visit", granted, used, DAY + timedelta(days=days), cycle)


def test_each_booking_begins_a_fact() -> None:
    """Granted, used up, taken back: what was held is told from one booking to the next, with its last day."""
    entries = [entry(10, 1, days=3), entry(20, 0, 1, days=3), entry(30, 1, days=5, purchase=2)]
    told = [(fact.value, fact.since, fact.until) for fact in held_facts(entries, {"visit"}, since=0)]
    assert [("visit/2026-12-01", 10, 20), ("visit/2026-12-03", 30, None)] == told
    later = [(fact.value, fact.since, fact.until) for fact in held_facts(entries, {"visit"}, since=25)]
    assert [("visit/2026-12-03", 30, None)] == later
    assert () == held_facts(entries, {"lounge"}, since=0)


@pytest.mark.parametrize(("booked_at", "first"), [(10.0, 11), (10.2, 11), (10.999, 11), (11.0, 12)])
def test_a_booking_counts_from_the_next_second(booked_at: float, first: int) -> None:
    """A purchase of the same second does not see what is booked in it, however the two were ordered."""
    assert first == first_second(booked_at)


BOOKINGS: Final = st.lists(
    st.builds(
        entry,
        st.integers(1, 9),
        st.integers(-2, 2),
        st.integers(0, 1),
        days=st.integers(-2, 4),
        purchase=st.integers(1, 3),
        cycle=st.sampled_from(["", "c"]),
    ),
    max_size=8,
)


@LAW
@given(BOOKINGS, st.integers(0, 10), st.integers(0, 10), st.integers(-3, 5))
def test_facts_say_what_the_ledger_says(entries: list[Entry], since: int, at: int, days: int) -> None:
    """At any instant and on any day the facts tell just what can be used of what was booked by then."""
    asked = asked_by([Person(holds=frozenset({"visit"}))], ())
    assert asked is not None
    on, at = DAY + timedelta(days=days), max(at, since)
    sums: dict[bytes, Holding] = {}
    for booked in sorted(entries, key=lambda each: each.at):
        if booked.at <= at:
            nothing = Holding(booked.purchase_id, "two", "visit", 0, 0, 0, booked.last_day, booked.cycle)
            before = sums.get(booked.purchase_id, nothing)
            sums[booked.purchase_id] = before._replace(
                granted=before.granted + booked.granted, used=before.used + booked.used
            )
    member = member_at(asked, held_facts(entries, {"visit"}, since=since), at=at, on=on)
    assert (usable(settled(list(sums.values())), "visit", on) > 0) is ("visit" in member.holds)


@LAW
@given(BOOKINGS, BOOKINGS, st.integers(0, 10))
def test_what_is_booked_later_changes_nothing_before(entries: list[Entry], later: list[Entry], at: int) -> None:
    """Facts in force at an instant are the same whatever is booked after it."""
    behind = [booked._replace(at=booked.at + at) for booked in later]
    one, other = (
        {
            fact.value
            for fact in held_facts(booked, {"visit"}, since=0)
            if fact.since <= at and (fact.until is None or fact.until > at)
        }
        for booked in ([each for each in entries if each.at <= at], [*(e for e in entries if e.at <= at), *behind])
    )
    assert one == other


def test_nothing_is_usable_of_nothing() -> None:
    """Without holdings, or with what was used of all, there is no last day."""
    assert last_usable([]) is None


HOLDERS: Final = replace(
    FIRST,
    rules=(
        reward("two", 2, Funder.BANK, "grocer"),
        replace(
            rule("extra", Benefit.MILES, {"EUR": ratio(1, 100)}, funder=Funder.OWNER),
            when=replace(FIRST.rules[0].when, person=Person(holds=frozenset({"visit"}))),
        ),
    ),
    caps=(),
    rewards={"visit": VISIT},
)
HELD: Final = Fact(1, FactKind.HOLDS, "visit/2027-01-01", int(START.timestamp()) - 10)


def event(said: CardMessage, number: int) -> Event:
    """Return the event of a message that was sent some seconds after the start."""
    sent = replace(said, message_id=bytes([number]) * 16, transmitted_at=START + timedelta(seconds=number))
    return event_of(sent, link(), "classic")


def granted(awards: tuple[Award, ...]) -> dict[str, int]:
    """Return what rules granted."""
    return {award.rule: award.grant.granted for award in awards}


def test_a_decision_keeps_what_it_saw() -> None:
    """Held at the authorization and gone at clearing: the purchase gives what it gave, and its row keeps why."""
    books = Books(revisions=(HOLDERS,), facts=(HELD,))
    first = books.take(b"p" * 16, event(authorized("a", eur(80_00)), 1))
    assert {"extra": 80} == granted(first.awards)
    seen = first.purchase.seen
    assert Seen(int(START.timestamp()) + 1, ("visit",)) == seen
    assert first.purchase == decode_purchase(first.purchase.id, encode_purchase(first.purchase))
    books.facts = ()
    cleared = books.take(b"p" * 16, event(presented("1", eur(80_00)), 2))
    assert {"extra": 80} == {award.rule: award.grant.available for award in cleared.awards}


def test_an_earlier_message_looks_anew() -> None:
    """An authorization that arrives late says when it happened, and the account held nothing then."""
    books = Books(revisions=(HOLDERS,), facts=(HELD._replace(since=int(START.timestamp()) + 2),))
    assert {"extra": 80} == granted(books.take(b"p" * 16, event(presented("1", eur(80_00)), 3)).awards)
    assert {"extra": 0} == granted(books.take(b"p" * 16, event(authorized("a", eur(80_00)), 1)).awards)


def test_nothing_is_seen_before_it_is_known_when_the_purchase_happened() -> None:
    """A reversal of the same second that overtakes its authorization leaves nothing behind of what was held."""
    ends = []
    for order in ((1, 2), (2, 1)):
        books = Books(revisions=(HOLDERS,), facts=(HELD,))
        said = {1: authorized("a", eur(90_00)), 2: reversed_("b", "a", eur(60_00))}
        for number in order:
            books.take(b"p" * 16, event(said[number], number)._replace(at=int(START.timestamp())))
        ends.append({grant.rule: grant.granted for grant in books.purchases[b"p" * 16].grants if grant.granted})
    assert ends[0]
    assert ends[0] == ends[1]


def test_facts_of_another_instant_are_not_kept() -> None:
    """What was seen counts for the instant it was seen at."""
    assert (HELD,) == tuple(facts_seen((HELD,), Seen(5, ()), at=6))
    assert () == tuple(facts_seen((HELD,), Seen(5, ()), at=5))


def test_an_explanation_names_what_was_held() -> None:
    """Operations read what the account held, and of a rule that does not apply whom it is for."""
    for facts, told in (
        ((HELD,), "The account held Visit (visit)."),
        ((), "Rule extra does not apply: it is for members who held visit when the purchase happened."),
    ):
        books = Books(revisions=(HOLDERS,), facts=facts)
        decision = books.take(b"p" * 16, event(authorized("a", eur(80_00)), 1))
        detail = orjson.loads(orjson.dumps(decision_detail(decision)))
        recomputed = recompute(decision.programme, detail)
        stored = DecisionRow(
            attempt=1,
            outcome=1,
            reason=int(decision.reason),
            detail="",
            decided_at=datetime(2026, 11, 28, tzinfo=UTC),
            purchase_id=b"p" * 16,
            account=b"",
        )
        assert is_reproduced(decision.programme, stored, detail, recomputed)
        assert told in list(sentences_of(decision.programme, decision.reason, detail, recomputed))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("holds: [club-member]", "holds: [club-membr]", "when.holds[0]: 'club-membr' is no entitlement; did you mean"),
        ("holds: [club-member]", "holds: []", "earning[1].when.holds: is empty"),
        (
            'when: {amounts: {EUR: {from: "500.00"}}}',
            "when: {holds: [fitting]}",
            "rewards[3].when.holds: asks for 'fitting', which only rules for its holders give",
        ),
    ],
)
def test_a_mistake_is_said_at_its_place(old: str, new: str, said: str) -> None:
    """An unknown or missing entitlement, and one that nobody could ever begin to have, are refused."""
    assert 1 == DOCUMENT.count(old), old
    parsed = parse_programme(DOCUMENT.replace(old, new), merchants=MERCHANTS, source="p.yaml", revision=1)
    assert not isinstance(parsed, Programme)
    assert any(said in str(error) for error in parsed), parsed


def test_a_simulation_knows_what_was_given_before() -> None:
    """What a member buys in the second of the fee is bought before, and a second later as a member."""
    programme = parse_programme(DOCUMENT, merchants=MERCHANTS, source="p.yaml", revision=1)
    assert isinstance(programme, Programme)
    line = (
        '{{"id": "{}", "type": "clearing", "at": "2026-03-01T12:00:0{}+01:00", "account": "anna", "product": "noir", '
    )
    line += '"amount": "{}", "currency": "EUR", "partner": "{}"}}\n'
    lines = [line.format("fee", 0, "300.00", "club-desk")]
    lines += [line.format(f"at-{second}", second, "10.00", "atelier") for second in (0, 1)]
    result = simulate([programme], "".join(lines), source="t.jsonl")
    assert isinstance(result, Simulation)
    rules = [{award.rule for award in entry.awards} for entry in result.transactions]
    assert [False, True] == ["member-extra" in given for given in rules[1:]]
