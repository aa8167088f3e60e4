"""Caps in a programme document: what is refused in them, and how one is compiled.

It refuses what cuts every purchase, which is a slip and no offer, and what its rules could never count in.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from processor.core.cap import Cap, CapHolder, CapPeriod
from processor.core.located_document import DocumentError, LocatedDocument, Path, shown
from processor.core.money import exponent
from processor.core.programme_budgets import check_price
from processor.core.programme_checks import decimal, ids
from processor.core.programme_funding import banks_of, payers_of

Errors = Iterator[DocumentError]


def compile_cap(entry: Mapping[str, Any], scale: int, statement_day: int | None) -> Cap:
    """Return a cap of a document without errors; its limit was checked to be a whole number of the smallest unit."""
    period = CapPeriod(entry["period"])
    currency = entry.get("currency")
    if currency is not None:
        limit = decimal(entry["amount"]) * 10 ** exponent(currency)
    elif "miles" in entry:
        limit = decimal(entry["miles"]) * scale
    else:
        limit = Decimal(entry.get("count", entry.get("purchases")))
    return Cap(
        id=entry["id"],
        rules=frozenset(entry["rules"]),
        period=period,
        limit=int(limit),
        currency=currency,
        statement_day=statement_day if period is CapPeriod.BILLING_PERIOD else None,
        purchases="purchases" in entry,
        per=CapHolder(entry.get("per", CapHolder.ACCOUNT)),
    )


def check_caps(document: LocatedDocument) -> Errors:
    """Yield what is wrong in the caps of a document; that they name rules that exist is looked at elsewhere."""
    earning, discounts = ids(document, "earning"), ids(document, "discounts")
    for cap in document.entries("caps"):
        caps_miles = document.get(*cap, "miles") is not None
        if document.get(*cap, "per") in {"card", "household"} and document.get(*cap, "period") == "purchase":
            holder = document.get(*cap, "per")
            yield document.error((*cap, "per"), f"means nothing: one purchase is of one {holder}", "remove it")
        yield from _check_household_period(document, cap)
        for item in document.entries(*cap, "rules"):
            named = document.get(*item)
            if document.get(*cap, "purchases") is not None and len(document.entries(*cap, "rules")) > 1:
                problem = "shares a cap of purchases, in which one purchase would count once for each rule"
                yield document.error(item, problem, "write a cap of purchases for each rule")
            elif caps_miles and named in discounts:
                expected = "name earning rules, or write amount and currency instead of miles"
                yield document.error(item, f"{named!r} gives a discount, and the cap counts miles", expected)
            elif caps_miles and named in earning:
                yield from _check_miles_step(document, cap, earning[named][:-1])
            elif named in earning and document.get(*cap, "amount") is not None:
                yield from check_price(document, cap, item, earning[named][:-1], "cap")
                yield from _check_price_of_step(document, cap, earning[named][:-1])
            elif named in discounts:
                yield from _check_discount_cap(document, cap, item, discounts[named][:-1])


def _check_household_period(document: LocatedDocument, cap: Path) -> Errors:
    """Refuse billing periods that accounts of one household need not have in common."""
    terms = document.get(*cap, "per"), document.get(*cap, "period")
    banks = document.entries("banks")
    if terms == ("household", "billing-period") and any(
        document.get(*bank, "account_statement_days") for bank in banks
    ):
        problem = "is billing-period, and accounts of one household can have statement days of their own"
        yield document.error((*cap, "period"), problem, "write month, or remove account_statement_days at the banks")


def _check_miles_step(document: LocatedDocument, cap: Path, rule: Path) -> Errors:
    """Refuse a cap below one step of its rule: it would cut every purchase, which is a slip and no offer."""
    limit = document.get(*cap, "miles")
    step = document.get(*rule, "rate", "miles") or document.get(*rule, "bonus", "miles")
    if step is not None and decimal(limit) < decimal(step):
        problem = f"{shown(limit)} is less than one step of {document.get(*rule, 'id')!r}, which gives {shown(step)}"
        yield document.error((*cap, "miles"), problem, f"write {shown(step, quoted=False)} or more")


def _check_price_of_step(document: LocatedDocument, cap: Path, rule: Path) -> Errors:
    """Refuse a cap in money that does not pay for one step of its rule, whoever funds it."""
    limit, currency = document.get(*cap, "amount"), document.get(*cap, "currency")
    step = document.get(*rule, "rate", "miles") or document.get(*rule, "bonus", "miles")
    prices = [
        decimal(document.get(*payer, "mile_price"))
        for payer in payers_of(document, rule)
        if document.get(*payer, "mile_price") is not None and document.get(*payer, "currency") == currency
    ]
    if step is None or not prices:
        return
    most = decimal(step) * max(prices)
    if decimal(limit) < most:
        problem = f"{shown(limit)} is less than what one step of {document.get(*rule, 'id')!r} costs, which is {most:f}"
        yield document.error((*cap, "amount"), problem, f"write {most:f} {currency} or more, rounded up")


def _check_discount_cap(document: LocatedDocument, cap: Path, item: Path, rule: Path) -> Errors:
    """Demand a currency the rule can discount in, and room for a fixed discount or that on one major unit."""
    currency, limit, percent = (
        document.get(*cap, "currency"),
        document.get(*cap, "amount"),
        document.get(*rule, "percent"),
    )
    fixed = document.get(*rule, "amounts", currency) if currency is not None else None
    if limit is not None and fixed is not None and decimal(limit) < decimal(fixed):
        problem = f"{shown(limit)} is less than what {document.get(*rule, 'id')!r} gives, which is {shown(fixed)}"
        yield document.error((*cap, "amount"), problem, f"write {shown(fixed, quoted=False)} or more")
    if limit is not None and percent is not None and decimal(limit) * 100 < decimal(percent):
        step = decimal(percent) / 100
        problem = f"{shown(limit)} is less than the discount of {document.get(*rule, 'id')!r} on 1 {currency or 'unit'}"
        yield document.error((*cap, "amount"), problem, f"write {step.normalize():f} or more")
    billed = {document.get(*bank, "currency") for bank in banks_of(document, rule)}
    if document.get(*rule, "base") == "billing" and billed and currency not in {None, *billed} and None not in billed:
        problem = f"{document.get(*item)!r} discounts in {' and '.join(sorted(billed))}, and the cap counts {currency}"
        yield document.error(item, problem, "write a cap in a currency in which its cards are billed")
