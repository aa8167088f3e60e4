"""What the tests of the wire share: the shipped dialects, a tokeniser and one purchase's fields."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

import schemas
from processor.wire.dialect import Dialect, parse_dialect
from processor.wire.tokenise import Tokeniser

GOLDEN: Final = Path(__file__).parent / "golden"
PAN: Final = "4000009876543219"
TRACK_2: Final = f"{PAN}=29122010000012300000"
PIN_BLOCK: Final = "0412AC89ABCDEF67"
RECEIVED_AT: Final = datetime(2026, 11, 22, 10, 15, 31, tzinfo=UTC)
TEXTS: Final = schemas.iso8583_dialects()
DIALECTS: Final[Mapping[str, Dialect]] = {name: parse_dialect(name, text, TEXTS) for name, text in TEXTS.items()}
ONLINE: Final = ("iso87-ascii", "iso87-bcd")

AUTHORIZATION: Final[Mapping[str, str]] = {
    "pan": PAN,
    "processing_code": "000000",
    "amount": "12050",
    "billing_amount": "12050",
    "transmission_date_time": "1122101530",
    "trace_number": "223456",
    "local_time": "111530",
    "local_date": "1122",
    "expiry_date": "2912",
    "mcc": "5411",
    "entry_mode": "051",
    "condition_code": "00",
    "acquirer": "40000",
    "forwarder": "400002",
    "track_2": TRACK_2,
    "retrieval_reference": "632610223456",
    "approval_code": "A1B2C3",
    "response_code": "00",
    "terminal": "TERM0001",
    "acceptor": "MERCHANT0000001",
    "acceptor_name": "PASTELARIA SÃO JOÃO      LISBOA       PT",
    "currency": "978",
    "billing_currency": "978",
    "pin_block": PIN_BLOCK,
    "lifecycle_id": "1MDSABCDEFGHIJKL",
    "mac": "0123456789ABCDEF",
}

PRESENTMENT: Final[Mapping[str, str]] = {
    "pan": PAN,
    "processing_code": "000000",
    "amount": "12050",
    "billing_amount": "12050",
    "local_date_time": "261122111530",
    "expiry_date": "2912",
    "entry_mode": "510101511344",
    "function_code": "200",
    "mcc": "5411",
    "acquirer_reference": "05400006326100000000018",
    "acquirer": "400001",
    "forwarder": "400002",
    "retrieval_reference": "632610223456",
    "approval_code": "A1B2C3",
    "terminal": "TERM0001",
    "acceptor": "MERCHANT0000001",
    "acceptor_name": "PASTELARIA SÃO JOÃO\\RUA 1\\LISBOA\\1000-001     PRT",
    "currency": "978",
    "billing_currency": "978",
    "lifecycle_id": "1MDSABCDEFGHIJKL",
    "message_number": "2",
}


def track_2_of(dialect: Dialect) -> str:
    """Return the track as the dialect writes it: packed digits know D for the separator."""
    return TRACK_2.replace("=", "D") if dialect.spec["35"]["data_enc"] == "b" else TRACK_2


def authorization(dialect: Dialect, **changes: str) -> dict[str, str]:
    """Return the fields of an authorization with its sensitive elements; an empty change leaves a field out."""
    fields = {**AUTHORIZATION, "track_2": track_2_of(dialect), **changes}
    return {name: value for name, value in fields.items() if value}


def presentment(**changes: str) -> dict[str, str]:
    """Return the fields of a clearing record; an empty change leaves a field out."""
    return {name: value for name, value in {**PRESENTMENT, **changes}.items() if value}


@pytest.fixture(params=ONLINE)
def online(request: pytest.FixtureRequest) -> Dialect:
    """Each dialect of online messages in turn."""
    return DIALECTS[request.param]


@pytest.fixture
def ipm() -> Dialect:
    """Return the dialect of clearing records."""
    return DIALECTS["ipm93-ebcdic"]


@pytest.fixture
def tokeniser() -> Tokeniser:
    """Return a tokeniser with one key and one card range."""
    return Tokeniser({"2026a": bytes(range(32))}, "2026a", {"400000": "gold"})
