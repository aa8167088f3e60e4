"""Which messages are of one purchase: what ties them, how surely, and how an account's events fall into purchases.

Messages that share any trace are one family; a family is one purchase unless its messages contradict each other.
Stronger ties are followed first, and a weaker one never joins what a stronger one, or operations, keeps apart.
The purchases of a family are a pure function of its events, so the order of arrival does not matter.
A trace's kind stands before its value, so that values of different kinds never meet.
"""

from collections.abc import Collection, Iterable, Sequence
from enum import IntEnum
from hashlib import blake2b
from typing import Final

from processor.core.event import CLEARING_KINDS, Event
from processor.core.message import CardMessage, MessageKind

SURVIVES_S: Final = 60 * 86_400
"""How far apart, in seconds, two messages may lie that only a reference ties which networks use again."""


class Confidence(IntEnum):
    """How surely a tie says that two messages are of one purchase, the surest first.

    Up to ``PROBABLE`` a tie acts by itself; a ``WEAK`` one waits until operations confirm it.
    """

    LIFECYCLE = 1
    """The network's own life cycle identification."""
    REFERENCE = 2
    """A message names the other (original data elements), or both bear one acquirer's reference (DE31)."""
    STRONG = 3
    """One approval code (DE38) at one card acceptor."""
    PROBABLE = 4
    """One retrieval reference (DE37) or trace number (DE11) at one card acceptor, where its dialect lets it survive."""
    WEAK = 5
    """One amount at one card acceptor, within days."""


Trace = tuple[Confidence, str]
"""What ties a message to others: how surely, and the kind and value as text."""


def _traces(
    *,
    lifecycle: str,
    original: str,
    trace: str,
    acquirer_reference: str,
    approval: str,
    retrieval: str,
    trace_number: str,
    acceptor: str,
) -> list[Trace]:
    traces: list[Trace] = []
    if lifecycle:
        traces.append((Confidence.LIFECYCLE, f"lifecycle/{lifecycle}"))
    if original:
        traces.append((Confidence.REFERENCE, f"network/{original}"))
    if trace and trace != original:
        traces.append((Confidence.REFERENCE, f"network/{trace}"))
    if acquirer_reference:
        traces.append((Confidence.REFERENCE, f"acquirer/{acquirer_reference}"))
    if acceptor:
        if approval:
            traces.append((Confidence.STRONG, f"approval/{approval}/{acceptor}"))
        if retrieval:
            traces.append((Confidence.PROBABLE, f"retrieval/{retrieval}/{acceptor}"))
        if trace_number:
            traces.append((Confidence.PROBABLE, f"trace-number/{trace_number}/{acceptor}"))
    return traces


def traces_of(message: CardMessage, surviving: Collection[str]) -> tuple[Trace, ...]:
    """Return a message's traces, the strongest first.

    ``surviving`` names the references that the message's dialect says an authorization shares with its clearing
    record: ``lifecycle_id``, ``approval_code``, ``retrieval_reference``, ``trace_number``.
    An approval code, a retrieval reference or a trace number counts only together with the card acceptor, because
    issuers and acquirers use them again.
    """
    return tuple(
        _traces(
            lifecycle=message.lifecycle_id if "lifecycle_id" in surviving else "",
            original=message.original_trace or "",
            trace=message.trace,
            acquirer_reference=message.acquirer_reference if message.kind in CLEARING_KINDS else "",
            approval=message.approval_code if "approval_code" in surviving else "",
            retrieval=message.retrieval_reference if "retrieval_reference" in surviving else "",
            trace_number=message.trace_number if "trace_number" in surviving else "",
            acceptor=message.acceptor,
        )
    )


def trace_hashes(message: CardMessage, surviving: Collection[str]) -> tuple[bytes, ...]:
    """Return the 16 bytes each of a message's traces is kept as.

    A message without any is its own only trace, unless it names the messages that it is about.
    """
    values = [value for _, value in traces_of(message, surviving)]
    if not values and not message.refers_to:
        values = [f"message/{message.message_id.hex()}"]
    return tuple([blake2b(value.encode(), digest_size=16, person=b"cobrand-trace").digest() for value in values])


def traces_of_event(event: Event) -> list[Trace]:
    """Return the traces of a message that is kept as an event of its purchase."""
    return _traces(
        lifecycle=event.lifecycle,
        original=event.original,
        trace=event.trace,
        acquirer_reference=event.acquirer_reference if event.kind in CLEARING_KINDS else "",
        approval=event.approval,
        retrieval=event.retrieval,
        trace_number=event.trace_number,
        acceptor=event.acceptor,
    )


def purchases_in(events: Iterable[Event]) -> list[tuple[Event, ...]]:
    """Return the purchases that a family's events fall into, each in its order, the earliest first."""
    ordered = sorted(events, key=lambda event: event.order)
    if _is_plain(ordered):
        return [tuple(ordered)]
    groups = _Groups(ordered)
    for confidence in (Confidence.LIFECYCLE, Confidence.REFERENCE, Confidence.STRONG, Confidence.PROBABLE):
        groups.follow(confidence)
        if confidence is Confidence.LIFECYCLE:
            groups.follow_operations()
    return groups.purchases()


def ties_of(events: Iterable[Event], first: bytes) -> dict[bytes, Confidence]:
    """Return how surely each of the events is tied to the first, directly or through others.

    What operations said is left aside: what only they tie is ``WEAK``, an event of theirs itself a ``REFERENCE``.
    Events that nothing ties to the first are left out, and so is the first.
    """
    ordered = sorted(events, key=lambda event: event.order)
    groups = _Groups([event for event in ordered if event.kind not in OPERATIONS])
    ties: dict[bytes, Confidence] = {}
    for confidence in (Confidence.LIFECYCLE, Confidence.REFERENCE, Confidence.STRONG, Confidence.PROBABLE):
        groups.follow(confidence)
        for message_id in groups.with_event(first):
            ties.setdefault(message_id, confidence)
    together = next((group for group in purchases_in(ordered) if any(e.message_id == first for e in group)), ())
    for event in together:
        ties.setdefault(event.message_id, Confidence.REFERENCE if event.refers_to else Confidence.WEAK)
    ties.pop(first, None)
    return ties


def _is_plain(ordered: Sequence[Event]) -> bool:
    """Tell whether nothing can keep the events of a family apart, as nothing does in nearly all of them."""
    first = ordered[0]
    if ordered[-1].at - first.at > SURVIVES_S:
        return False
    named = ""
    for event in ordered:
        if event.kind in OPERATIONS:
            return False
        if event.lifecycle and event.lifecycle != named:
            if named:
                return False
            named = event.lifecycle
    return True


OPERATIONS: Final = frozenset({MessageKind.LINK_CONFIRMED, MessageKind.LINK_BROKEN})
"""Events by which operations tie two messages, or keep them apart; of several on the same two the last one counts."""


class _Groups:
    """A family's events while they are joined; each group has what may keep it from another."""

    def __init__(self, ordered: Sequence[Event]) -> None:
        self._ordered = ordered
        self._parent = list(range(len(ordered)))
        self._lifecycles = [{event.lifecycle} - {""} for event in ordered]
        self._places = {event.message_id: place for place, event in enumerate(ordered)}
        self._confirmed, self._broken = self._said_by_operations()

    def _said_by_operations(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        latest: dict[frozenset[int], MessageKind] = {}
        for event in self._ordered:
            if event.kind in OPERATIONS and all(named in self._places for named in event.refers_to):
                pair = frozenset(self._places[named] for named in event.refers_to)
                latest[pair] = event.kind
        pairs = {kind: [_pair(pair) for pair, said in latest.items() if said is kind] for kind in OPERATIONS}
        return sorted(pairs[MessageKind.LINK_CONFIRMED]), sorted(pairs[MessageKind.LINK_BROKEN])

    def follow_operations(self) -> None:
        """Join what operations confirmed, and put each event about other messages into the group of the first."""
        for one, other in self._confirmed:
            self._join(self._find(one), self._find(other))
        for place, event in enumerate(self._ordered):
            about = [self._places[named] for named in event.refers_to if named in self._places]
            if about:
                self._join(self._find(about[0]), self._find(place))

    def follow(self, confidence: Confidence) -> None:
        """Join the groups that share a trace of this confidence, each to the nearest before it that nothing forbids."""
        sharing: dict[str, list[int]] = {}
        for place, event in enumerate(self._ordered):
            for strength, value in traces_of_event(event):
                if strength is confidence:
                    sharing.setdefault(value, []).append(place)
        for value in sorted(sharing):
            before: list[int] = []
            for place in sharing[value]:
                near = next((other for other in reversed(before) if self._may_join(other, place, confidence)), None)
                if near is not None:
                    self._join(self._find(near), self._find(place))
                before.append(place)

    def _may_join(self, one: int, other: int, confidence: Confidence) -> bool:
        group, joining = self._find(one), self._find(other)
        if group == joining:
            return True
        apart_s = abs(self._ordered[one].at - self._ordered[other].at)
        if confidence >= Confidence.STRONG and apart_s > SURVIVES_S:
            return False
        known, theirs = self._lifecycles[group], self._lifecycles[joining]
        if known and theirs and known.isdisjoint(theirs):
            return False
        return not any({self._find(first), self._find(second)} == {group, joining} for first, second in self._broken)

    def _find(self, place: int) -> int:
        while self._parent[place] != place:
            place = self._parent[place]
        return place

    def _join(self, group: int, joining: int) -> None:
        low, high = min(group, joining), max(group, joining)
        if low != high:
            self._parent[high] = low
            self._lifecycles[low] |= self._lifecycles[high]

    def with_event(self, message_id: bytes) -> list[bytes]:
        """Return the ids of the events in one event's group."""
        group = self._find(self._places[message_id])
        return [event.message_id for place, event in enumerate(self._ordered) if self._find(place) == group]

    def purchases(self) -> list[tuple[Event, ...]]:
        """Return the groups."""
        found: dict[int, list[Event]] = {}
        for place, event in enumerate(self._ordered):
            found.setdefault(self._find(place), []).append(event)
        return [tuple(events) for events in found.values()]


def _pair(places: frozenset[int]) -> tuple[int, int]:
    return min(places), max(places)
