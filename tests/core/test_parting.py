"""A family of linked messages: however often it merges and parts, no message is lost and none is in two purchases."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from processor.core.event import Event
from processor.core.family import regroup
from processor.core.kept_purchase import Purchase
from processor.core.links import purchases_in
from processor.core.message import MessageKind
from tests.core.strategies import authorized, eur, events, message, presented

MESSAGES = events(
    authorized("one", eur(100_00)),
    presented("7400001", eur(100_00)),
    authorized("two", eur(100_00)),
    presented("7400002", eur(100_00)),
)
IDS = [event.message_id for event in MESSAGES]


def said(pairs: Sequence[tuple[int, int, bool]]) -> list[Event]:
    """Return what operations said of pairs of messages, in this order, after all of them were sent."""
    (blank,) = events(replace(message(MessageKind.LINK_CONFIRMED), acceptor="", acquirer=""))
    return [
        blank._replace(
            message_id=bytes([number % 3]) + bytes(14) + bytes([100 + number]),
            at=blank.at + 100 + number,
            kind=MessageKind.LINK_CONFIRMED if confirmed else MessageKind.LINK_BROKEN,
            refers_to=(IDS[one], IDS[other]),
        )
        for number, (one, other, confirmed) in enumerate(pairs)
    ]


def told(arrivals: Sequence[Event]) -> dict[bytes, Purchase]:
    """Return the purchases after events arrived one by one, as a batch keeps them: those that gave way are merged."""
    purchases: dict[bytes, Purchase] = {}
    for event in arrivals:
        named = set(event.refers_to)
        family = [
            purchase
            for purchase in purchases.values()
            if purchase.merged_into is not None or named & {entry.message_id for entry in purchase.events}
        ]
        heads = {purchase.head or purchase.id for purchase in family if purchase.merged_into is None}
        family += [
            purchase
            for purchase in purchases.values()
            if purchase not in family and (purchase.head or purchase.id) in heads and purchase.merged_into is None
        ]
        regrouped = regroup(family if heads else [], event, event.message_id)
        own = replace(regrouped.own, events=(*regrouped.own.events, event))
        for gone in regrouped.gone:
            purchases[gone.id] = Purchase(id=gone.id, merged_into=regrouped.head, parted=gone.parted)
        for purchase in (own, *regrouped.changed, *regrouped.kept):
            purchases[purchase.id] = purchase
    return purchases


PAIRS = st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans()).filter(lambda pair: pair[0] != pair[1])


@settings(deadline=None)
@given(st.lists(PAIRS, min_size=1, max_size=8))
def test_every_message_is_in_one_purchase(pairs: list[tuple[int, int, bool]]) -> None:
    """After any number of confirmed and broken links the purchases are what the links say of all events together."""
    arrivals = [*MESSAGES, *said(pairs)]
    stored = [
        frozenset(event.message_id for event in purchase.events)
        for purchase in told(arrivals).values()
        if purchase.merged_into is None
    ]
    expected = [frozenset(event.message_id for event in group) for group in purchases_in(arrivals)]
    assert sorted(map(sorted, expected)) == sorted(map(sorted, stored))


def test_a_family_that_parts_again_keeps_its_messages() -> None:
    """Confirmed, broken, confirmed, broken: the purchase that parted first does not swallow what parts from it."""
    link = (0, 1)
    arrivals = [*MESSAGES[:2], *said([(*link, True), (*link, False), (*link, True), (*link, False)])]
    standing = [purchase for purchase in told(arrivals).values() if purchase.merged_into is None]
    assert 2 == len(standing)
    assert {event.message_id for event in arrivals} == {e.message_id for p in standing for e in p.events}
