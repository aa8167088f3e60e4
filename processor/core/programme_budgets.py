"""Budgets in a programme document: what is refused in them, and how one is compiled.

It refuses what could never be given or never be counted: a budget below one award that it would refuse, a budget in
money of miles that nobody pays for in that currency.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from processor.core.budget import AtEdge, Budget
from processor.core.cap import CapPeriod
from processor.core.located_document import DocumentError, LocatedDocument, Path, shown
from processor.core.money import exponent
from processor.core.programme_checks import CURRENCIES, decimal, ids
from processor.core.programme_funding import check_one_payer, payers_of

Errors = Iterator[DocumentError]


def compile_budget(entry: Mapping[str, Any], scale: int) -> Budget:
    """Return a budget of a document without errors; its limit was checked to be a whole number of the smallest unit."""
    currency = entry.get("currency")
    limit = None
    if "miles" in entry:
        limit = int(decimal(entry["miles"]) * scale)
    elif currency is not None:
        limit = int(decimal(entry["amount"]) * 10 ** exponent(currency))
    return Budget(
        id=entry["id"],
        rules=frozenset(entry["rules"]),
        period=CapPeriod(entry.get("period", CapPeriod.LIFETIME)),
        limit=limit,
        currency=currency,
        at_edge=AtEdge(entry.get("at_edge", AtEdge.PARTIAL)),
        holders=entry.get("holders"),
    )


def check_budgets(document: LocatedDocument) -> Errors:
    """Yield what is wrong in the budgets of a document; that they name rules that exist is looked at elsewhere."""
    earning, discounts = ids(document, "earning"), ids(document, "discounts")
    for budget in document.entries("budgets"):
        yield from _check_size(document, budget)
        for item in document.entries(*budget, "rules"):
            named = document.get(*item)
            if named in discounts:
                yield from _check_discount(document, budget, item, discounts[named][:-1])
            elif named in earning and document.get(*budget, "miles") is not None:
                yield from _check_step(document, budget, earning[named][:-1])
            elif named in earning and document.get(*budget, "currency") is not None:
                yield from check_price(document, budget, item, earning[named][:-1], "budget")


def _check_size(document: LocatedDocument, budget: Path) -> Errors:
    """Demand one size at most, or places, and an edge only where there is a size."""
    stated = {key for key in document.get(*budget) or () if key in {"miles", "amount", "holders"}}
    if {"miles", "amount"} <= stated:
        yield document.error(
            budget, "has both miles and amount", "keep one, and write a budget of its own for the other"
        )
    elif not stated:
        yield document.error(budget, "has no size", "write miles, amount and currency, or holders")
    elif stated == {"holders"} and document.get(*budget, "at_edge") is not None:
        problem = "means nothing for a budget of holders alone: an account has a place or none"
        yield document.error((*budget, "at_edge"), problem, "remove it, or write miles or an amount", at_key=True)


def _check_discount(document: LocatedDocument, budget: Path, item: Path, rule: Path) -> Errors:
    named, currency = document.get(*item), document.get(*budget, "currency")
    if document.get(*budget, "miles") is not None:
        problem = f"{shown(named)} gives a discount, and the budget counts miles"
        yield document.error(item, problem, "name earning rules, or write amount and currency instead of miles")
    if currency not in CURRENCIES:
        return
    amounts = document.get(*rule, "amounts")
    if isinstance(amounts, dict) and currency not in amounts:
        problem = f"{shown(named)} gives no {currency}, in which the budget counts"
        yield document.error(item, problem, f"write a budget in {' or '.join(sorted(amounts))}")
    elif isinstance(amounts, dict):
        yield from _check_one_award(document, (*budget, "amount"), budget, rule, amounts[currency])


def _check_step(document: LocatedDocument, budget: Path, rule: Path) -> Errors:
    step = document.get(*rule, "rate", "miles") or document.get(*rule, "bonus", "miles")
    if step is not None:
        yield from _check_one_award(document, (*budget, "miles"), budget, rule, step)


def _check_one_award(document: LocatedDocument, at: Path, budget: Path, rule: Path, least: Any) -> Errors:
    """Refuse a budget that refuses the least that its rule gives: it would never give anything."""
    limit = document.get(*at)
    refuses = document.get(*budget, "at_edge") == AtEdge.REFUSE
    if refuses and limit is not None and decimal(limit) < decimal(least):
        problem = (
            f"{shown(limit)} is less than {document.get(*rule, 'id')!r} gives, which is {shown(least)}, and refuses"
        )
        yield document.error(at, problem, f"write {shown(least, quoted=False)} or more, or at_edge: partial")


def check_price(document: LocatedDocument, limit: Path, item: Path, rule: Path, what: str) -> Errors:
    """Demand that whoever pays for a rule's miles pays in the currency of a limit, which is a cap or a budget."""
    several = list(check_one_payer(document, item, rule))
    if several:
        yield from several
        return
    named, currency = document.get(*item), document.get(*limit, "currency")
    if document.get(*rule, "funder") == "owner":
        problem = f"{shown(named)} gives miles at the owner's cost, which have no price"
        yield document.error(item, problem, "write miles instead of amount and currency")
    for payer in payers_of(document, rule):
        paid_in = document.get(*payer, "currency")
        if paid_in is not None and paid_in != currency:
            problem = f"{document.get(*payer, 'id')!r} pays for the miles of {shown(named)} in {paid_in}"
            yield document.error(item, problem, f"write a {what} in {paid_in}, or miles instead of amount and currency")
