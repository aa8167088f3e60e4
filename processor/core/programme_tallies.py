"""Tallies as a programme document writes them: ``accumulate`` and ``every`` of an earning rule, compiled and checked.

Amounts become progress in whole numbers whatever the rates, so that a period's miles are rounded once.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from math import lcm
from typing import Any, Final

from processor.core.cap import CapPeriod
from processor.core.located_document import DocumentError, LocatedDocument, Path, shown
from processor.core.money import Rounding, exponent
from processor.core.tally import Bracket, Counting, Cycle, Tally

Errors = Iterator[DocumentError]

FINEST: Final = 10**9
"""Into how many parts rates in several currencies may divide the smallest mile, so that counters stay in 64 bits."""


def compile_tally(rule: Mapping[str, Any], scale: int) -> Tally | None:
    """Return the tally of an earning rule that was checked, None where it looks at each purchase alone.

    ``scale`` is how many of the smallest unit a mile is.
    """
    if "accumulate" in rule:
        per = _per(rule)
        return _in_one_currency(rule, scale) if len(per) == 1 else _in_several_currencies(rule, scale)
    return compile_cycle(rule, int(Decimal(rule["bonus"]["miles"]) * scale)) if "every" in rule else None


def _per(rule: Mapping[str, Any]) -> dict[str, Fraction]:
    """Return the amounts, in minor units, that the rule's miles are for."""
    return {code: _minor(code, amount) for code, amount in rule["rate"]["per"].items()}


def _minor(currency: str, amount: str | int | Decimal) -> Fraction:
    scale: int = 10 ** exponent(currency)
    return Fraction(Decimal(amount)) * scale


def _in_one_currency(rule: Mapping[str, Any], scale: int) -> Tally:
    """Return a sum whose progress is minor units, rated by what it reaches."""
    terms = rule["accumulate"]
    ((currency, per),) = _per(rule).items()
    steps = [(terms.get("above", 0), rule["rate"]["miles"])]
    steps += [(step["above"], step["miles"]) for step in terms.get("steps", ())]
    rates = [(int(_minor(currency, above)), Fraction(Decimal(miles)) * scale / per) for above, miles in steps]
    denominator = lcm(*(rate.denominator for _, rate in rates))
    return _accumulated(
        rule,
        scale,
        parts={currency: 1},
        brackets=tuple(Bracket(above, int(rate * denominator)) for above, rate in rates),
        denominator=denominator,
    )


def _in_several_currencies(rule: Mapping[str, Any], scale: int) -> Tally:
    """Return a sum whose progress is equal parts of the smallest mile, so that all currencies add up."""
    fineness = _fineness(rule, scale)
    miles = Fraction(Decimal(rule["rate"]["miles"])) * scale
    parts = {code: int(miles / per * fineness) for code, per in _per(rule).items()}
    return _accumulated(rule, scale, parts=parts, brackets=(Bracket(0, 1),), denominator=fineness)


def _fineness(rule: Mapping[str, Any], scale: int) -> int:
    miles = Fraction(Decimal(rule["rate"]["miles"])) * scale
    return lcm(*((miles / per).denominator for per in _per(rule).values()))


def _accumulated(
    rule: Mapping[str, Any], scale: int, *, parts: Mapping[str, int], brackets: tuple[Bracket, ...], denominator: int
) -> Tally:
    terms = rule["accumulate"]
    return Tally(
        period=CapPeriod(terms["over"]),
        scale=parts,
        brackets=brackets,
        denominator=denominator,
        counting=Counting(terms.get("counting", Counting.EXCESS)),
        rounding=Rounding(rule["rounding"]),
        most=int(Decimal(terms["most"]) * scale) if "most" in terms else None,
    )


def compile_cycle(rule: Mapping[str, Any], gives: int, unit: str = "") -> Tally:
    """Return the tally of a checked rule with ``every``, which gives so many units each time it comes full circle.

    ``unit`` is the soft reward or the currency that it gives, empty for miles.
    """
    terms = rule["every"]
    amounts = {code: int(_minor(code, amount)) for code, amount in terms.get("amount", {}).items()}
    common = lcm(*amounts.values())
    return Tally(
        period=CapPeriod(terms["over"]),
        scale={code: common // amount for code, amount in amounts.items()},
        cycle=Cycle(every=common if amounts else terms["purchases"], gives=gives, times=terms.get("times")),
        unit=unit,
    )


def accumulated_amounts(document: LocatedDocument) -> Iterator[tuple[Path, str]]:
    """Yield where a sum is stated that a rate begins above, and its currency."""
    for rule in document.entries("earning"):
        codes = list(document.get(*rule, "rate", "per") or ())
        terms = (*rule, "accumulate")
        for at in ((*terms, "above"), *((*step, "above") for step in document.entries(*terms, "steps"))):
            if len(codes) == 1:
                yield at, codes[0]


def check_tallies(document: LocatedDocument) -> Errors:
    """Yield what is wrong with the tallies of earning rules, currencies and decimals aside."""
    multiplied = {
        named for path in document.entries("earning") for named in document.get(*path, "multiply", "rules") or ()
    }
    for rule in document.entries("earning"):
        for key in ("accumulate", "every"):
            if document.get(*rule, key) is None or (*rule, key) in document.broken:
                continue
            yield from _check_company(document, rule, key, multiplied)
        if document.get(*rule, "accumulate") is not None and isinstance(document.get(*rule, "rate", "per"), dict):
            yield from _check_accumulation(document, rule)


def _check_company(document: LocatedDocument, rule: Path, key: str, multiplied: set[str]) -> Errors:
    """Refuse what needs to know at once what each purchase gives: a group of which one counts, and a multiplier."""
    if document.get(*rule, "exclusive") is not None:
        problem = f"is a group of which one rule counts for each purchase, and {key} looks at a period"
        yield document.error((*rule, "exclusive"), problem, f"take the rule out of the group, or leave {key} out")
    if document.get(*rule, "id") in multiplied:
        problem = f"looks at a period, and {shown(document.get(*rule, 'id'))} is multiplied for each purchase"
        yield document.error((*rule, key), problem, "multiply a rule that looks at each purchase alone")


def _check_accumulation(document: LocatedDocument, rule: Path) -> Errors:
    terms = (*rule, "accumulate")
    per = document.get(*rule, "rate", "per")
    graded = [key for key in ("above", "steps") if document.get(*terms, key) is not None]
    sound = not any(path[: len(rule)] == rule for path in document.broken)
    if len(per) > 1:
        for key in graded:
            problem = f"is an amount, and the rule rates {len(per)} currencies"
            yield document.error((*terms, key), problem, "leave one currency under per")
        if sound and _fineness(document.get(*rule), 10 ** (document.get("miles", "decimals") or 0)) > FINEST:
            problem = "divides a mile into too many parts to add up the currencies exactly"
            yield document.error((*rule, "rate", "per"), problem, "write rounder amounts, or a rule for each currency")
    starts = [((*terms, "above"), document.get(*terms, "above") or 0)]
    starts += [((*step, "above"), document.get(*step, "above")) for step in document.entries(*terms, "steps")]
    for (_, before), (at, above) in pairwise(starts):
        if before is not None and above is not None and Decimal(above) <= Decimal(before):
            yield document.error(at, f"is {shown(above)}, which is not above {shown(before)}", "let the steps ascend")
    most, miles = document.get(*terms, "most"), document.get(*rule, "rate", "miles")
    if most is not None and miles is not None and Decimal(most) < Decimal(miles):
        problem = f"{shown(most)} is less than one step of the rule, which gives {shown(miles)}"
        yield document.error((*terms, "most"), problem, f"write {shown(miles, quoted=False)} or more")
