"""Who pays by the document: one funder, or several that split the cost, and whether each states a price.

``core/funding.py`` says what each pays of an award.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from processor.core.located_document import DocumentError, LocatedDocument, Path, shown
from processor.core.rule import Funder
from processor.core.rule_sections import rules_of

Errors = Iterator[DocumentError]

_WHOLE: Final = 100


def compile_split(entry: Mapping[str, Any]) -> tuple[tuple[Funder, int], ...]:
    """Return who pays for a rule together, its funder first, with percentages; nothing where one pays alone."""
    split: Mapping[str, int] = entry.get("split", {})
    parts = [(Funder(name), percent) for name, percent in split.items()]
    return tuple(sorted(parts, key=lambda part: (part[0] != entry["funder"], part[0])))


def _products_of(document: LocatedDocument, rule: Path) -> Iterator[Path]:
    """Yield the card products a rule covers."""
    chosen = document.get(*rule, "products")
    for product in document.entries("card_products"):
        if chosen == "all" or (isinstance(chosen, list) and document.get(*product, "id") in chosen):
            yield product


def banks_of(document: LocatedDocument, rule: Path) -> list[Path]:
    """Return the banks whose cards a rule covers."""
    wanted = {document.get(*product, "bank") for product in _products_of(document, rule)}
    return [bank for bank in document.entries("banks") if document.get(*bank, "id") in wanted]


def check_funding(document: LocatedDocument) -> Errors:
    """Demand a price wherever somebody other than the owner pays for miles, and the name of a partner that pays."""
    for rule in rules_of(document):
        named = funders_of(document, rule)
        if "partner" in named and document.get(*rule, "partners") == "all":
            key, whose = "split", "gives the partner a part"
            if document.get(*rule, "funder") == "partner":
                key, whose = "funder", "is the partner"
            problem = f"{whose}, and purchases at no partner match the rule as well"
            yield document.error((*rule, key), problem, "name the partners, or write bank or owner")
        if document.get(*rule, "split") is not None and (*rule, "split") not in document.broken:
            yield from _check_split(document, rule)
    for rule in document.entries("earning"):
        for payer in payers_of(document, rule):
            if document.get(*payer, "id") is not None and "mile_price" not in document.get(*payer):
                problem = f"is {document.get(*payer, 'id')!r} for some purchases, which states no mile_price"
                line = document.position(payer).line
                yield document.error((*rule, "funder"), problem, f"write its mile_price at line {line}")


def _check_split(document: LocatedDocument, rule: Path) -> Errors:
    """Demand that all of the cost is paid, and refuse what counts by the price, or the loss, of one payer alone."""
    at, split, funder = (*rule, "split"), document.get(*rule, "split"), document.get(*rule, "funder")
    percents = [document.get(*at, name) for name in split]
    if None not in percents and sum(percents) != _WHOLE:
        problem = f"is a split of {sum(percents)} percent"
        yield document.error(at, problem, "write percentages that come to 100 together")
    if funder is not None and funder not in split:
        problem = f"leaves out the funder {funder!r}, who pays what rounding leaves"
        yield document.error(at, problem, f"write a percentage for {funder}, or another funder")
    if rule[0] == "discounts" and document.get(*rule, "every") is not None:
        problem = "means nothing for a cycle, which one party pays for"
        yield document.error(at, problem, "remove it, or take every out", at_key=True)
    spent = document.get(*rule, "spent") or document.get("spent")
    if rule[0] == "earning" and spent in {"pending", "write-off"}:
        problem = f"does not go with spent: {spent}, where one funder stays charged for what a holder keeps"
        yield document.error(at, problem, "remove it, or write spent: negative", at_key=True)


def check_one_payer(document: LocatedDocument, item: Path, rule: Path) -> Errors:
    """Refuse a limit in money on a rule that several pay for: it counts the price of one."""
    if document.get(*rule, "split") is not None:
        problem = f"{shown(document.get(*item))} is paid for by several, each at a price of its own"
        yield document.error(item, problem, "write miles instead of amount and currency, or remove its split")


def funders_of(document: LocatedDocument, rule: Path) -> list[str]:
    """Return who pays for a rule, as the document names them: its funder, and those of its split."""
    split = document.get(*rule, "split")
    named = [document.get(*rule, "funder"), *(split if isinstance(split, dict) else ())]
    return [name for name in dict.fromkeys(named) if isinstance(name, str)]


def payers_of(document: LocatedDocument, rule: Path) -> list[Path]:
    """Return the banks or retailers that pay for what a rule gives, none where the owner does."""
    found: list[Path] = []
    for funder in funders_of(document, rule):
        found += banks_of(document, rule) if funder == "bank" else []
        found += _retailers_of(document, rule) if funder == "partner" else []
    return found


def _retailers_of(document: LocatedDocument, rule: Path) -> list[Path]:
    """Return the retailers of the partners that a rule names."""
    chosen = document.get(*rule, "partners")
    if not isinstance(chosen, list):
        return []
    partners = [path for path in document.entries("partners") if document.get(*path, "id") in chosen]
    retailers = {document.get(*path, "retailer") for path in partners}
    return [path for path in document.entries("retailers") if document.get(*path, "id") in retailers]
