"""When a rule applies: what a programme says about where, when and how a purchase must have been made.

It decides from the purchase's anchor alone, so that a rule applies to a whole purchase or to none of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum


class Channel(StrEnum):
    """How the card was used, as far as its message says."""

    CARD_PRESENT = "card-present"
    CONTACTLESS = "contactless"
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
    CHANNELS = "channels"
    CURRENCIES = "currencies"
    DATES = "dates"
    WEEKDAYS = "weekdays"
    HOURS = "hours"
    AMOUNT = "amount"


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """Where, when and how a purchase was made, and what ``sector`` the brand is of that it matched.

    ``local_date`` and ``local_time`` (HHMM) are the card acceptor's.
    ``local_time`` and ``channel`` are empty where the message does not say; ``partner`` is None where no brand matched.
    ``currency`` is that of the transaction amount.
    """

    partner: str | None
    sector: str
    product: str
    mcc: str
    acquirer: str
    acceptor: str
    channel: str
    currency: str
    local_date: date
    local_time: str

    @property
    def kind(self) -> tuple[object, ...]:
        """What a purchase shares with many others: all that conditions look at, save card acceptor and hour."""
        return (self.partner, self.product, self.mcc, self.channel, self.currency, self.local_date)


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
    ``dates`` is the first and the last day, ``weekdays`` are ISO numbers (1 is Monday).
    ``hours`` are the first minute (HHMM) and the first one behind; the latter is smaller where midnight lies between.
    ``amounts`` is by currency; an amount in a currency that it does not name does not count.
    """

    partners: frozenset[str] = frozenset()
    products: frozenset[str] = frozenset()
    mccs: frozenset[str] = frozenset()
    sectors: frozenset[str] = frozenset()
    merchants: frozenset[tuple[str, str]] = frozenset()
    channels: frozenset[str] = frozenset()
    currencies: frozenset[str] = frozenset()
    dates: tuple[date, date] | None = None
    weekdays: frozenset[int] = frozenset()
    hours: tuple[str, str] | None = None
    amounts: Mapping[str, AmountRange] = field(default_factory=dict)

    def unmet_by_kind(self, at: Circumstances) -> Unmet | None:
        """Return the first condition that no purchase of this kind (``Circumstances.kind``) can meet."""
        if self.partners and at.partner not in self.partners:
            return Unmet.PARTNERS
        if self.products and at.product not in self.products:
            return Unmet.PRODUCTS
        if self.mccs and at.mcc not in self.mccs:
            return Unmet.MCCS
        if self.sectors and at.sector not in self.sectors:
            return Unmet.SECTORS
        if self.channels and at.channel not in self.channels:
            return Unmet.CHANNELS
        if self.currencies and at.currency not in self.currencies:
            return Unmet.CURRENCIES
        if self.dates and not self.dates[0] <= at.local_date <= self.dates[1]:
            return Unmet.DATES
        if self.weekdays and at.local_date.isoweekday() not in self.weekdays:
            return Unmet.WEEKDAYS
        return None

    def unmet_by_place(self, at: Circumstances) -> Unmet | None:
        """Return the first condition on the card acceptor and the hour that a purchase does not meet."""
        if self.merchants and (at.acquirer, at.acceptor) not in self.merchants:
            return Unmet.MERCHANTS
        if self.hours and not (at.local_time and _within(self.hours, at.local_time)):
            return Unmet.HOURS
        return None

    def unmet(self, at: Circumstances) -> Unmet | None:
        """Return the first condition that a purchase does not meet, its amount aside."""
        return self.unmet_by_kind(at) or self.unmet_by_place(at)

    @property
    def by_place(self) -> bool:
        """Whether the card acceptor or the hour matters."""
        return bool(self.merchants or self.hours)


def _within(hours: tuple[str, str], local_time: str) -> bool:
    first, behind = hours
    return first <= local_time < behind if first < behind else local_time >= first or local_time < behind
