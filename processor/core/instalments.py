"""Instalments that earn at once: what is still to be billed counts as cleared from the first part that is billed.

Without it each part earns as it is billed, and what is left of the authorization stays pending.
It is a function of the purchase's events, so that the order in which parts arrive changes nothing.
"""

from collections.abc import Iterator, Sequence

from processor.core.event import Event
from processor.core.located_document import DocumentError, LocatedDocument
from processor.core.purchase import Folded
from processor.core.standing import standing_of

AT_ONCE = "at-once"
"""What ``purchases.instalments`` says in a programme document; ``as-billed`` where it says nothing."""


def at_once(events: Sequence[Event], folded: Folded) -> Folded:
    """Return a folded purchase whose open amounts have cleared, where a part of several was billed and stands.

    What reversals or an expiry leave of the authorization later takes back what is not billed after all.
    """
    if not any(event.part for event in events) or not any(entry.open_minor for entry in folded.transaction):
        return folded
    standing = standing_of(sorted(events, key=lambda event: event.order))
    if not any(entry.event.part for entry in standing.presented):
        return folded
    transaction, billing = (
        tuple([entry._replace(open_minor=0, cleared_minor=entry.open_minor + entry.cleared_minor) for entry in amounts])
        for amounts in (folded.transaction, folded.billing)
    )
    return folded._replace(transaction=transaction, billing=billing)


def check_instalments(document: LocatedDocument) -> Iterator[DocumentError]:
    """Refuse instalments at once beside what looks at the days and parts by which a purchase cleared."""
    if document.get("purchases", "instalments") != AT_ONCE:
        return
    earning = document.entries("earning")
    for key, ordinary in (("posting", "clearing"), ("clawback", "exact")):
        for at in ((key,), *((*rule, key) for rule in earning)):
            if document.get(*at) not in {None, ordinary} if isinstance(document.get(*at), str) else document.get(*at):
                problem = "looks at each part as it clears, and purchases.instalments says at-once"
                yield document.error(at, problem, f"write {ordinary}, or instalments: as-billed", at_key=True)
