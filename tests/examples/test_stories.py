"""The stories: each occurs, as often as its weight says, and its messages mean what the story says."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import sqrt
from typing import Final

import pytest

from examples.traffic import Traffic
from examples.traffic.skyways import links, programme
from examples.traffic.stories import FAULTS, STORIES
from processor.core.accrual import entitle
from processor.core.event import event_of
from processor.core.lifecycle import Effect, effect_of
from processor.core.message import CardMessage, MessageKind
from processor.core.outcome import Reason
from processor.core.purchase import fold
from processor.wire.decode import DecodeFailure
from tests.examples.conftest import NOW, Understood, understand


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """One purchase's amounts in its own currency: asked for, presented, and what the fold makes of them."""

    authorized: int
    presented: int
    open: int
    cleared: int
    reason: Reason | None


def _fold(messages: Iterable[CardMessage]) -> Folded:
    """Fold the messages that share a lifecycle, each counted once however often it was sent."""
    once = {message.message_id: message for message in messages}.values()
    events = [event_of(message, links()[message.bank], _product(message)) for message in once]
    folded = fold(events)
    wanted = {Effect.AUTHORIZED, Effect.FINAL, Effect.REQUESTED}
    asked = [event.amount.amount_minor for event in events if event.effect in wanted and event.amount]
    presented = [event for event in events if event.effect is Effect.CLEARED and not event.credit]
    return Folded(
        authorized=max(asked, default=0),
        presented=sum(event.amount.amount_minor for event in presented if event.amount),
        open=sum(amounts.open_minor for amounts in folded.transaction),
        cleared=sum(amounts.cleared_minor for amounts in folded.transaction),
        reason=entitle(programme(), folded).reason,
    )


def _product(message: CardMessage) -> str:
    return (message.card and message.card.product) or ""


def _purchases(told: list[Understood], story: str) -> list[Folded]:
    """Return a story's purchases, folded."""
    lifecycles: dict[str, list[CardMessage]] = {}
    for entry in told:
        if entry.story == story:
            lifecycles.setdefault(entry.message.lifecycle_id, []).append(entry.message)
    return [_fold(messages) for messages in lifecycles.values()]


def _cleared_or_open(folded: Folded) -> bool:
    """Tell whether a purchase cleared for its amount, or waits for that."""
    return (folded.open, folded.cleared) in {(0, folded.authorized), (folded.authorized, 0)} and folded.authorized > 0


def _nothing(folded: Folded) -> bool:
    return (folded.open, folded.cleared) == (0, 0) and folded.authorized > 0


def _refunded(folded: Folded) -> bool:
    """Tell whether a refund took something from what cleared, or all of it."""
    return folded.open == 0 and 0 <= folded.cleared < folded.presented


_NOT_APPROVED: Final = {Reason.DECLINED, Reason.UNDECIDED}
"""Where a host asks first, the fold may rest on the request, which decides nothing."""

MEANINGS: Final[dict[str, Callable[[Folded], bool]]] = {
    "purchase": _cleared_or_open,
    "foreign_purchase": _cleared_or_open,
    "request_and_response": _cleared_or_open,
    "decline": lambda folded: folded.open == folded.cleared == 0 and folded.reason in _NOT_APPROVED,
    "duplicate": _cleared_or_open,
    "repeat": _cleared_or_open,
    "reversal": _nothing,
    "reversal_repeat": _nothing,
    "partial_reversal": lambda folded: 0 < folded.open + folded.cleared < folded.authorized,
    "reversal_before_original": _nothing,
    "refund_with_reference": _refunded,
    "refund_without_reference": lambda folded: _cleared_or_open(folded) or folded.cleared < 0,
    "tip": lambda folded: folded.open == 0 and folded.authorized < folded.cleared <= 2 * folded.authorized,
    "fuel": lambda folded: folded.open == 0 and 0 < folded.cleared < folded.authorized,
    "verification": lambda folded: folded.reason is Reason.ZERO_AMOUNT,
    "single_message": lambda folded: folded.open == folded.presented == 0 and folded.cleared == folded.authorized > 0,
    "partial_clearing": lambda folded: folded.open == 0 and folded.cleared == folded.authorized > 0,
    "never_authorized": lambda folded: folded.authorized == folded.open == 0 and folded.cleared > 0,
    "presentment_reversed": lambda folded: folded.cleared == 0 and folded.open == folded.presented > 0,
    "late_presentment": lambda folded: folded.open == 0 and folded.cleared == folded.authorized > 0,
    "cash_withdrawal": lambda folded: folded.reason is Reason.EXCLUDED,
    "request_without_outcome": lambda folded: folded.reason is Reason.UNDECIDED,
    "supplementary_card": _cleared_or_open,
    "reissued_card": _cleared_or_open,
    "reissued_card_named_later": _cleared_or_open,
    "reissued_card_enrols_itself": _cleared_or_open,
    "card_named_later": _cleared_or_open,
    "card_never_named": _cleared_or_open,
    "card_enrols_itself": _cleared_or_open,
    "card_enrols_itself_and_is_named": _cleared_or_open,
}


@pytest.mark.parametrize("story", MEANINGS)
def test_a_story_means_what_it_says(told: list[Understood], story: str) -> None:
    """The fold of every purchase of a story comes to what the story tells."""
    purchases = _purchases(told, story)

    assert purchases
    assert [] == [folded for folded in purchases if not MEANINGS[story](folded)]


def test_every_story_has_a_meaning() -> None:
    """No story of purchases escapes the table above."""
    assert {story.name for story in STORIES} - {"network_management"} == set(MEANINGS)


def test_network_management_is_told(told: list[Understood]) -> None:
    """Sign-ons and echo tests name no card."""
    found = [entry.message for entry in told if entry.story == "network_management"]

    assert {"001", "301"} == {message.function_code for message in found}
    assert {MessageKind.NETWORK_MANAGEMENT} == {message.kind for message in found}
    assert {None} == {message.card for message in found}


def test_stories_are_told_as_often_as_their_weight_says(traffic: Traffic) -> None:
    """Beyond the first telling at each bank, counts lie within five standard deviations of the expected ones."""
    by_chance = {
        story.name: traffic.stories[story.name] - sum(story.banks(bank) for bank in links()) for story in STORIES
    }
    total, weights = sum(by_chance.values()), sum(story.weight for story in STORIES)

    strange = []
    for story in STORIES:
        share = story.weight / weights
        if abs(by_chance[story.name] - total * share) > 5 * sqrt(total * share * (1 - share)):
            strange.append((story.name, by_chance[story.name], total * share))
    assert [] == strange


def test_most_authorizations_clear(traffic: Traffic) -> None:
    """There is a presentment for more than two of three stories."""
    assert len(traffic.presentments) > 2 / 3 * traffic.stories.total()


@pytest.mark.parametrize(
    ("story", "fields"),
    [
        ("undecodable_truncated", {"64 mac", "63 lifecycle_id"}),
        ("undecodable_amount", {"4 amount"}),
        ("undecodable_bitmap", {"65"}),
        ("undecodable_message_type", {"mti"}),
    ],
)
def test_a_fault_fails_where_it_says(traffic: Traffic, story: str, fields: set[str]) -> None:
    """Each kind of fault is refused at its own place."""
    faulty = [sent for sent in traffic.messages if sent.story == story]

    assert faulty
    for sent in faulty:
        with pytest.raises(DecodeFailure) as caught:
            understand(sent, NOW)
        assert caught.value.field in fields


def test_one_message_in_a_thousand_is_faulty(traffic: Traffic) -> None:
    """Faults are as rare as the design of the traffic says."""
    assert len(traffic.messages) // 1000 == sum(traffic.stories[story.name] for story in FAULTS)


def test_amounts_are_billed_in_the_banks_currency(told: list[Understood]) -> None:
    """A billing amount stands beside a foreign amount and nowhere else, and is of the bank's currency."""
    for entry in told:
        message = entry.message
        if message.amount is None:
            continue
        billed_in = message.billing.currency if message.billing else message.amount.currency
        assert programme().parties[message.bank].currency == billed_in
        assert (message.billing is None) == (message.amount.currency == billed_in)
    assert {"EUR", "USD"} == {entry.message.amount.currency for entry in told if entry.message.amount}


def test_a_reversal_overtakes_its_original(traffic: Traffic, told: list[Understood]) -> None:
    """In the story's order of sending, the reversal stands before the authorization it names."""
    sent = [entry.message for entry in told if entry.story == "reversal_before_original"]
    reversed_at = {message.original_trace: at for at, message in enumerate(sent) if message.original_trace}
    originals = {message.trace: at for at, message in enumerate(sent) if message.original_trace is None}

    assert originals
    assert originals.keys() == reversed_at.keys()
    assert all(reversed_at[trace] < at for trace, at in originals.items())


def test_refunds_name_their_purchase_or_none(told: list[Understood]) -> None:
    """Online refunds of the one story name an authorization that was sent, those of the other name nothing."""
    traces = {entry.message.trace for entry in told if entry.message.kind is MessageKind.AUTHORIZATION}
    named = {
        story: {
            entry.message.original_trace
            for entry in told
            if entry.story == story and entry.message.credit and entry.message.kind is not MessageKind.PRESENTMENT
        }
        for story in ("refund_with_reference", "refund_without_reference")
    }

    assert {None} == named["refund_without_reference"]
    assert named["refund_with_reference"]
    assert named["refund_with_reference"] <= traces


def test_a_reissued_card_clears_what_the_old_card_bought(told: list[Understood]) -> None:
    """In every purchase made before the card was replaced, message and clearing record carry different numbers."""
    last_fours: dict[str, set[str]] = {}
    for entry in told:
        if entry.story == "reissued_card" and entry.message.card:
            last_fours.setdefault(entry.message.lifecycle_id, set()).add(entry.message.card.last_four)

    two_cards = sum(len(found) == 2 for found in last_fours.values())
    assert 2 * two_cards == len(last_fours)


def test_only_a_host_that_asks_first_sends_requests(told: list[Understood]) -> None:
    """The inline bank sends a request before its outcomes, the other bank none without its response."""
    requested = {
        entry.message.bank
        for entry in told
        if entry.message.kind in {MessageKind.AUTHORIZATION, MessageKind.FINANCIAL}
        and effect_of(entry.message, links()[entry.message.bank].financial) is Effect.REQUESTED
    }

    assert {"beta"} == requested
