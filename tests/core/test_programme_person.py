"""Rules for persons in a programme document: what is wrong is said at its place, and what is right is indexed."""

import json
from datetime import date
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.circumstances import Circumstances
from processor.core.person import Member
from processor.core.programme import Programme
from processor.core.programme_document import parse_programme
from processor.core.simulation import Simulation, simulate
from processor.core.transaction_file import read_transactions

FOLDER: Final = Path(__file__).parents[2] / "examples" / "programmes" / "airline-tiers"
DOCUMENT: Final = (FOLDER / "programme.yaml").read_text(encoding="utf-8")
MERCHANTS: Final = {"merchants.csv": (FOLDER / "merchants.csv").read_text(encoding="utf-8")}


def compiled(document: str = DOCUMENT) -> Programme:
    """Return a programme that compiles."""
    parsed = parse_programme(document, merchants=MERCHANTS, source="programme.yaml", revision=1)
    assert isinstance(parsed, Programme), "\n".join(map(str, parsed))
    return parsed


@pytest.mark.parametrize(
    ("old", "new", "path", "problem"),
    [
        ("tiers: [silver]", "tiers: [sliver]", "earning[2].when.tiers[0]", "did you mean 'silver'?"),
        ("tier_from: gold}\n    rate", "tier_from: golden}\n    rate", "earning[6].when.tier_from", "is no tier"),
        ("segments: [students]", "segments: [student]", "earning[8].when.segments[0]", "did you mean 'students'?"),
        ("{id: silver, name", "{id: gold, name", "tiers[2].id", "is taken by line"),
        ("{id: crew, name", "{id: students, name", "segments[1].id", "is taken by line"),
        ("{tiers: [silver]}", "{tiers: [silver], tier_from: gold}", "earning[2].when.tier_from", "stands beside tiers"),
        (
            "tiers: [classic, silver]",
            "tiers: [classic, silver, gold, platinum]",
            "earning[5].when.tiers",
            "names every tier",
        ),
        (
            "tier_from: gold}\n    rate",
            "tier_from: classic}\n    rate",
            "earning[6].when.tier_from",
            "is the lowest tier",
        ),
        ("member_for: {less_than_months: 3}", "member_for: {}", "earning[9].when.member_for", "is empty"),
        (
            "{less_than_months: 3}",
            "{less_than_months: 3, less_than_days: 4}",
            "earning[9].when.member_for.less_than_months",
            "in days and in months",
        ),
        (
            "{less_than_months: 3}",
            "{at_least_months: 3, less_than_months: 3}",
            "earning[9].when.member_for.less_than_months",
            "no membership is as old",
        ),
        (
            "{less_than_months: 3}",
            "{at_least_days: 93, less_than_months: 3}",
            "earning[9].when.member_for.less_than_months",
            "no membership is as old",
        ),
        (
            "{less_than_months: 3}",
            "{at_least_months: 3, less_than_days: 84}",
            "earning[9].when.member_for.less_than_days",
            "no membership is as old",
        ),
        ("{less_than_months: 3}", "{less_than_months: 0}", "earning[9].when.member_for.less_than_months", "number 0"),
        ("days_before: 3", "days_before: 181", "earning[11].when.birthday.days_before", "is the number 181"),
        ("days_before: 3", "days: 3", "earning[11].when.birthday.days", "is no known key"),
        ("opted_in: true", "opted_in: false", "earning[12].when.opted_in", "asks for nothing"),
        ("listed: true", "listed: yes", "earning[13].when.listed", "is 'yes'"),
        (
            "  - {id: silver, name: Silver}\n  - {id: gold, name: Gold}\n  - {id: platinum, name: Platinum}\n",
            "",
            "tiers",
            "fewer than 2",
        ),
    ],
)
def test_a_mistake_is_named_at_its_place(old: str, new: str, path: str, problem: str) -> None:
    """One mistake in the example gives an error with its path and what is wrong."""
    assert DOCUMENT.count(old) == 1
    errors = parse_programme(DOCUMENT.replace(old, new), merchants=MERCHANTS, source="programme.yaml", revision=1)
    assert not isinstance(errors, Programme)
    assert [str(error) for error in errors if error.path == path and problem in str(error)], "\n".join(map(str, errors))


def test_rules_of_different_tiers_never_exclude_each_other() -> None:
    """A group whose rules are for different tiers decides nothing, and is refused."""
    document = DOCUMENT.replace("stacking: best", "exclusive: [{id: tier, best: holder}]\n\nstacking: best")
    for factor in ("1.25", "1.5"):
        document = document.replace(f'by: "{factor}"}}', f'by: "{factor}"}}\n    exclusive: tier')
    errors = parse_programme(document, merchants=MERCHANTS, source="programme.yaml", revision=1)
    assert not isinstance(errors, Programme)
    assert ["earning[2].exclusive", "earning[3].exclusive"] == [error.path for error in errors]
    assert all("never meets another" in error.problem for error in errors)


def test_an_unused_programme_asks_for_nothing() -> None:
    """Tiers that no rule asks for cost nothing: nothing is asked of members."""
    without = DOCUMENT[: DOCUMENT.index("  # What the base rate gives")] + "caps: []\n"
    assert compiled(without).asked is None


def test_members_do_not_multiply_the_kinds() -> None:
    """A thousand members who differ in all but tier and segment are of one kind of purchase."""
    programme, day = compiled(), date(2026, 11, 20)
    at = Circumstances("market", "grocery", "everyday", "", "", "", "", "EUR", day, "1200")
    rules = set()
    for number in range(1000):
        member = Member(
            tier="gold",
            reached=frozenset({"classic", "silver", "gold"}),
            opted_in=frozenset({"market-challenge"} if number % 2 else ()),
            windows=frozenset({(3, 3)} if number % 3 else ()),
            member_since=day.replace(year=1990 + number % 36),
        )
        rules.add(tuple(rule.id for rule in programme.plan(at._replace(member=member)).rules))
    assert (4, 1) == (len(rules), len(programme._by_kind))


@pytest.mark.parametrize(
    ("line", "path", "problem"),
    [
        ({"tier": "golden"}, "tier", "did you mean 'gold'?"),
        ({"segments": ["student"]}, "segments[0]", "did you mean 'students'?"),
        ({"opted_in": ["win-back"]}, "opted_in[0]", "is no rule that members opt in to"),
        ({"listed": ["market-challenge"]}, "listed[0]", "is no rule that is for listed members"),
        ({"birthday": "02-30"}, "birthday", "is no day of the calendar"),
        ({"birthday": "1990-02-03"}, "birthday", "is '1990-02-03'"),
        ({"member_since": "2026-02-30"}, "member_since", "is no day of the calendar"),
        ({"tier": "gold", "from": "2026-02-30T00:00:00Z"}, "from", "is no such time"),
        ({"tier": "gold", "from": "2026-02-03T00:00:00Z", "until": "2026-02-03T01:00:00+01:00"}, "until", "not behind"),
        ({}, "document", "has fewer than 3"),
        ({"amount": "1.00"}, "amount", "is no known key"),
    ],
)
def test_a_wrong_line_about_a_member_is_named(line: dict[str, Any], path: str, problem: str) -> None:
    """A simulation says what is wrong with what it is told of a member, and simulates nothing."""
    text = json.dumps({"type": "member", "account": "anna", **line})
    (error,) = read_transactions(text, source="t", programme=compiled()).errors
    assert (path, True) == (error.path, problem in str(error)), str(error)


def test_a_line_about_a_member_counts_wherever_it_stands() -> None:
    """Facts have times of their own: the lines of a file may stand in any order."""
    lines = (FOLDER / "transactions.jsonl").read_text(encoding="utf-8").splitlines()
    members = [line for line in lines if '"member"' in line]
    rest = [line for line in lines if '"member"' not in line]
    one = simulate([compiled()], "\n".join([*members, *rest]), source="t")
    other = simulate([compiled()], "\n".join([*rest, *members]), source="t")
    assert isinstance(one, Simulation)
    assert isinstance(other, Simulation)
    assert [entry.awards for entry in one.transactions] == [entry.awards for entry in other.transactions]


PURCHASE: Final[list[dict[str, Any]]] = [
    {"id": "a", "type": "authorization", "amount": "80.00"},
    {"id": "b", "type": "authorization", "amount": "20.00", "purchase": "a", "at": "2026-11-20T13:00:00+00:00"},
    {"id": "c", "type": "clearing", "amount": "60.00", "purchase": "a", "at": "2026-11-22T12:00:00+00:00"},
    {"id": "d", "type": "clearing", "amount": "40.00", "purchase": "a", "at": "2026-11-23T12:00:00+00:00"},
    {"id": "e", "type": "refund", "amount": "30.00", "purchase": "a", "at": "2026-11-25T12:00:00+00:00"},
]
KNOWN: Final[list[dict[str, Any]]] = [
    {"tier": "gold", "from": "2026-11-20T12:00:00+00:00"},
    {"segments": ["students"], "opted_in": ["market-challenge"], "birthday": "11-21"},
]
OTHER_TIMES: Final[list[dict[str, Any]]] = [
    {"tier": "platinum", "from": "2026-11-20T12:00:01+00:00"},
    {"tier": "classic", "from": "2026-11-24T00:00:00+00:00"},
    {"tier": "silver", "until": "2026-11-20T12:00:00+00:00"},
    {"listed": ["win-back"], "from": "2026-11-21T00:00:00+00:00"},
    {"segments": ["crew"], "until": "2026-11-01T00:00:00+00:00"},
]


def granted(messages: list[dict[str, Any]], known: list[dict[str, Any]]) -> tuple[Any, ...]:
    """Return an account's balances after messages of one purchase, without caps, with what is known of its member."""
    common = {"account": "ana", "product": "everyday", "partner": "market", "currency": "EUR"}
    lines = [{"at": "2026-11-20T12:00:00+00:00", **common, **message} for message in messages]
    members = [{"type": "member", "account": "ana", **fact} for fact in known]
    text = "\n".join(json.dumps(line) for line in [*members, *lines])
    simulated = simulate([UNCAPPED], text, source="t")
    assert isinstance(simulated, Simulation), simulated
    return simulated.balances


UNCAPPED: Final = compiled(DOCUMENT[: DOCUMENT.index("caps:")])


@given(order=st.permutations(PURCHASE), others=st.lists(st.sampled_from(OTHER_TIMES)), shuffled=st.randoms())
def test_a_purchase_is_by_what_was_so_when_it_happened(
    order: list[dict[str, Any]], others: list[dict[str, Any]], shuffled: Any
) -> None:
    """Neither the order in which messages come nor what is recorded for other times changes what a member holds."""
    known = [*KNOWN, *others]
    shuffled.shuffle(known)
    (balance,) = granted(order, known)
    base, tripled, shopper, challenge, young = 35, 70, 105, 70, 20
    assert (0, base + tripled + shopper + challenge + young) == (balance.pending, balance.available)
