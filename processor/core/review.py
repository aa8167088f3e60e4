"""Awards held for review: one beyond a velocity limit is granted and held, until operations release or refuse it.

What is held is pending, whatever clears, and nothing once it is refused.
Both are events of the purchase, so that a ruling counts in whatever order it arrives; whether an award is held is found
in the order in which purchases are decided, as for every limit.
"""

from collections.abc import Collection, Iterable, Mapping, MutableMapping

from processor.core.budget import Taken
from processor.core.cap import CounterKey
from processor.core.event import Event
from processor.core.grant import Grant
from processor.core.lifecycle import Effect
from processor.core.velocity import VELOCITY, Velocity, windows_of


def reviewed(
    limits: Iterable[Velocity],
    before: Grant,
    grant: Grant,
    moment: Event,
    used: MutableMapping[CounterKey, int],
    *,
    released: bool,
) -> Grant:
    """Return a grant that counts in its windows, and is held where it rose beyond one of them.

    ``before`` is what it was measured against and what counted until now; what is held stays so until it is released.
    """
    for pool, period, units in before.budgets:
        if pool.endswith(VELOCITY):
            used[pool, period] = used.get((pool, period), 0) - units
    taken: list[Taken] = []
    held_by = before.review if grant.granted > 0 else ""
    for limit in limits:
        counted = _counted(limit, grant.granted)
        names = windows_of(limit, at=moment.at, day=moment.local_date)
        pool = limit.id + VELOCITY
        most = limit.awards if limit.awards is not None else limit.units
        rises = counted > _counted(limit, before.granted)
        if rises and sum(used.get((pool, name), 0) for name in names) + counted > (most or 0):
            held_by = held_by or limit.id
        if counted:
            used[pool, names[0]] = used.get((pool, names[0]), 0) + counted
            taken.append(Taken(pool, names[0], counted))
    available = grant.available if released or not held_by else min(grant.available, 0)
    kept = tuple(entry for entry in grant.budgets if not entry.pool.endswith(VELOCITY))
    return grant._replace(available=available, budgets=(*kept, *taken), review=held_by)


def _counted(limit: Velocity, granted: int) -> int:
    """Return what a grant counts in a window: one award, or its units; a refund that stands alone counts nothing."""
    return max(granted, 0) if limit.units is not None else int(granted > 0)


class Rulings:
    """What operations said about the awards of a purchase: the last word on a rule, or on all of them, counts."""

    def __init__(self, events: Iterable[Event]) -> None:
        said: dict[str, tuple[tuple[int, int, bytes], Effect]] = {}
        for event in events:
            if event.effect in {Effect.RELEASED, Effect.REFUSED}:
                for rule in event.rules or ("",):
                    said[rule] = max(said.get(rule, (event.order, event.effect)), (event.order, event.effect))
        self._said: Mapping[str, tuple[tuple[int, int, bytes], Effect]] = said

    def on(self, rule: str) -> Effect | None:
        """Return whether a rule's award is released or refused, None where nobody has said so."""
        words = [self._said[name] for name in (rule, "") if name in self._said]
        return max(words)[1] if words else None


def refused_in(rules: Iterable[str], events: Iterable[Event]) -> tuple[str, ...]:
    """Return which rules' awards operations have refused, by name."""
    rulings = Rulings(events)
    return tuple(sorted(rule for rule in rules if rulings.on(rule) is Effect.REFUSED))


def held_rules(grants: Iterable[Grant], events: Iterable[Event], rules: Collection[str] = ()) -> tuple[str, ...]:
    """Return the rules of which something is held; ``rules`` are those that are asked about, none meaning all."""
    held = {grant.rule for grant in grants if grant.review and (not rules or grant.rule in rules)}
    if not held:
        return ()
    rulings = Rulings(events)
    return tuple(sorted(rule for rule in held if rulings.on(rule) is None))
