"""Who a rule is for: each thing asked at its edges, which fact counts, and laws of when facts count."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.person import (
    Age,
    Asked,
    Fact,
    FactKind,
    Member,
    Person,
    PersonUnmet,
    asked_by,
    completed_months,
    in_window,
    member_at,
)

ON = date(2026, 11, 20)
TIERS = ("blue", "silver", "gold")
MEMBER = Member(
    tier="silver",
    reached=frozenset({"blue", "silver"}),
    segments=frozenset({"students"}),
    opted_in=frozenset({"challenge"}),
    listed=frozenset({"win-back"}),
    member_since=date(2026, 8, 20),
    windows=frozenset({(3, 3)}),
)
ASKED = Asked(
    tiers=TIERS,
    segments=frozenset({"students", "crew"}),
    opted_in=frozenset({"challenge"}),
    listed=frozenset({"win-back"}),
    windows=frozenset({(3, 3), (0, 0)}),
    by_tier=True,
    by_age=True,
)


@pytest.mark.parametrize(
    ("asked", "differs", "unmet"),
    [
        ({"tiers": frozenset({"silver"})}, {"tier": "gold"}, PersonUnmet.TIERS),
        ({"tier_from": "silver"}, {"reached": frozenset({"blue"})}, PersonUnmet.TIER_FROM),
        ({"segments": frozenset({"students", "crew"})}, {"segments": frozenset()}, PersonUnmet.SEGMENTS),
        ({"member_for": Age(at_least_days=92)}, {"member_since": date(2026, 8, 21)}, PersonUnmet.MEMBER_FOR),
        ({"member_for": Age(at_least_months=3)}, {"member_since": date(2026, 8, 21)}, PersonUnmet.MEMBER_FOR),
        ({"member_for": Age(less_than_days=93)}, {"member_since": date(2026, 8, 19)}, PersonUnmet.MEMBER_FOR),
        ({"member_for": Age(less_than_months=4)}, {"member_since": date(2026, 7, 20)}, PersonUnmet.MEMBER_FOR),
        ({"member_for": Age(less_than_months=4)}, {"member_since": date(2026, 11, 21)}, PersonUnmet.MEMBER_FOR),
        ({"member_for": Age(less_than_months=4)}, {"member_since": None}, PersonUnmet.MEMBER_FOR),
        ({"birthday": (3, 3)}, {"windows": frozenset({(0, 0)})}, PersonUnmet.BIRTHDAY),
        ({"opted_in": "challenge"}, {"opted_in": frozenset()}, PersonUnmet.OPTED_IN),
        ({"listed": "win-back"}, {"listed": frozenset({"challenge"})}, PersonUnmet.LISTED),
    ],
)
def test_what_is_asked(asked: dict[str, Any], differs: dict[str, Any], unmet: PersonUnmet) -> None:
    """Each is met by the member who has it, and not by the one beside."""
    person = Person(**asked)
    assert person.unmet(MEMBER, ON) is None
    assert unmet is person.unmet(MEMBER._replace(**differs), ON)


@pytest.mark.parametrize(
    ("since", "on", "months"),
    [
        (date(2026, 1, 31), date(2026, 2, 27), 0),
        (date(2026, 1, 31), date(2026, 2, 28), 1),
        (date(2028, 1, 31), date(2028, 2, 28), 0),
        (date(2024, 2, 29), date(2025, 2, 28), 12),
        (date(2025, 2, 28), date(2026, 2, 27), 11),
        (date(2025, 12, 15), date(2026, 1, 14), 0),
        (date(2025, 12, 15), date(2026, 1, 15), 1),
        (date(1999, 12, 31), date(2026, 12, 31), 324),
    ],
)
def test_whole_months(since: date, on: date, months: int) -> None:
    """A month is over on the same day of the next one, or on its last where that is earlier."""
    assert months == completed_months(since, on)


@pytest.mark.parametrize(
    ("window", "birthday", "on", "within"),
    [
        ((0, 0), "11-20", date(2026, 11, 20), True),
        ((0, 0), "11-20", date(2026, 11, 21), False),
        ((3, 2), "11-20", date(2026, 11, 17), True),
        ((3, 2), "11-20", date(2026, 11, 16), False),
        ((3, 2), "11-20", date(2026, 11, 22), True),
        ((3, 2), "11-20", date(2026, 11, 23), False),
        ((3, 3), "01-01", date(2026, 12, 29), True),
        ((3, 3), "12-31", date(2027, 1, 3), True),
        ((3, 3), "12-31", date(2027, 1, 4), False),
        ((0, 0), "02-29", date(2028, 2, 29), True),
        ((0, 0), "02-29", date(2028, 2, 28), False),
        ((0, 0), "02-29", date(2027, 2, 28), True),
        ((0, 0), "02-29", date(2027, 3, 1), False),
        ((180, 180), "07-01", date(1, 1, 2), True),
        ((3, 3), "12-31", date.max, True),
    ],
)
def test_a_birthday_window(window: tuple[int, int], birthday: str, on: date, within: bool) -> None:
    """It includes both its ends, goes over New Year, and puts 29 February on the 28th where there is none."""
    assert within is in_window(window, birthday, on)


def facts(*stated: tuple[FactKind, str, int, int | None]) -> list[Fact]:
    """Return facts numbered as they stand."""
    return [
        Fact(number=number, kind=kind, value=value, since=since, until=until)
        for number, (kind, value, since, until) in enumerate(stated, start=1)
    ]


@pytest.mark.parametrize(
    ("known", "at", "tier"),
    [
        ([], 50, "blue"),
        (facts((FactKind.TIER, "silver", 10, None)), 9, "blue"),
        (facts((FactKind.TIER, "silver", 10, None)), 10, "silver"),
        (facts((FactKind.TIER, "silver", 10, 20)), 19, "silver"),
        (facts((FactKind.TIER, "silver", 10, 20)), 20, "blue"),
        (facts((FactKind.TIER, "silver", 10, None), (FactKind.TIER, "gold", 20, 30)), 25, "gold"),
        (facts((FactKind.TIER, "silver", 10, None), (FactKind.TIER, "gold", 20, 30)), 30, "silver"),
        (facts((FactKind.TIER, "gold", 20, None), (FactKind.TIER, "silver", 10, None)), 25, "gold"),
        (facts((FactKind.TIER, "gold", 20, None), (FactKind.TIER, "silver", 20, None)), 25, "silver"),
        (facts((FactKind.TIER, "diamond", 10, None)), 10, "blue"),
        ([Fact(1, FactKind.TIER, "gold", 10), Fact(2, FactKind.TIER, "", 20, holds=False)], 20, "blue"),
    ],
)
def test_which_tier_counts(known: list[Fact], at: int, tier: str) -> None:
    """The fact that began last counts while it is in force, then the one beneath it, and in the end the lowest tier."""
    member = member_at(ASKED, known, at=at, on=ON)
    assert (tier, frozenset(TIERS[: TIERS.index(tier) + 1])) == (member.tier, member.reached)


def test_facts_of_one_kind_stand_beside_each_other() -> None:
    """A member is in several segments; what no rule names is left out, and what was ended holds no more."""
    known = [
        *facts((FactKind.SEGMENT, "students", 1, None), (FactKind.SEGMENT, "crew", 1, None)),
        Fact(3, FactKind.SEGMENT, "pilots", 1),
        Fact(4, FactKind.SEGMENT, "crew", 5, holds=False),
        Fact(5, FactKind.OPTED_IN, "challenge", 1),
        Fact(6, FactKind.OPTED_IN, "win-back", 1),
        Fact(7, FactKind.LISTED, "challenge", 1),
    ]
    member = member_at(ASKED, known, at=5, on=ON)
    seen = (set(member.segments), set(member.opted_in), set(member.listed))
    assert ({"students"}, {"challenge"}, set()) == seen
    assert {"students", "crew"} == member_at(ASKED, known, at=4, on=ON).segments


def test_the_birthday_is_no_part_of_what_is_seen() -> None:
    """Of a birthday only the windows remain in which the purchase lies."""
    member = member_at(ASKED, facts((FactKind.BIRTHDAY, "11-22", 0, None)), at=1, on=ON)
    assert frozenset({(3, 3)}) == member.windows
    assert "11-22" not in repr(member)


def test_rules_for_everybody_ask_for_nothing() -> None:
    """Where no rule is for somebody, nothing is asked, and nothing will be looked up."""
    assert asked_by([None, None], TIERS) is None


def test_only_what_rules_name_is_asked() -> None:
    """What is looked up is what the rules name, and no kind of fact more."""
    asked = asked_by([None, Person(segments=frozenset({"crew"})), Person(birthday=(0, 1))], TIERS)
    assert asked is not None
    assert ({FactKind.BIRTHDAY}, {"crew"}) == (set(asked.kinds()), set(asked.values()))


MOMENTS = st.integers(0, 40)
VALUES = {
    FactKind.TIER: TIERS,
    FactKind.SEGMENT: ("students", "crew"),
    FactKind.OPTED_IN: ("challenge",),
    FactKind.LISTED: ("win-back",),
    FactKind.MEMBER_SINCE: ("2025-01-31", "2026-08-20"),
    FactKind.BIRTHDAY: ("11-18", "02-29"),
}


@st.composite
def some_facts(draw: st.DrawFn) -> list[Fact]:
    """Return facts of all kinds, numbered in the order of recording."""
    found: list[Fact] = []
    for number in range(draw(st.integers(0, 12))):
        kind = draw(st.sampled_from(sorted(VALUES)))
        since = draw(MOMENTS)
        until = draw(st.none() | st.integers(since + 1, 60))
        found.append(Fact(number, kind, draw(st.sampled_from(VALUES[kind])), since, until, draw(st.booleans())))
    return found


@given(known=some_facts(), later=some_facts(), at=MOMENTS, shuffled=st.randoms())
def test_what_counts_depends_on_nothing_but_what_was_in_force(
    known: list[Fact], later: Sequence[Fact], at: int, shuffled: Any
) -> None:
    """Neither facts in force at other times only nor the order in which facts are read change what a purchase sees."""
    expected = member_at(ASKED, known, at=at, on=ON)
    over = [fact._replace(number=100 + fact.number, since=at + 1, until=None) for fact in later]
    past = [fact._replace(number=200 + fact.number, since=0, until=max(1, at)) for fact in later if at]
    mixed = [*known, *over, *past]
    shuffled.shuffle(mixed)
    assert expected == member_at(ASKED, mixed, at=at, on=ON)
