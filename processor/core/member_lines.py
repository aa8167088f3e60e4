"""Members in a file of transactions to simulate: a line that says what is known of one account's member, and when.

``schemas/simulation/member.schema.json`` says what such a line may hold.
Its facts are in force from its ``from`` on, wherever the line stands: the simulation knows them as the service would
have known them in time.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import cache
from typing import Any, Final

import orjson

import schemas
from processor.core.located_document import DocumentError, LocatedDocument, Path
from processor.core.member_fact import refusal_of
from processor.core.person import Fact, FactKind
from processor.core.programme import Programme

_KINDS: Final[Mapping[str, FactKind]] = {
    "tier": FactKind.TIER,
    "segments": FactKind.SEGMENT,
    "opted_in": FactKind.OPTED_IN,
    "listed": FactKind.LISTED,
    "member_since": FactKind.MEMBER_SINCE,
    "birthday": FactKind.BIRTHDAY,
    "statement_day": FactKind.STATEMENT_DAY,
    "household": FactKind.HOUSEHOLD,
}
_ALWAYS: Final = -(10**11)
"""Before every purchase, in seconds since 1970."""


@cache
def member_schema() -> Mapping[str, Any]:
    """Return the JSON Schema of a line about a member, which ships with the code."""
    schema: Mapping[str, Any] = orjson.loads(schemas.read("simulation", "member.schema.json"))
    return schema


def is_member_line(line: LocatedDocument) -> bool:
    """Tell whether a line is about a member rather than a transaction."""
    return bool(line.get("type") == "member")


def check_member(line: LocatedDocument, programme: Programme) -> Iterator[DocumentError]:
    """Yield what is wrong with a line that its schema cannot say."""
    for path, kind, value in _stated(line):
        refused = refusal_of(kind, value, [programme], date.max)
        if refused is not None:
            yield line.error(path, *refused)
    moments: list[datetime] = []
    for key in ("from", "until"):
        stated = line.get(key)
        try:
            moments += [_moment(stated)] if stated is not None else []
        except (ValueError, OverflowError):
            yield line.error((key,), "is no such time", "write a date and time of the calendar")
    if len(moments) == 2 and moments[1] <= moments[0]:
        yield line.error(("until",), "lies not behind from", "write a later time")


def facts_of(lines: Sequence[LocatedDocument]) -> dict[str, tuple[Fact, ...]]:
    """Return the facts of checked lines by account; of two that begin at once the later line's counts."""
    found: dict[str, tuple[Fact, ...]] = {}
    for line in lines:
        since = int(_moment(line.value["from"]).timestamp()) if "from" in line.value else _ALWAYS
        until = int(_moment(line.value["until"]).timestamp()) if "until" in line.value else None
        known = found.get(line.value["account"], ())
        stated = [
            Fact(number=len(known) + place, kind=kind, value=value, since=since, until=until)
            for place, (_, kind, value) in enumerate(_stated(line))
        ]
        found[line.value["account"]] = (*known, *stated)
    return found


def _stated(line: LocatedDocument) -> Iterator[tuple[Path, FactKind, str]]:
    for key, kind in _KINDS.items():
        stated = line.get(key)
        if isinstance(stated, list):
            yield from ((path, kind, line.get(*path)) for path in line.entries(key))
        elif stated is not None:
            yield (key,), kind, str(stated)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.upper()).astimezone(UTC)
