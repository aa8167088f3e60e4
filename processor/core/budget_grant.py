"""What budgets leave of a grant: one more limit that it asks, behind the caps.

What a grant took is kept with it, so that undo gives back exactly that, whatever a later revision says.
"""

from collections.abc import Mapping, MutableMapping, Sequence
from datetime import date
from typing import NamedTuple

from processor.core.budget import HOLDERS, AtEdge, Budget, Headroom, PoolKey, Taken, pools_of
from processor.core.cap import calendar_period
from processor.core.money import divide
from processor.core.programme import MilePrice, Programme
from processor.core.rule import Benefit, Rule
from processor.core.velocity import VELOCITY


class Limited(NamedTuple):
    """What budgets leave of a grant, the budget that cut it, and all that the grant holds of them."""

    granted: int
    cut_by: str | None
    taken: tuple[Taken, ...]


def within_budgets(
    programme: Programme,
    rule: str,
    unit: str,
    *,
    held: int,
    wanted: int,
    before: Sequence[Taken],
    funder: str,
    occurred_on: date,
    used: MutableMapping[PoolKey, int],
    headroom: Headroom,
) -> Limited:
    """Limit a rule's grant by its budgets and take from them what it changes.

    ``held`` was granted before, ``wanted`` is what entitlement and caps leave, ``before`` what it held of budgets.
    What it held of a budget that counts it no more, because another party pays in another currency, is given back.
    ``used`` counts, for each pool of holders, what the account was granted; only what is above zero counts.
    """
    old = {(entry.pool, entry.period): entry.units for entry in before}
    counted = [
        (budget, calendar_period(budget.period, occurred_on), price)
        for budget in programme.budgets_of_rule[rule]
        for price in _prices(programme, budget, programme.rule(rule), unit, funder)
    ]
    granted, cut_by = wanted, None
    for budget, period, price in counted:
        most = _most(budget, period, price, old, used, headroom)
        if most is not None and granted > most:
            granted = most if budget.at_edge is AtEdge.PARTIAL else min(max(held, 0), most)
            cut_by = budget.id
    taken: list[Taken] = []
    for budget, period, price in counted:
        for pool in pools_of(budget):
            key = (pool, period)
            of_holders = pool.endswith(HOLDERS)
            units = max(granted, 0) if of_holders else _cost(price, granted)
            _change(key, units - old.get(key, 0), used, headroom)
            old.pop(key, None)
            if units:
                taken.append(Taken(pool, period, units))
    left = [Taken(*key, units) for key, units in old.items() if not key[0].endswith(VELOCITY)]
    give_back(left, used, headroom)
    return Limited(granted, cut_by, tuple(taken))


def give_back(taken: Sequence[Taken], used: MutableMapping[PoolKey, int], headroom: Headroom | None) -> None:
    """Give back to budgets and windows all that a grant holds of them."""
    for pool, period, units in taken:
        _change((pool, period), -units, used, headroom)


def _change(key: PoolKey, units: int, used: MutableMapping[PoolKey, int], headroom: Headroom | None) -> None:
    """Take units of a pool; an account takes one place with its first, and gives it back with its last.

    A window of a velocity limit is a counter of the account and nothing else.
    """
    if not units:
        return
    if "/" not in key[0]:
        if headroom is not None:
            headroom.take(key, units)
        return
    before = used.get(key, 0)
    used[key] = before + units
    if headroom is not None and key[0].endswith(HOLDERS) and (before > 0) != (before + units > 0):
        headroom.take(key, 1 if units > 0 else -1)


def _most(
    budget: Budget,
    period: str,
    price: MilePrice | None,
    old: Mapping[PoolKey, int],
    used: Mapping[PoolKey, int],
    headroom: Headroom,
) -> int | None:
    """Return the most that a grant can be, None where nothing limits it."""
    most: int | None = None
    if budget.limit is not None:
        key = (budget.id, period)
        left = headroom.of(key, budget.limit)
        if left is not None:
            most = _affordable(price, old.get(key, 0) + max(left, 0))
    if budget.holders is not None:
        key = (budget.id + HOLDERS, period)
        left = headroom.of(key, budget.holders)
        if left is not None and left <= 0 and used.get(key, 0) <= 0:
            return 0
    return most


def price_of(programme: Programme, budget: Budget, rule: Rule, funder: str) -> MilePrice | None:
    """Return what a mile costs of a budget in money, None where a unit granted is a unit of the budget."""
    if budget.currency is None or rule.benefit is Benefit.DISCOUNT:
        return None
    return programme.parties[funder].mile_price


def left_by(budget: Budget, price: MilePrice | None, day: date, *, granted: int, wanted: int) -> Headroom:
    """Return what a budget had left, as far as that follows from a grant it cut."""
    period = calendar_period(budget.period, day)
    left = {(budget.id + HOLDERS, period): 0 if granted <= 0 else 1}
    if budget.limit is not None:
        partly = budget.at_edge is AtEdge.PARTIAL or granted <= 0
        left[budget.id, period] = _cost(price, granted) if partly else _cost(price, wanted) - 1
    return Headroom(left=left)


def _prices(programme: Programme, budget: Budget, rule: Rule, unit: str, funder: str) -> Sequence[MilePrice | None]:
    """Return what a unit costs of a budget, None for one of it; nothing where the budget does not count the unit."""
    price = price_of(programme, budget, rule, funder)
    if budget.currency is None:
        return (None,)
    if rule.benefit is Benefit.DISCOUNT:
        return (None,) if unit == budget.currency else ()
    return () if price is None or price.currency != budget.currency else (price,)


def _cost(price: MilePrice | None, granted: int) -> int:
    """Return what a grant takes of a budget, miles in money by the price, rounded as the funder's charge is."""
    units = max(granted, 0)
    return units if price is None else divide(units * price.ratio.numerator, price.ratio.denominator, price.rounding)


def _affordable(price: MilePrice | None, units: int) -> int:
    """Return the largest grant that costs at most so many units of a budget."""
    if price is None:
        return units
    low, high = 0, (units + 1) * price.ratio.denominator // price.ratio.numerator + 1
    while low < high:
        middle = (low + high + 1) // 2
        if _cost(price, middle) <= units:
            low = middle
        else:
            high = middle - 1
    return low
