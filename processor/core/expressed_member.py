"""The member as expressions see it: ``member.tier`` and what else rules may know of who made a purchase.

It is what was in force when the purchase happened, seen on its local date; a birthday is no part of it.
A programme whose expressions do not name the member asks nothing of members for them.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date
from typing import Final

from processor.core.person import Age, Member, Person, completed_months

Value = bool | int | str | list[str]

UNKNOWN: Final = -1
"""How old a membership is whose beginning is not known, or lies behind the purchase."""


def _days(since: date | None, on: date) -> int:
    return UNKNOWN if since is None or on < since else (on - since).days


def _months(since: date | None, on: date) -> int:
    return UNKNOWN if since is None or on < since else completed_months(since, on)


FIELDS: Final[Mapping[str, Callable[[Member, str, date], Value]]] = {
    "tier": lambda member, _, __: member.tier,
    "reached": lambda member, _, __: sorted(member.reached),
    "segments": lambda member, _, __: sorted(member.segments),
    "days": lambda member, _, on: _days(member.member_since, on),
    "months": lambda member, _, on: _months(member.member_since, on),
    "opted_in": lambda member, rule, _: rule in member.opted_in,
    "listed": lambda member, rule, _: rule in member.listed,
}
"""What stands behind ``member.``, each from a member, the rule whose expression it is, and the local date."""

SAMPLE: Final[Mapping[str, Value]] = {
    "tier": "gold",
    "reached": ["basic", "gold"],
    "segments": ["student"],
    "days": 400,
    "months": 13,
    "opted_in": True,
    "listed": False,
}
"""A member on which an expression is tried."""

_NAMED: Final = re.compile(r"\bmember\b(?:\s*\.\s*([A-Za-z_]\w*))?")
_TEXT: Final = r"(?:'([^'\\\n]*)'|\"([^\"\\\n]*)\")"
_SEGMENT: Final = re.compile(rf"{_TEXT}\s+in\s+member\s*\.\s*segments\b")
_TIER: Final = re.compile(
    rf"{_TEXT}\s+in\s+member\s*\.\s*reached\b|\bmember\s*\.\s*tier\s*[=!]=\s*{_TEXT}|{_TEXT}\s*[=!]=\s*member\s*\.\s*tier\b"
)


def fields_named(outline: str) -> tuple[str, ...] | re.Match[str]:
    """Return what of the member an expression names, or the first place where it names something that it cannot.

    ``outline`` is the expression without what its texts hold.
    """
    found = list(_NAMED.finditer(outline))
    for place in found:
        if place[1] not in FIELDS:
            return place
    return tuple(dict.fromkeys(place[1] for place in found))


def words_named(source: str) -> tuple[tuple[str, str], ...]:
    """Return the tiers and segments that an expression compares the member's with, each with what it is."""
    return (
        *(("segment", next(filter(None, place.groups()), "")) for place in _SEGMENT.finditer(source)),
        *(("tier", next(filter(None, place.groups()), "")) for place in _TIER.finditer(source)),
    )


def values_of(fields: Iterable[str], member: Member, rule: str, on: date) -> dict[str, Value]:
    """Return the fields that an expression names, for the member of a purchase."""
    return {name: FIELDS[name](member, rule, on) for name in fields}


def asked_in(fields: Collection[str], rule: str, tiers: Iterable[str], segments: Iterable[str]) -> Person | None:
    """Return what a rule's expression asks of members, None where it names nothing of them."""
    if not fields:
        return None
    return Person(
        tiers=frozenset(tiers) if {"tier", "reached"}.intersection(fields) else frozenset(),
        segments=frozenset(segments) if "segments" in fields else frozenset(),
        member_for=Age() if {"days", "months"}.intersection(fields) else None,
        opted_in=rule if "opted_in" in fields else "",
        listed=rule if "listed" in fields else "",
    )
