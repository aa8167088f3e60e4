"""Purchases: what each message does to one, and what all of them together amount to."""

from dataclasses import replace
from datetime import UTC, date, datetime
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.core.event import event_of
from processor.core.lifecycle import Effect, effect_of, is_approved
from processor.core.message import CardMessage, Direction, MessageKind
from processor.core.money import Money
from processor.core.programme import FinancialMeaning
from processor.core.purchase import Amounts, _fold_all, fold
from processor.core.rule import AmountBase
from tests.core.strategies import (
    START,
    Histories,
    advised,
    authorized,
    declined,
    disputed,
    eur,
    events,
    financial,
    given_back,
    histories,
    link,
    message,
    presented,
    refunded,
    requested,
    reversed_,
    taken_back,
    usd,
)

AUTHORIZATION, FINANCIAL, REVERSAL = MessageKind.AUTHORIZATION, MessageKind.FINANCIAL, MessageKind.REVERSAL
REQUEST, RESPONSE = Direction.REQUEST, Direction.RESPONSE
ADVICE, ADVICE_RESPONSE = Direction.ADVICE, Direction.ADVICE_RESPONSE
FINAL, AWAITS = FinancialMeaning.FINAL, FinancialMeaning.AWAITS_CLEARING


@pytest.mark.parametrize(
    ("kind", "direction", "response_code", "meaning", "effect"),
    [
        (AUTHORIZATION, REQUEST, "", AWAITS, Effect.REQUESTED),
        (AUTHORIZATION, REQUEST, "00", AWAITS, Effect.REQUESTED),
        (AUTHORIZATION, RESPONSE, "00", AWAITS, Effect.AUTHORIZED),
        (AUTHORIZATION, RESPONSE, "00", FINAL, Effect.AUTHORIZED),
        (AUTHORIZATION, RESPONSE, "10", AWAITS, Effect.AUTHORIZED),
        (AUTHORIZATION, RESPONSE, "05", AWAITS, Effect.DECLINED),
        (AUTHORIZATION, RESPONSE, "", AWAITS, Effect.NONE),
        (AUTHORIZATION, ADVICE, "", AWAITS, Effect.AUTHORIZED),
        (AUTHORIZATION, ADVICE, "00", AWAITS, Effect.AUTHORIZED),
        (AUTHORIZATION, ADVICE, "51", AWAITS, Effect.DECLINED),
        (AUTHORIZATION, ADVICE_RESPONSE, "00", AWAITS, Effect.NONE),
        (AUTHORIZATION, ADVICE_RESPONSE, "05", AWAITS, Effect.NONE),
        (FINANCIAL, REQUEST, "", FINAL, Effect.REQUESTED),
        (FINANCIAL, RESPONSE, "00", FINAL, Effect.FINAL),
        (FINANCIAL, RESPONSE, "00", AWAITS, Effect.AUTHORIZED),
        (FINANCIAL, RESPONSE, "05", FINAL, Effect.DECLINED),
        (FINANCIAL, RESPONSE, "", FINAL, Effect.NONE),
        (FINANCIAL, ADVICE, "", FINAL, Effect.FINAL),
        (FINANCIAL, ADVICE, "", AWAITS, Effect.AUTHORIZED),
        (FINANCIAL, ADVICE, "91", FINAL, Effect.DECLINED),
        (FINANCIAL, ADVICE_RESPONSE, "00", FINAL, Effect.NONE),
        (REVERSAL, REQUEST, "", FINAL, Effect.REVERSED),
        (REVERSAL, RESPONSE, "00", FINAL, Effect.REVERSED),
        (REVERSAL, RESPONSE, "400", FINAL, Effect.REVERSED),
        (REVERSAL, RESPONSE, "12", FINAL, Effect.NONE),
        (REVERSAL, RESPONSE, "", FINAL, Effect.NONE),
        (REVERSAL, ADVICE, "", FINAL, Effect.REVERSED),
        (REVERSAL, ADVICE, "68", FINAL, Effect.REVERSED),
        (REVERSAL, ADVICE_RESPONSE, "00", FINAL, Effect.REVERSED),
        (REVERSAL, ADVICE_RESPONSE, "25", FINAL, Effect.NONE),
        (MessageKind.PRESENTMENT, ADVICE, "", FINAL, Effect.CLEARED),
        (MessageKind.PRESENTMENT, REQUEST, "05", AWAITS, Effect.CLEARED),
        (MessageKind.PRESENTMENT_REVERSAL, ADVICE, "", FINAL, Effect.UNCLEARED),
        (MessageKind.PRESENTMENT_REVERSAL, REQUEST, "05", AWAITS, Effect.UNCLEARED),
    ],
)
def test_what_a_message_does(
    kind: MessageKind, direction: Direction, response_code: str, meaning: FinancialMeaning, effect: Effect
) -> None:
    """Kind, direction, response code and the link's terms decide what a message does to its purchase."""
    said = replace(message(kind, direction, response_code), original_trace="t")
    assert effect == effect_of(said, meaning)


def test_stored_numbers_never_change() -> None:
    """Purchases keep effects and kinds by these numbers, and the kinds' order says which message is the later."""
    assert {
        "NONE": 0,
        "REQUESTED": 1,
        "AUTHORIZED": 2,
        "FINAL": 3,
        "CLEARED": 4,
        "REVERSED": 5,
        "UNCLEARED": 6,
        "DECLINED": 7,
        "CHARGED_BACK": 8,
        "REPRESENTED": 9,
        "EXPIRED": 10,
        "DUE": 11,
        "RELEASED": 12,
        "REFUSED": 13,
    } == {effect.name: effect.value for effect in Effect}
    assert {
        "NETWORK_MANAGEMENT": 0,
        "ADMINISTRATIVE": 5,
        "AUTHORIZATION": 10,
        "FINANCIAL": 20,
        "PRESENTMENT": 30,
        "CHARGEBACK": 31,
        "SECOND_PRESENTMENT": 32,
        "ARBITRATION_CHARGEBACK": 33,
        "FEE_COLLECTION": 34,
        "REVERSAL": 40,
        "PRESENTMENT_REVERSAL": 50,
        "CHARGEBACK_REVERSAL": 51,
        "SECOND_PRESENTMENT_REVERSAL": 52,
        "ARBITRATION_CHARGEBACK_REVERSAL": 53,
        "FEE_COLLECTION_REVERSAL": 54,
        "EXPIRY": 60,
        "DUE": 61,
        "LINK_CONFIRMED": 70,
        "LINK_BROKEN": 71,
        "AWARD_RELEASED": 72,
        "AWARD_REFUSED": 73,
    } == {kind.name: kind.value for kind in MessageKind}


@pytest.mark.parametrize("direction", [RESPONSE, ADVICE_RESPONSE])
def test_a_reversal_answered_without_its_original_does_nothing(direction: Direction) -> None:
    """An answer that names no original cannot say what it took back; its request did."""
    assert Effect.NONE == effect_of(message(REVERSAL, direction, "00"), FINAL)


@pytest.mark.parametrize(
    ("response_code", "approved"),
    [
        *((code, True) for code in ("00", "08", "10", "11", "16", "85")),
        *((code, False) for code in ("01", "05", "51", "54", "12", "91", "68", "")),
        *((code, True) for code in ("000", "002", "099")),
        *((code, False) for code in ("100", "116", "909", "0", "0000")),
    ],
)
def test_which_response_codes_approve(response_code: str, *, approved: bool) -> None:
    """Six codes of 1987 approve, and all of 1993 that begin with zero; nothing else does."""
    assert approved is is_approved(response_code)


PAID = eur(100_00)


def _answered(reversal: CardMessage) -> CardMessage:
    """Return the answer by which a host accepts a reversal."""
    return replace(reversal, direction=RESPONSE, response_code="00")


def _as_credit(said: CardMessage) -> CardMessage:
    """Return a message that pays the holder, or the reversal of one."""
    return replace(said, credit=True, processing_code="200000")


FOLDS: dict[str, tuple[tuple[CardMessage, ...], tuple[tuple[str, int, int], ...]]] = {
    "nothing": ((), ()),
    "an authorization": ((authorized("a", PAID),), (("EUR", 100_00, 0),)),
    "a decline": ((declined("a", PAID),), ()),
    "a request": ((requested("a", PAID),), ()),
    "a request and its answer": ((requested("a", PAID), authorized("a", PAID)), (("EUR", 100_00, 0),)),
    "a request approved in part": (
        (requested("a", PAID), replace(authorized("a", eur(60_00)), response_code="10")),
        (("EUR", 60_00, 0),),
    ),
    "an incremental authorization": ((authorized("a", PAID), authorized("b", eur(20_00))), (("EUR", 120_00, 0),)),
    "a declined increment": ((authorized("a", PAID), declined("b", eur(20_00))), (("EUR", 100_00, 0),)),
    "an advice in place of the authorization": (
        (authorized("a", PAID), advised("b", "a", eur(45_00))),
        (("EUR", 45_00, 0),),
    ),
    "an advice alone": ((advised("b", "a", eur(45_00)),), (("EUR", 45_00, 0),)),
    "two advices, the later says the amount": (
        (authorized("a", PAID), advised("b", "a", eur(45_00)), advised("c", "a", eur(48_00))),
        (("EUR", 48_00, 0),),
    ),
    "a reversal": ((authorized("a", PAID), reversed_("r", "a")), (("EUR", 0, 0),)),
    "a reversal before its original": ((reversed_("r", "a"), authorized("a", PAID)), (("EUR", 0, 0),)),
    "a reversal alone": ((reversed_("r", "a"),), ()),
    "a reversal repeated": (
        (authorized("a", PAID), reversed_("r", "a"), reversed_("s", "a")),
        (("EUR", 0, 0),),
    ),
    "a reversal of another authorization": (
        (authorized("a", PAID), authorized("b", eur(20_00)), reversed_("r", "b")),
        (("EUR", 100_00, 0),),
    ),
    "a reversal after an advice that names the same original": (
        (authorized("a", PAID), advised("b", "a", eur(45_00)), reversed_("r", "a")),
        (("EUR", 0, 0),),
    ),
    "a partial reversal": (
        (authorized("a", PAID), reversed_("r", "a", eur(30_00), PAID)),
        (("EUR", 30_00, 0),),
    ),
    "a partial reversal before its original": (
        (reversed_("r", "a", eur(30_00), PAID), authorized("a", PAID)),
        (("EUR", 30_00, 0),),
    ),
    "two partial reversals, the later of which leaves less": (
        (authorized("a", PAID), reversed_("r", "a", eur(30_00), PAID), reversed_("s", "a", eur(10_00), PAID)),
        (("EUR", 10_00, 0),),
    ),
    "a partial reversal, then a full one": (
        (authorized("a", PAID), reversed_("r", "a", eur(30_00), PAID), reversed_("s", "a")),
        (("EUR", 0, 0),),
    ),
    "a full reversal, then a partial one": (
        (authorized("a", PAID), reversed_("r", "a"), reversed_("s", "a", eur(30_00), PAID)),
        (("EUR", 0, 0),),
    ),
    "two partial reversals, the later of which leaves more": (
        (authorized("a", PAID), reversed_("r", "a", eur(10_00), PAID), reversed_("s", "a", eur(30_00), PAID)),
        (("EUR", 10_00, 0),),
    ),
    "a partial reversal and its answer, which does not repeat what remains": (
        (authorized("a", PAID), reversed_("r", "a", eur(30_00), PAID), _answered(reversed_("r", "a", None, PAID))),
        (("EUR", 30_00, 0),),
    ),
    "the answer to a partial reversal before its request": (
        (authorized("a", PAID), _answered(reversed_("r", "a", None, PAID)), reversed_("r", "a", eur(30_00), PAID)),
        (("EUR", 30_00, 0),),
    ),
    "a partial reversal never raises": (
        (authorized("a", PAID), reversed_("r", "a", eur(130_00), PAID)),
        (("EUR", 100_00, 0),),
    ),
    "a partial reversal in another currency leaves nothing": (
        (authorized("a", PAID), reversed_("r", "a", usd(30_00), usd(100_00))),
        (("EUR", 0, 0),),
    ),
    "a presentment": ((authorized("a", PAID), presented("r", PAID)), (("EUR", 0, 100_00),)),
    "a presentment alone": ((presented("r", PAID),), (("EUR", 0, 100_00),)),
    "a presentment before its authorization": ((presented("r", PAID), authorized("a", PAID)), (("EUR", 0, 100_00),)),
    "cleared above what was authorized": (
        (authorized("a", PAID), presented("r", eur(115_00))),
        (("EUR", 0, 115_00),),
    ),
    "cleared below what was authorized": ((authorized("a", PAID), presented("r", eur(55_00))), (("EUR", 0, 55_00),)),
    "the first part of two": (
        (authorized("a", PAID), presented("r", eur(60_00), part=(1, 2))),
        (("EUR", 40_00, 60_00),),
    ),
    "both parts of two": (
        (authorized("a", PAID), presented("r", eur(60_00), part=(1, 2)), presented("s", eur(30_00), part=(2, 2))),
        (("EUR", 0, 90_00),),
    ),
    "the last part without the first": (
        (authorized("a", PAID), presented("s", eur(30_00), part=(2, 2))),
        (("EUR", 70_00, 30_00),),
    ),
    "a part above what was authorized": (
        (authorized("a", PAID), presented("r", eur(130_00), part=(1, 2))),
        (("EUR", 0, 130_00),),
    ),
    "parts that disagree on their count": (
        (authorized("a", PAID), presented("r", eur(30_00), part=(1, 2)), presented("s", eur(30_00), part=(2, 3))),
        (("EUR", 40_00, 60_00),),
    ),
    "two presentments without parts": (
        (authorized("a", PAID), presented("r", eur(60_00)), presented("s", eur(30_00))),
        (("EUR", 0, 90_00),),
    ),
    "a reversed authorization that clears all the same": (
        (authorized("a", PAID), reversed_("x", "a"), presented("r", PAID)),
        (("EUR", 0, 100_00),),
    ),
    "a declined authorization that clears all the same": (
        (declined("a", PAID), presented("r", PAID)),
        (("EUR", 0, 100_00),),
    ),
    "a presentment reversed": ((presented("r", PAID), taken_back("r", PAID)), ()),
    "a presentment reversed before it arrives": ((taken_back("r", PAID), presented("r", PAID)), ()),
    "one of two presentments of one amount without a reference reversed": (
        (presented("", eur(50_00)), presented("", eur(50_00)), taken_back("", eur(50_00))),
        (("EUR", 0, 50_00),),
    ),
    "both presentments of one amount without a reference reversed": (
        (
            taken_back("", eur(50_00)),
            presented("", eur(50_00)),
            presented("", eur(50_00)),
            taken_back("", eur(50_00)),
        ),
        (),
    ),
    "an authorization is open again when its presentment is reversed": (
        (authorized("a", PAID), presented("r", PAID), taken_back("r", PAID)),
        (("EUR", 100_00, 0),),
    ),
    "one of two presentments reversed": (
        (presented("r", PAID), presented("s", eur(30_00)), taken_back("r", PAID)),
        (("EUR", 0, 30_00),),
    ),
    "one of two parts reversed": (
        (
            authorized("a", PAID),
            presented("r", eur(60_00), part=(1, 2)),
            presented("r", eur(40_00), part=(2, 2)),
            taken_back("r", eur(60_00), (1, 2)),
        ),
        (("EUR", 60_00, 40_00),),
    ),
    "a refund": ((authorized("a", PAID), presented("r", PAID), refunded("c", eur(30_00))), (("EUR", 0, 70_00),)),
    "two refunds": (
        (presented("r", PAID), refunded("c", eur(30_00)), refunded("d", eur(20_00))),
        (("EUR", 0, 50_00),),
    ),
    "a whole refund": ((presented("r", PAID), refunded("c", PAID)), (("EUR", 0, 0),)),
    "a refund alone": ((refunded("c", PAID),), (("EUR", 0, -100_00),)),
    "a refund of more than was paid": ((presented("r", PAID), refunded("c", eur(130_00))), (("EUR", 0, -30_00),)),
    "a refund before the purchase clears": (
        (authorized("a", PAID), refunded("c", eur(30_00))),
        (("EUR", 100_00, -30_00),),
    ),
    "a refund reversed": (
        (presented("r", PAID), refunded("c", eur(30_00)), _as_credit(taken_back("c", eur(30_00)))),
        (("EUR", 0, 100_00),),
    ),
    "a refund that bears its purchase's reference reversed": (
        (presented("r", PAID), refunded("r", eur(30_00)), _as_credit(taken_back("r", eur(30_00)))),
        (("EUR", 0, 100_00),),
    ),
    "a purchase whose refund bears its reference reversed": (
        (presented("r", PAID), refunded("r", eur(30_00)), taken_back("r", PAID)),
        (("EUR", 0, -30_00),),
    ),
    "an authorized refund promises nothing": (
        (replace(authorized("a", PAID), credit=True, processing_code="200000"),),
        (),
    ),
    "a final message": ((financial("f", PAID),), (("EUR", 0, 100_00),)),
    "a final message completes its authorization": (
        (authorized("a", PAID), financial("f", eur(80_00), "a")),
        (("EUR", 0, 80_00),),
    ),
    "a final message that names no original closes the authorization": (
        (authorized("a", PAID), financial("f", eur(80_00))),
        (("EUR", 0, 80_00),),
    ),
    "two final messages": ((financial("f", PAID), financial("g", eur(20_00))), (("EUR", 0, 120_00),)),
    "a final message reversed": ((financial("f", PAID), reversed_("r", "f")), (("EUR", 0, 0),)),
    "a final message reversed in part": (
        (financial("f", PAID), reversed_("r", "f", eur(30_00), PAID)),
        (("EUR", 0, 30_00),),
    ),
    "a final message reversed opens no other authorization it completed": (
        (authorized("a", PAID), financial("f", eur(80_00), "a"), reversed_("r", "a")),
        (("EUR", 0, 0),),
    ),
    "a final message and its clearing record": ((financial("f", PAID), presented("r", PAID)), (("EUR", 0, 100_00),)),
    "a final message that clears for less": (
        (financial("f", PAID), presented("r", eur(90_00))),
        (("EUR", 0, 90_00),),
    ),
    "a final message counts as authorized while its parts clear": (
        (financial("f", PAID), presented("r", eur(60_00), part=(1, 2))),
        (("EUR", 40_00, 60_00),),
    ),
    "a completion counts once while its parts clear": (
        (authorized("a", PAID), financial("f", eur(80_00)), presented("r", eur(60_00), part=(1, 2))),
        (("EUR", 20_00, 60_00),),
    ),
    "a final message whose clearing record is taken back is final again": (
        (financial("f", PAID), presented("r", eur(90_00)), taken_back("r", eur(90_00))),
        (("EUR", 0, 100_00),),
    ),
    "a final refund": ((financial("f", PAID), given_back("g", eur(30_00), "f")), (("EUR", 0, 70_00),)),
    "two final refunds of one purchase": (
        (financial("f", PAID), given_back("g", eur(30_00), "f"), given_back("h", eur(20_00), "f")),
        (("EUR", 0, 50_00),),
    ),
    "a final refund and its clearing record": (
        (presented("r", PAID), given_back("g", eur(30_00)), refunded("c", eur(30_00))),
        (("EUR", 0, 70_00),),
    ),
    "a final refund declined after all": (
        (financial("f", PAID), given_back("g", eur(30_00)), replace(given_back("g", eur(30_00)), response_code="05")),
        (("EUR", 0, 100_00),),
    ),
    "a final refund reversed": (
        (
            financial("f", PAID),
            given_back("g", eur(30_00), "f"),
            replace(reversed_("x", "g"), credit=True, processing_code="200000"),
        ),
        (("EUR", 0, 100_00),),
    ),
    "two currencies": (
        (authorized("a", PAID), authorized("b", usd(50_00)), presented("r", usd(45_00), part=(1, 2))),
        (("EUR", 100_00, 0), ("USD", 5_00, 45_00)),
    ),
    "cleared in another currency than authorized": (
        (authorized("a", usd(110_00)), presented("r", PAID)),
        (("EUR", 0, 100_00), ("USD", 0, 0)),
    ),
    "nothing over no amount": ((authorized("a", eur(0)),), (("EUR", 0, 0),)),
    "a presentment of no amount closes the authorization": (
        (authorized("a", PAID), presented("r", eur(0))),
        (("EUR", 0, 0),),
    ),
    "an authorization without an amount": ((replace(authorized("a", PAID), amount=None),), ()),
}


@pytest.mark.parametrize(("messages", "amounts"), FOLDS.values(), ids=list(FOLDS))
def test_what_a_purchase_amounts_to(
    messages: tuple[CardMessage, ...], amounts: tuple[tuple[str, int, int], ...]
) -> None:
    """Messages fold to what is authorized and not yet cleared, and what has cleared, in each currency."""
    folded = fold(events(*messages))
    assert amounts == tuple((entry.currency, entry.open_minor, entry.cleared_minor) for entry in folded.transaction)
    assert folded.transaction == folded.billing


@pytest.mark.parametrize(
    ("messages", "transaction", "billing"),
    [
        ((authorized("a", usd(100_00), eur(90_00)),), ("USD", 100_00, 0), ("EUR", 90_00, 0)),
        (
            (authorized("a", usd(100_00), eur(90_00)), presented("r", usd(100_00), eur(91_50))),
            ("USD", 0, 100_00),
            ("EUR", 0, 91_50),
        ),
        (
            (presented("r", usd(100_00), eur(90_00)), refunded("c", usd(100_00), eur(88_00))),
            ("USD", 0, 0),
            ("EUR", 0, 2_00),
        ),
        (
            (
                authorized("a", usd(100_00), eur(90_00)),
                reversed_("r", "a", usd(50_00), usd(100_00), eur(90_00)),
            ),
            ("USD", 50_00, 0),
            ("EUR", 45_00, 0),
        ),
        (
            (
                authorized("a", usd(100_00), eur(90_00)),
                replace(reversed_("r", "a", usd(50_00), usd(100_00)), replacement_billing=eur(46_00)),
            ),
            ("USD", 50_00, 0),
            ("EUR", 46_00, 0),
        ),
        (
            (authorized("a", usd(100_00), eur(90_00)), reversed_("r", "a", usd(50_00), usd(100_00))),
            ("USD", 50_00, 0),
            ("EUR", 45_00, 0),
        ),
        (
            (reversed_("r", "a", usd(5), usd(10)), authorized("a", usd(10), eur(9))),
            ("USD", 5, 0),
            ("EUR", 4, 0),
        ),
        (
            (authorized("a", usd(100_00), eur(90_00)), reversed_("r", "a")),
            ("USD", 0, 0),
            ("EUR", 0, 0),
        ),
        (
            (
                authorized("a", usd(100_00), eur(90_00)),
                presented("r", usd(40_00), eur(37_00), part=(1, 2)),
            ),
            ("USD", 60_00, 40_00),
            ("EUR", 53_00, 37_00),
        ),
        (
            (
                presented("r", usd(60_00), eur(54_00), part=(1, 2)),
                presented("s", usd(40_00), eur(40_00), part=(2, 2)),
                disputed(MessageKind.CHARGEBACK, "s", usd(40_00)),
            ),
            ("USD", 0, 60_00),
            ("EUR", 0, 54_00),
        ),
        (
            (presented("r", usd(100_00), eur(90_00)), refunded("c", usd(30_00))),
            ("USD", 0, 70_00),
            ("EUR", 0, 63_00),
        ),
        (
            (replace(financial("f", usd(100_00)), billing=eur(90_00)), given_back("g", usd(30_00), "f")),
            ("USD", 0, 70_00),
            ("EUR", 0, 63_00),
        ),
    ],
    ids=[
        "authorized",
        "cleared at another rate",
        "refunded at another rate",
        "reversed in part, billing in proportion",
        "reversed in part, billing stated",
        "reversed in part, no billing amount in the reversal",
        "reversed in part, half a cent to the even one",
        "reversed in whole",
        "cleared in part",
        "the second part at another rate, charged back without a billing amount",
        "refunded in part without a billing amount",
        "a final refund in part without a billing amount",
    ],
)
def test_what_a_purchase_is_billed(
    messages: tuple[CardMessage, ...], transaction: tuple[str, int, int], billing: tuple[str, int, int]
) -> None:
    """The billing amounts fold by themselves, and the rules ask for the base they measure."""
    folded = fold(events(*messages))
    for base, (currency, open_minor, cleared_minor) in (
        (AmountBase.TRANSACTION, transaction),
        (AmountBase.BILLING, billing),
    ):
        expected = Amounts(currency=currency, open_minor=open_minor, cleared_minor=cleared_minor)
        assert (expected,) == folded.amounts(base)


@pytest.mark.parametrize(
    ("messages", "anchor"),
    [
        ((), None),
        ((reversed_("r", "a"), taken_back("r", PAID)), None),
        ((authorized("a", PAID), authorized("b", PAID)), 0),
        ((requested("a", PAID), authorized("a", PAID)), 1),
        ((requested("a", PAID), declined("a", PAID)), 1),
        ((requested("a", PAID),), 0),
        ((presented("r", PAID), authorized("a", PAID)), 1),
        ((presented("r", PAID), financial("f", PAID)), 1),
        ((presented("r", PAID), presented("s", PAID)), 0),
        ((refunded("c", PAID), presented("r", PAID)), 1),
        ((given_back("g", PAID), presented("r", PAID)), 1),
        ((refunded("c", PAID), given_back("g", PAID)), 1),
        ((refunded("c", PAID), reversed_("r", "a")), 0),
    ],
)
def test_which_event_says_where_it_happened(messages: tuple[CardMessage, ...], anchor: int | None) -> None:
    """A purchase rather than a refund, online rather than clearing, decided rather than asked, and then the first."""
    said = events(*messages)
    assert (None if anchor is None else said[anchor]) == fold(said).anchor


@pytest.mark.parametrize(
    ("messages", "open_minor"),
    [
        ((requested("a", PAID),), 100_00),
        ((authorized("a", PAID), requested("b", eur(20_00))), 120_00),
        ((requested("a", PAID), requested("b", eur(20_00))), 120_00),
        ((requested("a", PAID), declined("a", PAID), requested("b", eur(20_00))), 20_00),
        (
            (requested("a", PAID), authorized("a", eur(60_00)), requested("b", eur(20_00))),
            80_00,
        ),
        ((authorized("a", eur(60_00)), replace(requested("b", PAID), original_trace="a")), 100_00),
        ((reversed_("r", "a"), requested("a", PAID)), 0),
    ],
    ids=[
        "alone",
        "an increment",
        "two that wait",
        "one was declined",
        "one was approved in part",
        "a rise of what was approved",
        "reversed",
    ],
)
def test_a_quote_counts_requests_that_wait(messages: tuple[CardMessage, ...], open_minor: int) -> None:
    """Computed as if approved, a request counts until the host has decided it."""
    folded = fold(events(*messages), as_if_approved=True)
    assert [open_minor] == [entry.open_minor for entry in folded.transaction]


@pytest.mark.parametrize("answer", [authorized("a", eur(60_00)), declined("a", PAID)])
def test_a_quote_knows_an_answer_of_the_request_s_own_time(answer: CardMessage) -> None:
    """An answer repeats its request's transmission time, and neither's id lets the request count again."""
    request, decision = (event._replace(at=0) for event in events(requested("a", PAID), answer))
    later = events(requested("b", eur(20_00)))[0]._replace(at=1, message_id=b"later")
    for first, second in ((b"1", b"2"), (b"2", b"1")):
        said = request._replace(message_id=first), decision._replace(message_id=second), later
        expected = 80_00 if decision.effect is Effect.AUTHORIZED else 20_00
        assert expected == fold(said, as_if_approved=True).transaction[0].open_minor


def test_messages_of_one_time_are_ordered_by_kind_and_id() -> None:
    """Where times are equal, kind and then id say which message is the last, never the arrival."""
    one, other = events(authorized("a", PAID), authorized("a", eur(45_00)))
    completed, *_ = events(financial("a", eur(80_00)), financial=AWAITS)
    one, other, completed = (event._replace(at=0) for event in (one, other, completed))
    assert 45_00 == fold([other, one]).transaction[0].open_minor
    assert 80_00 == fold([completed, other._replace(message_id=b"\xff" * 16), one]).transaction[0].open_minor


@settings(max_examples=60, deadline=None)
@given(histories(1), st.randoms(use_true_random=False), st.booleans())
def test_the_fold_does_not_see_the_arrival(history: Histories, random: Random, quote: bool) -> None:
    """Any order of the same events folds to the same purchase."""
    shuffled = random.sample(history[0], len(history[0]))
    assert fold(history[0], as_if_approved=quote) == fold(shuffled, as_if_approved=quote)


@settings(max_examples=60, deadline=None)
@given(histories(1))
def test_nothing_open_is_negative(history: Histories) -> None:
    """Whatever clears or is reversed, what is open is never below nothing, and one currency stands once."""
    folded = fold(history[0])
    for amounts in (folded.transaction, folded.billing):
        assert all(entry.open_minor >= 0 for entry in amounts)
        assert sorted({entry.currency for entry in amounts}) == [entry.currency for entry in amounts]


def of(said: CardMessage) -> tuple[str, str, Money | None, Money | None]:
    """Return an event's trace, its original's, its billing amount and what remains of that."""
    event = event_of(said, link(), "gold")
    return event.trace, event.original, event.billing, event.replacement_billing


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (authorized("a", PAID), ("a", "", PAID, None)),
        (advised("b", "a", PAID), ("b", "a", PAID, None)),
        (financial("f", PAID, "a"), ("f", "a", PAID, None)),
        (reversed_("r", "a"), ("r", "a", None, None)),
        (given_back("g", PAID, "f"), ("g", "f", None, None)),
        (replace(reversed_("x", "g"), credit=True), ("x", "g", None, None)),
        (presented("r", usd(100_00), PAID), ("", "", PAID, None)),
        (reversed_("r", "a", usd(25_00), usd(100_00), eur(90_00)), ("r", "a", eur(90_00), eur(22_50))),
        (
            replace(reversed_("r", "a", usd(25_00), usd(100_00), eur(90_00)), replacement_billing=eur(23_00)),
            ("r", "a", eur(90_00), eur(23_00)),
        ),
        (reversed_("r", "a", usd(0), usd(0), eur(0)), ("r", "a", eur(0), None)),
    ],
)
def test_what_an_event_keeps(said: CardMessage, expected: tuple[str, str, Money | None, Money | None]) -> None:
    """An event keeps its own trace and its original's, and what remains is billed in proportion."""
    assert expected == of(said)


def test_where_and_when_an_event_happened() -> None:
    """The event keeps place, product and local date; without one the date is that of its transmission in UTC."""
    late = replace(authorized("a", PAID, place="grocer"), transmitted_at=datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC))
    event = event_of(late, link(), "gold")
    assert (late.transmitted_at.timestamp(), date(2026, 11, 30)) == (event.at, event.local_date)
    assert ("gold", "412345", "GROCER 1", "5411") == (event.product, event.acquirer, event.acceptor, event.mcc)
    assert date(2026, 12, 1) == event_of(replace(late, local_date=date(2026, 12, 1)), link(), "gold").local_date
    assert int(START.timestamp()) == event_of(authorized("a", PAID), link(), "gold").at


@given(
    done=st.sampled_from(
        (
            (AUTHORIZATION, Effect.AUTHORIZED),
            (AUTHORIZATION, Effect.REQUESTED),
            (AUTHORIZATION, Effect.DECLINED),
            (FINANCIAL, Effect.FINAL),
            (FINANCIAL, Effect.AUTHORIZED),
            (REVERSAL, Effect.REVERSED),
            (MessageKind.PRESENTMENT, Effect.CLEARED),
            (MessageKind.PRESENTMENT_REVERSAL, Effect.UNCLEARED),
            (MessageKind.CHARGEBACK, Effect.CHARGED_BACK),
        )
    ),
    amount_minor=st.sampled_from((0, 1, 100_00)),
    billing=st.sampled_from((None, eur(0), eur(90_00), usd(110_00))),
    credit=st.booleans(),
    estimated=st.booleans(),
    part=st.sampled_from((None, (1, 1), (1, 2))),
)
def test_an_event_alone_folds_as_among_others(
    done: tuple[MessageKind, Effect],
    amount_minor: int,
    billing: Money | None,
    credit: bool,
    estimated: bool,
    part: tuple[int, int] | None,
) -> None:
    """The short way that most first messages go gives what the whole fold gives."""
    (start,) = events(authorized("a", PAID))
    event = start._replace(
        kind=done[0],
        effect=done[1],
        amount=eur(amount_minor),
        billing=billing,
        credit=credit,
        estimated=estimated,
        part=part,
    )
    assert _fold_all((event,), as_if_approved=False, refunded=(), placed=()) == fold((event,))
    same = event._replace(billing=event.amount)
    assert _fold_all((same,), as_if_approved=False, refunded=(), placed=()) == fold((same,))
