"""An explanation's sentences on the rules that gave nothing: what they ask for, or to which rule they lost."""

from collections.abc import Iterator
from datetime import date
from typing import Final

from processor.core.conditions import AmountRange, Conditions, Unmet
from processor.core.expressed import amount_for, amount_of, unmet_expression
from processor.core.person import Person, PersonUnmet
from processor.core.programme import Programme
from processor.core.programme_conditions import WEEKDAYS
from processor.core.rule import Best
from processor.flow.explain_amounts import money, units
from processor.flow.explain_person import whom
from processor.flow.recomputed import Recomputed

_BEST: Final = {
    Best.HOLDER: "that which gives most",
    Best.FUNDER: "that which costs least",
    Best.FIRST: "the first by priority",
}
_NAMED: Final = {
    Unmet.PARTNERS: "partners",
    Unmet.PRODUCTS: "card products",
    Unmet.MCCS: "merchant category codes",
    Unmet.SECTORS: "sectors",
    Unmet.COUNTRIES: "countries",
    Unmet.PRODUCT_CODES: "product codes",
    Unmet.CHANNELS: "channels",
    Unmet.CURRENCIES: "currencies",
}
MOST_NAMED: Final = 12
"""More codes than these are counted rather than named."""


def losing_sentences(programme: Programme, recomputed: Recomputed) -> Iterator[str]:
    """Yield the rules that do not apply, each with the first reason why."""
    if recomputed.at is None:
        return
    weighed = {entry.rule for entry in recomputed.considered} | set(recomputed.entitled.unrated)
    weighed |= {entry.rule for entry in recomputed.lost}
    amount = amount_of(recomputed.folded, recomputed.at)
    for rule in programme.rules:
        if rule.id in weighed:
            continue
        unmet = rule.when.unmet(recomputed.at)
        if unmet is not None:
            yield f"Rule {rule.id} does not apply: it is for {_wanted(programme, rule.when, unmet)}."
        elif (
            failing := unmet_expression(rule, recomputed.at, amount_for(rule, recomputed.folded, recomputed.at, amount))
        ) is not None:
            yield f"Rule {rule.id} does not apply: it is for {_wanted(programme, rule.when, failing)}."
        elif rule.at_till:
            yield f"Rule {rule.id} gives its discount at the till, and nothing confirms that the till gave it."
        elif rule.when.amounts:
            yield f"Rule {rule.id} does not apply: it is for {_wanted(programme, rule.when, Unmet.AMOUNT)}."
        elif rule.multiplication is not None:
            named = ", ".join(sorted(rule.multiplication.rules))
            yield f"Rule {rule.id} multiplies nothing: none of {named} gives anything."


def outdone_sentences(programme: Programme, recomputed: Recomputed) -> Iterator[str]:
    """Yield the rules that would have given something and lost to another."""
    for entry in recomputed.lost:
        given = units(programme, entry.total, entry.unit)
        if entry.group:
            how = f"one rule of group {entry.group} counts, {_BEST[programme.groups[entry.group]]}"
        else:
            how = "the highest multiplier counts"
        yield f"Rule {entry.rule} would have given {given} and lost to rule {entry.winner}: {how}."


def _wanted(programme: Programme, when: Conditions, unmet: Unmet | PersonUnmet) -> str:
    """Return what a condition asks for."""
    if isinstance(unmet, PersonUnmet):
        return whom(programme, when.person or Person(), unmet)
    where = f" in {when.zone}" if when.zone is not None else ""
    if unmet is Unmet.DATES and when.dates is not None:
        first, last = when.dates
        since = "" if first == date.min else f" from {first.isoformat()}"
        until = "" if last == date.max else f" until {last.isoformat()}"
        return f"purchases{since}{until}{where}"
    if unmet is Unmet.WEEKDAYS:
        return ", ".join(WEEKDAYS[day - 1] for day in sorted(when.weekdays)) + where
    if unmet is Unmet.HOURS and when.hours is not None:
        first_minute, behind = when.hours
        return f"purchases from {_clock(first_minute)} to {_clock(behind)}{where}"
    if unmet in {Unmet.EXPRESSION, Unmet.EXPRESSION_FAILS} and when.expression is not None:
        fails = ", which cannot be evaluated for this one" if unmet is Unmet.EXPRESSION_FAILS else ""
        return f"purchases with {when.expression.source}{fails}"
    if unmet is Unmet.MERCHANTS:
        return "certain card acceptors"
    if unmet is Unmet.MCCS and len(when.mccs) > MOST_NAMED:
        return f"{len(when.mccs)} merchant category codes"
    if unmet is Unmet.PRODUCT_CODES and len(when.product_codes) > MOST_NAMED:
        return f"{len(when.product_codes)} product codes"
    if unmet is Unmet.AMOUNT:
        return "other amounts than this purchase's: " + ", ".join(
            _range(currency, wanted) for currency, wanted in sorted(when.amounts.items())
        )
    return f"{_NAMED[unmet]} {', '.join(sorted(getattr(when, unmet.value)))}"


def _range(currency: str, wanted: AmountRange) -> str:
    least = f"from {money(wanted.lowest, currency)}" if wanted.lowest else ""
    most = "" if wanted.highest is None else f"to {money(wanted.highest, currency)}"
    return " ".join(filter(None, (least, most)))


def _clock(minute: str) -> str:
    return f"{minute[:2]}:{minute[2:]}"
