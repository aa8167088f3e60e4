"""Budgets: what all accounts together may be granted, and how many accounts may be granted anything.

A decision gets what is left of them as a value and says what it took; where their parts lie is the store's business
and not known here.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from processor.core.cap import CapPeriod

PoolKey = tuple[str, str]
"""What a budget counts by: its pool, and the period, as ``calendar_period`` names it.

The pool of its miles or money has the budget's identifier, that of its holders the identifier and ``HOLDERS``.
"""
HOLDERS: Final = "/holders"
"""What ends the name of a pool that counts accounts, and of the counter of what one of them was granted."""


class AtEdge(StrEnum):
    """What an award gets that asks for more than a budget has left: what is left, or nothing."""

    PARTIAL = "partial"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How much the rules it names may grant all accounts together in one period, and to how many accounts.

    ``limit`` counts miles, or minor units of ``currency``, in which miles count by what their funder pays for them.
    ``holders`` is how many accounts may be granted something; at least one of the two is stated.
    """

    id: str
    rules: frozenset[str]
    period: CapPeriod
    limit: int | None
    currency: str | None
    at_edge: AtEdge
    holders: int | None


class Taken(NamedTuple):
    """What one grant holds of a pool; of a pool of holders it is what counts for its account."""

    pool: str
    period: str
    units: int


@dataclass(slots=True, kw_only=True)
class Headroom:
    """What is left of pools, and what decisions have taken of them since: below zero is given back.

    ``left`` names the pools that are scarce; any other has enough, or is ``untouched`` and has all of its size.
    """

    left: dict[PoolKey, int] = field(default_factory=dict)
    taken: dict[PoolKey, int] = field(default_factory=dict)
    untouched: bool = False

    def of(self, key: PoolKey, size: int) -> int | None:
        """Return what is left of a pool, None where it has enough."""
        left = self.left.get(key)
        return size - self.taken.get(key, 0) if left is None and self.untouched else left

    def take(self, key: PoolKey, units: int) -> None:
        """Take units of a pool, or give back where they are below zero."""
        self.taken[key] = self.taken.get(key, 0) + units
        if key in self.left:
            self.left[key] -= units

    def copy(self) -> "Headroom":
        """Return headroom of its own, for a decision that books nothing."""
        return Headroom(left=dict(self.left), taken=dict(self.taken), untouched=self.untouched)

    def held_beyond(self, other: "Headroom") -> dict[PoolKey, int]:
        """Return what was taken here and not there, of each pool."""
        beyond = {key: units - other.taken.get(key, 0) for key, units in self.taken.items()}
        return {key: units for key, units in beyond.items() if units > 0}


def pools_of(budget: Budget) -> dict[str, int]:
    """Return the size of each of a budget's pools."""
    sizes = {budget.id: budget.limit, budget.id + HOLDERS: budget.holders}
    return {pool: size for pool, size in sizes.items() if size is not None}
