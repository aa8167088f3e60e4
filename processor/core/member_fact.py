"""What may be said of a member: each kind of fact has values of its own, most of them named by the programme.

The service and the simulation both ask here before they take a fact.
"""

from calendar import monthrange
from collections.abc import Collection, Sequence
from datetime import date
from typing import Final

from processor.core.household import is_household
from processor.core.located_document import choice, did_you_mean
from processor.core.person import FactKind
from processor.core.programme import Programme
from processor.core.statement import LAST_DAY

HOUSEHOLD_FORM: Final = "write at most 32 letters, digits, points, hyphens and underlines, and nobody's name"
EARLIEST: Final = date(1900, 1, 1)
"""A membership that began before is a slip."""
_LEAP_YEAR: Final = 2024

Refusal = tuple[str, str]
"""What is wrong with a value, which is not repeated, and what to write instead."""


def refusal_of(kind: FactKind, value: str, revisions: Sequence[Programme], today: date) -> Refusal | None:
    """Return what is wrong with a fact's value under a programme's revisions, at least one; None where nothing is."""
    if kind is FactKind.MEMBER_SINCE:
        return _refused_date(value, today)
    if kind is FactKind.BIRTHDAY:
        return _refused_birthday(value)
    if kind is FactKind.STATEMENT_DAY:
        return _refused_statement_day(value, revisions)
    if kind is FactKind.HOUSEHOLD:
        return None if is_household(value) else ("names no household", HOUSEHOLD_FORM)
    known, what = named(kind, revisions)
    if value in known:
        return None
    expected = f"write {choice(sorted(known))}" if known else "the programme has none"
    return f"is no {what}", did_you_mean(value, known) + expected


def named(kind: FactKind, revisions: Sequence[Programme]) -> tuple[Collection[str], str]:
    """Return the values of a kind that any revision names, and what they are."""
    if kind is FactKind.TIER:
        return {tier for revision in revisions for tier in revision.tiers}, "tier of the programme"
    if kind is FactKind.SEGMENT:
        return {segment for revision in revisions for segment in revision.segments}, "segment of the programme"
    asked = [revision.asked for revision in revisions if revision.asked is not None]
    if kind is FactKind.OPTED_IN:
        return {rule for entry in asked for rule in entry.opted_in}, "rule that members opt in to"
    return {rule for entry in asked for rule in entry.listed}, "rule that is for listed members"


def _refused_statement_day(value: str, revisions: Sequence[Programme]) -> Refusal | None:
    if not any(revision.own_statement_days for revision in revisions):
        expected = "write account_statement_days: true at the bank in the programme, or leave it out"
        return "is stated, and accounts of the programme have none of their own", expected
    if value in {str(day) for day in range(1, LAST_DAY + 1)}:
        return None
    return "is no day of a month", f"write a number from 1 to {LAST_DAY}; a shorter month has it on its last day"


def _refused_date(value: str, today: date) -> Refusal | None:
    try:
        since = date.fromisoformat(value)
    except ValueError:
        return "is no day of the calendar", "write a date such as 2021-03-31"
    if len(value) != len("2021-03-31"):
        return "is no date of the form YYYY-MM-DD", "write a date such as 2021-03-31"
    if not EARLIEST <= since <= today:
        return "is no day on which a membership began", f"write a day from {EARLIEST} to today"
    return None


def _refused_birthday(value: str) -> Refusal | None:
    """Refuse all but a month and a day: the year is nobody's business here, so that it cannot be told either."""
    month, _, day = value.partition("-")
    if not (len(month) == len(day) == 2 and (month + day).isascii() and (month + day).isdigit()):
        return "is no birthday", "write month and day, such as 02-29, and leave out the year"
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= monthrange(_LEAP_YEAR, int(month))[1]):
        return "is no day of the calendar", "write month and day, such as 02-29"
    return None
