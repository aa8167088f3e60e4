"""What the tests of the example traffic share: one default traffic, and its messages as the decision sees them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

import pytest

from examples.traffic import Traffic, TrafficMessage, tell
from examples.traffic.skyways import CLEARING_DIALECT, dialects, programme
from processor.core.message import CardMessage
from processor.wire.card_message import to_card_message
from processor.wire.decode import DecodeFailure, decode, merge_response
from processor.wire.encode import encode_message
from processor.wire.tokenise import Tokeniser

TODAY: Final = date(2026, 11, 22)
NOW: Final = datetime(2026, 11, 22, 11, 30, tzinfo=UTC)

_PRODUCTS: Final = {prefix: product.id for product in programme().products.values() for prefix in product.card_ranges}
TOKENISER: Final = Tokeniser({"2026a": bytes(range(32))}, "2026a", _PRODUCTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """A message or clearing record and its story, as the processor understands it at ``NOW``."""

    story: str
    message: CardMessage


def understand(sent: TrafficMessage, received_at: datetime) -> CardMessage:
    """Return one message of the traffic as the decision sees it; raises ``DecodeFailure``."""
    dialect = dialects()[sent.dialect]
    decoded = decode(dialect, sent.message)
    if sent.response is not None:
        decoded = merge_response(dialect, decoded, decode(dialect, sent.response))
    return to_card_message(decoded, dialect=dialect, bank=sent.bank, received_at=received_at, tokeniser=TOKENISER)


def understood(traffic: Traffic, received_at: datetime) -> Iterator[Understood]:
    """Yield every message that decodes and every clearing record of a traffic."""
    for sent in traffic.messages:
        try:
            yield Understood(story=sent.story, message=understand(sent, received_at))
        except DecodeFailure:
            assert sent.story.startswith("undecodable"), sent.story
    dialect = dialects()[CLEARING_DIALECT]
    for number, record in enumerate(traffic.presentments, start=1):
        decoded = decode(dialect, encode_message(dialect, "1240", record.elements))
        message = to_card_message(
            decoded,
            dialect=dialect,
            bank=record.bank,
            received_at=received_at,
            tokeniser=TOKENISER,
            clearing_file=f"{record.bank} {record.day}",
            record_number=number,
        )
        yield Understood(story=record.story, message=message)


@pytest.fixture(scope="session")
def traffic() -> Traffic:
    """Tell the default traffic of one day."""
    return tell(seed=7, accounts=500, messages=5000, today=TODAY, now=NOW)


@pytest.fixture(scope="session")
def told(traffic: Traffic) -> list[Understood]:
    """Return the default traffic as the processor understands it."""
    return list(understood(traffic, NOW))
