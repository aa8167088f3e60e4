"""One rule of a programme as the decision reads it: what it gives, to whom, in which order, and with which others.

``core/programme_document.py`` builds it from YAML; every ratio is a pair of integers, so that a decision never
divides decimals.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Final

from processor.core.conditions import Conditions
from processor.core.money import Rounding
from processor.core.reward import Validity
from processor.core.tally import Tally
from processor.core.timing import Timing

FOR_EVER: Final = Validity()


class Benefit(StrEnum):
    """What a rule gives."""

    MILES = "miles"
    DISCOUNT = "discount"
    REWARD = "reward"
    FEE = "fee"
    """No gift: the share of a membership fee that the bank owes the owner."""


_PLACES: Final = {Benefit.MILES: 0, Benefit.DISCOUNT: 1, Benefit.REWARD: 2, Benefit.FEE: 3}


class AmountBase(StrEnum):
    """Which amount of a purchase a rule measures."""

    BILLING = "billing"
    TRANSACTION = "transaction"


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
class Convert:
    """That a rule converts amounts in currencies that it does not name: to which currency, by which rate source."""

    to: str
    by: str


class Best(StrEnum):
    """Which rule of an exclusive group counts: that which gives most, that which costs least, or the first."""

    HOLDER = "holder"
    FUNDER = "funder"
    FIRST = "first"


class Stacking(StrEnum):
    """What several multipliers of one rule do: the highest counts, their additions add up, or each multiplies all."""

    BEST = "best"
    ADD = "add"
    COMPOUND = "compound"


@dataclass(frozen=True, slots=True, kw_only=True)
class Multiplication:
    """What a multiplier multiplies: ``by`` is over 1, and the rule itself gives what comes on top of ``rules``."""

    rules: frozenset[str]
    by: Ratio


class Clawback(StrEnum):
    """What a refund takes back: what the rest of the purchase no longer gives, or its part of what the whole gave."""

    EXACT = "exact"
    PROPORTIONAL = "proportional"


class Spent(StrEnum):
    """What a refund takes of what is available: all, even below nothing, or none, or as much as there is."""

    NEGATIVE = "negative"
    PENDING = "pending"
    WRITE_OFF = "write-off"


class Stage(IntEnum):
    """In which order rules give: what an amount earns, what multiplies that, and what is added whatever the amount."""

    RATE = 0
    MULTIPLIER = 1
    ADDITION = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One earning or discount rule, which gives by a rate, multiplies what others give, or gives a fixed amount.

    ``rates`` maps a currency to units per minor unit of that currency; a discount has one ratio for every currency
    under the key ``"*"``.
    ``fixed`` maps a unit to what a purchase is given whatever its amount: miles, or at most that much of the currency.
    ``multiplication`` says what a multiplier multiplies; one of the three is stated.
    ``tally`` says that the rate or the fixed amount is for what an account's purchases come to in a period.
    ``when`` says which purchases the rule applies to.
    Of the rules that share an ``exclusive`` group one counts; ``priority`` orders rules of one stage, the lowest first.
    ``at_till`` says of a discount that the retailer's terminal takes it off, rather than the bank after clearing.
    ``timing`` says when what has cleared is posted, None where at once; a multiplier gives its additions with what it
    multiplies.
    ``entitlement`` names the soft reward that the rule gives, whose ``validity`` counts from the purchase.
    ``clawback`` says what a refund takes back; a multiplier follows what it multiplies.
    ``spent`` says what is taken of it that is available already.
    ``split`` are the percentages of those who pay for it together, ``funder`` first; empty where it pays alone.
    ``convert`` says how amounts count that are in a currency which the rule does not name, None where they do not.
    ``order`` is the rule's place among all: miles first, then by stage, priority and identifier, never by its place in
    the document.
    """

    id: str
    benefit: Benefit
    base: AmountBase
    rates: Mapping[str, Ratio]
    rounding: Rounding
    funder: Funder
    when: Conditions
    fixed: Mapping[str, int] = field(default_factory=dict)
    multiplication: Multiplication | None = None
    tally: Tally | None = None
    priority: int = 0
    exclusive: str | None = None
    at_till: bool = False
    timing: Timing | None = None
    entitlement: str = ""
    validity: Validity = FOR_EVER
    clawback: Clawback = Clawback.EXACT
    spent: Spent = Spent.NEGATIVE
    convert: Convert | None = None
    split: tuple[tuple[Funder, int], ...] = ()
    stage: Stage = field(init=False, repr=False, compare=False)
    order: tuple[int, Stage, int, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        stage = Stage.ADDITION if self.fixed else Stage.RATE
        if self.multiplication is not None:
            stage = Stage.MULTIPLIER
        object.__setattr__(self, "stage", stage)
        object.__setattr__(self, "order", (_PLACES[self.benefit], stage, self.priority, self.id))

    def rate(self, currency: str) -> Ratio | None:
        """Return the rule's rate for a currency, or None where the rule does not rate it."""
        return self.rates.get(currency) or self.rates.get("*")

    def names(self, currency: str) -> bool:
        """Tell whether each of the rule's tables has an entry for a currency, so that nothing has to be converted."""
        tables = [table for table in (self.rates, self.when.amounts, self.tally and self.tally.scale) if table]
        return all(currency in table or "*" in table for table in tables)

    @property
    def once(self) -> bool:
        """Tell whether a purchase in several currencies counts once: fixed miles, or a tally of purchases."""
        return bool(self.fixed) and not (self.tally and self.tally.scale)

    @property
    def factor(self) -> Ratio:
        """Return what a multiplier multiplies by; no other rule is asked."""
        assert self.multiplication is not None  # noqa: S101 - its callers look at multipliers alone.
        return self.multiplication.by
