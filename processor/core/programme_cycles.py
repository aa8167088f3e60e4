"""What must hold of cycles: rules that give once for every so many purchases, or for every so much spent.

What completes a cycle is any purchase that counts in it, and what undoes it may be another one: whoever pays, and in
which currency, must be the same for all of them where money is given.
"""

from collections.abc import Iterator
from decimal import Decimal

from processor.core.located_document import DocumentError, LocatedDocument, Path, shown
from processor.core.programme_base import measures_billing

Errors = Iterator[DocumentError]


def check_cycles(document: LocatedDocument) -> Errors:
    """Yield what is wrong with ``every`` of earning, discount and reward rules, their currencies' names aside."""
    for section in ("earning", "discounts", "rewards"):
        for rule in document.entries(section):
            if document.get(*rule, "every") is None or (*rule, "every") in document.broken:
                continue
            yield from _check_billed(document, rule)
            if section != "earning":
                yield from _check_funder(document, rule)
            if section == "discounts":
                yield from _check_discount(document, rule)


def _check_billed(document: LocatedDocument, rule: Path) -> Errors:
    """Demand that what is spent counts in the currency of every bank whose cards the rule covers."""
    amounts = document.get(*rule, "every", "amount")
    converts = document.get(*rule, "convert") is not None
    if converts or not isinstance(amounts, dict) or not measures_billing(document, rule):
        return
    for bank, currency in _billed(document, rule):
        if currency not in amounts:
            problem = f"has no amount for {currency}, in which cards of {bank!r} are billed"
            expected = f"write an amount for {currency}, or take those cards out of products"
            yield document.error((*rule, "every", "amount"), problem, expected)


def _billed(document: LocatedDocument, rule: Path) -> list[tuple[str, str]]:
    """Return the banks whose cards a rule covers, each with the currency in which it bills."""
    chosen = document.get(*rule, "products")
    wanted = {
        document.get(*product, "bank")
        for product in document.entries("card_products")
        if chosen == "all" or (isinstance(chosen, list) and document.get(*product, "id") in chosen)
    }
    banks = [(document.get(*bank, "id"), document.get(*bank, "currency")) for bank in document.entries("banks")]
    return [(bank, currency) for bank, currency in banks if bank in wanted and currency is not None]


def _check_funder(document: LocatedDocument, rule: Path) -> Errors:
    """Refuse a cycle that several retailers would pay: one would pay for it, and another have it back."""
    chosen = document.get(*rule, "partners")
    if document.get(*rule, "funder") != "partner" or not isinstance(chosen, list):
        return
    partners = [path for path in document.entries("partners") if document.get(*path, "id") in chosen]
    retailers = sorted({document.get(*path, "retailer") for path in partners} - {None})
    if len(retailers) > 1:
        problem = f"is the partner, and {' and '.join(retailers)} would pay for cycles of purchases made at each other"
        yield document.error((*rule, "funder"), problem, "name partners of one retailer, or write bank or owner")


def _check_discount(document: LocatedDocument, rule: Path) -> Errors:
    """Demand one sum, in the currency in which the bank credits it, that no till and no group has to know at once."""
    if document.get(*rule, "mode") == "at-the-till":
        problem = "is at-the-till, and what purchases come to together is known only once they clear"
        yield document.error((*rule, "mode"), problem, "write mode: billed-less, or take every out")
    if document.get(*rule, "exclusive") is not None:
        problem = "is a group of which one rule counts for each purchase, and every looks at a period"
        yield document.error((*rule, "exclusive"), problem, "take the rule out of the group, or leave every out")
    given = document.get(*rule, "amounts")
    if not isinstance(given, dict):
        return
    if len(given) > 1:
        problem = f"gives in {len(given)} currencies, and purchases of all of them count together"
        yield document.error((*rule, "amounts"), problem, "leave one currency, or write a rule for each")
        return
    ((currency, amount),) = given.items()
    for bank, billed in _billed(document, rule):
        if billed != currency:
            problem = f"is {currency}, and {bank!r} credits its holders in {billed}, in which it bills them"
            expected = f"write an amount of {billed}, or take those cards out of products"
            yield document.error((*rule, "amounts", currency), problem, expected, at_key=True)
    spent = document.get(*rule, "every", "amount", currency)
    if spent is None or amount is None:
        return
    if (*rule, "amounts", currency) not in document.broken and Decimal(amount) > Decimal(spent):
        problem = f"{shown(amount)} is more than the {shown(spent)} that must be spent for it"
        yield document.error((*rule, "amounts", currency), problem, f"write {shown(spent, quoted=False)} or less")
