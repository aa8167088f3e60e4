"""A programme as the decision reads it: one immutable, compiled revision of the programme document.

``core/programme_document.py`` builds it from YAML; nothing here reads files.
Every ratio is a pair of integers, so that a decision never divides decimals.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from enum import StrEnum
from operator import attrgetter
from typing import Final
from zoneinfo import ZoneInfo

from processor.core.accrual_terms import AccrualTerms
from processor.core.budget import Budget
from processor.core.cap import Cap, CapHolder, CapPeriod, Limit, limits_of, with_statement_day
from processor.core.circumstances import Circumstances
from processor.core.conditions import Kinds
from processor.core.exchange import Exchange, RateSource
from processor.core.expressed_member import asked_in
from processor.core.fee import without_earning
from processor.core.money import Rounding
from processor.core.person import LATE, Asked, asked_by
from processor.core.plan import Plan, plan_of
from processor.core.qualification import Measure, Qualification
from processor.core.reward import SoftReward
from processor.core.rule import Benefit, Best, Clawback, Ratio, Rule, Spent, Stacking
from processor.core.statement import LAST_DAY
from processor.core.steps import Terms
from processor.core.tally import Tally
from processor.core.timing import Timing, goes_by_statement
from processor.core.velocity import Velocity

MOST_KINDS: Final = 16_384
"""Kinds of purchases that a programme remembers the rules of, and days that it remembers a rule's caps of.

Beyond them it begins anew.
"""


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
    """A card product of one bank: the card ranges (leading digits) that belong to it and how its cards enrol.

    ``statement_day`` is the day of the month on which its cards' statements are made, None where nothing goes by it.
    """

    id: str
    bank: str
    name: str
    card_ranges: tuple[str, ...]
    enrolment: Enrolment
    statement_day: int | None = None


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
class Programme:
    """One revision of a programme, in force from ``effective_from`` until the next revision is.

    ``excluded_mccs`` and ``excluded_processing_codes`` (two digits) earn nothing: cash, quasi-cash, fees.
    ``authorization_days`` is how long an authorization is awaited that does not clear, ``link_days`` how far apart two
    messages may lie that only amount and acceptor tie; ``refund_days`` how far back a refund without a reference counts
    against purchases at its brand, None where it is a negative award of its own.
    ``clearing_days`` is how soon a purchase is expected to clear, for the day on which its miles are expected.
    ``timings`` are those of its rules; where there are none, everything is posted as soon as it clears.
    ``is_followed`` says that decisions need to know how a purchase came along since it cleared, because a rule posts
    later, and ``in_proportion`` that a rule takes back in proportion; ``keeps_spent`` that one leaves with the holder
    what a refund takes back.
    ``rules`` are in their own order; ``caps_of_rule``, ``budgets_of_rule``, ``velocity_of_rule``, ``tallies`` and
    ``plan`` are their indexes; ``watched`` are those that look at more than the purchase and its caps.
    ``kept_caps_of_rule`` are the caps of which a grant keeps what it took, and ``drawing`` the rules whose grants keep
    what they took of a limit.
    ``periods`` are the kinds of periods that an account's counters count in, each with its statement day.
    ``rewards`` are the soft rewards that a holder can have.
    ``asks_products`` says that some rule asks for product codes.
    ``zoned`` says that some rule tells the time in a zone of its own.
    ``at_till`` names the rules whose discount the retailer's terminal takes off.
    ``mark_ups`` is by bank what of a foreign amount that it bills is left without its mark-up.
    ``parts_included`` are parts of an amount that are not for goods and earn all the same.
    ``instalments_at_once`` says that a purchase billed in parts earns all with the first.
    ``groups`` says which rule of each exclusive group counts.
    ``tiers`` are those of members, the lowest first; ``segments`` the groups of members that are declared.
    ``qualifications`` say how tiers are reached that are computed, ``measures`` what counts towards them.
    ``asked`` is what rules ask of members, None where they are all for everybody.
    ``rate_sources`` are those by which rules convert amounts.
    ``own_statement_days`` says that accounts can have statement days of their own, and ``by_statement`` that something
    goes by them; ``account_day`` is that of the account that the revision is read for, None for its products' days.
    ``accruals`` says how miles reach the owner's ledger, None where the ledger is here.
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
    clearing_days: int = 3
    mark_ups: Mapping[str, Ratio] = field(default_factory=dict)
    parts_included: frozenset[str] = frozenset()
    instalments_at_once: bool = False
    groups: Mapping[str, Best] = field(default_factory=dict)
    stacking: Stacking = Stacking.BEST
    tiers: Mapping[str, str] = field(default_factory=dict)
    qualifications: tuple[Qualification, ...] = ()
    segments: Mapping[str, str] = field(default_factory=dict)
    asked: Asked | None = field(init=False, repr=False, compare=False)
    budgets: tuple[Budget, ...] = ()
    rewards: Mapping[str, SoftReward] = field(default_factory=dict)
    accruals: AccrualTerms | None = None
    velocity: tuple[Velocity, ...] = ()
    own_statement_days: bool = False
    account_day: int | None = None
    by_statement: bool = field(init=False, repr=False, compare=False)
    rate_sources: Mapping[str, RateSource] = field(default_factory=dict)
    caps_of_rule: Mapping[str, tuple[Cap, ...]] = field(init=False)
    kept_caps_of_rule: Mapping[str, tuple[Cap, ...]] = field(init=False, repr=False, compare=False)
    drawing: frozenset[str] = field(init=False, repr=False, compare=False)
    watched: frozenset[str] = field(init=False, repr=False, compare=False)
    periods: frozenset[tuple[CapPeriod, int]] = field(init=False, repr=False, compare=False)
    counts_cards: bool = field(init=False)
    counts_households: bool = field(init=False)
    at_till: frozenset[str] = field(init=False, repr=False, compare=False)
    zoned: bool = field(init=False, repr=False, compare=False)
    asks_products: bool = field(init=False, repr=False, compare=False)
    timings: frozenset[Timing] = field(init=False)
    budgets_of_rule: Mapping[str, tuple[Budget, ...]] = field(init=False)
    in_proportion: bool = field(init=False)
    is_followed: bool = field(init=False)
    velocity_of_rule: Mapping[str, tuple[Velocity, ...]] = field(init=False)
    keeps_spent: bool = field(init=False)
    tallies: Mapping[str, Tally] = field(init=False, compare=False)
    measures: tuple[Measure, ...] = field(init=False, repr=False, compare=False)
    _by_id: Mapping[str, Rule] = field(init=False, repr=False, compare=False)
    _kinds: Kinds = field(init=False, repr=False, compare=False)
    _by_kind: dict[tuple[object, ...], Plan] = field(init=False, repr=False, compare=False)
    _plans: dict[tuple[object, ...], Plan] = field(init=False, repr=False, compare=False)
    _limits: dict[tuple[str, str, date], tuple[Limit, ...]] = field(init=False, repr=False, compare=False)
    _by_day: dict[int, "Programme"] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        rules = tuple(sorted(self.rules, key=attrgetter("order")))
        caps = {rule.id: tuple(cap for cap in self.caps if rule.id in cap.rules) for rule in rules}
        caps = {rule: limiting for rule, limiting in caps.items() if limiting}
        budgeted = frozenset[str]().union(*(budget.rules for budget in self.budgets))
        budgets = {rule: tuple(budget for budget in self.budgets if rule in budget.rules) for rule in budgeted}
        object.__setattr__(self, "rules", rules)
        kept = _kept_caps(self.caps, rules)
        object.__setattr__(self, "caps_of_rule", caps)
        object.__setattr__(self, "kept_caps_of_rule", kept)
        object.__setattr__(self, "drawing", frozenset().union(budgets, kept))
        object.__setattr__(self, "counts_cards", any(cap.per is CapHolder.CARD for cap in self.caps))
        object.__setattr__(self, "counts_households", any(cap.per is CapHolder.HOUSEHOLD for cap in self.caps))
        object.__setattr__(self, "zoned", any(rule.when.zone is not None for rule in rules))
        object.__setattr__(self, "asks_products", any(rule.when.reads_products for rule in rules))
        object.__setattr__(self, "at_till", frozenset(rule.id for rule in rules if rule.at_till))
        object.__setattr__(self, "timings", frozenset(rule.timing for rule in rules if rule.timing is not None))
        object.__setattr__(self, "budgets_of_rule", budgets)
        object.__setattr__(self, "in_proportion", any(rule.clawback is Clawback.PROPORTIONAL for rule in rules))
        object.__setattr__(self, "keeps_spent", any(rule.spent is not Spent.NEGATIVE for rule in rules))
        object.__setattr__(self, "is_followed", bool(self.timings) or self.in_proportion)
        watched = frozenset[str]().union(*(limit.rules for limit in self.velocity))
        velocity = {rule: tuple(limit for limit in self.velocity if rule in limit.rules) for rule in watched}
        object.__setattr__(self, "velocity_of_rule", velocity)
        object.__setattr__(self, "_by_id", {rule.id: rule for rule in rules})
        object.__setattr__(self, "_kinds", Kinds(rule.when for rule in rules))
        object.__setattr__(self, "tallies", {rule.id: rule.tally for rule in rules if rule.tally})
        object.__setattr__(self, "watched", self.drawing.union(velocity, self.tallies))
        kinds = {(cap.period, cap.statement_day or LAST_DAY) for cap in self.caps}
        kinds |= {(budget.period, LAST_DAY) for budget in self.budgets if budget.holders is not None}
        kinds |= {(tally.period, LAST_DAY) for tally in self.tallies.values()}
        measures = {entry.measure.counter: entry.measure for entry in self.qualifications}
        kinds |= {(measure.period, LAST_DAY) for measure in measures.values()}
        object.__setattr__(self, "periods", frozenset(kinds))
        object.__setattr__(self, "measures", tuple(measures.values()))
        object.__setattr__(self, "_by_kind", {})
        object.__setattr__(self, "_plans", {})
        object.__setattr__(self, "_limits", {})
        by_statement = self.own_statement_days and goes_by_statement(self.caps, self.timings)
        object.__setattr__(self, "by_statement", by_statement)
        object.__setattr__(self, "_by_day", {})
        expressed = [
            asked_in(rule.when.expression.member, rule.id, self.tiers, self.segments)
            for rule in rules
            if rule.when.expression is not None
        ]
        persons = (*[rule.when.person for rule in rules], *expressed)
        asked = asked_by(persons, tuple(self.tiers), by_statement=by_statement, by_household=self.counts_households)
        object.__setattr__(self, "asked", asked)

    def of_statement_day(self, day: int | None) -> "Programme":
        """Return the revision as it is read for an account with a statement day of its own; itself where it has none.

        Its billing periods and statement dates are the account's, whatever the account's card products state.
        """
        if day is None or not self.by_statement:
            return self
        found = self._by_day.get(day)
        if found is None:
            products = {name: replace(product, statement_day=day) for name, product in self.products.items()}
            caps = tuple([with_statement_day(cap, day) for cap in self.caps])
            found = self._by_day[day] = replace(self, products=products, caps=caps, account_day=day)
            object.__setattr__(found, "_by_kind", self._by_kind)
            object.__setattr__(found, "_plans", self._plans)
        return found

    def has(self, rule_id: str) -> bool:
        """Tell whether the revision has a rule of this identifier."""
        return rule_id in self._by_id

    def rule(self, rule_id: str) -> Rule:
        """Return a rule by its identifier; raises ``KeyError`` where the revision has none such."""
        return self._by_id[rule_id]

    def rules_behind(self, rules: Collection[str]) -> tuple[Rule, ...]:
        """Return the rules of these identifiers, and those that multipliers among them multiply."""
        own = [rule for rule in self.rules if rule.id in rules]
        multiplied = {base for rule in own if rule.multiplication for base in rule.multiplication.rules}
        return tuple([rule for rule in self.rules if rule.id in rules or rule.id in multiplied])

    def plan(self, at: Circumstances) -> Plan:
        """Return the rules that apply to a purchase, its amount aside.

        The kinds that were asked for are remembered, so that a purchase like an earlier one costs one look-up.
        """
        kind = self._kinds.of(at)
        found = self._by_kind.get(kind)
        if found is None:
            applying = tuple([rule for rule in self.rules if _may_apply(rule, at)])
            found = self._plan_of(without_earning(applying), at)
            if len(self._by_kind) >= MOST_KINDS:
                self._by_kind.clear()
            self._by_kind[kind] = found
        return found.of(at) if found.personal else found

    def _plan_of(self, rules: tuple[Rule, ...], at: Circumstances) -> Plan:
        """Return what has to be done with some rules; kinds of purchases with the same rules share a plan."""
        before_mark_up = self.before_mark_up(at.product)
        exchange = Exchange(self.rate_sources, at.local_date) if self.rate_sources else None
        key = before_mark_up, exchange and exchange.on, *[rule.id for rule in rules]
        found = self._plans.get(key)
        if found is None:
            if len(self._plans) >= MOST_KINDS:
                self._plans.clear()
            terms = Terms(
                unit=self.unit,
                groups=self.groups,
                stacking=self.stacking,
                before_mark_up=before_mark_up,
                exchange=exchange,
            )
            found = self._plans[key] = plan_of(rules, terms)
        return found

    def before_mark_up(self, product: str) -> Ratio | None:
        """Return what of a foreign amount its bank bills is left without its mark-up, None where it takes none."""
        known = self.products.get(product)
        return self.mark_ups.get(known.bank) if known else None

    def caps_on(self, rule: str, unit: str) -> tuple[Cap, ...]:
        """Return the caps whose counters follow from a rule's grants in one unit; one in money counts its currency."""
        caps, kept = self.caps_of_rule.get(rule, ()), self.kept_caps_of_rule.get(rule, ())
        return tuple([cap for cap in caps if cap not in kept and (cap.currency is None or cap.currency == unit)])

    def limits(self, rule: str, unit: str, day: date, card: str = "") -> tuple[Limit, ...]:
        """Return what limits a rule's grants in one unit to purchases of one local day, with one card where they count.

        What was asked for is remembered, for most purchases are like an earlier one; cards are too many for that.
        """
        if rule not in self.caps_of_rule:
            return ()
        if card and self.counts_cards:
            return limits_of(self.caps_on(rule, unit), day, card)
        found = self._limits.get((rule, unit, day))
        if found is None:
            if len(self._limits) >= MOST_KINDS:
                self._limits.clear()
            found = self._limits[rule, unit, day] = limits_of(self.caps_on(rule, unit), day, "")
        return found


def _kept_caps(caps: Iterable[Cap], rules: Iterable[Rule]) -> Mapping[str, tuple[Cap, ...]]:
    """Return, by rule, the caps of which grants keep what they took, because it does not follow from them later."""
    earning = frozenset(rule.id for rule in rules if rule.benefit is Benefit.MILES)
    kept = [cap for cap in caps if cap.per is CapHolder.HOUSEHOLD or (cap.currency is not None and cap.rules & earning)]
    named = frozenset[str]().union(*(cap.rules for cap in kept))
    return {rule: tuple([cap for cap in kept if rule in cap.rules]) for rule in named}


def _may_apply(rule: Rule, at: Circumstances) -> bool:
    """Tell whether a rule applies to purchases of a kind, or does to those of some members."""
    unmet = rule.when.unmet(at)
    return unmet is None or unmet in LATE
