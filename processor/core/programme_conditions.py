"""The conditions of a rule as a programme document writes them: compiled, and checked where the schema cannot.

It reads the keys ``partners``, ``products`` and ``when`` of one rule.
"""

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

from processor.core.conditions import AmountRange, Conditions
from processor.core.country import country_of_code
from processor.core.expression import Expression, Refused, compile_expression
from processor.core.located_document import DocumentError, LocatedDocument, Path, did_you_mean, shown
from processor.core.money import exponent
from processor.core.programme_person import check_expressed, compile_person
from processor.core.rule_sections import rules_of

WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def compile_conditions(rule: Mapping[str, Any]) -> Conditions:
    """Return the conditions of a rule that was checked."""
    when = rule.get("when", {})
    days, hours = when.get("dates"), when.get("hours")
    return Conditions(
        partners=_chosen(rule["partners"]),
        products=_chosen(rule["products"]),
        mccs=frozenset(code for written in when.get("mccs", ()) for code in codes_of(written)),
        sectors=frozenset(when.get("sectors", ())),
        merchants=frozenset((entry["acquirer"], entry["acceptor"]) for entry in when.get("merchants", ())),
        countries=frozenset(when.get("countries", ())),
        channels=frozenset(when.get("channels", ())),
        currencies=frozenset(when.get("currencies", ())),
        product_codes=frozenset(code for written in when.get("product_codes", ()) for code in products_in(written)),
        dates=(_day(days.get("from")) or date.min, _day(days.get("to")) or date.max) if days else None,
        weekdays=frozenset(WEEKDAYS.index(day) + 1 for day in when.get("weekdays", ())),
        hours=(_clock(hours["from"]), _clock(hours["to"])) if hours else None,
        zone=ZoneInfo(when["zone"]) if "zone" in when else None,
        amounts={currency: _range(currency, limits) for currency, limits in when.get("amounts", {}).items()},
        person=compile_person(rule),
        expression=_expression(when.get("expression")),
    )


def _expression(written: str | None) -> Expression | None:
    compiled = None if written is None else compile_expression(written)
    return compiled if isinstance(compiled, Expression) else None


def codes_of(written: str) -> Iterator[str]:
    """Yield the merchant category codes that a code or a range of them stands for."""
    first, _, last = written.partition("-")
    for code in range(int(first), int(last or first) + 1):
        yield f"{code:04d}"


def products_in(written: str) -> Iterator[str]:
    """Yield the product codes that a code or a range of them stands for, each of as many digits as are written."""
    first, _, last = written.partition("-")
    if not last:
        yield first
        return
    for code in range(int(first), int(last) + 1):
        yield f"{code:0{len(first)}d}"


def _chosen(choice: str | list[str]) -> frozenset[str]:
    """Return the identifiers chosen; none stands for all."""
    return frozenset() if isinstance(choice, str) else frozenset(choice)


def _day(written: str | None) -> date | None:
    return None if written is None else date.fromisoformat(written)


def _clock(written: str) -> str:
    return written.replace(":", "")


def _range(currency: str, limits: Mapping[str, Any]) -> AmountRange:
    scale = 10 ** exponent(currency)
    highest = limits.get("to")
    return AmountRange(
        lowest=int(Decimal(limits.get("from", 0)) * scale),
        highest=None if highest is None else int(Decimal(highest) * scale),
    )


def check_conditions(document: LocatedDocument) -> Iterator[DocumentError]:
    """Yield what is wrong with the conditions of every rule, its currencies and their minor units aside."""
    sectors = {str(document.get(*path, "sector")) for path in document.entries("partners")}
    for rule in rules_of(document):
        when = (*rule, "when")
        for item in document.entries(*when, "sectors"):
            word = document.get(*item)
            if word is not None and word not in sectors:
                hint = f"{did_you_mean(word, sectors)}write the sector of a partner"
                yield document.error(item, f"{shown(word)} is no sector", hint)
        for item in document.entries(*when, "mccs"):
            written = document.get(*item)
            if written is not None and not any(codes_of(written)):
                yield document.error(item, f"{shown(written)} holds no code", "write the lower code first")
        for item in document.entries(*when, "product_codes"):
            written = document.get(*item)
            first, _, last = (written or "").partition("-")
            if last and (len(first) != len(last) or first > last):
                expected = "write the lower code first, with as many digits as the other"
                yield document.error(item, f"{shown(written)} holds no code", expected)
        yield from _check_days(document, (*when, "dates"))
        yield from _check_hours(document, (*when, "hours"))
        for code in document.get(*when, "amounts") or ():
            yield from _check_range(document, (*when, "amounts", code))
        yield from _check_expression(document, (*when, "expression"))
        yield from _check_countries(document, (*when, "countries"))
        yield from _check_zone(document, when)


def _check_expression(document: LocatedDocument, at: Path) -> Iterator[DocumentError]:
    written = document.get(*at)
    refused = None if written is None else compile_expression(written)
    if isinstance(refused, Refused):
        place = f"its line {refused.line}, character {refused.column}"
        yield document.error(at, f"{refused.problem} ({place})", refused.expected)
    elif refused is not None:
        yield from check_expressed(document, at, refused)


def _check_countries(document: LocatedDocument, at: Path) -> Iterator[DocumentError]:
    for item in document.entries(*at):
        written = document.get(*item)
        if written is not None and country_of_code(written) != written:
            yield document.error(item, f"{shown(written)} is no country", "write an ISO 3166 code such as UA")


def _check_zone(document: LocatedDocument, when: Path) -> Iterator[DocumentError]:
    zone = document.get(*when, "zone")
    if zone is not None and zone not in available_timezones():
        hint = f"{did_you_mean(zone, available_timezones())}write an IANA time zone such as Europe/Vienna"
        yield document.error((*when, "zone"), f"{shown(zone)} is no time zone", hint)
    elif zone is not None and not any(key in document.get(*when) for key in ("dates", "weekdays", "hours")):
        problem = "tells nothing without dates, weekdays or hours"
        yield document.error((*when, "zone"), problem, "remove it, or write one of them")


def _check_days(document: LocatedDocument, at: Path) -> Iterator[DocumentError]:
    days: list[date] = []
    for key in ("from", "to"):
        written = document.get(*at, key)
        if written is None:
            continue
        try:
            days.append(date.fromisoformat(written))
        except ValueError:
            yield document.error((*at, key), f"{shown(written)} is no such day", "write a day of the calendar")
    if days != sorted(days):
        yield document.error((*at, "to"), "lies before from, so that no day is within", "write the later day here")


def _check_hours(document: LocatedDocument, at: Path) -> Iterator[DocumentError]:
    first, behind = document.get(*at, "from"), document.get(*at, "to")
    if first is not None and first == behind:
        yield document.error(
            (*at, "to"), "is the same as from, so that no time is within", "leave hours out for all day"
        )


def _check_range(document: LocatedDocument, at: Path) -> Iterator[DocumentError]:
    lowest, highest = document.get(*at, "from"), document.get(*at, "to")
    if lowest is not None and highest is not None and Decimal(highest) < Decimal(lowest):
        yield document.error((*at, "to"), "is below from, so that no amount is within", "write the larger amount here")
