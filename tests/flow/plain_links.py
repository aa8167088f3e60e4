"""A plain model of what is one purchase: all messages of an account at once, joined by what they share.

docs/purchase.md, "What is one purchase", says the rules: the surer tie first, and a weaker one never joins what a surer
one, or operations, keeps apart.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import timedelta
from typing import Final

from processor.core.message import CardMessage, MessageKind

USED_AGAIN_AFTER: Final = timedelta(days=60)
CERTAIN: Final = ("life cycle", "reference")
SURENESS: Final = (*CERTAIN, "approval", "survivor")
RULINGS: Final = (MessageKind.LINK_CONFIRMED, MessageKind.LINK_BROKEN)

Value = tuple[str, ...]


def in_order(messages: Sequence[CardMessage]) -> list[CardMessage]:
    """Return messages by the second they were sent in, kind and id."""
    return sorted(messages, key=lambda entry: (int(entry.transmitted_at.timestamp()), entry.kind, entry.message_id))


def purchases_among(messages: Sequence[CardMessage], surviving: Collection[str]) -> list[list[CardMessage]]:
    """Return the messages of each purchase of an account, in their order."""
    ordered = in_order(messages)
    groups = _Groups(ordered, surviving)
    for sureness in SURENESS:
        groups.follow(sureness)
        if sureness == "life cycle":
            groups.follow_operations()
    return [[entry for entry in ordered if entry.message_id in group] for group in groups.groups]


def _shared(message: CardMessage, sureness: str, surviving: Collection[str]) -> Iterator[Value]:
    """Yield what a message has in common with others of its purchase, of one sureness."""
    kept = {name: getattr(message, name) if name in surviving else "" for name in ("lifecycle_id", "approval_code")}
    match sureness:
        case "life cycle" if kept["lifecycle_id"]:
            yield (kept["lifecycle_id"],)
        case "reference":
            yield from {("network", name) for name in (message.trace, message.original_trace) if name}
            if message.acquirer_reference:
                yield "acquirer", message.acquirer_reference
        case "approval" if message.acceptor and kept["approval_code"]:
            yield kept["approval_code"], message.acceptor
        case "survivor" if message.acceptor:
            for name in ("retrieval_reference", "trace_number"):
                if name in surviving and getattr(message, name):
                    yield name, getattr(message, name), message.acceptor


class _Groups:
    """Sets of message ids, which grow together."""

    def __init__(self, ordered: Sequence[CardMessage], surviving: Collection[str]) -> None:
        self.ordered = ordered
        self.surviving = surviving
        self.groups = [{entry.message_id} for entry in ordered]
        self.named = {entry.message_id: entry.lifecycle_id for entry in ordered if "lifecycle_id" in surviving}
        rulings = {frozenset(entry.refers_to): entry.kind for entry in ordered if entry.kind in RULINGS}
        self.confirmed = [pair for pair, kind in rulings.items() if kind is MessageKind.LINK_CONFIRMED]
        self.broken = [pair for pair, kind in rulings.items() if kind is MessageKind.LINK_BROKEN]

    def of(self, message_id: bytes) -> set[bytes]:
        """Return the group that a message is in."""
        return next(group for group in self.groups if message_id in group)

    def unite(self, one: bytes, other: bytes) -> None:
        """Make the groups of two messages one."""
        taken = self.of(other)
        if one not in taken:
            self.groups.remove(taken)
            self.of(one).update(taken)

    def follow_operations(self) -> None:
        """Join what operations confirmed, and put what is about other messages beside the first of them."""
        for pair in self.confirmed:
            self.unite(min(pair), max(pair))
        for entry in self.ordered:
            if entry.refers_to:
                self.unite(entry.refers_to[0], entry.message_id)

    def follow(self, sureness: str) -> None:
        """Join each message to the nearest one before it that shares a value, unless something keeps the two apart."""
        values = {value for entry in self.ordered for value in _shared(entry, sureness, self.surviving)}
        for value in sorted(values):
            sharing = [entry for entry in self.ordered if value in _shared(entry, sureness, self.surviving)]
            for place, entry in enumerate(sharing):
                free = [before for before in sharing[:place] if self.may_join(before, entry, sureness)]
                if free:
                    self.unite(free[-1].message_id, entry.message_id)

    def may_join(self, one: CardMessage, other: CardMessage, sureness: str) -> bool:
        """Tell whether nothing keeps the groups of two messages apart."""
        first, second = self.of(one.message_id), self.of(other.message_id)
        if first is second:
            return True
        if sureness not in CERTAIN and other.transmitted_at - one.transmitted_at > USED_AGAIN_AFTER:
            return False
        lifecycles = [{self.named.get(found, "") for found in group} - {""} for group in (first, second)]
        if all(lifecycles) and lifecycles[0].isdisjoint(lifecycles[1]):
            return False
        return not any(pair & first and pair & second and pair <= first | second for pair in self.broken)
