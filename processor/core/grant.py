"""What a purchase is granted: what it is entitled to, as far as the caps allow, in commit order.

A rise of entitled asks the caps for the difference; a fall gives it back to the period it came from.
Headroom freed later serves later purchases: it never re-opens a purchase that was decided.
"""

from collections.abc import Mapping, MutableMapping
from datetime import date
from typing import NamedTuple

from processor.core.budget import Headroom, Taken
from processor.core.budget_grant import give_back, within_draws
from processor.core.cap import CounterKey, Limit, usage
from processor.core.contest import Entitlement
from processor.core.draw import draws_of
from processor.core.programme import Programme
from processor.core.tally import NOTHING, Counted, Tally, count, keep_cut, spare, uncount


class Grant(NamedTuple):
    """What one rule has granted a purchase, in ``unit``.

    ``available`` is the part of ``granted`` that has cleared and is posted as such; the rest is pending.
    ``granted`` is at most ``entitled``; all three are negative for a refund that stands alone.
    ``counted`` is what the purchase has counted in the rule's tally, if it has one.
    ``budgets`` is what it holds of the programme's budgets and of caps that keep it, and counts in windows of velocity
    limits; ``review`` is the velocity limit that held it for review, empty where none did.
    """

    rule: str
    unit: str
    entitled: int = 0
    granted: int = 0
    available: int = 0
    counted: Counted = NOTHING
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
    card: str = "",
) -> dict[tuple[str, str], int]:
    """Give back to counters and budgets everything a purchase's grants took from them under this revision and date.

    ``card`` is the one whose caps they counted in.

    Returns, by rule and unit, what is earned by tallies all the same although the purchase counts in them no more.
    """
    earned: dict[tuple[str, str], int] = {}
    for grant in grants:
        if grant.budgets:
            give_back(grant.budgets, used, budgets)
        tally, left = programme.tallies.get(grant.rule), grant.counted.earned
        _take(programme.limits(grant.rule, grant.unit, occurred_on, card), grant.granted, 0, purchase_id, used)
        if tally is not None:
            left = uncount(tally, tally.counter(grant.rule, occurred_on), grant.counted, used)
        if left:
            earned[grant.rule, grant.unit] = left
    return earned


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
    card: str = "",
    household: str = "",
) -> tuple[Grant, str | None]:
    """Return the new grant of one rule, and the cap or budget that cut it, if one did.

    ``used`` holds what every counter has granted so far and is brought up to date, as ``budgets`` is; ``reserved`` is
    what quotes of other purchases hold; ``funder`` is the party whose price of a mile a limit in money counts by;
    ``card`` and ``household`` are those whose caps count.
    Only what is granted above zero counts towards a cap.
    """
    rule, unit, before, held, _, counted, taken, _ = previous
    _, _, entitled, cleared = entitlement or (None, unit, 0, 0)
    tally = programme.tallies.get(rule)
    if tally is not None:
        counted, cleared, entitled = _tallied(tally, previous, entitlement, occurred_on, used)
    elif counted.earned:
        entitled, cleared = entitled + counted.earned, cleared + counted.earned
    granted = held + entitled - before if entitled > before else min(held, entitled)
    limits = programme.limits(rule, unit, occurred_on, card)
    binding: str | None = None
    if limits and granted > held:
        granted, binding = _limited(limits, held, granted, purchase_id, used, reserved)
    if rule in programme.drawing:
        left = within_draws(
            draws_of(
                programme,
                rule,
                unit,
                funder=funder,
                day=occurred_on,
                purchase_id=purchase_id,
                card=card,
                household=household,
            ),
            held=held,
            wanted=granted,
            before=taken,
            used=used,
            reserved=reserved,
            headroom=budgets,
        )
        granted, taken, binding = left.granted, left.taken, left.cut_by or binding
    if limits and granted != held:
        _take(limits, held, granted, purchase_id, used)
    if tally is not None:
        spared = cleared - counted.earned
        cut = -spared if spared > 0 else max(-spared, counted.earned - granted)
        counted = keep_cut(tally.counter(rule, occurred_on), counted, cut, used)
    return Grant(rule, unit, entitled, granted, min(granted, cleared), counted, taken), binding


def grant_first(
    limits: tuple[Limit, ...],
    entitled: int,
    purchase_id: bytes,
    used: MutableMapping[CounterKey, int],
    reserved: Mapping[CounterKey, int],
) -> tuple[int, str | None]:
    """Return what :func:`regrant` grants of a rule that gave nothing before and has caps alone, and what cut it.

    ``entitled`` is above zero.
    """
    granted, binding = _limited(limits, 0, entitled, purchase_id, used, reserved)
    if granted:
        _take(limits, 0, granted, purchase_id, used)
    return granted, binding


def _tallied(
    tally: Tally, previous: Grant, progress: Entitlement | None, day: date, used: MutableMapping[CounterKey, int]
) -> tuple[Counted, int, int]:
    """Count a purchase's progress in its rule's tally; return what it counts, what is cleared of it, and all of it."""
    whole, cleared = (progress.total, progress.cleared) if progress else (0, 0)
    key = tally.counter(previous.rule, day)
    counted, promised = count(tally, key, previous.counted, whole=whole, cleared=cleared, used=used)
    earned = counted.earned + spare(key, previous.counted, counted, used)
    return counted, earned, earned + promised


def _limited(
    limits: tuple[Limit, ...],
    held: int,
    granted: int,
    purchase_id: bytes,
    used: Mapping[CounterKey, int],
    reserved: Mapping[CounterKey, int],
) -> tuple[int, str | None]:
    """Return what limits leave of a grant that rises above ``held``, and which of them cut it."""
    binding: str | None = None
    kept = max(0, held)
    for cap, key, most, purchases in limits:
        counter = key or (cap, purchase_id.hex())
        left = most - used.get(counter, 0) - reserved.get(counter, 0)
        if purchases:
            left = granted if kept or left > 0 else 0
        if granted > kept and granted - kept > left:
            granted, binding = kept + max(0, left), cap
    return granted, binding


def _take(
    limits: tuple[Limit, ...], held: int, granted: int, purchase_id: bytes, used: MutableMapping[CounterKey, int]
) -> None:
    """Take what a grant uses from the counters of its limits, less what it used when ``held`` was granted."""
    for cap, key, _, purchases in limits:
        taken = usage(granted, purchases=purchases) - usage(held, purchases=purchases)
        if taken:
            counter = key or (cap, purchase_id.hex())
            used[counter] = used.get(counter, 0) + taken
