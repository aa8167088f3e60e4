"""What must hold of discounts at the till: that a host asks first, that a retailer gives them, and that they compare.

The till knows the amount of the transaction alone, and only the answer to a request can tell it to lower that.
"""

from collections.abc import Iterator
from decimal import Decimal

from processor.core.located_document import DocumentError, LocatedDocument, Path, shown

Errors = Iterator[DocumentError]


def check_till(document: LocatedDocument) -> Errors:
    """Yield what is wrong with the discounts at the till of a document."""
    asking = {
        document.get(*bank, "id")
        for bank in document.entries("banks")
        if any(document.get(*link, "mode") != "copy" for link in document.entries(*bank, "links"))
    }
    first_of: dict[str, Path] = {}
    for rule in document.entries("discounts"):
        yield from _check_group(document, rule, first_of)
        if document.get(*rule, "mode") == "at-the-till":
            yield from _check_rule(document, rule, asking)


def _check_rule(document: LocatedDocument, rule: Path, asking: set[str]) -> Errors:
    at = (*rule, "mode")
    if document.get(*rule, "base") == "billing":
        problem = "is billing, and the till knows only what it charges"
        yield document.error((*rule, "base"), problem, "write transaction, or mode: billed-less")
    percent = document.get(*rule, "percent")
    if percent is not None and Decimal(percent) == 100:
        problem = "is 100, and a till that takes everything off leaves nothing to approve"
        yield document.error((*rule, "percent"), problem, "write less, or mode: billed-less")
    if document.get(*rule, "partners") == "all":
        problem = "is all, and purchases at no partner have no retailer that gives a discount at its till"
        yield document.error((*rule, "partners"), problem, "name the partners, or write mode: billed-less")
    chosen = document.get(*rule, "products")
    banks = {
        document.get(*product, "bank")
        for product in document.entries("card_products")
        if chosen == "all" or (isinstance(chosen, list) and document.get(*product, "id") in chosen)
    }
    known = {document.get(*bank, "id") for bank in document.entries("banks")}
    for bank in sorted(found for found in banks if found in known and found not in asking):
        problem = f"is at-the-till, and the host of {shown(bank)} never asks first: all its links are copies"
        yield document.error(
            at, problem, "take its cards out of products, give it an inline link, or write billed-less"
        )


def _check_group(document: LocatedDocument, rule: Path, first_of: dict[str, Path]) -> Errors:
    """Refuse a group of both modes: what is billed less depends on what the till took off before."""
    group = document.get(*rule, "exclusive")
    if group is None:
        return
    first = first_of.setdefault(group, rule)
    mode, other = (document.get(*path, "mode") or "billed-less" for path in (rule, first))
    if mode != other and (*rule, "mode") not in document.broken:
        problem = f"is a group of discounts that are {other}, and this one is {mode}"
        yield document.error((*rule, "exclusive"), problem, "give all rules of a group the same mode")
