"""What a purchase is granted: what it is entitled to, as far as the caps allow, in commit order.

A rise of entitled asks the caps for the difference; a fall gives it back to the period it came from.
Headroom freed later serves later purchases: it never re-opens a purchase that was decided.
"""

from collections.abc import Mapping, MutableMapping
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from processor.core.contest import Entitlement
from processor.core.programme import Cap, CapPeriod, Programme

CounterKey = tuple[str, str]
"""A counter's key: the cap's id and the period it counts, as ``period_of`` names it."""


class Grant(NamedTuple):
    """What one rule has granted a purchase, in ``unit``.

    ``available`` is the part of ``granted`` that has cleared and is posted as such; the rest is pending.
    ``granted`` is at most ``entitled``; all three are negative for a refund that stands alone.
    """

    rule: str
    unit: str
    entitled: int = 0
    granted: int = 0
    available: int = 0

    @property
    def pending(self) -> int:
        """Granted for what is authorized but has not cleared."""
        return self.granted - self.available


def period_of(cap: Cap, occurred_on: date, purchase_id: bytes) -> str:
    """Return the name of the period a purchase counts in, under one cap."""
    if cap.period is CapPeriod.PURCHASE:
        return purchase_id.hex()
    return _calendar_period(cap.period, occurred_on)


@lru_cache(maxsize=8192)
def _calendar_period(period: CapPeriod, day: date) -> str:
    """Return the name of a period of the calendar; few days are asked for, each by many purchases."""
    match period:
        case CapPeriod.DAY:
            return day.isoformat()
        case CapPeriod.WEEK:
            year, week, _ = day.isocalendar()
            return f"{year}-W{week:02d}"
        case CapPeriod.MONTH:
            return day.isoformat()[:7]
        case CapPeriod.YEAR:
            return day.isoformat()[:4]
    return "lifetime"


def caps_on(programme: Programme, rule: str, unit: str) -> tuple[Cap, ...]:
    """Return the caps that limit a rule's grants in one unit; a discount cap counts its own currency alone."""
    caps = programme.caps_of_rule.get(rule)
    if not caps:
        return ()
    return tuple([cap for cap in caps if cap.currency is None or cap.currency == unit])


def release(
    programme: Programme,
    grants: tuple[Grant, ...],
    occurred_on: date,
    purchase_id: bytes,
    used: MutableMapping[CounterKey, int],
) -> None:
    """Give back to the counters everything a purchase's grants took from them under this revision and date."""
    for grant in grants:
        for cap in caps_on(programme, grant.rule, grant.unit):
            key = (cap.id, period_of(cap, occurred_on, purchase_id))
            used[key] = used.get(key, 0) - max(grant.granted, 0)


def regrant(
    programme: Programme,
    previous: Grant,
    entitlement: Entitlement | None,
    *,
    occurred_on: date,
    purchase_id: bytes,
    used: MutableMapping[CounterKey, int],
    reserved: Mapping[CounterKey, int],
) -> tuple[Grant, str | None]:
    """Return the new grant of one rule, and the cap that cut it, if one did.

    ``used`` holds what every counter has granted so far and is brought up to date; ``reserved`` is what quotes of other
    purchases hold.
    Only what is granted above zero counts towards a cap.
    """
    entitled, cleared = (entitlement.total, entitlement.cleared) if entitlement else (0, 0)
    held = previous.granted
    binding: str | None = None
    caps = caps_on(programme, previous.rule, previous.unit)
    keys = [(cap.id, period_of(cap, occurred_on, purchase_id)) for cap in caps]
    if entitled <= previous.entitled:
        granted = min(held, entitled)
    else:
        granted = held + entitled - previous.entitled
        for cap, key in zip(caps, keys, strict=True):
            most = max(held, 0) + max(0, cap.limit - used.get(key, 0) - reserved.get(key, 0))
            if granted > most:
                granted, binding = most, cap.id
    if caps and granted != held:
        taken = max(granted, 0) - max(held, 0)
        for key in keys:
            used[key] = used.get(key, 0) + taken
    return Grant(previous.rule, previous.unit, entitled, granted, min(granted, cleared)), binding
