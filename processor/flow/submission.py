"""What travels through the pipeline: a host's message, its submission to a batch, and the answer."""

from dataclasses import dataclass, field
from typing import Any

from processor.core.message import CardMessage
from processor.core.money import Money
from processor.core.outcome import Outcome, Reason
from processor.core.programme import Link
from processor.store.directory import CardAddress
from processor.wire.decode import Decoded


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingMessage:
    """A message as it came from a host: raw bytes, whose they are and how to read them."""

    caller_id: str
    bank: str
    dialect: str
    iso8583: bytes = field(repr=False)
    iso8583_response: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A decoded message on its way to a decision.

    ``traces`` are the hashes it shares with the other messages of its purchase, ``surviving`` the references that its
    dialect says survive to clearing.
    ``fields`` is the message as it is stored; ``decoded`` is what an ISO 8583 answer is made from, None in a replay and
    for clearing records.
    ``replay`` is true for a parked message that is decided again; ``moved`` for one whose account was joined to
    another, where it is decided afresh.
    ``resumed`` is true for a clearing record that an earlier worker may have decided before it ended.
    ``address`` is the account of an event of operations or of the processor, which names no card.
    """

    message: CardMessage
    fields: bytes = field(repr=False)
    link: Link
    traces: tuple[bytes, ...]
    age_days: int
    surviving: tuple[str, ...] = ()
    replay: bool = False
    moved: bool = False
    resumed: bool = False
    address: CardAddress | None = None
    decoded: Decoded | None = field(default=None, repr=False)
    raw: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecodable:
    """Bytes that did not decode: where and why, and a keyed digest; the bytes themselves are not kept."""

    id: bytes
    bank: str
    dialect: str
    source: str
    length_bytes: int
    field: str
    position: int
    problem: str
    digest: bytes
    key_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A message that goes no further than intake; ``undecodable`` is kept where there is one."""

    outcome: Outcome
    reason: Reason
    problem: str
    undecodable: Undecodable | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a batch decided on one message.

    ``detail`` is the stored JSON document of the decision; ``explanation`` names it, empty for refusals.
    """

    outcome: Outcome
    reason: Reason
    detail: dict[str, Any]
    explanation: str
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AwardLine:
    """One changed grant, as a host reads it; units are the smallest part of the miles unit or the currency.

    ``expected_date`` is the day on which what is pending is expected to be posted, empty where none can be told.
    """

    rule: str
    unit: str
    pending_change: int
    posted_change: int
    granted: int
    discount: bool
    expected_date: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TillOffer:
    """What the till may take off the amount that was asked for, and the amount that is left to pay."""

    discount: Money
    left: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to one message, ready for any protocol."""

    caller_id: str
    outcome: Outcome
    reason: Reason
    problem: str = ""
    iso8583: bytes = field(default=b"", repr=False)
    explanation: str = ""
    partner: str = ""
    quote: bool = False
    awards: tuple[AwardLine, ...] = ()
    till_offer: TillOffer | None = None
