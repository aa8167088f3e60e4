"""When a programme document says that miles are posted and what refunds take back, and the days of cards' statements.

It refuses what could never be followed: a posting by statement without a statement day, and a posting of a multiplier,
whose additions are posted with what it multiplies.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from processor.core.located_document import DocumentError, LocatedDocument, Path, shown
from processor.core.rule import Clawback, Spent
from processor.core.statement import LAST_DAY
from processor.core.timing import Moment, Timing

Errors = Iterator[DocumentError]


def timing_of(value: Mapping[str, Any], rule: Mapping[str, Any]) -> Timing | None:
    """Return when an earning rule of a document posts what has cleared, None where at once."""
    stated = "clearing" if "multiply" in rule else rule.get("posting", value.get("posting", "clearing"))
    if isinstance(stated, str):
        return None if stated == "clearing" else Timing(moment=Moment(stated))
    return Timing(moment=Moment.AFTER_DAYS, days=stated["after_days"])


def clawback_of(value: Mapping[str, Any], rule: Mapping[str, Any]) -> Clawback:
    """Return what a refund takes back of an earning rule; a multiplier follows what it multiplies."""
    stated = None if "multiply" in rule else rule.get("clawback", value.get("clawback"))
    return Clawback(stated or Clawback.EXACT)


def spent_of(value: Mapping[str, Any], rule: Mapping[str, Any]) -> Spent:
    """Return what is taken back of an earning rule's available miles."""
    return Spent(rule.get("spent", value.get("spent", Spent.NEGATIVE)))


def statement_day(value: Mapping[str, Any], product: Mapping[str, Any]) -> int | None:
    """Return the statement day of a card product, its own or its bank's, None where neither states one."""
    bank = next(bank for bank in value["banks"] if bank["id"] == product["bank"])
    day: int | None = product.get("statement_day", bank.get("statement_day"))
    return day


def statement_day_of_cap(value: Mapping[str, Any], rules: Collection[str]) -> int | None:
    """Return the statement day that all cards share whose purchases some rules cover, None where they share none."""
    days = {
        statement_day(value, product)
        for rule in (*value["earning"], *value.get("discounts", ()), *value.get("rewards", ()))
        if rule["id"] in rules
        for product in value["card_products"]
        if rule["products"] == "all" or product["id"] in rule["products"]
    }
    return days.pop() if len(days) == 1 else None


def check_timing(document: LocatedDocument) -> Errors:
    """Yield what is wrong with when a document's miles are posted."""
    for rule in document.entries("earning"):
        at = (*rule, "posting")
        stated = document.get(*at)
        for key in ("posting", "clawback") if document.get(*rule, "multiply") is not None else ():
            if document.get(*rule, key) is not None:
                problem = "means nothing for a multiplier, whose additions go with what it multiplies"
                expected = "remove it, or state it on the rules that are multiplied"
                yield document.error((*rule, key), problem, expected, at_key=True)
        if (stated or document.get("posting")) == "statement" and at not in document.broken:
            yield from _check_statement(document, rule, at if stated else ("posting",))
    yield from _check_billing_periods(document)
    yield from _check_own_days(document)
    for at in (("spent",), *((*rule, "spent") for rule in document.entries("earning"))):
        if document.get("miles", "ledger") == "owner" and document.get(*at) not in {None, "negative"}:
            problem = "means nothing where the owner keeps the miles ledger: what a holder still has is known there"
            yield document.error(at, problem, "remove it, or write negative", at_key=True)


def _check_own_days(document: LocatedDocument) -> Errors:
    """Refuse statement days of accounts by which nothing goes."""
    stated = [document.get(*rule, "posting") for rule in document.entries("earning")]
    periods = [document.get(*cap, "period") for cap in document.entries("caps")]
    if "statement" in (*stated, document.get("posting")) or "billing-period" in periods:
        return
    for bank in document.entries("banks"):
        if document.get(*bank, "account_statement_days"):
            problem = "means nothing: no rule posts by statement and no cap counts by billing period"
            expected = "remove it, or write posting: statement, or period: billing-period"
            yield document.error((*bank, "account_statement_days"), problem, expected, at_key=True)


def _check_billing_periods(document: LocatedDocument) -> Errors:
    """Demand one statement day of all cards that a cap by billing period counts, so that they share its counter."""
    for cap in document.entries("caps"):
        if document.get(*cap, "period") != "billing-period":
            continue
        at, days = (*cap, "period"), set[int]()
        for rule in (*document.entries("earning"), *document.entries("discounts"), *document.entries("rewards")):
            if document.get(*rule, "id") not in (document.get(*cap, "rules") or ()):
                continue
            for product in _products(document, document.get(*rule, "products")):
                stated = _statement_day(document, product)
                if stated is None:
                    problem = (
                        f"is billing-period, and cards of {shown(document.get(*product, 'id'))} have no statement day"
                    )
                    line = document.position(product).line
                    yield document.error(at, problem, f"write a statement_day at line {line}, or at its bank")
                else:
                    days.add(stated)
        if len(days) > 1:
            problem = f"is billing-period, and its cards have statements on days {' and '.join(map(str, sorted(days)))}"
            expected = "give cards of different statement days rules and caps of their own"
            yield document.error(at, problem, expected)


def _check_statement(document: LocatedDocument, rule: Path, at: Path) -> Errors:
    for product in _products(document, document.get(*rule, "products")):
        if _statement_day(document, product) is None:
            identifier = document.get(*product, "id")
            line = document.position(product).line
            problem = f"is statement, and cards of {shown(identifier)} have no statement day"
            yield document.error(at, problem, f"write a statement_day at line {line}, or at its bank")


def _products(document: LocatedDocument, chosen: object) -> Iterator[Path]:
    for product in document.entries("card_products"):
        if chosen == "all" or (isinstance(chosen, list) and document.get(*product, "id") in chosen):
            yield product


def _statement_day(document: LocatedDocument, product: Path) -> int | None:
    """Return a card product's statement day, its own or its bank's; what is wrong was reported and passes for one."""
    banks = {document.get(*bank, "id"): bank for bank in document.entries("banks")}
    bank = banks.get(document.get(*product, "bank"))
    places: list[Path] = [(*product, "statement_day"), *([] if bank is None else [(*bank, "statement_day")])]
    if bank is None or any(place in document.broken for place in places):
        return LAST_DAY
    return next((day for place in places if (day := document.get(*place)) is not None), None)
