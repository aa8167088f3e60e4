"""When a programme document says that miles are posted, and the days on which its cards' statements are made.

It refuses what could never be followed: a posting by statement without a statement day, and a posting of a multiplier,
whose additions are posted with what it multiplies.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from processor.core.located_document import DocumentError, LocatedDocument, Path, shown
from processor.core.timing import Moment, Timing

Errors = Iterator[DocumentError]


def timing_of(value: Mapping[str, Any], rule: Mapping[str, Any]) -> Timing | None:
    """Return when an earning rule of a document posts what has cleared, None where at once."""
    stated = "clearing" if "multiply" in rule else rule.get("posting", value.get("posting", "clearing"))
    if isinstance(stated, str):
        return None if stated == "clearing" else Timing(moment=Moment(stated))
    return Timing(moment=Moment.AFTER_DAYS, days=stated["after_days"])


def statement_day(value: Mapping[str, Any], product: Mapping[str, Any]) -> int | None:
    """Return the statement day of a card product, its own or its bank's, None where neither states one."""
    bank = next(bank for bank in value["banks"] if bank["id"] == product["bank"])
    day: int | None = product.get("statement_day", bank.get("statement_day"))
    return day


def check_timing(document: LocatedDocument) -> Errors:
    """Yield what is wrong with when a document's miles are posted."""
    for rule in document.entries("earning"):
        at = (*rule, "posting")
        stated = document.get(*at)
        if stated is not None and document.get(*rule, "multiply") is not None:
            problem = "means nothing for a multiplier: what it adds is posted with what it multiplies"
            yield document.error(at, problem, "remove it, or state it on the rules that are multiplied", at_key=True)
        elif (stated or document.get("posting")) == "statement" and at not in document.broken:
            yield from _check_statement(document, rule, at if stated else ("posting",))


def _check_statement(document: LocatedDocument, rule: Path, at: Path) -> Errors:
    for product in without_statement_day(document, document.get(*rule, "products")):
        identifier = document.get(*product, "id")
        line = document.position(product).line
        problem = f"is statement, and cards of {shown(identifier)} have no statement day"
        yield document.error(at, problem, f"write a statement_day at line {line}, or at its bank")


def without_statement_day(document: LocatedDocument, chosen: object) -> Iterator[Path]:
    """Yield the card products, of those that are chosen, that have no statement day, their own or their bank's."""
    banks = {document.get(*bank, "id"): bank for bank in document.entries("banks")}
    for product in document.entries("card_products"):
        bank = banks.get(document.get(*product, "bank"))
        if bank is None or not (
            chosen == "all" or (isinstance(chosen, list) and document.get(*product, "id") in chosen)
        ):
            continue
        places: tuple[Path, ...] = ((*product, "statement_day"), (*bank, "statement_day"))
        if all(document.get(*place) is None and place not in document.broken for place in places):
            yield product
