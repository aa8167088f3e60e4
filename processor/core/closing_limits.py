"""What a simulation leaves of limits that accounts share: budgets, and the caps of households."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from processor.core.budget import HOLDERS, Headroom, pools_of
from processor.core.cap import CounterKey
from processor.core.draw import counted_in
from processor.core.household import cap_in
from processor.core.programme import Programme


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosingBudget:
    """What all accounts together took of a budget in one period, and what is left of it.

    ``counts`` is the unit that it counts: the programme's miles, a currency's minor units, or holders.
    """

    budget: str
    counts: str
    period: str
    used: int
    left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosingHousehold:
    """What all accounts of a household together took of a cap in one period, and what is left of it.

    ``counts`` is the unit that it counts: the programme's miles, a currency's minor units, purchases or rewards.
    """

    household: str
    cap: str
    counts: str
    period: str
    used: int
    left: int


def closing_budgets(ordered: Sequence[Programme], headroom: Headroom) -> Iterator[ClosingBudget]:
    """Yield what was taken of each pool that anything was asked of, in the order of their names."""
    known = {
        pool: (budget, size)
        for programme in ordered
        for budget in programme.budgets
        for pool, size in pools_of(budget).items()
    }
    for (pool, period), used in sorted(headroom.taken.items()):
        budget, size = known[pool]
        counts = "holders" if pool.endswith(HOLDERS) else budget.currency or ordered[-1].unit
        yield ClosingBudget(budget=budget.id, counts=counts, period=period, used=used, left=size - used)


def closing_households(
    ordered: Sequence[Programme], households: Mapping[str, Mapping[CounterKey, int]]
) -> Iterator[ClosingHousehold]:
    """Yield what each household has used of each cap, in the order of their names."""
    caps = {cap.id: (cap, counted_in(programme, cap)) for programme in ordered for cap in programme.caps}
    for household, counters in sorted(households.items()):
        for (counter, period), used in sorted(counters.items()):
            cap, counts = caps[cap_in(counter)]
            yield ClosingHousehold(
                household=household, cap=cap.id, counts=counts, period=period, used=used, left=cap.limit - used
            )


def limits_as_data(budgets: Sequence[ClosingBudget], households: Sequence[ClosingHousehold]) -> dict[str, Any]:
    """Return what is left of shared limits as JSON would hold it; without such limits there is nothing."""
    stated: dict[str, Sequence[ClosingBudget | ClosingHousehold]] = {"budgets": budgets, "households": households}
    return {name: [asdict(entry) for entry in entries] for name, entries in stated.items() if entries}
