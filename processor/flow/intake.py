"""From bytes to a submission: the first step of the path, which touches no database.

It decides whether bytes are a message of a known link; it never keeps or repeats them.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import structlog

from processor.core.card import CardReference
from processor.core.links import trace_hashes
from processor.core.message import CardMessage, MessageKind
from processor.core.outcome import Outcome, Reason
from processor.core.programme import FinancialMeaning, Link, LinkMode
from processor.flow.snapshot import Snapshot
from processor.flow.submission import IncomingMessage, Refusal, Submission, Undecodable
from processor.log import described
from processor.wire.card_message import days_old, to_card_message
from processor.wire.clearing_file import ClearingRecord, claim_digest
from processor.wire.clearing_layout import ClearingLayout
from processor.wire.decode import MAXIMUM_MESSAGE_BYTES, Decoded, DecodeFailure, decode, merge_response
from processor.wire.dialect import Dialect
from processor.wire.message_kind import books_nothing
from processor.wire.stored import message_from_json, message_to_json
from processor.wire.tokenise import Tokeniser

_LOG = structlog.get_logger(__name__)

EXCHANGE: Final = "exchange"
"""The source of a message that came over a host's stream; a clearing record's source names its file and number."""


@dataclass(slots=True, kw_only=True)
class Intake:
    """Reads messages; ``token_keys`` and ``active`` are the live keys, ``layouts`` those of clearing files of lines.

    The tokeniser follows the snapshot's card ranges.
    """

    dialects: Mapping[str, Dialect]
    token_keys: Mapping[str, bytes] = field(repr=False)
    active: str
    layouts: Mapping[str, ClearingLayout] = field(default_factory=dict)
    _tokeniser: Tokeniser | None = field(default=None, repr=False)
    _version: int = -2

    def tokeniser(self, snapshot: Snapshot) -> Tokeniser:
        """Return a tokeniser that knows the snapshot's card ranges."""
        if self._tokeniser is None or self._version != snapshot.version:
            self._tokeniser = Tokeniser(self.token_keys, self.active, snapshot.card_ranges)
            self._version = snapshot.version
        return self._tokeniser

    def read(self, incoming: IncomingMessage, snapshot: Snapshot, now: datetime) -> Submission | Refusal:
        """Decode a host's message, or say what is wrong with it."""
        link = snapshot.links.get((incoming.bank, incoming.dialect))
        dialect = self.dialects.get(incoming.dialect)
        if link is None or dialect is None:
            return _unknown_link(incoming, snapshot, known_dialect=dialect is not None)
        largest = max(len(incoming.iso8583), len(incoming.iso8583_response))
        if largest > MAXIMUM_MESSAGE_BYTES:
            problem = f"the message has {largest} bytes; a card message has at most {MAXIMUM_MESSAGE_BYTES}"
            return Refusal(outcome=Outcome.REJECTED, reason=Reason.TOO_LARGE, problem=problem)
        try:
            decoded = decode(dialect, incoming.iso8583)
            if incoming.iso8583_response:
                decoded = merge_response(dialect, decoded, decode(dialect, incoming.iso8583_response))
            message = to_card_message(
                decoded, dialect=dialect, bank=incoming.bank, received_at=now, tokeniser=self.tokeniser(snapshot)
            )
            if not books_nothing(decoded, dialect):
                _require_card(message, decoded, dialect)
        except DecodeFailure as failure:
            return self._undecodable(incoming, failure, EXCHANGE)
        except Exception as error:  # noqa: BLE001 - our fault costs this message alone.
            return self._undecodable(incoming, _our_fault(incoming, error, EXCHANGE), EXCHANGE)
        return Submission(
            message=message,
            fields=b"" if message.card is None else message_to_json(message),
            link=link,
            traces=trace_hashes(message, dialect.links),
            age_days=days_old(message, now),
            surviving=dialect.links,
            decoded=decoded,
            raw=incoming.iso8583,
        )

    def read_record(
        self, record: ClearingRecord, snapshot: Snapshot, now: datetime, *, bank: str, dialect: Dialect, file_id: str
    ) -> CardMessage | Undecodable | None:
        """Make a card message of a clearing record, or say what is wrong with it; None where it books nothing."""
        source = f"{file_id} record {record.number}"
        incoming = IncomingMessage(caller_id="", bank=bank, dialect=dialect.name, iso8583=record.raw)
        if record.decoded is None:
            assert record.failure is not None  # noqa: S101 - a record is decoded, or says why it is not.
            return self._kept_aside(incoming, record.failure, source)
        try:
            if record.card is None and books_nothing(record.decoded, dialect):
                return None
            message = to_card_message(
                record.decoded,
                dialect=dialect,
                bank=bank,
                received_at=now,
                tokeniser=self.tokeniser(snapshot),
                clearing_file=file_id,
                record_number=record.number,
            )
            if record.card is not None:
                message = replace(message, card=self._known(record.card, dialect))
            _require_card(message, record.decoded, dialect)
        except DecodeFailure as failure:
            return self._kept_aside(incoming, failure, source)
        except Exception as error:  # noqa: BLE001 - our fault costs this record alone.
            return self._kept_aside(incoming, _our_fault(incoming, error, source), source)
        return replace(message, content=claim_digest(message))

    def read_stored(self, fields: bytes | str, snapshot: Snapshot, now: datetime, *, replay: bool = True) -> Submission:
        """Build a submission from stored fields: of a parked message again, or of a clearing record the first time."""
        message = message_from_json(fields)
        surviving = self.dialects[message.dialect].links if message.dialect else ()
        link = snapshot.links.get((message.bank, message.dialect)) or clearing_link(message.bank, message.dialect)
        return Submission(
            message=message,
            fields=fields.encode() if isinstance(fields, str) else fields,
            link=link,
            traces=trace_hashes(message, surviving),
            age_days=days_old(message, now),
            surviving=surviving,
            replay=replay,
        )

    def _known(self, card: CardReference | None, dialect: Dialect) -> CardReference | None:
        """Return a card that a file names by its token; raises :class:`DecodeFailure` where its key is not live."""
        if card is not None and card.key_id not in self.token_keys:
            known = ", ".join(sorted(self.token_keys))
            problem = f"names no live token key; the live keys are {known}"
            raise DecodeFailure(dialect=dialect.name, field="card_token_key", position=None, problem=problem)
        return card

    def _undecodable(self, incoming: IncomingMessage, failure: DecodeFailure, source: str) -> Refusal:
        return Refusal(
            outcome=Outcome.REJECTED,
            reason=Reason.UNDECODABLE,
            problem=f"{failure}; correct it and send the message again",
            undecodable=self._kept_aside(incoming, failure, source),
        )

    def _kept_aside(self, incoming: IncomingMessage, failure: DecodeFailure, source: str) -> Undecodable:
        """Return where the bytes failed and a keyed digest of them; the same bytes give the same id."""
        data = incoming.iso8583 + incoming.iso8583_response
        digest = hmac.digest(self.token_keys[self.active], data, "sha256")
        named = f"{incoming.bank}\x00{incoming.dialect}\x00{source}\x00".encode() + digest
        return Undecodable(
            id=hmac.digest(self.token_keys[self.active], named, "sha256")[:16],
            bank=incoming.bank,
            dialect=incoming.dialect,
            source=source,
            length_bytes=len(data),
            field=failure.field,
            position=-1 if failure.position is None else failure.position,
            problem=failure.problem,
            digest=digest,
            key_id=self.active,
        )


def _our_fault(incoming: IncomingMessage, error: Exception, source: str) -> DecodeFailure:
    """Log a message that the processor itself fails on; it is kept as bytes that do not decode, neighbours go on."""
    _LOG.error("message_not_read", bank=incoming.bank, dialect=incoming.dialect, source=source, **described(error))
    problem = "the processor failed to read the message; its log says where"
    return DecodeFailure(dialect=incoming.dialect, field="message", position=None, problem=problem)


def _require_card(message: CardMessage, decoded: Decoded, dialect: Dialect) -> None:
    if message.card is None and message.kind is not MessageKind.NETWORK_MANAGEMENT:
        raise decoded.failure("pan", "is missing; a card message needs it", dialect.numbers)


def clearing_link(bank: str, dialect: str) -> Link:
    """Return the terms of a clearing file: it tells what was decided, and wants no answers in ISO 8583."""
    return Link(
        bank=bank,
        dialect=dialect,
        mode=LinkMode.COPY,
        financial=FinancialMeaning.AWAITS_CLEARING,
        answers=False,
        quote_seconds=0,
    )


def _unknown_link(incoming: IncomingMessage, snapshot: Snapshot, *, known_dialect: bool) -> Refusal:
    """Say what is known instead; what the host wrote is not repeated, for it may be a card number."""
    dialects = sorted(dialect for bank, dialect in snapshot.links if bank == incoming.bank)
    if not dialects:
        banks = ", ".join(sorted({bank for bank, _ in snapshot.links})) or "none; apply a programme first"
        problem = f"no programme names this bank; known banks: {banks}"
        return Refusal(outcome=Outcome.REJECTED, reason=Reason.UNKNOWN_BANK, problem=problem)
    which = "has no link of this dialect" if known_dialect else "has no link of the dialect named, which is unknown"
    problem = f"bank {incoming.bank!r} {which}; its links speak {', '.join(dialects)}"
    return Refusal(outcome=Outcome.REJECTED, reason=Reason.UNKNOWN_DIALECT, problem=problem)
