"""The life of a purchase: what each message does, and what becomes of each authorization of it.

:data:`EFFECTS` says what a message does by its kind, :data:`AUTHORIZATION_LIFE` how an authorization goes from state to
state; ``docs/purchase.md`` shows both, and a test compares them.
``core/standing.py`` reads the messages through the second in the order they were sent, whatever order they arrive in.
"""

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import Final

from processor.core.message import CardMessage, Direction, MessageKind
from processor.core.programme import FinancialMeaning

APPROVED_RESPONSES: Final = frozenset({"00", "08", "10", "11", "16", "85"})
"""Response codes (DE39) of ISO 8583:1987 that approve: wholly, with identification, in part, VIP, update, no reason."""

REVERSAL_ACCEPTED: Final = "400"
"""The action code of ISO 8583:1993 (table 1, 4xx) that accepts a reversal."""


class Effect(IntEnum):
    """What an event does to its purchase; the numbers are stored."""

    NONE = 0
    REQUESTED = 1
    AUTHORIZED = 2
    FINAL = 3
    CLEARED = 4
    REVERSED = 5
    UNCLEARED = 6
    """A clearing record, of whichever kind, is taken back by its own reversal."""
    DECLINED = 7
    CHARGED_BACK = 8
    REPRESENTED = 9
    EXPIRED = 10
    DUE = 11
    """What is due by a day is posted."""
    RELEASED = 12
    """What waited for a release is posted."""
    REFUSED = 13
    """What some rules gave is refused."""


EFFECTS: Final[Mapping[MessageKind, Effect]] = {
    MessageKind.NETWORK_MANAGEMENT: Effect.NONE,
    MessageKind.ADMINISTRATIVE: Effect.NONE,
    MessageKind.PRESENTMENT: Effect.CLEARED,
    MessageKind.CHARGEBACK: Effect.CHARGED_BACK,
    MessageKind.SECOND_PRESENTMENT: Effect.REPRESENTED,
    MessageKind.ARBITRATION_CHARGEBACK: Effect.CHARGED_BACK,
    MessageKind.FEE_COLLECTION: Effect.NONE,
    MessageKind.PRESENTMENT_REVERSAL: Effect.UNCLEARED,
    MessageKind.CHARGEBACK_REVERSAL: Effect.UNCLEARED,
    MessageKind.SECOND_PRESENTMENT_REVERSAL: Effect.UNCLEARED,
    MessageKind.ARBITRATION_CHARGEBACK_REVERSAL: Effect.UNCLEARED,
    MessageKind.FEE_COLLECTION_REVERSAL: Effect.NONE,
    MessageKind.EXPIRY: Effect.EXPIRED,
    MessageKind.DUE: Effect.DUE,
    MessageKind.LINK_CONFIRMED: Effect.NONE,
    MessageKind.LINK_BROKEN: Effect.NONE,
    MessageKind.AWARD_RELEASED: Effect.RELEASED,
    MessageKind.AWARD_REFUSED: Effect.REFUSED,
}
"""What a message does, where its kind alone says it; authorizations, financial messages and reversals say more."""

TAKES_BACK: Final[Mapping[MessageKind, MessageKind]] = {
    MessageKind.PRESENTMENT_REVERSAL: MessageKind.PRESENTMENT,
    MessageKind.CHARGEBACK_REVERSAL: MessageKind.CHARGEBACK,
    MessageKind.SECOND_PRESENTMENT_REVERSAL: MessageKind.SECOND_PRESENTMENT,
    MessageKind.ARBITRATION_CHARGEBACK_REVERSAL: MessageKind.ARBITRATION_CHARGEBACK,
}
"""Which kind of clearing record each kind of reversal takes back."""


def is_approved(response_code: str) -> bool:
    """Tell whether a response code approves: listed two digits of 1987, or 000-099 of 1993 (ISO 8583:1993 table 1)."""
    return response_code in APPROVED_RESPONSES or (len(response_code) == 3 and response_code[0] == "0")


def effect_of(message: CardMessage, financial: FinancialMeaning) -> Effect:
    """Return what a message does to its purchase, by its kind, direction and the host's decision."""
    by_kind = EFFECTS.get(message.kind)
    if by_kind is not None:
        return by_kind
    direction, response_code = message.direction, message.response_code
    if message.kind is MessageKind.REVERSAL:
        answered = direction is Direction.RESPONSE or direction is Direction.ADVICE_RESPONSE
        accepted = is_approved(response_code) or response_code == REVERSAL_ACCEPTED
        if answered and (message.original_trace is None or not accepted):
            return Effect.NONE
        return Effect.REVERSED
    if direction is Direction.ADVICE_RESPONSE:
        return Effect.NONE
    if direction is Direction.REQUEST:
        return Effect.REQUESTED
    if not response_code and direction is Direction.RESPONSE:
        return Effect.NONE
    if response_code and not is_approved(response_code):
        return Effect.DECLINED
    if message.kind is MessageKind.FINANCIAL and financial is FinancialMeaning.FINAL:
        return Effect.FINAL
    return Effect.AUTHORIZED


class AuthorizationState(StrEnum):
    """What has been said of one authorization, reversals apart: those say how much of it is left."""

    AWAITED = "awaited"
    """Only messages that refer to it have arrived."""
    REQUESTED = "requested"
    DECLINED = "declined"
    AUTHORIZED = "authorized"
    FINAL = "final"
    EXPIRED = "expired"


AUTHORIZATION_LIFE: Final[Mapping[AuthorizationState, Mapping[Effect, AuthorizationState]]] = {
    AuthorizationState.AWAITED: {
        Effect.REQUESTED: AuthorizationState.REQUESTED,
        Effect.DECLINED: AuthorizationState.DECLINED,
        Effect.AUTHORIZED: AuthorizationState.AUTHORIZED,
        Effect.FINAL: AuthorizationState.FINAL,
        Effect.EXPIRED: AuthorizationState.AWAITED,
    },
    AuthorizationState.REQUESTED: {
        Effect.REQUESTED: AuthorizationState.REQUESTED,
        Effect.DECLINED: AuthorizationState.DECLINED,
        Effect.AUTHORIZED: AuthorizationState.AUTHORIZED,
        Effect.FINAL: AuthorizationState.FINAL,
        Effect.EXPIRED: AuthorizationState.REQUESTED,
    },
    AuthorizationState.DECLINED: {
        Effect.REQUESTED: AuthorizationState.DECLINED,
        Effect.DECLINED: AuthorizationState.DECLINED,
        Effect.AUTHORIZED: AuthorizationState.AUTHORIZED,
        Effect.FINAL: AuthorizationState.FINAL,
        Effect.EXPIRED: AuthorizationState.DECLINED,
    },
    AuthorizationState.AUTHORIZED: {
        Effect.REQUESTED: AuthorizationState.AUTHORIZED,
        Effect.DECLINED: AuthorizationState.DECLINED,
        Effect.AUTHORIZED: AuthorizationState.AUTHORIZED,
        Effect.FINAL: AuthorizationState.FINAL,
        Effect.EXPIRED: AuthorizationState.EXPIRED,
    },
    AuthorizationState.FINAL: {
        Effect.REQUESTED: AuthorizationState.FINAL,
        Effect.DECLINED: AuthorizationState.DECLINED,
        Effect.AUTHORIZED: AuthorizationState.FINAL,
        Effect.FINAL: AuthorizationState.FINAL,
        Effect.EXPIRED: AuthorizationState.FINAL,
    },
    AuthorizationState.EXPIRED: {
        Effect.REQUESTED: AuthorizationState.EXPIRED,
        Effect.DECLINED: AuthorizationState.DECLINED,
        Effect.AUTHORIZED: AuthorizationState.AUTHORIZED,
        Effect.FINAL: AuthorizationState.FINAL,
        Effect.EXPIRED: AuthorizationState.EXPIRED,
    },
}
"""Which state follows which. A decision outranks a question, a final message an approval, and the last decision counts.

Nothing said after a reversal brings back what it took: a late answer to a request that was reversed earns nothing.
"""


class PurchaseState(StrEnum):
    """What has become of a purchase, in words for operations."""

    AWAITED = "awaited"
    """Only messages that refer to it have arrived."""
    REQUESTED = "requested"
    DECLINED = "declined"
    AUTHORIZED = "authorized"
    UNPROMISED = "unpromised"
    """Approved for an estimated amount or for none: nothing is promised until it clears."""
    EXPIRED = "expired"
    REVERSED = "reversed"
    PARTLY_CLEARED = "partly-cleared"
    CLEARED = "cleared"
    CHARGED_BACK = "charged-back"
    """What cleared is disputed, in whole or in part."""
    REFUNDED = "refunded"
    """All that cleared was given back; also a refund that stands alone."""
