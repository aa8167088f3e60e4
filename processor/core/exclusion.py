"""What earns nothing unless a programme includes it: the categories of payments that are no purchase of goods.

A category is the merchant category codes and the transaction types that tell it; one code belongs to one category.
It decides what a programme document excludes in all; the decision then only asks whether a code is in a set.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

from processor.core.located_document import DocumentError, LocatedDocument, shown
from processor.core.programme import Programme
from processor.core.programme_conditions import codes_of


class Category(StrEnum):
    """What earns nothing by default, by its name in a programme document."""

    FEES = "fees"
    CASH = "cash"
    QUASI_CASH = "quasi-cash"
    TRANSFERS = "transfers"
    WALLET_LOADS = "wallet-loads"
    GIFT_CARDS = "gift-cards"
    GAMBLING = "gambling"


class Codes(NamedTuple):
    """By what a category is told: merchant category codes (DE18), and the first two digits of DE3."""

    mccs: frozenset[str] = frozenset()
    processing_codes: frozenset[str] = frozenset()


CODES: Final[Mapping[Category, Codes]] = {
    Category.FEES: Codes(processing_codes=frozenset({"19", "29"})),
    Category.CASH: Codes(mccs=frozenset({"6010", "6011"}), processing_codes=frozenset({"01", "17"})),
    Category.QUASI_CASH: Codes(
        mccs=frozenset({"6050", "6051", "6535"}), processing_codes=frozenset({"06", "11", "18"})
    ),
    Category.TRANSFERS: Codes(
        mccs=frozenset({"4829", "6532", "6533", "6534", "6536", "6537", "6538"}),
        processing_codes=frozenset({"10", "26", *map(str, range(40, 50))}),
    ),
    Category.WALLET_LOADS: Codes(mccs=frozenset({"6529", "6530", "6540"}), processing_codes=frozenset({"28"})),
    Category.GIFT_CARDS: Codes(processing_codes=frozenset({"72"})),
    Category.GAMBLING: Codes(mccs=frozenset({"7800", "7801", "7802", "7995", "9406", "9754"})),
}
"""The codes of each category, as ``docs/criteria.md`` lists them.

Each merchant category code was looked up in the public lists that the ``iso18245`` package on PyPI (1.4.1) gathers:
ISO 18245, the USDA's, and those that Stripe, Visa and Mastercard publish.
They name 4829, 6010, 6011, 6050, 6051, 6532, 6533, 6536, 6537, 6538, 6540, 7800, 7801, 7802, 7995 and 9406.
6529 and 6530 (remote stored value load), 6534 (money transfer), 6535 (value purchase) and 9754 (horse and dog racing,
state lotteries) are of older lists of Mastercard's, which card issuers and processors still publish.
No code tells gift cards from other goods, and none tells fees: 5947 is a shop for gifts and cards.
The transaction types 01, 06, 10, 11 and 40 to 49 are of ISO 8583:1987 and :1993 (withdrawals, travellers' cheques,
instruments that are no cash, quasi-cash, account transfers); 17, 18, 19, 26, 28, 29 and 72 are the networks' own
(cash disbursement, scrip, fees, original credits, loads, activations).
"""


def excluded_codes(document: Mapping[str, Any]) -> Codes:
    """Return what a programme document without errors excludes: its own codes and those of what it does not include."""
    own, included = document.get("excluded", {}), document.get("included", ())
    standing = [codes for category, codes in CODES.items() if category not in included]
    return Codes(
        mccs=frozenset(own.get("mccs", ())).union(*(codes.mccs for codes in standing)),
        processing_codes=frozenset(own.get("processing_codes", ())).union(
            *(codes.processing_codes for codes in standing)
        ),
    )


def category_of(*, mcc: str, processing_code: str) -> Category | None:
    """Return the category that a merchant category code or a processing code belongs to, None where neither does."""
    for category, codes in CODES.items():
        if mcc in codes.mccs or processing_code[:2] in codes.processing_codes:
            return category
    return None


def excluding_category(programme: Programme, *, mcc: str, processing_code: str) -> Category | None:
    """Return the category by which a programme excludes a payment, None where only codes of its own do."""
    by_mcc = category_of(mcc=mcc if mcc in programme.excluded_mccs else "", processing_code="")
    if by_mcc is not None:
        return by_mcc
    stands = processing_code[:2] in programme.excluded_processing_codes
    return category_of(mcc="", processing_code=processing_code if stands else "")


def check_exclusions(document: LocatedDocument) -> Iterator[DocumentError]:
    """Yield what a programme both includes and excludes, and rules that are only for what it excludes."""
    included = {document.get(*item) for item in document.entries("included")}
    for section, kind in (("mccs", "mcc"), ("processing_codes", "processing_code")):
        for item in document.entries("excluded", section):
            code = document.get(*item)
            category = code and category_of(**{"mcc": "", "processing_code": "", kind: code})
            if category in included:
                problem = f"{shown(code)} is of {category}, which included names"
                yield document.error(item, problem, "remove it here, or take the category out of included")
    yield from _check_reach(document, {str(category) for category in included})


def _check_reach(document: LocatedDocument, included: Collection[str]) -> Iterator[DocumentError]:
    shut = {code: category for category, codes in CODES.items() if category not in included for code in codes.mccs}
    for rule in (*document.entries("earning"), *document.entries("discounts")):
        for item in document.entries(*rule, "when", "mccs"):
            written = document.get(*item)
            named = _categories(codes_of(written), shut) if written is not None else None
            if named:
                problem = f"{shown(written)} is of {', '.join(named)}, which earns nothing"
                yield document.error(item, problem, f"remove it, or write included: [{', '.join(named)}]")


def _categories(codes: Iterable[str], shut: Mapping[str, Category]) -> list[Category] | None:
    """Return the categories that all of some codes belong to, None where one code belongs to none."""
    found = [shut.get(code) for code in codes]
    return None if None in found else sorted({category for category in found if category is not None})
