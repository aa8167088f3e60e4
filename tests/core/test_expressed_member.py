"""The member in expressions: each field, what is not known, what is asked of members for it, and what is refused."""

import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.accrual import entitle_amounts
from processor.core.circumstances import Circumstances
from processor.core.conditions import Conditions, Kinds
from processor.core.expressed_member import FIELDS, SAMPLE
from processor.core.expression import Amount, Refused, compile_expression
from processor.core.person import FactKind, Member, Person, completed_months
from processor.core.programme import Programme
from processor.core.programme_document import parse_programme
from processor.core.purchase import Amounts, Folded
from tests.core.strategies import FIRST
from tests.core.test_expression import AT, compiled, rule_of

FOLDER: Final = Path(__file__).parents[2] / "examples" / "programmes" / "airline-tiers"
DOCUMENT: Final = (FOLDER / "programme.yaml").read_text(encoding="utf-8")
MERCHANTS: Final = {"merchants.csv": (FOLDER / "merchants.csv").read_text(encoding="utf-8")}
EXPRESSION: Final = "'students' in member.segments || ('silver' in member.reached && member.months >= 12)"
NOTHING: Final = Amount(0, 0, "")
RUI: Final = Member(
    tier="gold",
    reached=frozenset({"classic", "silver", "gold"}),
    segments=frozenset({"crew", "students"}),
    opted_in=frozenset({"odd"}),
    listed=frozenset({"other"}),
    member_since=date(2025, 10, 31),
)


def made_by(member: Member, on: date = AT.local_date) -> Circumstances:
    """Return the circumstances of a purchase that a member made."""
    return AT._replace(member=member, local_date=on)


@pytest.mark.parametrize(
    ("source", "for_rui", "for_nobody"),
    [
        ("member.tier == 'gold'", True, False),
        ("member.tier == ''", False, True),
        ("'silver' in member.reached && !('platinum' in member.reached)", True, False),
        ("'crew' in member.segments && size(member.segments) == 2", True, False),
        ("member.segments[1] == 'students'", True, None),
        ("member.months == 12 && member.days == 393", True, False),
        ("member.months < 0 && member.days == -1", False, True),
        ("member.opted_in && !member.listed", True, False),
        ("member.opted_in || amount_minor == 0", True, True),
        ("mcc == '5411' && member.days > 365", True, False),
        ("'member.tier' == mcc", False, False),
    ],
)
def test_each_field_is_what_was_known(source: str, for_rui: bool, for_nobody: bool | None) -> None:
    """Fields are those of the member of the purchase; what is not known is empty, -1 or false."""
    expression = compiled(source)
    assert for_rui is expression.holds(made_by(RUI), NOTHING, "odd")
    assert for_nobody is expression.holds(made_by(Member()), NOTHING, "odd")


def test_every_field_can_be_named() -> None:
    """The sample on which expressions are tried has each field, and each compiles."""
    assert FIELDS.keys() == SAMPLE.keys()
    for name in FIELDS:
        assert (name,) == compiled(f"member.{name} == member.{name}").member


def test_the_page_lists_every_field() -> None:
    """The table on members has each field with its type."""
    page = (FOLDER.parents[2] / "docs" / "members.md").read_text(encoding="utf-8")
    words = {str: "text", int: "number", bool: "truth", list: "list of texts"}
    shown = dict(re.findall(r"(?m)^\| `member\.([a-z_]+)` \| ([a-z ]+) \|", page))
    assert {name: words[type(value)] for name, value in SAMPLE.items()} == shown


@given(st.dates(date(2020, 1, 1), date(2030, 1, 1)), st.dates(date(2020, 1, 1), date(2030, 1, 1)))
def test_the_age_is_that_of_the_local_date(since: date, on: date) -> None:
    """Whole days and months lie between the beginning and the purchase; before it there is none."""
    known = since <= on
    days, months = ((on - since).days, completed_months(since, on)) if known else (-1, -1)
    expression = compiled(f"member.days == {days} && member.months == {months}")
    assert expression.holds(made_by(Member(member_since=since), on), NOTHING) is True


@pytest.mark.parametrize(
    ("source", "problem", "column"),
    [
        ("member.birthday == '11-20'", "names 'member.birthday'", 1),
        ("true && member == 3", "names 'member'", 9),
        ("member['tier'] == 'gold'", "names 'member'", 1),
        ("{'a': member}['a'].tier == 'gold'", "names 'member'", 7),
        ("member.tier == 3", "mixes texts and numbers", 1),
        ("true || '3' < member.days", "mixes texts and numbers", 11),
        ("member.tier > member.days", "mixes texts and numbers", 1),
        ("member.segments == 'crew'", "mixes texts and numbers", 1),
        ("member.opted_in == 1", "mixes texts and numbers", 1),
        ("member.tier", "is neither true nor false", 1),
        ("member.segments.exists(s, s == 'crew')", "repeats work with exists", 17),
        ("members.tier == 'gold'", "names 'members', which is no variable", 1),
    ],
)
def test_what_is_refused(source: str, problem: str, column: int) -> None:
    """What is not known of members, and what compares unlike things, is refused at its place."""
    found = compile_expression(source)
    assert isinstance(found, Refused)
    assert problem in found.problem
    assert (1, column) == (found.line, found.column)


def asked_by(source: str) -> Any:
    """Return what a programme asks of members for one rule's expression."""
    programme = replace(
        FIRST, rules=(rule_of(source),), caps=(), tiers={"classic": "", "gold": ""}, segments={"crew": "", "all": ""}
    )
    return programme.asked


def test_an_expression_asks_for_what_it_names() -> None:
    """The facts that are looked up are those of the fields named, and none where the member is not."""
    assert asked_by("mcc == '5411'") is None
    tier, segments, age = (asked_by(f"member.{name}") for name in ("tier == 'gold'", "segments == []", "days > 3"))
    assert (True, False, frozenset()) == (tier.by_tier, tier.by_age, tier.values())
    assert FactKind.TIER in tier.kinds()
    assert (frozenset(), {"crew", "all"}) == (segments.kinds(), segments.values())
    assert ({FactKind.MEMBER_SINCE}, frozenset()) == (age.kinds(), age.values())
    assert {"odd"} == asked_by("member.opted_in").opted_in == asked_by("member.listed").listed


def test_members_differ_in_kind_only_by_what_conditions_name() -> None:
    """Segments that expressions alone look at do not make purchases of another kind."""
    kinds = Kinds([Conditions(person=Person(segments=frozenset({"crew"}))), Conditions(expression=compiled("true"))])
    one, other = made_by(RUI), made_by(RUI._replace(segments=frozenset({"crew"})))
    assert kinds.of(one) == kinds.of(other) != kinds.of(made_by(RUI._replace(segments=frozenset())))


def test_a_rule_applies_by_its_expression() -> None:
    """The same purchase earns for one member and not for another, also behind a remembered plan."""
    rule = replace(rule_of("member.months >= 12"), fixed={FIRST.unit: 1})
    programme = replace(FIRST, rules=(rule,), caps=())
    folded = Folded(anchor=None, transaction=(Amounts("EUR", 100, 0),), billing=(Amounts("EUR", 100, 0),))
    given_to = [
        len(entitle_amounts(programme, folded, partner=None, at=made_by(member)).entitlements)
        for member in (RUI, Member(), RUI)
    ]
    assert [1, 0, 1] == given_to


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("'students' in", "'student' in", "'student' is no segment; did you mean 'students'?"),
        ("'silver' in", "'sliver' in", "'sliver' is no tier; did you mean 'silver'?"),
        ("'silver' in member.reached", "member.tier != 'bronze'", "'bronze' is no tier"),
        ("'silver' in member.reached", "'bronze' == member.tier", "'bronze' is no tier"),
    ],
)
def test_an_undeclared_name_is_refused(old: str, new: str, said: str) -> None:
    """A tier or a segment that nobody can have is refused at the expression."""
    text = DOCUMENT.replace(EXPRESSION, EXPRESSION.replace(old, new))
    errors = parse_programme(text, merchants=MERCHANTS, source="p", revision=1)
    assert isinstance(errors, tuple)
    assert [True] == [said in str(error) and ".when.expression" in error.path for error in errors]


@pytest.mark.parametrize(("source", "what"), [("member.tier == 'x'", "tier"), ("'x' in member.segments", "segment")])
def test_what_is_not_declared_at_all_cannot_be_read(source: str, what: str) -> None:
    """A programme without tiers or segments has no member with one."""
    folder = FOLDER.parent / "what-counts"
    text = (folder / "programme.yaml").read_text(encoding="utf-8").replace("weekday < 6", source)
    merchants = {"merchants.csv": (folder / "merchants.csv").read_text(encoding="utf-8")}
    errors = parse_programme(text, merchants=merchants, source="p", revision=1)
    assert isinstance(errors, tuple)
    assert [True] == [f"the document declares no {what}s" in str(error) for error in errors]


def test_the_example_asks_for_its_members() -> None:
    """The example's expression names the segments and the age that the programme asks for anyway."""
    programme = parse_programme(DOCUMENT, merchants=MERCHANTS, source="p", revision=1)
    assert isinstance(programme, Programme)
    expression = programme.rule("loyal-or-young").when.expression
    assert expression is not None
    assert ("segments", "reached", "months") == expression.member
    assert programme.asked is not None
    assert {"students", "crew"} == programme.asked.segments
