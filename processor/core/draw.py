"""What a grant draws on and keeps: budgets, and the caps that a later look at the purchase could not count again.

A cap in money of miles counts by the price of whoever funds them, which another partner or revision changes, and a cap
for each household counts for that of the purchase's instant.
What a grant took of them is therefore kept with the grant, as what it took of a budget is.
It says of which pools and counters a grant takes, and how much; ``core/budget_grant.py`` takes it.
"""

from datetime import date
from enum import IntEnum
from typing import NamedTuple

from processor.core.budget import HOLDERS, AtEdge, Budget, PoolKey
from processor.core.cap import Cap, CapHolder, calendar_period
from processor.core.household import OWN, kept_counter
from processor.core.money import divide
from processor.core.programme import MilePrice, Programme
from processor.core.rule import Benefit


class Counts(IntEnum):
    """What of a grant a draw counts: its units or their price, that there is one, or the account it is made to."""

    UNITS = 1
    PURCHASES = 2
    HOLDERS = 3


class Draw(NamedTuple):
    """One pool, or one counter of an account, that a grant takes of: at most ``size`` in all.

    ``limit`` is the cap or budget that it belongs to.
    ``price`` is what a mile costs of it, None where a unit granted is a unit of it.
    ``refuses`` says that a grant which does not fit gets nothing of what it asks for.
    """

    limit: str
    key: PoolKey
    size: int
    counts: Counts = Counts.UNITS
    price: MilePrice | None = None
    refuses: bool = False

    @property
    def is_own(self) -> bool:
        """Tell whether it is a counter of the account or its household, rather than a pool that all accounts share."""
        return self.key[0].endswith(OWN)

    def units(self, granted: int) -> int:
        """Return what a grant holds of it; of places for holders it is what counts for its account."""
        if self.counts is Counts.PURCHASES:
            return int(granted > 0)
        return cost(self.price, granted)

    def most(self, left: int, held: int) -> int | None:
        """Return the largest grant that what is left allows where ``held`` is its own already, None for any."""
        if self.counts is Counts.UNITS:
            return affordable(self.price, held + max(left, 0))
        return None if left > 0 or held > 0 else 0


def draws_of(
    programme: Programme,
    rule: str,
    unit: str,
    *,
    funder: str,
    day: date,
    purchase_id: bytes,
    card: str,
    household: str,
) -> list[Draw]:
    """Return what a rule's grant in one unit draws on, caps before budgets.

    ``funder`` is the party whose price of a mile counts; ``card`` and ``household`` are those whose caps count.
    """
    draws: list[Draw] = []
    for cap in programme.kept_caps_of_rule.get(rule, ()):
        prices = _prices(programme, cap.currency, rule, unit, funder)
        draws += [_draw_of_cap(cap, price, day, purchase_id, card, household) for price in prices]
    for budget in programme.budgets_of_rule.get(rule, ()):
        for price in _prices(programme, budget.currency, rule, unit, funder):
            draws += _draws_of_budget(budget, price, day)
    return draws


def counted_in(programme: Programme, cap: Cap) -> str:
    """Return what a cap counts: a currency, purchases, rewards, or the programme's miles."""
    if cap.purchases:
        return "purchases"
    rewards = any(rule.benefit is Benefit.REWARD for rule in programme.rules if rule.id in cap.rules)
    return cap.currency or ("rewards" if rewards else programme.unit)


def _draw_of_cap(cap: Cap, price: MilePrice | None, day: date, purchase_id: bytes, card: str, household: str) -> Draw:
    """Return what a grant takes of a cap: of its household's counter, or of the account's where it has none."""
    name, period = cap.counter(day, purchase_id, card)
    counter = kept_counter(name, household if cap.per is CapHolder.HOUSEHOLD else "")
    return Draw(cap.id, (counter, period), cap.limit, Counts.PURCHASES if cap.purchases else Counts.UNITS, price)


def _draws_of_budget(budget: Budget, price: MilePrice | None, day: date) -> list[Draw]:
    period, refuses = calendar_period(budget.period, day), budget.at_edge is AtEdge.REFUSE
    draws: list[Draw] = []
    if budget.limit is not None:
        draws.append(Draw(budget.id, (budget.id, period), budget.limit, Counts.UNITS, price, refuses))
    if budget.holders is not None:
        draws.append(Draw(budget.id, (budget.id + HOLDERS, period), budget.holders, Counts.HOLDERS))
    return draws


def _prices(programme: Programme, currency: str | None, rule: str, unit: str, funder: str) -> list[MilePrice | None]:
    """Return what a unit costs of a limit, None for one of it; nothing where the limit does not count the unit."""
    if currency is None:
        return [None]
    if programme.rule(rule).benefit is Benefit.DISCOUNT:
        return [None] if unit == currency else []
    party = programme.parties.get(funder)
    price = party.mile_price if party is not None else None
    return [] if price is None or price.currency != currency else [price]


def cost(price: MilePrice | None, granted: int) -> int:
    """Return what a grant takes of a limit, miles in money by the price, rounded as the funder's charge is."""
    units = max(granted, 0)
    return units if price is None else divide(units * price.ratio.numerator, price.ratio.denominator, price.rounding)


def affordable(price: MilePrice | None, units: int) -> int:
    """Return the largest grant that costs at most so many units of a limit."""
    if price is None:
        return units
    low, high = 0, (units + 1) * price.ratio.denominator // price.ratio.numerator + 1
    while low < high:
        middle = (low + high + 1) // 2
        if cost(price, middle) <= units:
            low = middle
        else:
            high = middle - 1
    return low
