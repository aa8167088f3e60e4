"""Velocity limits in a programme document: what is refused in them, and how one is compiled."""

from collections.abc import Iterator, Mapping
from typing import Any

from processor.core.located_document import DocumentError, LocatedDocument, shown
from processor.core.programme_checks import decimal, ids
from processor.core.velocity import Velocity

Errors = Iterator[DocumentError]


def compile_velocity(entry: Mapping[str, Any], scale: int) -> Velocity:
    """Return a velocity limit of a document without errors."""
    return Velocity(
        id=entry["id"],
        rules=frozenset(entry["rules"]),
        awards=entry.get("awards"),
        units=int(decimal(entry["miles"]) * scale) if "miles" in entry else None,
        hours=entry["within"].get("hours"),
        days=entry["within"].get("days"),
    )


def check_velocity(document: LocatedDocument) -> Errors:
    """Yield what is wrong in the velocity limits of a document."""
    known, discounts = ids(document, "earning", "discounts"), ids(document, "discounts")
    decimals = document.get("miles", "decimals")
    first: dict[str, Any] = {}
    for limit in document.entries("velocity"):
        name = document.get(*limit, "id")
        earlier = first.setdefault(name, limit)
        if name is not None and earlier != limit:
            line = document.position((*earlier, "id")).line
            yield document.error((*limit, "id"), f"{shown(name)} is taken by line {line}", "write another identifier")
        miles = document.get(*limit, "miles")
        if miles is not None and decimals is not None and decimal(miles) * 10**decimals % 1:
            problem = f"{shown(miles)} is no whole number of the smallest mile"
            yield document.error((*limit, "miles"), problem, f"write at most {decimals} decimals")
        for item in document.entries(*limit, "rules"):
            named = document.get(*item)
            if isinstance(named, str) and named not in known:
                yield document.error(item, f"{shown(named)} is no rule", "write the identifier of a rule")
            elif named in discounts and miles is not None:
                problem = f"{shown(named)} gives a discount, and the limit counts miles"
                yield document.error(item, problem, "name earning rules, or write awards instead of miles")
