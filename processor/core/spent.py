"""What happens where a holder has no longer what a refund takes back: who keeps it, and who stays charged for it.

Behind the grant, in commit order: it looks at the account's available balance under its lock, and never at entitled.
What is kept is remembered with the purchase and its funder, so that a later award of the same rule there, such as a
refund that is taken back, gives back first what was kept, and nobody gains twice.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from processor.core.posting import MEMBER_AVAILABLE, Posting, Template, move, party_kept
from processor.core.rule import Spent


class Kept(NamedTuple):
    """Miles of a purchase that its refunds took back and its holder has all the same, at a funder's cost."""

    rule: str
    unit: str
    funder: str
    units: int


class Change(NamedTuple):
    """What a decision changes of the miles that a rule made available; ``spent`` is the rule's policy for a fall."""

    rule: str
    unit: str
    funder: str
    spent: Spent
    available_change: int


@dataclass(slots=True, kw_only=True)
class Balance:
    """An account's available miles while a message is decided."""

    available: int


class Settled(NamedTuple):
    """What a purchase's holder keeps behind a decision, and the postings that give or take what is kept."""

    kept: tuple[Kept, ...]
    postings: tuple[Posting, ...]


def settle(before: Sequence[Kept], changes: Iterable[Change], balance: Balance) -> Settled:
    """Return what is kept of a purchase after its rules' changes, and bring the balance up to date.

    A rise gives back first what was kept of its rule; a fall is kept by the rule's policy: all of it, or as much of it
    as would bring the balance below nothing, or further below than it was.
    """
    changed = [change for change in changes if change.available_change]
    kept = {(entry.rule, entry.unit, entry.funder): entry.units for entry in before}
    floor = min(0, balance.available)
    after = balance.available + sum(change.available_change for change in changed)
    for change in changed:
        after -= _given_back(kept, change)
    for change in changed:
        fall = -change.available_change
        if fall > 0 and change.spent is not Spent.NEGATIVE:
            units = fall if change.spent is Spent.PENDING else min(fall, max(0, floor - after))
            key = change.rule, change.unit, change.funder
            kept[key] = kept.get(key, 0) + units
            after += units
    balance.available = after
    now = tuple([Kept(*key, units) for key, units in sorted(kept.items()) if units])
    return Settled(now, tuple(kept_postings(before, now)))


def take_over(own: Sequence[Kept], others: Sequence[Kept], balance: Balance) -> Settled:
    """Return what is kept of a purchase that takes over others, with what was kept of those.

    The balance has it again, which the others gave back when they were withdrawn.
    """
    if not others:
        return Settled(tuple(own), ())
    kept: dict[tuple[str, str, str], int] = {}
    for rule, unit, funder, units in (*own, *others):
        kept[rule, unit, funder] = kept.get((rule, unit, funder), 0) + units
    balance.available += sum(entry.units for entry in others)
    now = tuple([Kept(*key, units) for key, units in sorted(kept.items())])
    return Settled(now, tuple(kept_postings(own, now)))


def _given_back(kept: dict[tuple[str, str, str], int], change: Change) -> int:
    """Take what a rise gives back off what was kept of its rule, whoever paid for it, and return how much it is."""
    rise = left = max(0, change.available_change)
    for key in sorted(key for key in kept if key[:2] == (change.rule, change.unit)):
        units = min(left, kept[key])
        kept[key] -= units
        left -= units
    return rise - left


def kept_postings(before: Iterable[Kept], after: Iterable[Kept]) -> Iterator[Posting]:
    """Yield the postings that turn what is kept of a purchase into something else."""
    units = {(entry.rule, entry.unit, entry.funder): -entry.units for entry in before}
    for entry in after:
        key = entry.rule, entry.unit, entry.funder
        units[key] = units.get(key, 0) + entry.units
    for (rule, unit, funder), change in sorted(units.items()):
        yield from move(Template.MILES_KEPT, party_kept(funder), MEMBER_AVAILABLE, unit, change, rule)
