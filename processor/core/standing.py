"""Which messages of a purchase still count, after reversals, replacements and expiry.

The middle of the fold: ``core/purchase.py`` hands in the events in the order they were sent and adds up what counts.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from processor.core.event import Event, proportional
from processor.core.lifecycle import AUTHORIZATION_LIFE, TAKES_BACK, AuthorizationState, Effect
from processor.core.links import OPERATIONS
from processor.core.message import MessageKind
from processor.core.money import Money
from processor.core.taken_off import for_goods

LONGEST_CHAIN: Final = 16
"""How many messages may refer to one another in a row; a longer chain is read from its sixteenth."""

DISPUTES: Final = (MessageKind.CHARGEBACK, MessageKind.SECOND_PRESENTMENT, MessageKind.ARBITRATION_CHARGEBACK)
"""The stages of a dispute, in their order."""

DECIDED: Final = frozenset({Effect.AUTHORIZED, Effect.FINAL, Effect.DECLINED})
"""What a host's decision does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """One message that counts, with what its reversals leave of it."""

    event: Event
    amount: Money
    billing: Money | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The messages of a purchase that count after everything that was sent to take others back.

    ``authorized`` and ``final`` hold one message for each authorization; ``closed`` says that presentments have settled
    all that was authorized; ``expired`` and ``reversed`` that something was.
    """

    authorized: tuple[Counted, ...]
    final: tuple[Counted, ...]
    presented: tuple[Counted, ...]
    refunded: tuple[Counted, ...]
    disputes: Mapping[MessageKind, tuple[Counted, ...]]
    closed: bool
    expired: bool
    reversed: bool


@dataclass(slots=True, kw_only=True)
class _Sorting:
    """A purchase's events while they are sorted by what they do."""

    states: dict[str, AuthorizationState] = field(default_factory=dict)
    decided: dict[str, Event] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)
    reversals: dict[str, dict[str, Event]] = field(default_factory=dict)
    credited: dict[str, Event] = field(default_factory=dict)
    cleared: list[Event] = field(default_factory=list)
    withdrawn: Counter[tuple[object, ...]] = field(default_factory=Counter)
    confirmed: dict[frozenset[bytes], bool] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        """Sort one event in; they come in their order, so that of several with one trace the last says the amount."""
        effect = event.effect
        if effect in DECIDED and event.credit:
            if effect is Effect.FINAL:
                self.credited[event.trace] = event
            elif effect is Effect.DECLINED:
                self.credited.pop(event.trace, None)
        elif effect in DECIDED or effect is Effect.REQUESTED:
            self._say(event)
        elif effect is Effect.REVERSED:
            self._reverse(event.original or event.trace, event)
        elif effect in _RECORDED:
            self.cleared.append(event)
        elif effect is Effect.UNCLEARED:
            self.withdrawn[_record(event, TAKES_BACK[event.kind])] += 1
        elif effect is Effect.EXPIRED:
            self.states = {trace: AUTHORIZATION_LIFE[state][effect] for trace, state in self.states.items()}
        elif event.kind in OPERATIONS:
            self.confirmed[frozenset(event.refers_to)] = event.kind is MessageKind.LINK_CONFIRMED

    def lead_reversals(self, events: Sequence[Event]) -> None:
        """Let a reversal take back the authorization that operations confirmed it belongs to."""
        pairs = [pair for pair, confirmed in self.confirmed.items() if confirmed]
        for pair in pairs:
            linked = [event for event in events if event.message_id in pair]
            originals = [event.trace for event in linked if event.trace in self.states and event.effect in DECIDED]
            for event in linked:
                if event.effect is Effect.REVERSED and (event.original or event.trace) not in self.states:
                    for trace in originals:
                        self._reverse(trace, event)

    def _reverse(self, target: str, event: Event) -> None:
        """Let a reversal take back its target; of its request and its answer, the one that says what remains counts."""
        of_target = self.reversals.setdefault(target, {})
        own = event.trace or event.message_id.hex()
        if event.replacement is not None or own not in of_target:
            of_target[own] = event

    def _say(self, event: Event) -> None:
        """Let a message say what has become of its authorization, where that is news."""
        before = self.states.get(event.trace, AuthorizationState.AWAITED)
        after = AUTHORIZATION_LIFE[before][event.effect]
        self.states[event.trace] = after
        if after is AUTHORIZATION_LIFE[AuthorizationState.AWAITED][event.effect]:
            self.decided[event.trace] = event
        if event.original and event.original != event.trace:
            self.parents[event.trace] = event.original

    def chain(self, trace: str) -> list[str]:
        """Return a message's trace, then those it refers to, one through the other; the last is the authorization's.

        Messages that refer to each other in a circle stand alone.
        """
        chain = [trace]
        while (parent := self.parents.get(chain[-1])) is not None and len(chain) < LONGEST_CHAIN:
            if parent in chain:
                return [trace]
            chain.append(parent)
        return chain

    def not_withdrawn(self) -> list[Event]:
        """Return the clearing records that stand: a reversal takes back what bears its acquirer's reference.

        Without one it takes back one record of its amount, the last; another record of that amount has its own.
        """
        if not self.withdrawn:
            return self.cleared
        standing: list[Event] = []
        withdrawn = self.withdrawn.copy()
        for event in reversed(self.cleared):
            record = _record(event, event.kind)
            if not withdrawn[record]:
                standing.append(event)
            elif not event.acquirer_reference:
                withdrawn[record] -= 1
        return _without_void_disputes(standing[::-1], self.cleared)

    def left(self, event: Event, targets: Sequence[str]) -> Counted | None:
        """Return what the reversals of these leave of a message: all, the least replacement amount, or nothing."""
        if event.amount is None:
            return None
        amount, billing = event.amount, event.billing
        for target in targets:
            for reversal in self.reversals.get(target, {}).values():
                amount = _at_most(reversal.replacement, amount)
                billing = None if billing is None else _at_most(_billing_left(event, reversal), billing)
        return Counted(event=event, amount=amount, billing=billing)


_RECORDED: Final = frozenset({Effect.CLEARED, Effect.CHARGED_BACK, Effect.REPRESENTED})


def _record(event: Event, kind: MessageKind) -> tuple[object, ...]:
    """Return what a clearing record and its reversal share; without an acquirer's reference their amount tells.

    A refund may bear the reference of its purchase, so the direction tells the two apart.
    """
    return kind, event.credit, event.acquirer_reference, event.part, None if event.acquirer_reference else event.amount


def _without_void_disputes(standing: Sequence[Event], cleared: Sequence[Event]) -> list[Event]:
    """Leave out disputes of presentments that were taken back, for they say nothing of what was presented instead."""
    presented = {event.acquirer_reference for event in standing if event.effect is Effect.CLEARED}
    void = {event.acquirer_reference for event in cleared if event.effect is Effect.CLEARED} - presented
    return [event for event in standing if event.effect is Effect.CLEARED or event.acquirer_reference not in void]


def _at_most(left: Money | None, money: Money) -> Money:
    amount_minor = min(left.amount_minor, money.amount_minor) if left and left.currency == money.currency else 0
    return Money(amount_minor=amount_minor, currency=money.currency)


def _billing_left(event: Event, reversal: Event) -> Money | None:
    """Return what a reversal leaves of a message's billing amount, None where it leaves nothing.

    A reversal that does not say it, or says it in another currency, leaves the same part as of the transaction amount.
    """
    left, stated = reversal.replacement, reversal.replacement_billing
    if left is None or event.amount is None or event.billing is None:
        return stated
    if stated is not None and stated.currency == event.billing.currency:
        return stated
    return proportional(left, event.amount, event.billing) if left.currency == event.amount.currency else None


def standing_of(ordered: Sequence[Event]) -> Standing:
    """Leave out of a purchase's messages what others have taken back, replaced or let expire."""
    sorting = _Sorting()
    for event in ordered:
        sorting.take(event)
    if sorting.confirmed:
        sorting.lead_reversals(ordered)
    approved = [_goods(entry) for entry in _one_for_each_authorization(sorting)]
    awaited = [entry for entry in approved if entry.event.effect is Effect.AUTHORIZED]
    final = approved if not awaited else [entry for entry in approved if entry.event.effect is Effect.FINAL]
    records = [
        _goods(Counted(event=event, amount=event.amount, billing=event.billing))
        for event in sorting.not_withdrawn()
        if event.amount is not None
    ]
    cleared = [entry for entry in records if entry.event.effect is Effect.CLEARED]
    presented = tuple([entry for entry in cleared if not entry.event.credit])
    left = [sorting.left(event, (trace,)) for trace, event in sorting.credited.items()]
    credited = [_goods(entry) for entry in left if entry is not None]
    return Standing(
        authorized=_unreplaced(awaited),
        final=tuple(final),
        presented=presented,
        refunded=tuple([entry for entry in cleared if entry.event.credit]) or tuple(credited),
        disputes={kind: tuple(e for e in records if e.event.kind is kind) for kind in DISPUTES} if records else {},
        closed=_is_complete([entry.event for entry in presented]),
        expired=AuthorizationState.EXPIRED in sorting.states.values(),
        reversed=bool(sorting.reversals or sorting.withdrawn),
    )


def _goods(entry: Counted) -> Counted:
    """Return a message with what of it is for goods, as nearly all of them say nothing else."""
    event, billing = entry.event, entry.billing
    if not event.taken_off:
        return entry
    amount = for_goods(event, entry.amount)
    if billing is not None:
        billing = amount if billing is entry.amount else for_goods(event, billing)
    return Counted(event=event, amount=amount, billing=billing)


def _one_for_each_authorization(sorting: _Sorting) -> list[Counted]:
    """Return the message that says the amount of each authorization, after reversals.

    Messages that refer to one another, directly or through others, are one authorization: its last completion says the
    amount, a final one before one that awaits clearing.
    A reversal takes back the message it names and all that refer to it: that of a completion brings back what was said
    before it, that of the authorization itself leaves nothing.
    """
    groups: dict[str, Counted] = {}
    for trace, event in sorting.decided.items():
        if sorting.states[trace] not in _APPROVED:
            continue
        *completions, root = sorting.chain(trace)
        undone = completions and sorting.left(event, completions)
        if undone and not undone.amount.amount_minor and not sorting.reversals.keys().isdisjoint(completions):
            continue
        said = sorting.left(event, (*completions, root))
        before = groups.get(root)
        if said and (before is None or (event.effect, event.order) > (before.event.effect, before.event.order)):
            groups[root] = said
    return list(groups.values())


_APPROVED: Final = frozenset({AuthorizationState.AUTHORIZED, AuthorizationState.FINAL})


def _unreplaced(awaited: Sequence[Counted]) -> tuple[Counted, ...]:
    """Return the authorizations that no later one has replaced."""
    replaced_until = max((entry.event.order for entry in awaited if entry.event.supersedes), default=None)
    return tuple(entry for entry in awaited if replaced_until is None or entry.event.order >= replaced_until)


def _is_complete(presented: Sequence[Event]) -> bool:
    """Tell whether presentments have settled the authorization: one that stands alone, or every part of several."""
    if any(event.part is None for event in presented):
        return True
    sequences = {event.part[0] for event in presented if event.part}
    counts = {event.part[1] for event in presented if event.part}
    return bool(counts) and len(sequences) >= max(counts)
