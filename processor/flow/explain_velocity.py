"""An explanation's sentences about awards that were held for review, and about those that operations refused."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from processor.core.programme import Programme
from processor.core.velocity import Velocity


def review_sentences(programme: Programme, detail: Mapping[str, Any]) -> Iterator[str]:
    """Yield which velocity limit held what, and what operations said; nothing where nothing was ever held."""
    released = detail.get("released", ())
    available = {(rule, unit): posted for rule, unit, _, _, posted, *_ in detail.get("considered", ())}
    for rule, unit, name in detail.get("held", ()):
        limit = next((known for known in programme.velocity if known.id == name), None)
        terms = "" if limit is None else f", {_terms(programme, limit)},"
        if rule in released or available.get((rule, unit)):
            yield f"Velocity limit {name}{terms} held what rule {rule} gives, and operations released it."
        else:
            yield f"Velocity limit {name}{terms} holds what rule {rule} gives until operations release or refuse it."
    for rule in detail.get("refused", ()):
        yield f"Operations refused what rule {rule} gives for this purchase."


def _terms(programme: Programme, limit: Velocity) -> str:
    window = f"{limit.hours} hours" if limit.hours is not None else f"{limit.days} days"
    if limit.units is None:
        return f"{limit.awards} awards in {window}"
    return f"{Decimal(limit.units).scaleb(-programme.decimals):,f} {programme.unit} in {window}"
