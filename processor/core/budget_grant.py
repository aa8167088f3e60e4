"""What a grant takes of the limits that it draws on, as far as they have it: they are asked behind the plain caps.

What a grant took is kept with it, so that undo gives back exactly that, whatever a later revision says.
"""

from collections.abc import Mapping, MutableMapping, Sequence
from typing import NamedTuple

from processor.core.budget import HOLDERS, Headroom, PoolKey, Taken
from processor.core.cap import CounterKey
from processor.core.draw import Counts, Draw
from processor.core.velocity import VELOCITY


class Limited(NamedTuple):
    """What limits leave of a grant, the one that cut it, and all that the grant holds of them."""

    granted: int
    cut_by: str | None
    taken: tuple[Taken, ...]


def within_draws(
    draws: Sequence[Draw],
    *,
    held: int,
    wanted: int,
    before: Sequence[Taken],
    used: MutableMapping[CounterKey, int],
    reserved: Mapping[CounterKey, int],
    headroom: Headroom | None,
) -> Limited:
    """Limit a rule's grant by what it draws on, in that order, and take what it changes.

    ``held`` was granted before, ``wanted`` is what entitlement and plain caps leave, ``before`` what it held.
    What it held of a limit that counts it no more, because another party pays in another currency, is given back.
    ``used`` are the account's counters, of which ``reserved`` is what quotes of other purchases hold; for each pool of
    holders it counts what the account was granted; only what is above zero counts.
    """
    old = {(entry.pool, entry.period): entry.units for entry in before}
    granted, cut_by = wanted, None
    for draw in draws:
        most = _most(draw, old, used, reserved, headroom)
        if most is not None and granted > most:
            granted = min(max(held, 0), most) if draw.refuses else most
            cut_by = draw.limit
    taken: list[Taken] = []
    for draw in draws:
        units = draw.units(granted)
        _change(draw.key, units - old.pop(draw.key, 0), used, headroom)
        if units:
            taken.append(Taken(*draw.key, units))
    left = [Taken(*key, units) for key, units in old.items() if not key[0].endswith(VELOCITY)]
    give_back(left, used, headroom)
    return Limited(granted, cut_by, tuple(taken))


def give_back(taken: Sequence[Taken], used: MutableMapping[CounterKey, int], headroom: Headroom | None) -> None:
    """Give back to limits and windows all that a grant holds of them."""
    for pool, period, units in taken:
        _change((pool, period), -units, used, headroom)


def _change(key: PoolKey, units: int, used: MutableMapping[CounterKey, int], headroom: Headroom | None) -> None:
    """Take units of a pool; an account takes one place with its first, and gives it back with its last.

    A window of a velocity limit, and a cap's own counter, are counters of the account and nothing else.
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
    draw: Draw,
    old: Mapping[PoolKey, int],
    used: Mapping[CounterKey, int],
    reserved: Mapping[CounterKey, int],
    headroom: Headroom | None,
) -> int | None:
    """Return the most that a grant can be, None where nothing limits it."""
    if draw.is_own:
        left: int | None = draw.size - used.get(draw.key, 0) - reserved.get(draw.key, 0)
    else:
        left = None if headroom is None else headroom.of(draw.key, draw.size)
    if left is None:
        return None
    return draw.most(left, (used if draw.counts is Counts.HOLDERS else old).get(draw.key, 0))


def left_by(draws: Sequence[Draw], cut_by: str, *, granted: int) -> dict[PoolKey, int] | None:
    """Return what a limit had left of all that it counts, as far as that follows from a grant it cut.

    None where it can have had no such rest; what a shared one has in all may have changed since.
    """
    left: dict[PoolKey, int] = {}
    for draw in draws:
        if draw.limit != cut_by:
            continue
        if draw.counts is not Counts.UNITS:
            left[draw.key] = 0 if granted <= 0 else 1
        else:
            left[draw.key] = draw.units(granted)
        if draw.is_own and left[draw.key] > draw.size:
            return None
    return left or None
