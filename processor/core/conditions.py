"""When a rule applies: what a programme says about where, when and how a purchase must have been made.

It decides from the purchase's anchor, so that a rule applies to a whole purchase or to none of it; a range of amounts
holds for all that the purchase comes to in one currency.
"""

from bisect import bisect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from zoneinfo import ZoneInfo

from processor.core.circumstances import Circumstances
from processor.core.expression import PRODUCT_CODES, Expression
from processor.core.person import Person, PersonUnmet


class Channel(StrEnum):
    """How the card was used, as far as its message says."""

    CARD_PRESENT = "card-present"
    CONTACTLESS = "contactless"
    WALLET = "wallet"
    PAY_AT_PUMP = "pay-at-pump"
    E_COMMERCE = "e-commerce"
    MAIL_PHONE = "mail-phone"
    RECURRING = "recurring"


class Unmet(StrEnum):
    """The condition that a purchase does not meet, by its key in the programme document."""

    PARTNERS = "partners"
    PRODUCTS = "products"
    MCCS = "mccs"
    SECTORS = "sectors"
    MERCHANTS = "merchants"
    COUNTRIES = "countries"
    PRODUCT_CODES = "product_codes"
    CHANNELS = "channels"
    CURRENCIES = "currencies"
    DATES = "dates"
    WEEKDAYS = "weekdays"
    HOURS = "hours"
    AMOUNT = "amount"
    EXPRESSION = "expression"
    EXPRESSION_FAILS = "expression fails"


@dataclass(frozen=True, slots=True, kw_only=True)
class AmountRange:
    """From how much to how much a purchase may amount to, both included, in minor units; None is without limit."""

    lowest: int
    highest: int | None

    def holds(self, amount_minor: int) -> bool:
        """Tell whether an amount lies within; one that was paid back counts as what it was."""
        return self.lowest <= abs(amount_minor) and (self.highest is None or abs(amount_minor) <= self.highest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What must hold for a rule to apply; an empty one demands nothing.

    ``partners`` and ``products`` are identifiers, ``mccs`` codes, ``merchants`` pairs of acquirer and card acceptor.
    ``product_codes`` are those of which one at least must be among what was bought.
    ``dates`` is the first and the last day, ``weekdays`` are ISO numbers (1 is Monday).
    ``hours`` are the first minute (HHMM) and the first one behind; the latter is smaller where midnight lies between.
    ``zone`` is where dates, weekdays and hours are told, None for the card acceptor's own place.
    ``amounts`` is by currency; an amount in a currency that it does not name does not count.
    ``person`` is who the rule is for, None where it is for everybody.
    ``expression`` is asked last, of each purchase that meets all else; None where there is none.
    """

    partners: frozenset[str] = frozenset()
    products: frozenset[str] = frozenset()
    mccs: frozenset[str] = frozenset()
    sectors: frozenset[str] = frozenset()
    merchants: frozenset[tuple[str, str]] = frozenset()
    countries: frozenset[str] = frozenset()
    channels: frozenset[str] = frozenset()
    currencies: frozenset[str] = frozenset()
    dates: tuple[date, date] | None = None
    weekdays: frozenset[int] = frozenset()
    hours: tuple[str, str] | None = None
    zone: ZoneInfo | None = None
    amounts: Mapping[str, AmountRange] = field(default_factory=dict)
    person: Person | None = None
    expression: Expression | None = None
    product_codes: frozenset[str] = frozenset()

    @property
    def reads_products(self) -> bool:
        """Tell whether what was bought is looked at."""
        return bool(self.product_codes) or (self.expression is not None and PRODUCT_CODES in self.expression.variables)

    def unmet(self, at: Circumstances) -> Unmet | PersonUnmet | None:
        """Return the first condition that a purchase does not meet, its amount and the expression aside.

        Those on the member come last.
        """
        unmet = self._unmet_by_place(at) or self._unmet_by_manner(at)
        if unmet is None and self.person is not None:
            return self.person.unmet(at.member, at.local_date)
        return unmet

    def _unmet_by_place(self, at: Circumstances) -> Unmet | None:
        if self.partners and at.partner not in self.partners:
            return Unmet.PARTNERS
        if self.products and at.product not in self.products:
            return Unmet.PRODUCTS
        if self.mccs and at.mcc not in self.mccs:
            return Unmet.MCCS
        if self.sectors and at.sector not in self.sectors:
            return Unmet.SECTORS
        if self.merchants and (at.acquirer, at.acceptor) not in self.merchants:
            return Unmet.MERCHANTS
        if self.countries and at.country not in self.countries:
            return Unmet.COUNTRIES
        if self.product_codes and self.product_codes.isdisjoint(at.product_codes):
            return Unmet.PRODUCT_CODES
        return None

    def _unmet_by_manner(self, at: Circumstances) -> Unmet | None:
        if self.channels and at.channel not in self.channels:
            return Unmet.CHANNELS
        if self.currencies and at.currency not in self.currencies:
            return Unmet.CURRENCIES
        return self._unmet_by_time(at) if self.dates or self.weekdays or self.hours else None

    def _unmet_by_time(self, at: Circumstances) -> Unmet | None:
        day, time = at.clock_in(self.zone)
        if self.dates and not self.dates[0] <= day <= self.dates[1]:
            return Unmet.DATES
        if self.weekdays and day.isoweekday() not in self.weekdays:
            return Unmet.WEEKDAYS
        if self.hours and not (time and _within(self.hours, time)):
            return Unmet.HOURS
        return None


def _within(hours: tuple[str, str], local_time: str) -> bool:
    first, behind = hours
    return first <= local_time < behind if first < behind else local_time >= first or local_time < behind


class Kinds:
    """Which purchases are alike to some conditions, so that what holds for one of a kind holds for all of it.

    Card acceptors that no condition names are alike, and so are all minutes between two that conditions name.
    Members are alike who have the same tier and segments, where conditions name them; what differs from one to the next
    is no part of a kind.
    Where conditions name product codes, those that they name of what was bought are part of it.
    Where conditions name countries or zones, the country and what the clocks there say are part of it.
    """

    __slots__ = ("_by_country", "_edges", "_edges_of_zones", "_merchants", "_persons", "_products", "_segments")

    def __init__(self, conditions: Iterable[Conditions]) -> None:
        stated = tuple(conditions)
        self._merchants = frozenset(merchant for when in stated for merchant in when.merchants)
        self._edges = _edges_in(stated, None)
        zones = {when.zone for when in stated if when.zone is not None}
        self._edges_of_zones = [(zone, _edges_in(stated, zone)) for zone in sorted(zones, key=str)]
        self._by_country = any(when.countries for when in stated)
        self._persons = any(when.person is not None for when in stated)
        self._segments = frozenset(segment for when in stated if when.person for segment in when.person.segments)
        self._products = frozenset(code for when in stated for code in when.product_codes)

    def of(self, at: Circumstances) -> tuple[object, ...]:
        """Return what tells a purchase's kind from every other."""
        partner, _, product, mcc, acquirer, acceptor, channel, currency, local_date, local_time, member = at[:11]
        merchant = (acquirer, acceptor)
        kind: tuple[object, ...] = (
            partner,
            product,
            mcc,
            merchant if merchant in self._merchants else None,
            channel,
            currency,
            local_date,
            bisect(self._edges, local_time) if local_time else -1,
        )
        if self._by_country or self._edges_of_zones:
            kind = (*kind, at.country, *[_minutes(at, zone, edges) for zone, edges in self._edges_of_zones])
        if self._products:
            kind = (*kind, self._products.intersection(at.product_codes))
        return (*kind, member.tier, member.segments & self._segments) if self._persons else kind


def _edges_in(stated: Iterable[Conditions], zone: ZoneInfo | None) -> list[str]:
    """Return the minutes that conditions name in one zone, in their order."""
    return sorted({minute for when in stated if when.hours and when.zone == zone for minute in when.hours})


def _minutes(at: Circumstances, zone: ZoneInfo, edges: list[str]) -> tuple[date, int]:
    """Return the day in a zone, and between which minutes that conditions name the time there is."""
    day, time = at.clock_in(zone)
    return day, bisect(edges, time) if time else -1
