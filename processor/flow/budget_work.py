"""What one batch takes of budgets and gives back to them, collected in memory until the shares are locked.

The pure decision sees what is left anywhere of the budgets that are scarce, and takes of all others as if they had
enough; whether the shares of the batch's buckets hold what it took is found when they are locked.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from processor.core.budget import Headroom, PoolKey
from processor.core.budget_shares import Change
from processor.store.budget import BudgetKey, Hold, ShareKey
from processor.store.card_side import AccountRow

HELD: Final = "budget:"
"""What begins the name, in an account's reservations, of a pool that a quote holds units of."""


@dataclass(slots=True, kw_only=True)
class BudgetWork:
    """The budgets of one batch's programmes.

    ``left`` is what scarce pools have left anywhere, by programme, less what this batch took.
    ``changes`` says, by pool and bucket, what shares change by; ``dropped`` and ``kept`` are holds of quotes.
    """

    now: datetime
    left: dict[str, dict[PoolKey, int]]
    changes: dict[BudgetKey, dict[int, Change]] = field(default_factory=dict)
    dropped: list[tuple[ShareKey, bytes]] = field(default_factory=list)
    kept: list[Hold] = field(default_factory=list)

    def headroom(self, account: AccountRow, own: Collection[bytes]) -> Headroom:
        """Return what is left for a decision; what quotes of the purchases in ``own`` hold is theirs to take."""
        left = dict(self.left.get(account.programme or "", {}))
        if left:
            for holder, name, period, units, expires in account.reservations:
                key = (name.removeprefix(HELD), period)
                if key in left and is_hold(name) and self._is_live(expires) and bytes.fromhex(holder) in own:
                    left[key] += units
        return Headroom(left=left)

    def take(self, account: AccountRow, headroom: Headroom) -> None:
        """Let what a decision took count."""
        for key, units in headroom.taken.items():
            if units:
                self._change(account, key, used=units)

    def drop_hold(self, account: AccountRow, reservation: list[Any]) -> None:
        """Give back what a quote held, which has its outcome now or is out of date."""
        holder, name, period, units, expires = reservation
        key = (name.removeprefix(HELD), period)
        self.dropped.append(((account.bucket, account.programme or "", *key), bytes.fromhex(holder)))
        self._change(account, key, held=-units if self._is_live(expires) else 0)

    def keep_hold(self, account: AccountRow, purchase: bytes, key: PoolKey, units: int, expires: int) -> None:
        """Hold units for a quote of a purchase until a time in seconds since 1970."""
        share = (account.bucket, account.programme or "", *key)
        expires_at = datetime.fromtimestamp(expires, UTC)
        self.kept.append(Hold(share=share, purchase=purchase, units=units, expires_at=expires_at))
        self._change(account, key, held=units)

    def _is_live(self, expires: int) -> bool:
        return expires > self.now.timestamp()

    def _change(self, account: AccountRow, key: PoolKey, *, used: int = 0, held: int = 0) -> None:
        programme = account.programme or ""
        of_pool = self.changes.setdefault((programme, *key), {})
        before = of_pool.get(account.bucket, Change())
        of_pool[account.bucket] = Change(used=before.used + used, held=before.held + held)
        left = self.left.get(programme, {})
        if key in left:
            left[key] -= used + held


def is_hold(name: str) -> bool:
    """Tell whether a reservation is of a budget rather than of a cap."""
    return name.startswith(HELD)


def shares_of(changes: Mapping[BudgetKey, Mapping[int, Change]]) -> list[ShareKey]:
    """Return the keys of all shares that change, in their order."""
    return sorted((bucket, *key) for key, of_pool in changes.items() for bucket in of_pool)
