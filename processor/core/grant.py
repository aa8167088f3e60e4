"""What a purchase is granted: what it is entitled to, as far as the caps allow, in commit order.

A rise of entitled asks the caps for the difference; a fall gives it back to the period it came from.
Headroom freed later serves later purchases: it never re-opens a purchase that was decided.
"""

from collections.abc import Mapping, MutableMapping
from datetime import date
from typing import NamedTuple

from processor.core.budget import Headroom, Taken
from processor.core.budget_grant import give_back, within_budgets
from processor.core.cap import CounterKey, Limit
from processor.core.contest import Entitlement
from processor.core.programme import Programme


class Grant(NamedTuple):
    """What one rule has granted a purchase, in ``unit``.

    ``available`` is the part of ``granted`` that has cleared and is posted as such; the rest is pending.
    ``granted`` is at most ``entitled``; all three are negative for a refund that stands alone.
    ``budgets`` is what it holds of the programme's budgets and counts in windows of velocity limits; ``review`` is the
    velocity limit that held it for review, empty where none did.
    """

    rule: str
    unit: str
    entitled: int = 0
    granted: int = 0
    available: int = 0
    budgets: tuple[Taken, ...] = ()
    review: str = ""

    @property
    def pending(self) -> int:
        """Granted for what is authorized but has not cleared."""
        return self.granted - self.available


def release(
    programme: Programme,
    grants: tuple[Grant, ...],
    occurred_on: date,
    purchase_id: bytes,
    used: MutableMapping[CounterKey, int],
    budgets: Headroom | None = None,
) -> None:
    """Give back to counters and budgets everything a purchase's grants took from them under this revision and date."""
    for grant in grants:
        if grant.budgets:
            give_back(grant.budgets, used, budgets)
        for limit in programme.limits(grant.rule, grant.unit, occurred_on):
            key = counter_of(limit, purchase_id)
            used[key] = used.get(key, 0) - max(grant.granted, 0)


def counter_of(limit: Limit, purchase_id: bytes) -> CounterKey:
    """Return the counter that a purchase takes from under a limit."""
    return limit.key or (limit.cap, purchase_id.hex())


def regrant(
    programme: Programme,
    previous: Grant,
    entitlement: Entitlement | None,
    *,
    occurred_on: date,
    purchase_id: bytes,
    used: MutableMapping[CounterKey, int],
    reserved: Mapping[CounterKey, int],
    budgets: Headroom | None = None,
    funder: str = "",
) -> tuple[Grant, str | None]:
    """Return the new grant of one rule, and the cap or budget that cut it, if one did.

    ``used`` holds what every counter has granted so far and is brought up to date, as ``budgets`` is; ``reserved`` is
    what quotes of other purchases hold; ``funder`` is the party whose price of a mile a budget in money counts by.
    Only what is granted above zero counts towards a cap.
    """
    rule, unit, before, held, _, taken, _ = previous
    _, _, entitled, cleared = entitlement or (None, unit, 0, 0)
    granted = held + entitled - before if entitled > before else min(held, entitled)
    limits = programme.limits(rule, unit, occurred_on)
    binding: str | None = None
    if limits:
        granted, binding = _limited(limits, held, granted, purchase_id, used, reserved)
    if budgets is None or rule not in programme.budgets_of_rule:
        return Grant(rule, unit, entitled, granted, min(granted, cleared)), binding
    left = within_budgets(
        programme,
        rule,
        unit,
        held=held,
        wanted=granted,
        before=taken,
        funder=funder,
        occurred_on=occurred_on,
        used=used,
        headroom=budgets,
    )
    if left.granted != granted:
        _take(limits, max(left.granted, 0) - max(granted, 0), purchase_id, used)
    available = min(left.granted, cleared)
    return Grant(rule, unit, entitled, left.granted, available, left.taken), left.cut_by or binding


def _limited(
    limits: tuple[Limit, ...],
    held: int,
    granted: int,
    purchase_id: bytes,
    used: MutableMapping[CounterKey, int],
    reserved: Mapping[CounterKey, int],
) -> tuple[int, str | None]:
    """Return what limits leave of a grant that was ``held`` before, and which cut it; take it from their counters."""
    binding: str | None = None
    if granted > held:
        kept = max(held, 0)
        for limit in limits:
            key = limit.key or counter_of(limit, purchase_id)
            left = limit.most - used.get(key, 0) - reserved.get(key, 0)
            most = kept + left if left > 0 else kept
            if granted > most:
                granted, binding = most, limit.cap
    taken = max(granted, 0) - max(held, 0)
    if taken:
        _take(limits, taken, purchase_id, used)
    return granted, binding


def _take(limits: tuple[Limit, ...], units: int, purchase_id: bytes, used: MutableMapping[CounterKey, int]) -> None:
    for limit in limits:
        key = limit.key or counter_of(limit, purchase_id)
        used[key] = used.get(key, 0) + units
