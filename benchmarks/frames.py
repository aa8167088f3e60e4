"""The messages of a run, made ahead and already in frames: a load generator that encodes would measure itself.

Every message of a run is another one, so that none is a duplicate: they all come from one sequence.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import islice
from typing import Final

import schemas
from examples.traffic import TrafficMessage, authorizations
from processor.flow.submission import IncomingMessage
from processor.v1 import card_network_pb2 as pb
from processor.wire.decode import decode
from processor.wire.dialect import Dialect
from processor.wiring import compile_dialects

BANK: Final = "alpha"
DIALECT: Final = "iso87-ascii"
_LONGEST_RUN: Final = 1_000_000
"""Messages that the sequence holds: one for each trace number, which the sequence must not use twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A serialised frame, and the callers' ids of its messages."""

    data: bytes
    caller_ids: tuple[str, ...]


class MessageSource:
    """Approved authorizations of the cards of some accounts, each account in turn."""

    def __init__(self, *, accounts: int, now: datetime) -> None:
        self.accounts = accounts
        self._messages: Iterator[TrafficMessage] = authorizations(
            _LONGEST_RUN, seed=1, now=now, bank=BANK, dialect=DIALECT, accounts=accounts
        )

    def messages(self, count: int) -> list[IncomingMessage]:
        """Return the next messages of the sequence."""
        made = [
            IncomingMessage(caller_id=one.caller_id, bank=one.bank, dialect=one.dialect, iso8583=one.message)
            for one in islice(self._messages, count)
        ]
        if len(made) < count:
            raise ValueError(f"a run sends at most {_LONGEST_RUN} messages; ask for fewer rounds or seconds")
        return made


def trace_number_of(message: IncomingMessage) -> str:
    """Return the trace number of a message of the sequence, which no other one has."""
    return decode(dialect_of_messages(), message.iso8583).fields["trace_number"]


@cache
def dialect_of_messages() -> Dialect:
    """Return the dialect of the sequence, compiled once."""
    return compile_dialects(schemas.iso8583_dialects())[DIALECT]


def in_frames(messages: Sequence[IncomingMessage], *, size: int) -> list[Frame]:
    """Return messages in frames of ``size``, the last one perhaps smaller."""
    return [_frame(messages[start : start + size]) for start in range(0, len(messages), size)]


def _frame(messages: Sequence[IncomingMessage]) -> Frame:
    request = pb.ExchangeRequest(
        messages=[
            pb.CardMessage(caller_id=one.caller_id, bank=one.bank, dialect=one.dialect, iso8583=one.iso8583)
            for one in messages
        ]
    )
    return Frame(data=request.SerializeToString(), caller_ids=tuple(one.caller_id for one in messages))
