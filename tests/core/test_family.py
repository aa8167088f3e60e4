"""Which events are one purchase: the surest tie first, nothing against a surer one, and alike in any order."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.core.event import Event, event_of
from processor.core.family import regroup
from processor.core.kept_purchase import Purchase
from processor.core.links import SURVIVES_S, Confidence, purchases_in, traces_of_event
from processor.core.message import MessageKind
from tests.core.strategies import START, authorized, eur, link, message, presented

SURVIVING = ("lifecycle_id", "approval_code", "retrieval_reference", "trace_number")


def event(number: int, *, kind: str = "auth", hours: float = 0, **fields: Any) -> Event:
    """Return one event; what it is known by to others stands in ``fields``."""
    said = authorized(f"own{number}", eur(100_00)) if kind == "auth" else presented("", eur(100_00))
    said = replace(
        said,
        message_id=bytes(15) + bytes([number]),
        transmitted_at=START + timedelta(hours=hours or number),
        **fields,
    )
    return event_of(said, link(), "gold", SURVIVING)


def said(number: int, kind: MessageKind, *about: int, hours: float = 0) -> Event:
    """Return what operations said about two events."""
    told = replace(
        message(kind),
        message_id=bytes(15) + bytes([number]),
        transmitted_at=START + timedelta(hours=hours or number),
        refers_to=tuple(bytes(15) + bytes([other]) for other in about),
    )
    return event_of(told, link(), "gold", SURVIVING)


def groups(events: Sequence[Event]) -> set[frozenset[int]]:
    """Return the purchases as the numbers of their events."""
    return {frozenset(entry.message_id[-1] for entry in group) for group in purchases_in(events)}


CODE: dict[str, Any] = {"approval_code": "A1"}
LATER = SURVIVES_S / 3600 + 10


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([event(1, **CODE), event(2, kind="clear", **CODE)], [{1, 2}]),
        ([event(1, lifecycle_id="L1", **CODE), event(2, lifecycle_id="L2", **CODE)], [{1}, {2}]),
        (
            [event(1, lifecycle_id="L1", **CODE), event(2, lifecycle_id="L2", **CODE), event(3, kind="clear", **CODE)],
            [{1}, {2, 3}],
        ),
        (
            [
                event(1, lifecycle_id="L1", **CODE),
                event(2, lifecycle_id="L2", **CODE),
                event(3, kind="clear", lifecycle_id="L1", **CODE),
            ],
            [{1, 3}, {2}],
        ),
        ([event(1, **CODE), event(2, kind="clear", hours=LATER, **CODE)], [{1}, {2}]),
        ([event(1, lifecycle_id="L1"), event(2, kind="clear", hours=LATER, lifecycle_id="L1")], [{1, 2}]),
        ([event(1), event(2, original_trace="own1", hours=LATER)], [{1, 2}]),
        ([event(1, **CODE), event(2, kind="clear", **CODE), said(3, MessageKind.LINK_BROKEN, 1, 2)], [{1, 3}, {2}]),
        (
            [
                event(1, **CODE),
                event(2, kind="clear", **CODE),
                said(3, MessageKind.LINK_BROKEN, 1, 2),
                said(4, MessageKind.LINK_CONFIRMED, 1, 2),
            ],
            [{1, 2, 3, 4}],
        ),
        ([event(1), event(2, kind="clear"), said(3, MessageKind.LINK_CONFIRMED, 1, 2)], [{1, 2, 3}]),
        (
            [
                event(1, lifecycle_id="L1"),
                event(2, kind="clear", lifecycle_id="L2"),
                said(3, MessageKind.LINK_CONFIRMED, 1, 2),
            ],
            [{1, 2, 3}],
        ),
    ],
)
def test_which_events_are_one_purchase(events: list[Event], expected: list[set[int]]) -> None:
    """In every order: a contradiction, time, and operations keep apart what a weaker reference would join."""
    for ordered in permutations(events):
        assert {frozenset(group) for group in expected} == groups(ordered)


EVENTS = st.builds(
    lambda number, kind, hours, lifecycle, approval, original: (number, kind, hours, lifecycle, approval, original),
    st.just(0),
    st.sampled_from(["auth", "clear"]),
    st.integers(0, 24 * 90),
    st.sampled_from(["", "", "L1", "L2", "L3"]),
    st.sampled_from(["", "A1", "A2"]),
    st.sampled_from([None, None, "own1", "own2"]),
)


def history(drawn: list[tuple[Any, ...]]) -> list[Event]:
    """Return events with numbers of their own."""
    return [
        event(
            place, kind=kind, hours=hours + 1, lifecycle_id=lifecycle, approval_code=approval, original_trace=original
        )
        for place, (_, kind, hours, lifecycle, approval, original) in enumerate(drawn)
    ]


@settings(max_examples=150, deadline=None)
@given(st.lists(EVENTS, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_purchases_do_not_depend_on_order(drawn: list[tuple[Any, ...]], random: Random) -> None:
    """Any order gives the same purchases, each event is in one, and one life cycle is never in two."""
    events = history(drawn)
    found = groups(events)
    assert found == groups(random.sample(events, len(events)))
    assert list(range(len(events))) == sorted(number for group in found for number in group)
    for lifecycle in {entry.lifecycle for entry in events} - {""}:
        holding = {group for group in found if any(events[number].lifecycle == lifecycle for number in group)}
        assert 1 == len(holding)


@settings(max_examples=150, deadline=None)
@given(st.lists(EVENTS, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_one_event_at_a_time_ends_as_all_at_once(drawn: list[tuple[Any, ...]], random: Random) -> None:
    """A family that grows event by event, in any order, parts and merges into what all its events at once are."""
    events = history(drawn)
    families: list[tuple[set[str], dict[bytes, Purchase]]] = []
    for entry in random.sample(events, len(events)):
        ties = {value for _, value in traces_of_event(entry)} | {entry.message_id.hex()}
        touched = [family for family in families if family[0] & ties]
        families = [family for family in families if not family[0] & ties]
        purchases = {key: purchase for _, known in touched for key, purchase in known.items()}
        regrouped = regroup(list(purchases.values()), entry, entry.message_id)
        own = replace(regrouped.own, events=(*regrouped.own.events, entry))
        for purchase in (own, *regrouped.changed, *regrouped.kept):
            purchases[purchase.id] = purchase
        for gone in regrouped.gone:
            if gone.parted:
                purchases[gone.id] = Purchase(id=gone.id, merged_into=regrouped.head, parted=True)
            else:
                del purchases[gone.id]
        families.append((ties.union(*(family[0] for family in touched)), purchases))
    for _, purchases in families:
        standing = [purchase for purchase in purchases.values() if purchase.merged_into is None]
        all_events = [entry for purchase in standing for entry in purchase.events]
        assert groups(all_events) == {
            frozenset(entry.message_id[-1] for entry in purchase.events) for purchase in standing
        }
        heads = [purchase for purchase in standing if purchase.head is None]
        assert 1 == len(heads)
        assert set(purchases) - {heads[0].id} == set(heads[0].siblings)


def test_confidences_stand_in_their_order() -> None:
    """The numbers are stored, and the surest is the lowest."""
    names = ["LIFECYCLE", "REFERENCE", "STRONG", "PROBABLE", "WEAK"]
    assert list(enumerate(names, 1)) == [(entry.value, entry.name) for entry in Confidence]
