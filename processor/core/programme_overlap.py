"""Whether two rules of a programme document can apply to one purchase, as far as their conditions say so by themselves.

It is asked of rules that exclude each other: a group of rules that never meet decides nothing.
It compares what one purchase has one of: its partner, its place, its time, its amount.
What it cannot tell, such as what an expression says, counts as met.
It also finds rules that can never count, because another one of their group applies wherever they do and goes before.
"""

from collections.abc import Callable, Iterable
from datetime import date
from decimal import Decimal
from typing import Any, Final

from processor.core.located_document import LocatedDocument, Path, shown
from processor.core.programme_base import measures_billing
from processor.core.programme_conditions import codes_of
from processor.core.programme_person import tiers_of

_MINUTES_OF_DAY: Final = 24 * 60


def apart_in(document: LocatedDocument, one: Path, other: Path) -> str | None:
    """Return the first thing in which no purchase can match both rules, None where some purchase may."""
    for what, choices in _CHOICES.items():
        mine, theirs = choices(document, one), choices(document, other)
        if mine and theirs and not mine & theirs:
            return what
    if document.get(*one, "when", "zone") == document.get(*other, "when", "zone"):
        for what, moments in _MOMENTS.items():
            mine, theirs = moments(document, one), moments(document, other)
            if mine and theirs and not mine & theirs:
                return what
        if _dates_apart(document, one, other):
            return "date"
    return "amount" if _amounts_apart(document, one, other) else None


def outdone_in(document: LocatedDocument, rule: Path, rules: Iterable[Path], best: str | None) -> str | None:
    """Return why a rule of an exclusive group can never count, None where it may.

    It never does beside a bonus that applies wherever it does and always goes before it: by what both give where both
    are bonuses, or by priority.
    """
    for other in rules:
        if other == rule or not _covers(document, other, rule):
            continue
        why = _goes_before(document, other, rule, best)
        if why is not None:
            return f"{shown(document.get(*other, 'id'))} applies wherever it does and {why}"
    return None


def _covers(document: LocatedDocument, other: Path, rule: Path) -> bool:
    """Tell whether a rule asks for nothing that another one does not ask for just so."""
    for key in ("partners", "products"):
        mine, theirs = document.get(*rule, key), document.get(*other, key)
        if theirs != "all" and not (isinstance(theirs, list) and isinstance(mine, list) and set(mine) <= set(theirs)):
            return False
    when, asked = document.get(*rule, "when") or {}, document.get(*other, "when") or {}
    if asked.keys() & {"opted_in", "listed"} or document.get(*other, "base") != document.get(*rule, "base"):
        return False
    return all(key in when and when[key] == wanted for key, wanted in asked.items())


def _goes_before(document: LocatedDocument, other: Path, rule: Path, best: str | None) -> str | None:
    """Return why a bonus always counts rather than a rule that it covers, None where it may not."""
    given, bonus = document.get(*other, "bonus", "miles"), document.get(*rule, "bonus", "miles")
    names = document.get(*other, "id"), document.get(*rule, "id")
    if given is None or None in names:
        return None
    if best == "first":
        places = [(document.get(*path, "priority") or 0, document.get(*path, "id")) for path in (other, rule)]
        return "goes first" if places[0] < places[1] else None
    if bonus is None:
        return None
    if Decimal(given) == Decimal(bonus):
        return "gives as much, before it by identifier" if names[0] < names[1] else None
    if (Decimal(given) > Decimal(bonus)) is (best == "holder"):
        return "always gives more" if best == "holder" else "always costs less"
    return None


def _listed(*path: str) -> Callable[[LocatedDocument, Path], frozenset[Any] | None]:
    """Return how the values of a list are read, None where the rule has no such list or it is known to be wrong."""

    def read(document: LocatedDocument, rule: Path) -> frozenset[Any] | None:
        values = [document.get(*item) for item in document.entries(*rule, *path)]
        return None if None in values else frozenset(values)

    return read


def _partners(document: LocatedDocument, rule: Path) -> frozenset[str] | None:
    """Return the partners of a rule, by their names and by their sectors, None where they are all that there are."""
    named, sectors = _listed("partners")(document, rule), _listed("when", "sectors")(document, rule)
    if not sectors:
        return named
    of_sectors = frozenset(
        document.get(*partner, "id")
        for partner in document.entries("partners")
        if document.get(*partner, "sector") in sectors
    )
    return named & of_sectors if named else of_sectors


def _codes(document: LocatedDocument, rule: Path) -> frozenset[str] | None:
    written = _listed("when", "mccs")(document, rule)
    return written and frozenset(code for codes in written for code in codes_of(codes))


def _merchants(document: LocatedDocument, rule: Path) -> frozenset[tuple[str | None, str | None]]:
    entries: Iterable[Path] = document.entries(*rule, "when", "merchants")
    return frozenset((document.get(*entry, "acquirer"), document.get(*entry, "acceptor")) for entry in entries)


def _minutes(document: LocatedDocument, rule: Path) -> frozenset[int] | None:
    first, behind = (document.get(*rule, "when", "hours", end) for end in ("from", "to"))
    if first is None or behind is None:
        return None
    start, end = (int(hour[:2]) * 60 + int(hour[3:]) for hour in (first, behind))
    length = (end - start) % _MINUTES_OF_DAY
    return frozenset((start + minute) % _MINUTES_OF_DAY for minute in range(length))


def _dates_apart(document: LocatedDocument, one: Path, other: Path) -> bool:
    def end(rule: Path, key: str, otherwise: date) -> date:
        written = document.get(*rule, "when", "dates", key)
        return otherwise if written is None else date.fromisoformat(written)

    latest_start = max(end(rule, "from", date.min) for rule in (one, other))
    return latest_start > min(end(rule, "to", date.max) for rule in (one, other))


def _amounts_apart(document: LocatedDocument, one: Path, other: Path) -> bool:
    """Tell whether both ask for an amount of one currency and base, and no amount is within both ranges."""
    tables = [document.get(*rule, "when", "amounts") for rule in (one, other)]
    converts = any(document.get(*rule, "convert") is not None for rule in (one, other))
    if None in tables or converts or measures_billing(document, one) != measures_billing(document, other):
        return False
    if len(tables[0]) != 1 or list(tables[0]) != list(tables[1]):
        return False
    ranges = [(*rule, "when", "amounts", *tables[0]) for rule in (one, other)]
    least = [Decimal(low) for at in ranges if (low := document.get(*at, "from")) is not None]
    most = [Decimal(high) for at in ranges if (high := document.get(*at, "to")) is not None]
    return bool(least and most) and max(least) > min(most)


_CHOICES: Final[dict[str, Callable[[LocatedDocument, Path], frozenset[Any] | None]]] = {
    "partner": _partners,
    "product": _listed("products"),
    "tier": tiers_of,
    "merchant category code": _codes,
    "merchant": _merchants,
    "country": _listed("when", "countries"),
    "channel": _listed("when", "channels"),
    "currency": _listed("when", "currencies"),
}
"""What a purchase has one of, wherever its clock stands."""

_MOMENTS: Final[dict[str, Callable[[LocatedDocument, Path], frozenset[Any] | None]]] = {
    "weekday": _listed("when", "weekdays"),
    "hour": _minutes,
}
"""When a purchase was made; rules whose clocks are of different zones are not compared."""
