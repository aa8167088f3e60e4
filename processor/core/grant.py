"""What a purchase is granted: what it is entitled to, as far as the caps allow, in commit order.

A rise of entitled asks the caps for the difference; a fall gives it back to the period it came from.
Headroom freed later serves later purchases: it never re-opens a purchase that was decided.
"""

from collections.abc import Mapping, MutableMapping
from datetime import date
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
    match cap.period:
        case CapPeriod.LIFETIME:
            return "lifetime"
        case CapPeriod.WEEK:
            year, week, _ = occurred_on.isocalendar()
            return f"{year}-W{week:02d}"
        case CapPeriod.DAY:
            return occurred_on.isoformat()
        case CapPeriod.MONTH:
            return occurred_on.isoformat()[:7]
        case CapPeriod.YEAR:
            return occurred_on.isoformat()[:4]
        case CapPeriod.PURCHASE:
            return purchase_id.hex()


def caps_on(programme: Programme, rule: str, unit: str) -> tuple[Cap, ...]:
    """Return the caps that limit a rule's grants in one unit; a discount cap counts its own currency alone."""
    caps = programme.caps_of_rule.get(rule, ())
    return tuple([cap for cap in caps if cap.currency is None or cap.currency == unit]) if caps else caps


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
    caps = caps_on(programme, previous.rule, previous.unit)
    keys = [(cap.id, period_of(cap, occurred_on, purchase_id)) for cap in caps] if caps else []
    binding: str | None = None
    if entitled <= previous.entitled:
        granted = min(previous.granted, entitled)
    else:
        granted = previous.granted + entitled - previous.entitled
        held = max(previous.granted, 0)
        for cap, key in zip(caps, keys, strict=True):
            headroom = max(0, cap.limit - used.get(key, 0) - reserved.get(key, 0))
            if granted > held + headroom:
                granted, binding = held + headroom, cap.id
    if keys:
        taken = max(granted, 0) - max(previous.granted, 0)
        for key in keys if taken else ():
            used[key] = used.get(key, 0) + taken
    available = min(granted, cleared)
    return Grant(previous.rule, previous.unit, entitled, granted, available), binding
