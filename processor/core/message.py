"""One card message as the decision sees it: tokenised, typed, independent of any dialect.

``wire/`` builds it from bytes; ``flow/`` stores it as JSON and builds it again for a replay.
It holds no account number, track, PIN block or card verification value, by type.
"""

from dataclasses import dataclass
from datetime import date, datetime
from enum import IntEnum

from processor.core.card import CardReference
from processor.core.money import Money


class MessageKind(IntEnum):
    """What a message does to a purchase; the number orders messages of one transmission time, never by arrival."""

    NETWORK_MANAGEMENT = 0
    ADMINISTRATIVE = 5
    """Text, retrieval requests and other records that move no money of a purchase (ISO 8583:1993 class 6)."""
    AUTHORIZATION = 10
    FINANCIAL = 20
    PRESENTMENT = 30
    """A first presentment (function code 200), also in several parts."""
    CHARGEBACK = 31
    """A first chargeback: the issuer takes back all (450) or part (453) of a presentment."""
    SECOND_PRESENTMENT = 32
    """The acquirer presents again what was charged back: all (205) or part (282)."""
    ARBITRATION_CHARGEBACK = 33
    """The issuer takes back what was presented again: all (451) or part (454)."""
    FEE_COLLECTION = 34
    """A fee between the parties (1740); it earns nothing."""
    REVERSAL = 40
    PRESENTMENT_REVERSAL = 50
    CHARGEBACK_REVERSAL = 51
    SECOND_PRESENTMENT_REVERSAL = 52
    ARBITRATION_CHARGEBACK_REVERSAL = 53
    FEE_COLLECTION_REVERSAL = 54
    EXPIRY = 60
    """Made by the processor: authorizations sent up to its time that have not cleared are no longer awaited."""
    DUE = 61
    """Made by the processor: the day of its time has come, and what is due by then is posted."""
    LINK_CONFIRMED = 70
    """Made by operations: the two messages it refers to are of one purchase."""
    LINK_BROKEN = 71
    """Made by operations: the two messages it refers to are not of one purchase."""
    AWARD_RELEASED = 72
    """Made by operations: what the clearing records it refers to earned, and waits for a release, is posted."""
    AWARD_REFUSED = 73
    """Made by operations: what the purchase of the message it refers to earned, and was held for review, is refused."""


class Direction(IntEnum):
    """The message function (third digit of the MTI, ISO 8583:1987 4.1, :1993 4.1)."""

    REQUEST = 0
    RESPONSE = 1
    ADVICE = 2
    ADVICE_RESPONSE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class CardMessage:
    """One decoded and tokenised card message or clearing record.

    ``message_id`` is 16 bytes: three of the day, thirteen of BLAKE2 over the identity fields.
    ``content`` is 16 bytes over what the message says, volatile fields and the card number left out, to tell a repeat
    from another message that claims the same identity.
    ``transmitted_at`` is aware UTC; ``local_date`` is the purchase's date at the card acceptor, None where absent.
    ``amount`` is DE4/DE49, ``billing`` DE6/DE51; ``replacement`` is what remains after a partial reversal (DE95),
    in the transaction currency, with ``replacement_billing`` in the billing currency.
    ``trace`` names the message for those that refer to it: ``MMDDhhmmss`` (DE7), DE11, DE32 joined; ``original_trace``
    names the message this one refers to, in the same form, None where it refers to none.
    ``clearing_part`` is (sequence, count) of a presentment in several parts.
    ``credit`` is true where the processing code pays the holder (ISO 8583 processing codes 20-29: refunds).
    ``estimated`` is true for an authorization of an estimated amount (hotel, fuel pump), which promises nothing until
    it clears; ``supersedes`` for one that takes the place of what was authorized before it in its purchase
    (ISO 8583:1993 function codes 102 and 103).
    ``refers_to`` holds the ids of messages of the same account that an event of operations or the processor is about,
    ``rules`` the rules of the programme that it is about, empty for all.
    ``local_time`` is HHMM at the card acceptor and ``channel`` how the card was used
    (:class:`~processor.core.conditions.Channel`), ``country`` the card acceptor's (ISO 3166-1, two letters); each is
    empty where the message does not say.
    ``product_codes`` are the codes of what was bought, as far as the message lists them.
    ``taken_off`` holds the parts of the amount that are not for goods (:class:`~processor.core.taken_off.Part`), each
    with its minor units.
    ``oddities`` lists what was odd in fields the decision does not need.
    """

    message_id: bytes
    content: bytes
    bank: str
    dialect: str
    mti: str
    kind: MessageKind
    direction: Direction
    card: CardReference | None
    transmitted_at: datetime
    processing_code: str = ""
    credit: bool = False
    amount: Money | None = None
    billing: Money | None = None
    replacement: Money | None = None
    replacement_billing: Money | None = None
    local_date: date | None = None
    trace_number: str = ""
    trace: str = ""
    original_trace: str | None = None
    lifecycle_id: str = ""
    retrieval_reference: str = ""
    approval_code: str = ""
    response_code: str = ""
    acquirer: str = ""
    forwarder: str = ""
    terminal: str = ""
    acceptor: str = ""
    acceptor_name: str = ""
    mcc: str = ""
    entry_mode: str = ""
    condition_code: str = ""
    function_code: str = ""
    acquirer_reference: str = ""
    clearing_file: str = ""
    record_number: int | None = None
    clearing_part: tuple[int, int] | None = None
    message_reason: str = ""
    estimated: bool = False
    supersedes: bool = False
    refers_to: tuple[bytes, ...] = ()
    rules: tuple[str, ...] = ()
    local_time: str = ""
    channel: str = ""
    country: str = ""
    taken_off: tuple[tuple[str, int], ...] = ()
    product_codes: tuple[str, ...] = ()
    oddities: tuple[str, ...] = ()
