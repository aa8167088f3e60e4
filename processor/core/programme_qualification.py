"""How tiers are reached, as a programme document writes it: ``reached_by`` and ``kept``, compiled and checked.

Amounts in several currencies become progress in whole numbers, of which the tier asks for as much as each amount is.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from math import lcm
from typing import Any, Final

from iso4217 import Currency

from processor.core.cap import CapPeriod
from processor.core.located_document import DocumentError, LocatedDocument, Path, did_you_mean, shown
from processor.core.money import exponent
from processor.core.qualification import Measure, Qualification, Qualifying
from processor.core.rule_sections import RULES

Errors = Iterator[DocumentError]

FINEST: Final = 10**9
"""How much progress a minor unit may be at most, so that counters stay in 64 bits."""

_CODES: Final = frozenset(entry.code for entry in Currency)
_MONTHS_OF: Final = {CapPeriod.DAY: 1, CapPeriod.WEEK: 1, CapPeriod.MONTH: 1, CapPeriod.QUARTER: 3, CapPeriod.YEAR: 12}
"""For how many months a tier must be kept at least, so that it never ends before the period that gives it."""


def compile_qualifications(value: Mapping[str, Any]) -> tuple[Qualification, ...]:
    """Return what reaches the computed tiers of a document that was checked, the lowest first."""
    scale: int = 10 ** value["miles"]["decimals"]
    return tuple(_compiled(entry, scale) for entry in value.get("tiers", ()) if "reached_by" in entry)


def _compiled(entry: Mapping[str, Any], scale: int) -> Qualification:
    terms, kept = entry["reached_by"], entry.get("kept", {})
    counts = next(each for each in Qualifying if each.value in terms)
    parts: dict[str, int] = {}
    least = terms[counts.value]
    if counts is Qualifying.SPEND:
        parts, least = _parts(least)
    elif counts is Qualifying.MILES:
        least = int(Decimal(least) * scale)
    return Qualification(
        tier=entry["id"],
        measure=Measure(
            counts=counts,
            period=CapPeriod(terms["over"]),
            scale=parts,
            rules=frozenset(terms.get("rules", ())),
        ),
        least=least,
        further_periods=int(kept.get("until") == "end-of-next-period"),
        months=kept.get("months"),
        falls_to=kept.get("then", ""),
    )


def _parts(spend: Mapping[str, Any]) -> tuple[dict[str, int], int]:
    """Return how much progress a minor unit of each currency is, and how much each amount is."""
    amounts = {code: int(Decimal(amount) * 10 ** exponent(code)) for code, amount in spend.items()}
    least = lcm(*amounts.values())
    return {code: least // amount for code, amount in amounts.items()}, least


def check_qualifications(document: LocatedDocument) -> Errors:
    """Yield what is wrong with how tiers are reached and kept."""
    tiers = document.entries("tiers")
    for place, tier in enumerate(tiers):
        terms = (*tier, "reached_by")
        if document.get(*terms) is None:
            if document.get(*tier, "kept") is not None and (*tier, "reached_by") not in document.broken:
                problem = "says how long a tier is kept that is not reached by anything"
                yield document.error((*tier, "kept"), problem, "write reached_by, or remove it", at_key=True)
            continue
        if place == 0:
            problem = "reaches the lowest tier, which every member has"
            yield document.error(terms, problem, "remove it, or put a lower tier first", at_key=True)
        yield from _check_rules(document, terms)
        yield from _check_amounts(document, terms)
        yield from _check_kept(document, tier)
        yield from _check_then(document, tiers[:place], tier)
        yield from _check_above(document, tiers[:place], tier)


def _check_rules(document: LocatedDocument, terms: Path) -> Errors:
    """Refuse rules that are not there, and those that give no miles where miles count."""
    sections = ("earning",) if document.get(*terms, "miles") is not None else RULES
    known = {document.get(*rule, "id") for section in sections for rule in document.entries(section)} - {None}
    what = "earning rule" if len(sections) == 1 else "rule"
    for item in document.entries(*terms, "rules"):
        word = document.get(*item)
        if word is not None and word not in known:
            hint = f"{did_you_mean(word, known)}write the identifier of {'an' if what[0] == 'e' else 'a'} {what}"
            yield document.error(item, f"{shown(word)} is no {what}", hint)


def _check_amounts(document: LocatedDocument, terms: Path) -> Errors:
    """Refuse currencies that are none, and what the smallest units cannot express."""
    spend, miles = document.get(*terms, "spend"), document.get(*terms, "miles")
    for code in spend or ():
        at = (*terms, "spend", code)
        if at in document.broken:
            continue
        if code not in _CODES:
            yield document.error(
                at, f"{code!r} is no currency", "write an ISO 4217 letter code such as EUR", at_key=True
            )
        elif document.get(*at) is not None and Decimal(document.get(*at)).scaleb(exponent(code)) % 1:
            problem = f"{shown(document.get(*at))} is no whole number of the minor unit of {code}"
            yield document.error(at, problem, f"write at most {exponent(code)} decimals")
    if spend is not None and _is_sound(document, (*terms, "spend")) and max(_parts(spend)[0].values()) > FINEST:
        problem = "has amounts that are in no round proportion, so that the currencies cannot be added up exactly"
        yield document.error((*terms, "spend"), problem, "write rounder amounts")
    decimals = document.get("miles", "decimals")
    if miles is not None and decimals is not None and Decimal(miles).scaleb(decimals) % 1:
        problem = f"{shown(miles)} is no whole number of the smallest mile"
        yield document.error((*terms, "miles"), problem, f"write at most {decimals} decimals")


def _is_sound(document: LocatedDocument, spend: Path) -> bool:
    """Tell whether every amount of a table is one of a currency that its minor unit can express."""
    amounts = document.get(*spend)
    return all(
        (*spend, code) not in document.broken and code in _CODES and Decimal(amount).scaleb(exponent(code)) % 1 == 0
        for code, amount in amounts.items()
    )


def _check_kept(document: LocatedDocument, tier: Path) -> Errors:
    """Refuse an end where there is none, and one before the end of the period that gives the tier."""
    over, months = document.get(*tier, "reached_by", "over"), document.get(*tier, "kept", "months")
    if over == CapPeriod.LIFETIME and document.get(*tier, "kept") is not None:
        problem = "ends a tier that counts over a lifetime, and is reached as long as it lasts"
        yield document.error((*tier, "kept"), problem, "remove it, or count over a period", at_key=True)
    elif over is not None and months is not None and months < _MONTHS_OF[CapPeriod(over)]:
        problem = f"is {months}, and the tier would end before the {over} in which it was reached"
        yield document.error((*tier, "kept", "months"), problem, f"write {_MONTHS_OF[CapPeriod(over)]} or more")


def _check_then(document: LocatedDocument, below: tuple[Path, ...], tier: Path) -> Errors:
    """Refuse what follows a tier unless it is a lower one, and not the one that everybody has anyway."""
    at = (*tier, "kept", "then")
    word, lower = document.get(*at), [document.get(*path, "id") for path in below]
    if word is None:
        return
    if word not in lower:
        hint = f"{did_you_mean(word, filter(None, lower))}write the identifier of a tier that stands before it"
        yield document.error(at, f"{shown(word)} is no tier below {document.get(*tier, 'id')!r}", hint)
    elif word == lower[0]:
        problem = f"{shown(word)} is the lowest tier, which every member has"
        yield document.error(at, problem, "remove it, or write a higher tier")


def _check_above(document: LocatedDocument, below: tuple[Path, ...], tier: Path) -> Errors:
    """Refuse a tier that asks for no more than one below it that counts the same."""
    terms = document.get(*tier, "reached_by")
    for other in reversed(below):
        lower = document.get(*other, "reached_by")
        if lower is None or _counts(lower) != _counts(terms):
            continue
        at = (*tier, "reached_by")
        for path, least, than in _thresholds(at, terms, lower):
            if path in document.broken or than is None or Decimal(least) > Decimal(than):
                continue
            problem = f"is {shown(least)}, which is not above {shown(than)} of {document.get(*other, 'id')!r} below it"
            yield document.error(path, problem, "let the tiers ascend")
        return


def _counts(terms: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        *(each.value for each in Qualifying if each.value in terms),
        terms.get("over"),
        sorted(map(str, terms.get("rules", ()))),
    )


def _thresholds(at: Path, terms: Mapping[str, Any], lower: Mapping[str, Any]) -> Iterator[tuple[Path, Any, Any]]:
    for key in ("miles", "purchases"):
        if key in terms:
            yield (*at, key), terms[key], lower[key]
    for code, amount in terms.get("spend", {}).items():
        yield (*at, "spend", code), amount, lower["spend"].get(code)
