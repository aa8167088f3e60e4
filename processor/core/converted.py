"""Which amounts of a purchase its rules converted, and by which rates: for explanations and simulations."""

from collections.abc import Iterable, Iterator
from datetime import date
from fractions import Fraction
from typing import NamedTuple

from processor.core.exchange import Conversion, Exchange, Quotation
from processor.core.money import Rounding, divide
from processor.core.programme import Programme
from processor.core.purchase import Folded


class Converted(NamedTuple):
    """An amount in minor units that a rule converted, with the rates behind it."""

    rule: str
    amount_minor: int
    conversion: Conversion

    @property
    def worth_minor(self) -> int:
        """Return what it is worth in minor units, half to even; the rule itself counts the exact worth."""
        ratio = self.conversion.ratio
        return divide(self.amount_minor * ratio.numerator, ratio.denominator, Rounding.HALF_EVEN)

    @property
    def is_exact(self) -> bool:
        """Tell whether it is worth a whole number of minor units."""
        ratio = self.conversion.ratio
        return Fraction(self.amount_minor * ratio.numerator, ratio.denominator).denominator == 1

    def figures(self) -> str:
        """Return the figures as they were published, such as ``1 EUR = 1.0835 USD of 2026-11-10``."""
        base, direct = self.conversion.source.base, self.conversion.source.quotation is Quotation.DIRECT
        return ", ".join(
            f"1 {quote.currency} = {quote.rate:f} {base} of {quote.on}"
            if direct
            else f"1 {base} = {quote.rate:f} {quote.currency} of {quote.on}"
            for quote in self.conversion.quotes
        )


def conversions_of(programme: Programme, folded: Folded, on: date, rules: Iterable[str]) -> Iterator[Converted]:
    """Yield what some rules converted of a purchase of a local date."""
    exchange = Exchange(programme.rate_sources, on)
    for rule in [programme.rule(rule_id) for rule_id in rules if programme.has(rule_id)]:
        for entry in folded.amounts(rule.base) if rule.convert is not None else ():
            conversion = exchange.converted_by(rule, entry.currency)
            if conversion is not None:
                yield Converted(rule.id, entry.open_minor + entry.cleared_minor, conversion)
