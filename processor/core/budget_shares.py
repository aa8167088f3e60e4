"""How a budget's units lie: what is left in a pool, and a share for each bucket that has asked.

What is not in the pool is reserved by some share, so that the pool and all reserves are the budget's size at all times.
A batch changes the shares of its own buckets; only a rebalance moves units between pool and shares.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

CLOSED: Final = -1
"""The size in a share that may give nothing: one that never got any, or of a budget that is overdrawn."""
STEPS: Final = 32
"""A share that is short gets this part of the pool: it lasts for many shares, and steps shrink towards its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one bucket has of a pool: ``used`` is granted, ``held`` is what open quotes hold; both are reserved.

    ``size`` is that of the budget when the share was last looked at with its pool: where it is no longer, the share
    gives nothing before a rebalance.
    """

    size: int = CLOSED
    reserved: int = 0
    used: int = 0
    held: int = 0

    @property
    def free(self) -> int:
        """Reserved, and neither granted nor held."""
        return self.reserved - self.used - self.held


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a batch changes in one share."""

    used: int = 0
    held: int = 0

    @property
    def units(self) -> int:
        """What the share must have free for it, or gets back where it is below zero."""
        return self.used + self.held


def settle(shares: Mapping[int, Share], changes: Mapping[int, Change], size: int) -> dict[int, Share] | int:
    """Return the shares of a batch's buckets after it, or how many units they lack together.

    Buckets of one batch help each other out, and what one of them gives back another may take.
    A share of another size lends nothing, and what its bucket takes is lent to it, unless the batch takes no more than
    it gives back.
    """
    asked = sum(change.units for change in changes.values())
    lacking: dict[int, int] = {}
    lent: dict[int, int] = {}
    after: dict[int, Share] = {}
    for bucket, share in shares.items():
        change = changes[bucket]
        moved = after[bucket] = replace(share, used=share.used + change.used, held=share.held + change.held)
        if asked > 0 and share.size != size:
            lacking[bucket] = max(0, change.units, -moved.free)
        else:
            lacking[bucket], lent[bucket] = max(0, -moved.free), max(0, moved.free)
    missing = sum(lacking.values())
    if missing > sum(lent.values()):
        return missing - sum(lent.values())
    for bucket, units in lent.items():
        part = min(missing, units)
        missing -= part
        lacking[bucket] -= part
    return {bucket: replace(share, reserved=share.reserved + lacking[bucket]) for bucket, share in after.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """What no share has reserved; below zero where the budget was made smaller than what is granted."""

    size: int
    remaining: int


def step(pool: Pool, share: Share, units: int) -> tuple[Pool, Share] | None:
    """Let a share of the pool's size have ``units`` free, and some more; None where the pool alone cannot."""
    lacking = max(0, units - share.free)
    if pool.remaining < lacking:
        return None
    taken = max(lacking, min(pool.remaining, -(-pool.remaining // STEPS))) if lacking else 0
    given = replace(share, size=pool.size, reserved=share.reserved + taken)
    return replace(pool, remaining=pool.remaining - taken), given


def collect(
    pool: Pool, shares: Mapping[int, Share], size: int, *, bucket: int, units: int, leased: Iterable[int]
) -> tuple[Pool, dict[int, Share]]:
    """Take back what other shares have free, bring the size up to date, and give one bucket up to ``units`` free.

    What the shares of ``leased`` buckets have free stays there, unless the budget is overdrawn or its size has changed.
    """
    spared = {*leased, bucket} if pool.size == size and pool.remaining >= 0 else set[int]()
    after = dict(shares)
    remaining = pool.remaining + size - pool.size
    for other, share in shares.items():
        if other not in spared:
            remaining += share.free
            after[other] = replace(share, reserved=share.reserved - share.free)
    own = after.get(bucket, Share())
    given = max(0, min(units - own.free, remaining))
    after[bucket] = replace(own, reserved=own.reserved + given)
    remaining -= given
    stamp = CLOSED if remaining < 0 else size
    return Pool(size=size, remaining=remaining), {key: replace(share, size=stamp) for key, share in after.items()}
