"""Weak links: what stands alone is set beside what it may belong to, and beside nothing else."""

from dataclasses import replace

import pytest

from processor.core.event import Event
from processor.core.expiry import expiring
from processor.core.kept_purchase import Purchase
from processor.core.lifecycle import Effect
from processor.core.message import MessageKind
from processor.core.purchase import Placed
from processor.core.weak_links import DAY_S, MOST_SUGGESTED, Alone, weak_links
from tests.core.strategies import (
    advised,
    authorized,
    declined,
    eur,
    events,
    expired,
    message,
    presented,
    refunded,
    reversed_,
    usd,
)

PAID = eur(100_00)


def apart(groups: list[tuple[Event, ...]], days: float = 1) -> list[Purchase]:
    """Return purchases of these events, each some days after the one before, with ids of their own."""
    return [
        Purchase(
            id=bytes([number]) * 16,
            events=tuple(
                event._replace(
                    message_id=bytes([number]) + event.message_id[1:],
                    at=event.at + int(number * days * DAY_S),
                )
                for event in group
            ),
        )
        for number, group in enumerate(groups, start=1)
    ]


def found(groups: list[tuple[Event, ...]], days: float = 1, link_days: int = 10) -> list[tuple[Alone, int, int]]:
    """Return what stands alone and which purchases, by number, it may be one with."""
    links = weak_links(apart(groups, days), link_days)
    return [(link.alone, link.first[0], link.second[0]) for link in links]


@pytest.mark.parametrize(
    ("groups", "pairs"),
    [
        ([events(authorized("one", PAID)), events(presented("74", PAID))], [(Alone.PRESENTMENT, 1, 2)]),
        ([events(presented("74", PAID)), events(authorized("one", PAID))], [(Alone.PRESENTMENT, 1, 2)]),
        ([events(authorized("one", PAID), expired()), events(presented("74", PAID))], [(Alone.PRESENTMENT, 1, 2)]),
        (
            [events(authorized("one", eur(80_00)), advised("two", "one", PAID)), events(presented("74", PAID))],
            [(Alone.PRESENTMENT, 1, 2)],
        ),
        ([events(presented("74", PAID)), events(refunded("75", PAID))], [(Alone.REFUND, 1, 2)]),
        (
            [events(authorized("one", PAID)), events(reversed_("two", "lost", amount=PAID))],
            [(Alone.REVERSAL, 1, 2)],
        ),
        ([events(authorized("one", PAID)), events(presented("74", usd(100_00)))], []),
        ([events(authorized("one", PAID)), events(presented("74", eur(99_99)))], []),
        ([events(authorized("one", PAID)), events(presented("74", PAID, place="grocer"))], []),
        ([events(declined("one", PAID)), events(presented("74", PAID))], []),
        ([events(authorized("one", PAID)), events(refunded("75", PAID))], []),
        ([events(presented("74", PAID)), events(presented("75", PAID))], []),
        ([events(authorized("one", PAID), presented("73", PAID)), events(presented("74", PAID))], []),
    ],
)
def test_what_may_be_one(groups: list[tuple[Event, ...]], pairs: list[tuple[Alone, int, int]]) -> None:
    """Place, amount and currency agree, and one side waits for what the other is."""
    assert pairs == found(groups)


@pytest.mark.parametrize(("days", "pairs"), [(10, 1), (10.1, 0)])
def test_the_days_are_the_programmes(days: float, pairs: int) -> None:
    """Ten days apart is a pair under a programme of ten days, a little more is none."""
    groups = [events(authorized("one", PAID))[:1], events(presented("74", PAID))]
    assert pairs == len(found(groups, days))


def test_a_message_is_suggested_to_the_nearest_few() -> None:
    """Of five authorizations the three nearest are suggested, and each says how many others there are."""
    groups = [*(events(authorized(str(number), PAID)) for number in range(5)), events(presented("74", PAID))]
    links = weak_links(apart(groups), 10)
    assert ([5, 4, 3], MOST_SUGGESTED) == ([link.first[0] for link in links], len(links))
    assert {4} == {link.alternatives for link in links}
    assert all("the presentment may belong to 4 other purchases as well" in link.reasons for link in links)


def test_what_is_kept_apart_is_no_pair() -> None:
    """Two life cycles, a link that was broken, and a refund that counts elsewhere already are left alone."""
    one, other = apart([events(authorized("one", PAID)), events(presented("74", PAID))])
    cycles = [
        replace(purchase, events=tuple(event._replace(lifecycle=name) for event in purchase.events))
        for purchase, name in ((one, "LIFE1"), (other, "LIFE2"))
    ]
    assert [] == weak_links(cycles, 10)
    (blank,) = events(message(MessageKind.LINK_BROKEN))
    said = blank._replace(
        effect=Effect.NONE, refers_to=(one.events[0].message_id, other.events[0].message_id), acceptor=""
    )
    assert [] == weak_links([replace(one, events=(*one.events, said)), other], 10)
    paid, given = apart([events(presented("74", PAID)), events(refunded("75", PAID))])
    placed = replace(given, placed=(Placed(purchase=paid.id, amount=PAID, billing=PAID),))
    assert [] == weak_links([paid, placed], 10)


def test_what_expires_is_the_first_that_promises_something() -> None:
    """An authorization up to the threshold is named, a reversed or estimated one is not, nor one that cleared."""
    first, later = events(authorized("one", PAID), authorized("two", PAID))
    assert first == expiring([later, first], later.at)
    assert first == expiring([later, first], first.at)
    assert expiring([later, first], first.at - 1) is None
    assert expiring(events(authorized("one", PAID), reversed_("two", "one")), later.at) is None
    assert expiring(events(replace(authorized("one", PAID), estimated=True)), later.at) is None
    assert expiring(events(authorized("one", PAID), presented("74", PAID)), later.at) is None
    assert expiring(events(authorized("one", PAID), expired()), later.at) is None
