"""Which purchases a new message leaves in its family: which one it joins, which merge, and which part again.

Step two of a decision, behind the event and before the fold.
A family is all purchases of an account whose messages share any trace; ``core/links.py`` says which of its events are
one purchase.
It decides nothing about what a purchase earns.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

from processor.core.event import Event
from processor.core.kept_purchase import Purchase
from processor.core.links import purchases_in


@dataclass(frozen=True, slots=True, kw_only=True)
class Regrouped:
    """A family after a new event.

    ``own`` is the purchase that the event falls into, still without the event.
    ``changed`` are the others whose events are not what they were, ``kept`` those whose events are; ``gone`` gave all
    their events away and must give back what they were granted.
    ``head`` is the id of the purchase that the family's traces lead to.
    """

    own: Purchase
    changed: tuple[Purchase, ...]
    kept: tuple[Purchase, ...]
    gone: tuple[Purchase, ...]
    head: bytes

    @property
    def is_plain(self) -> bool:
        """Tell whether the event only adds to one purchase."""
        return not (self.changed or self.gone)


def regroup(family: Sequence[Purchase], event: Event, new_id: bytes) -> Regrouped:
    """Return the family's purchases with ``event`` among them.

    ``family`` holds the purchases that stand and those that parted once and merged again; ``new_id`` is what a purchase
    is called that begins with the event.
    A group of events goes on as the purchase that it parted into before, or as that of the lowest id among those its
    events come from; never as one that another group parted into, which may part again under that id.
    """
    if not family:
        return Regrouped(own=Purchase(id=new_id), changed=(), kept=(), gone=(), head=new_id)
    standing = sorted((purchase for purchase in family if purchase.merged_into is None), key=lambda entry: entry.id)
    former = {purchase.id: purchase for purchase in family if purchase.merged_into is not None}
    parted = [purchase.id for purchase in family if purchase.parted]
    remaining = list(standing)
    own: Purchase | None = None
    others: list[Purchase] = []
    groups = purchases_in([event, *(entry for purchase in standing for entry in purchase.events)])
    parting = [_parting_id(group) for group in groups] if len(groups) > 1 else [b""]
    for group, own_id in zip(groups, parting, strict=True):
        kept_free = {other for other in parting if other != own_id}
        taken = _taken_over(group, own_id, remaining, kept_free) or _parting(group, own_id, event, new_id, former)
        events = tuple(entry for entry in group if entry.message_id != event.message_id)
        purchase = taken if _same(taken.events, events) else replace(taken, events=events)
        if len(events) < len(group):
            own = purchase
        else:
            others.append(purchase)
    assert own is not None  # noqa: S101 - the event is in one of the groups.
    return _headed(own, others, gone=remaining, before={entry.id: entry for entry in family}, parted=parted)


def _taken_over(
    group: Sequence[Event], own_id: bytes, remaining: list[Purchase], kept_free: Collection[bytes]
) -> Purchase | None:
    """Take the purchase of the group's own id, or the first that any of its events come from, off the list."""
    ids = {event.message_id for event in group}
    for place, purchase in enumerate(remaining):
        if purchase.id == own_id:
            return remaining.pop(place)
    for place, purchase in enumerate(remaining):
        if purchase.id not in kept_free and any(event.message_id in ids for event in purchase.events):
            return remaining.pop(place)
    return None


def _parting_id(group: Sequence[Event]) -> bytes:
    """Return what a purchase is called that a group parts into: no two groups share it."""
    first = min(entry.message_id for entry in group)
    return first[:3] + blake2b(first, digest_size=13, person=b"cobrand-parted").digest()


def _parting(
    group: Sequence[Event], own_id: bytes, event: Event, new_id: bytes, former: dict[bytes, Purchase]
) -> Purchase:
    """Return the purchase that a group parts into: a new one, or the one it parted into before."""
    if len(group) == 1 and group[0].message_id == event.message_id:
        return former.get(new_id) or Purchase(id=new_id, parted=True)
    return replace(former.get(own_id) or Purchase(id=own_id, parted=True), merged_into=None)


def _same(one: Sequence[Event], other: Sequence[Event]) -> bool:
    return {event.message_id for event in one} == {event.message_id for event in other}


def _headed(
    own: Purchase,
    others: Sequence[Purchase],
    *,
    gone: Sequence[Purchase],
    before: dict[bytes, Purchase],
    parted: Sequence[bytes],
) -> Regrouped:
    """Let every purchase of the family know the others: the first one leads to all that ever parted from it."""
    head = min(purchase.id for purchase in (own, *others))
    members = sorted({*parted, *(purchase.id for purchase in (own, *others))} - {head})

    def knowing(purchase: Purchase) -> Purchase:
        if purchase.id == head:
            return replace(purchase, head=None, siblings=tuple(members))
        return replace(purchase, head=head, siblings=())

    named = [knowing(purchase) for purchase in others]
    changed = [entry for entry in named if entry.id not in before or not _same(entry.events, before[entry.id].events)]
    return Regrouped(
        own=knowing(own),
        changed=tuple(changed),
        kept=tuple(entry for entry in named if entry not in changed),
        gone=tuple(gone),
        head=head,
    )
