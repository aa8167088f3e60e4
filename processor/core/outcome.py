"""What became of a message, and why: two closed lists whose numbers are never reused.

The outcomes stand in order of precedence; ``docs/outcomes.md`` explains each reason to an operator.
"""

from enum import IntEnum


class Outcome(IntEnum):
    """What the host is told: durable, known already, kept for later, refused, or to be sent again."""

    ACCEPTED = 1
    DUPLICATE = 2
    PARKED = 3
    REJECTED = 4
    UNAVAILABLE = 5


class Reason(IntEnum):
    """Why: 1-39 accepted, 40-59 parked, 60-79 rejected, 80-99 unavailable."""

    EARNED = 1
    """What the purchase is granted rose, or what was promised became posted."""
    NETWORK_MANAGEMENT = 2
    """Sign-on, echo or sign-off: answered, nothing booked."""
    QUOTED = 3
    """An inline request: the answer is an estimate, nothing is booked but a reservation of capped headroom."""
    TAKEN_BACK = 4
    """What the purchase was granted fell: reversed, refunded, cleared for less."""
    DECLINED = 10
    """The host declined; a declined purchase earns nothing."""
    UNDECIDED = 11
    """The message carries no decision of the host: it is noted and earns nothing until the outcome arrives."""
    ACKNOWLEDGED = 12
    """An acknowledgement that changes nothing."""
    REVERSED = 13
    """The purchase is reversed or refunded in whole; nothing is due, or it was taken back before."""
    EXCLUDED = 14
    """Its MCC or processing code is excluded by the programme: cash, quasi-cash, fees."""
    ZERO_AMOUNT = 15
    """The amount is zero: an account verification."""
    NO_RULE = 16
    """No rule of the programme applies to this product and partner."""
    CAP_REACHED = 17
    """A cap or a budget of the programme leaves nothing to grant in this period."""
    CURRENCY_NOT_RATED = 18
    """The rules that apply have no rate for the purchase's currency."""
    BELOW_ONE_UNIT = 19
    """The amount is too small for one unit under the rule's rounding."""
    UNCHANGED = 20
    """The purchase is already granted what it is due."""
    AWAITING_ORIGINAL = 21
    """A reversal or a dispute whose original has not arrived; it takes effect when the original does."""
    EXPIRED = 22
    """An authorization that did not clear in the programme's days: what it promised is taken off."""
    ESTIMATED = 23
    """The amount is an estimate, which promises nothing until the purchase clears."""
    NO_PURCHASE = 24
    """A fee between the parties, or a record for information: it moves no purchase."""
    CHARGED_BACK = 25
    """What cleared is in dispute; nothing of it is due until it is presented again."""
    LINKED = 26
    """Operations said whether two messages are of one purchase; what they earn did not change."""
    NOT_LOWERED = 27
    """A rule gives a discount at the till, and nothing says that the till gave it."""
    UNKNOWN_CARD = 40
    """No card of this number is enrolled; the message is decided when the bank's card file names it."""
    TOO_OLD = 41
    """Transmitted over 300 days ago; operations decide."""
    NO_PROGRAMME = 42
    """No revision of a programme was in force for this card product at that time."""
    POISON = 43
    """The processor failed on this message alone; it is kept for a replay once the fault is mended."""
    UNDECODABLE = 60
    """The bytes do not decode; the place of the failure is in the answer. Send the message again."""
    UNKNOWN_BANK = 61
    """No programme names this bank."""
    UNKNOWN_DIALECT = 62
    """The bank has no link of this dialect."""
    TOO_LARGE = 63
    """The message or frame is larger than the limit."""
    IDENTITY_CONFLICT = 64
    """Another message with the same identity and other content was taken before; kept for review."""
    OVERLOADED = 80
    """The queue is full; send again after a pause."""
    DATABASE_UNAVAILABLE = 81
    """The database did not answer; nothing was booked. Send again."""
