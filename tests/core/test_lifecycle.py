"""The life of an authorization and of a dispute: who outranks whom, what is left, what expires, what returns."""

from dataclasses import replace
from itertools import permutations

import pytest

from processor.core.lifecycle import (
    AUTHORIZATION_LIFE,
    EFFECTS,
    TAKES_BACK,
    AuthorizationState,
    Effect,
    PurchaseState,
    effect_of,
)
from processor.core.message import CardMessage, Direction, MessageKind
from processor.core.programme import FinancialMeaning
from processor.core.purchase import Amounts, Placed, fold
from tests.core.strategies import (
    advised,
    authorized,
    declined,
    disputed,
    eur,
    events,
    expired,
    financial,
    message,
    presented,
    refunded,
    requested,
    reversed_,
    taken_back,
    usd,
)

PAID = eur(100_00)
FIRST, AGAIN, ARBITRATION = (
    MessageKind.CHARGEBACK,
    MessageKind.SECOND_PRESENTMENT,
    MessageKind.ARBITRATION_CHARGEBACK,
)
ESTIMATED = replace(authorized("a", PAID), estimated=True)
LATE = replace(authorized("b", eur(70_00)), supersedes=True)


def test_every_state_knows_every_effect_on_it() -> None:
    """The table has a row for each state and in it a place for each effect, so that no history leaves it."""
    on_authorizations = {Effect.REQUESTED, Effect.DECLINED, Effect.AUTHORIZED, Effect.FINAL, Effect.EXPIRED}
    assert set(AuthorizationState) == set(AUTHORIZATION_LIFE)
    assert {frozenset(on_authorizations)} == {frozenset(row) for row in AUTHORIZATION_LIFE.values()}


def test_every_kind_of_message_has_an_effect() -> None:
    """Those that say more than their kind are decided by direction and response; the table has all others."""
    decided = {MessageKind.AUTHORIZATION, MessageKind.FINANCIAL, MessageKind.REVERSAL}
    assert set(MessageKind) - decided == set(EFFECTS)
    assert {kind for kind, effect in EFFECTS.items() if effect is Effect.UNCLEARED} == set(TAKES_BACK)
    said = message(FIRST, Direction.ADVICE, "05")
    assert Effect.CHARGED_BACK == effect_of(said, FinancialMeaning.FINAL)


@pytest.mark.parametrize(
    ("messages", "open_minor", "state"),
    [
        ((requested("a", PAID), authorized("a", PAID)), 100_00, PurchaseState.AUTHORIZED),
        ((authorized("a", PAID), authorized("a", eur(60_00))), 60_00, PurchaseState.AUTHORIZED),
        ((authorized("a", PAID), authorized("b", eur(20_00))), 120_00, PurchaseState.AUTHORIZED),
        ((authorized("a", PAID), LATE), 70_00, PurchaseState.AUTHORIZED),
        ((authorized("a", PAID), LATE, reversed_("r", "b")), 0, PurchaseState.REVERSED),
        ((authorized("a", PAID), advised("b", "a", eur(80_00))), 80_00, PurchaseState.AUTHORIZED),
        ((authorized("a", PAID), advised("b", "a", eur(80_00)), reversed_("r", "b")), 100_00, PurchaseState.AUTHORIZED),
        ((authorized("a", PAID), advised("b", "a", eur(80_00)), reversed_("r", "a")), 0, PurchaseState.REVERSED),
        (
            (authorized("a", PAID), advised("b", "a", eur(80_00)), advised("c", "b", eur(50_00))),
            50_00,
            PurchaseState.AUTHORIZED,
        ),
        (
            (authorized("a", PAID), advised("b", "a", eur(80_00)), advised("c", "b", eur(50_00)), reversed_("r", "b")),
            100_00,
            PurchaseState.AUTHORIZED,
        ),
        ((authorized("a", PAID), declined("a", PAID)), 0, PurchaseState.DECLINED),
        ((declined("a", PAID), authorized("a", PAID)), 100_00, PurchaseState.AUTHORIZED),
        ((authorized("a", PAID), replace(declined("b", PAID), original_trace="a")), 100_00, PurchaseState.AUTHORIZED),
        ((reversed_("r", "a"), authorized("a", PAID)), 0, PurchaseState.REVERSED),
        ((requested("a", PAID), reversed_("r", "a"), authorized("a", PAID)), 0, PurchaseState.REVERSED),
        ((ESTIMATED,), 0, PurchaseState.UNPROMISED),
        ((ESTIMATED, advised("b", "a", eur(80_00))), 80_00, PurchaseState.AUTHORIZED),
        ((authorized("a", eur(0)),), 0, PurchaseState.UNPROMISED),
        ((authorized("a", PAID), expired()), 0, PurchaseState.EXPIRED),
        ((authorized("a", PAID), expired(), authorized("b", eur(30_00))), 30_00, PurchaseState.EXPIRED),
        ((expired(), authorized("a", PAID)), 100_00, PurchaseState.AUTHORIZED),
    ],
)
def test_what_an_authorization_comes_to(
    messages: tuple[CardMessage, ...], open_minor: int, state: PurchaseState
) -> None:
    """Completions, replacements, late answers, declines, reversals, estimates and expiry, as they were sent."""
    folded = fold(events(*messages))
    assert open_minor == sum(amounts.open_minor for amounts in folded.transaction)
    if state is not PurchaseState.EXPIRED or not open_minor:
        assert state is folded.state


@pytest.mark.parametrize(
    ("messages", "cleared_minor", "state"),
    [
        ((disputed(FIRST, "r", PAID),), 0, PurchaseState.CHARGED_BACK),
        ((disputed(FIRST, "r", eur(40_00)),), 60_00, PurchaseState.CHARGED_BACK),
        ((disputed(FIRST, "r", eur(40_00)), disputed(FIRST, "r2", eur(90_00))), 0, PurchaseState.CHARGED_BACK),
        ((disputed(FIRST, "r", PAID), disputed(AGAIN, "r", PAID)), 100_00, PurchaseState.CLEARED),
        ((disputed(FIRST, "r", PAID), disputed(AGAIN, "r", eur(30_00))), 30_00, PurchaseState.CHARGED_BACK),
        ((disputed(AGAIN, "r", PAID),), 100_00, PurchaseState.CLEARED),
        (
            (disputed(FIRST, "r", PAID), disputed(AGAIN, "r", PAID), disputed(ARBITRATION, "r", PAID)),
            0,
            PurchaseState.CHARGED_BACK,
        ),
        ((disputed(FIRST, "r", eur(50_00)), disputed(ARBITRATION, "r", eur(50_00))), 50_00, PurchaseState.CHARGED_BACK),
        (
            (disputed(FIRST, "r", PAID), disputed(AGAIN, "r", PAID), disputed(ARBITRATION, "r", eur(40_00))),
            60_00,
            PurchaseState.CHARGED_BACK,
        ),
        (
            (disputed(FIRST, "r", PAID), disputed(MessageKind.CHARGEBACK_REVERSAL, "r", PAID)),
            100_00,
            PurchaseState.CLEARED,
        ),
        ((refunded("c", eur(60_00)), disputed(FIRST, "r", PAID)), 0, PurchaseState.CHARGED_BACK),
        ((refunded("c", PAID), disputed(FIRST, "r", PAID)), 0, PurchaseState.REFUNDED),
        ((refunded("c", eur(130_00)),), -30_00, PurchaseState.REFUNDED),
        ((taken_back("r", PAID),), 0, PurchaseState.REVERSED),
        (
            (disputed(FIRST, "r", PAID), taken_back("r", PAID), presented("s", eur(90_00))),
            90_00,
            PurchaseState.CLEARED,
        ),
    ],
)
def test_what_a_dispute_leaves(messages: tuple[CardMessage, ...], cleared_minor: int, state: PurchaseState) -> None:
    """Behind one presentment of 100.00, in every order in time: what is in dispute counts as not cleared."""
    for ordered in permutations((presented("r", PAID), *messages)):
        folded = fold(events(*ordered))
        assert cleared_minor == sum(amounts.cleared_minor for amounts in folded.transaction)
        assert state is folded.state


def test_a_dispute_without_a_billing_amount_takes_its_part_of_what_was_billed() -> None:
    """40.00 of 100.00 dollars are disputed, billed as 90.00 euros: 36.00 euros are in dispute."""
    folded = fold(events(presented("r", usd(100_00), eur(90_00)), disputed(FIRST, "r", usd(40_00))))
    assert (Amounts(currency="EUR", open_minor=0, cleared_minor=54_00),) == folded.billing


def test_a_presentment_after_expiry_earns() -> None:
    """What was no longer awaited clears all the same."""
    folded = fold(events(authorized("a", PAID), expired(), presented("r", eur(110_00))))
    assert (Amounts(currency="EUR", open_minor=0, cleared_minor=110_00),) == folded.transaction
    assert PurchaseState.CLEARED is folded.state


def test_a_final_message_does_not_expire() -> None:
    """Expiry takes promises alone."""
    folded = fold(events(financial("a", PAID), expired()))
    assert (Amounts(currency="EUR", open_minor=0, cleared_minor=100_00),) == folded.transaction


def test_a_placed_refund_moves_from_the_refund_to_the_purchase() -> None:
    """The part that counts against a purchase is less there, and less negative where it came from."""
    part = Placed(purchase=bytes(16), amount=eur(30_00), billing=eur(27_00))
    bought = fold(events(presented("r", PAID, eur(90_00))), refunded=(part,))
    given = fold(events(refunded("c", eur(50_00), eur(45_00))), placed=(part,))
    assert (70_00, 63_00) == (bought.transaction[0].cleared_minor, bought.billing[0].cleared_minor)
    assert (-20_00, -18_00) == (given.transaction[0].cleared_minor, given.billing[0].cleared_minor)


def test_references_that_go_in_a_circle_end() -> None:
    """Two messages that name each other stand alone."""
    folded = fold(events(advised("a", "b", PAID), advised("b", "a", eur(50_00))))
    assert (Amounts(currency="EUR", open_minor=150_00, cleared_minor=0),) == folded.transaction
