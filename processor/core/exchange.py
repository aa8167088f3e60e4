"""Exchange rates: what an amount is in another currency, by a stated source, on a day, exactly.

Between the amounts of a purchase and the terms of a rule that names another currency than they are in.
The rate is that of the purchase's local date, or the last one before it that the source lets stand; nothing is rounded
here.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple

from processor.core.conditions import AmountRange
from processor.core.money import exponent
from processor.core.rule import Convert, Ratio, Rule


class Quotation(StrEnum):
    """What the figures of a source say: so much of a currency for one of its base, or so much of the base for one."""

    INDIRECT = "indirect"
    DIRECT = "direct"


class Quote(NamedTuple):
    """One figure of a source: ``rate`` as it was published, for ``currency``, from the day ``on``."""

    on: date
    currency: str
    rate: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class RateSource:
    """Whose rates count: ``quotes`` of each currency against ``base``, the earliest first.

    A figure stands from its day on until the next one, at most for ``days`` days more.
    """

    id: str
    name: str
    base: str
    quotation: Quotation
    days: int
    quotes: Mapping[str, tuple[Quote, ...]]

    def quote(self, currency: str, on: date) -> Quote | None:
        """Return the figure of a currency that stands on a day, None where none does."""
        known = self.quotes.get(currency, ())
        place = bisect_right(known, on, key=lambda quote: quote.on)
        if not place or (on - known[place - 1].on).days > self.days:
            return None
        return known[place - 1]

    def knows(self, currency: str) -> bool:
        """Tell whether the source has any figure of a currency; its base needs none."""
        return currency == self.base or currency in self.quotes


class Conversion(NamedTuple):
    """What an amount in ``currency`` is in ``to``, by ``source``: ``ratio`` minor units for each of its own.

    ``quotes`` are the figures behind it: one, or two where neither currency is the base of the source.
    """

    source: RateSource
    currency: str
    to: str
    quotes: tuple[Quote, ...]
    ratio: Ratio

    def rate_of(self, rule: Rule, stated: Ratio | None) -> Ratio | None:
        """Return what a rule counts of a minor unit: as it states for the currency itself, else by its worth in ``to``.

        None for a rule that counts nothing of an amount.
        """
        own = rule.rate(self.to)
        if rule.tally is not None:
            scale = rule.tally.scale.get(self.to)
            own = None if scale is None else Ratio(numerator=scale, denominator=1)
        if stated is not None or own is None:
            return stated
        return Ratio(
            numerator=own.numerator * self.ratio.numerator, denominator=own.denominator * self.ratio.denominator
        )

    def range_of(self, rule: Rule, stated: AmountRange | None) -> AmountRange | None:
        """Return which amounts a rule wants: as it states for the currency itself, else those worth as much in ``to``.

        None where it wants none of them in particular.
        """
        wanted = rule.when.amounts.get(self.to)
        if stated is not None or wanted is None:
            return stated
        numerator, denominator = self.ratio.numerator, self.ratio.denominator
        most = None if wanted.highest is None else wanted.highest * denominator // numerator
        return AmountRange(lowest=-(-wanted.lowest * denominator // numerator), highest=most)


class Exchange(NamedTuple):
    """The sources of a programme, as they stand on the local date of a purchase."""

    sources: Mapping[str, RateSource]
    on: date

    def converted_by(self, rule: Rule, currency: str) -> Conversion | None:
        """Return how a rule converts amounts in a currency; None where it does not, or no rate stands."""
        if rule.convert is None or rule.names(currency):
            return None
        return self.conversion(rule.convert, currency)

    def conversion(self, terms: Convert, currency: str) -> Conversion | None:
        """Return how an amount in a currency is converted, None where no rate stands."""
        source = self.sources[terms.by]
        legs = [code for code in (currency, terms.to) if code != source.base]
        quotes = [quote for code in legs if (quote := source.quote(code, self.on)) is not None]
        if len(quotes) < len(legs):
            return None
        worth = _in_base(source, currency, quotes) / _in_base(source, terms.to, quotes)
        minor = worth * Fraction(10) ** (exponent(terms.to) - exponent(currency))
        ratio = Ratio(numerator=minor.numerator, denominator=minor.denominator)
        return Conversion(source=source, currency=currency, to=terms.to, quotes=tuple(quotes), ratio=ratio)


def _in_base(source: RateSource, currency: str, quotes: list[Quote]) -> Fraction:
    """Return what one of a currency is in the source's base."""
    rate = next((Fraction(quote.rate) for quote in quotes if quote.currency == currency), Fraction(1))
    return rate if source.quotation is Quotation.DIRECT else 1 / rate
