"""A programme as the decision reads it: one immutable, compiled revision of the programme document.

``core/programme_document.py`` builds it from YAML; nothing here reads files.
Every ratio is a pair of integers, so that a decision never divides decimals.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time
from enum import StrEnum
from zoneinfo import ZoneInfo

from processor.core.money import Rounding


class PartyRole(StrEnum):
    """What a party of the programme is to the others."""

    OWNER = "owner"
    BANK = "bank"
    RETAILER = "retailer"


class LinkMode(StrEnum):
    """Whether a host tells what it decided, or asks before it decides."""

    COPY = "copy"
    INLINE = "inline"


class FinancialMeaning(StrEnum):
    """Whether an approved 0200/0220 on a link is the final posting, or still awaits its clearing record."""

    FINAL = "final"
    AWAITS_CLEARING = "awaits-clearing"


class Enrolment(StrEnum):
    """Whether an unknown card of a product enrols with its first message, or waits for the bank's card file."""

    AUTOMATIC = "automatic"
    CARD_FILE = "card-file"


class Benefit(StrEnum):
    """What a rule gives."""

    MILES = "miles"
    DISCOUNT = "discount"


class AmountBase(StrEnum):
    """Which amount of a purchase a rule measures."""

    BILLING = "billing"
    TRANSACTION = "transaction"


class CapPeriod(StrEnum):
    """Over which purchases a cap adds up: one purchase, or those of one local calendar period."""

    PURCHASE = "purchase"
    DAY = "day"
    MONTH = "month"
    YEAR = "year"


class Funder(StrEnum):
    """Who pays for what a rule gives: the card's bank, the matched partner's retailer, or the programme owner."""

    BANK = "bank"
    PARTNER = "partner"
    OWNER = "owner"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """A rational factor: ``numerator`` over ``denominator``, the denominator positive."""

    numerator: int
    denominator: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MilePrice:
    """What a funder pays the owner for one mile in the smallest unit: ``ratio`` minor units of ``currency``.

    The product of miles and price is rounded by ``rounding`` over a purchase's total; the funder keeps the remainder.
    """

    ratio: Ratio
    currency: str
    rounding: Rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """A party that settles: its identifier, what it is, and what it pays for a mile (None for the owner)."""

    id: str
    name: str
    role: PartyRole
    currency: str
    mile_price: MilePrice | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """The terms of one bank's link, which its bank and dialect name.

    ``answers`` says whether the host wants ISO 8583 bytes back; ``quote_seconds`` is how long a quote's reservation
    of capped headroom lives on an inline link.
    """

    bank: str
    dialect: str
    mode: LinkMode
    financial: FinancialMeaning
    answers: bool
    quote_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BankCalendar:
    """When a bank's business day ends: ``cut_off`` local time in ``time_zone``, skipping weekends and holidays.

    ``holidays`` is an ISO 3166 country code that the ``holidays`` library knows, or None for weekends alone;
    ``weekend`` lists ISO weekday numbers (6 and 7 are Saturday and Sunday).
    """

    cut_off: time
    time_zone: ZoneInfo
    holidays: str | None
    weekend: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class CardProduct:
    """A card product of one bank: the card ranges (leading digits) that belong to it and how its cards enrol."""

    id: str
    bank: str
    name: str
    card_ranges: tuple[str, ...]
    enrolment: Enrolment


@dataclass(frozen=True, slots=True, kw_only=True)
class Partner:
    """A brand of the programme: what a purchase matches; ``retailer`` is the party that pays for it."""

    id: str
    name: str
    sector: str
    retailer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Merchant:
    """One line of the merchant list: an acquirer's card acceptor, narrowed by terminal or MCC where stated."""

    acquirer: str
    acceptor: str
    terminal: str | None
    mcc: str | None
    partner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One earning or discount rule.

    ``rates`` maps a currency to units per minor unit of that currency; a discount has one ratio for every currency
    under the key ``"*"``.
    An empty ``partners`` means every purchase, also those that match no partner; an empty ``products`` means every one.
    """

    id: str
    benefit: Benefit
    base: AmountBase
    rates: Mapping[str, Ratio]
    rounding: Rounding
    funder: Funder
    partners: frozenset[str]
    products: frozenset[str]

    def rate(self, currency: str) -> Ratio | None:
        """Return the rule's rate for a currency, or None where the rule does not rate it."""
        return self.rates.get(currency) or self.rates.get("*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """How much the rules it names may grant one account in one period, in units of their benefit.

    Miles caps count miles; discount caps count minor units of ``currency``.
    """

    id: str
    rules: frozenset[str]
    period: CapPeriod
    limit: int
    currency: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Programme:
    """One revision of a programme, in force from ``effective_from`` until the next revision is.

    ``excluded_mccs`` and ``excluded_processing_codes`` (two digits) earn nothing: cash, quasi-cash, fees.
    ``authorization_days`` is how long an authorization is awaited that does not clear, ``link_days`` how far apart two
    messages may lie that only amount and acceptor tie; ``refund_days`` how far back a refund without a reference counts
    against purchases at its brand, None where it is a negative award of its own.
    ``rules`` are in the document's order; ``caps_of_rule`` and ``rules_of_partner`` are its indexes.
    """

    id: str
    name: str
    revision: int
    effective_from: datetime
    unit: str
    unit_name: str
    decimals: int
    owner: str
    parties: Mapping[str, Party]
    links: tuple[Link, ...]
    calendars: Mapping[str, BankCalendar]
    products: Mapping[str, CardProduct]
    partners: Mapping[str, Partner]
    merchants: Mapping[tuple[str, str], tuple[Merchant, ...]]
    excluded_mccs: frozenset[str]
    excluded_processing_codes: frozenset[str]
    rules: tuple[Rule, ...]
    caps: tuple[Cap, ...]
    authorization_days: int = 30
    link_days: int = 10
    refund_days: int | None = None
    rules_of_partner: Mapping[str | None, tuple[Rule, ...]] = field(init=False)
    caps_of_rule: Mapping[str, tuple[Cap, ...]] = field(init=False)

    def __post_init__(self) -> None:
        general = tuple(rule for rule in self.rules if not rule.partners)
        by_partner: dict[str | None, tuple[Rule, ...]] = {None: general}
        for partner in self.partners:
            by_partner[partner] = tuple(rule for rule in self.rules if not rule.partners or partner in rule.partners)
        caps = {rule.id: tuple(cap for cap in self.caps if rule.id in cap.rules) for rule in self.rules}
        object.__setattr__(self, "rules_of_partner", by_partner)
        object.__setattr__(self, "caps_of_rule", caps)

    def rule(self, rule_id: str) -> Rule:
        """Return a rule by its identifier; raises ``KeyError`` where the revision has none such."""
        for rule in self.rules:
            if rule.id == rule_id:
                return rule
        raise KeyError(rule_id)
