"""Which amount a rule measures where the programme document states none: what was paid where a partner funds it.

A partner pays for what it sold, in its own currency; everybody else's rules measure what the card is billed.
"""

from collections.abc import Mapping
from typing import Any

from processor.core.located_document import LocatedDocument, Path
from processor.core.rule import AmountBase, Funder


def base_of(entry: Mapping[str, Any], multiplied: Mapping[str, Mapping[str, Any]]) -> AmountBase:
    """Return the amount that a rule measures; ``multiplied`` are the rules that multipliers name, by identifier.

    A multiplier measures what the rules do that it multiplies; where they differ, its funder decides.
    """
    if "base" in entry:
        return AmountBase(entry["base"])
    names = entry.get("multiply", {}).get("rules", ())
    bases = {base_of(multiplied[name], {}) for name in names}
    return bases.pop() if len(bases) == 1 else _by_funder(entry.get("funder"))


def measures_billing(document: LocatedDocument, rule: Path) -> bool:
    """Tell whether a rule of a document that may have errors, and that multiplies nothing, measures what is billed."""
    stated = document.get(*rule, "base") or _by_funder(document.get(*rule, "funder"))
    return bool(stated == AmountBase.BILLING)


def _by_funder(funder: str | None) -> AmountBase:
    return AmountBase.TRANSACTION if funder == Funder.PARTNER else AmountBase.BILLING
