"""The example programme and the shipped dialects, as the traffic needs them.

It reads what the processor reads, so that the traffic's cards, merchants and links are the programme's.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

import schemas
from processor.core.programme import Enrolment, FinancialMeaning, Link, LinkMode, Programme
from processor.core.programme_document import parse_programme
from processor.wire.dialect import Dialect, parse_dialect

FOLDER: Final = Path(__file__).parent.parent / "skyways"
CLEARING_DIALECT: Final = "ipm93-ebcdic"


@cache
def programme() -> Programme:
    """Return the example programme, compiled; raises ``ValueError`` with every error of a document that is wrong."""
    merchants = {"merchants.csv": (FOLDER / "merchants.csv").read_text(encoding="utf-8")}
    document = (FOLDER / "programme.yaml").read_text(encoding="utf-8")
    compiled = parse_programme(document, merchants=merchants, source="programme.yaml", revision=1)
    if not isinstance(compiled, Programme):
        raise ValueError("\n".join(str(error) for error in compiled))  # noqa: TRY004 - The document is wrong, no type.
    return compiled


@cache
def dialects() -> Mapping[str, Dialect]:
    """Return every shipped dialect by its name."""
    texts = schemas.iso8583_dialects()
    return {name: parse_dialect(name, text, texts) for name, text in texts.items()}


@cache
def links() -> Mapping[str, Link]:
    """Return each bank's link, in the document's order."""
    return {link.bank: link for link in programme().links}


@cache
def product_of(bank: str, enrolment: Enrolment) -> str:
    """Return a bank's first card product that enrols this way."""
    products = programme().products.values()
    return next(product.id for product in products if (product.bank, product.enrolment) == (bank, enrolment))


def currency_of(bank: str) -> str:
    """Return the currency that a bank's cards are billed in."""
    return programme().parties[bank].currency


def asks_first(bank: str) -> bool:
    """Tell whether a bank's host asks before it decides."""
    return links()[bank].mode is LinkMode.INLINE


def posts_at_once(bank: str) -> bool:
    """Tell whether a bank's approved single messages are final."""
    return links()[bank].financial is FinancialMeaning.FINAL
