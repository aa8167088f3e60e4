"""What a network management message asks, and the echo of our own, in every dialect that has one."""

from datetime import UTC, datetime

import pytest

import schemas
from processor.wire.decode import decode
from processor.wire.dialect import parse_dialect
from processor.wire.encode import encode_message
from processor.wire.network_management import (
    NetworkEvent,
    echo_message,
    event_of,
    is_network_management,
    is_response,
    sends_echo,
)
from tests.flow.conftest import DIALECTS

NETWORK_93 = """
description: ISO 8583:1993 with network management
extends: ipm93-ebcdic
messages: ["1804", "1814"]
kept: [transmission_date_time, trace_number, local_date_time, function_code]
identity: [transmission_date_time, trace_number]
clearing_identity: []
volatile: []
echo: [transmission_date_time, trace_number, function_code]
"""
AT = datetime(2026, 11, 20, 12, 30, 1, tzinfo=UTC)


@pytest.mark.parametrize("dialect", ["iso87-ascii", "iso87-bcd"])
@pytest.mark.parametrize(
    ("code", "event"),
    [
        ("001", NetworkEvent.SIGN_ON),
        ("002", NetworkEvent.SIGN_OFF),
        ("301", NetworkEvent.ECHO),
        ("161", NetworkEvent.OTHER),
        (None, NetworkEvent.OTHER),
    ],
)
def test_the_code_says_what_is_asked(dialect: str, code: str | None, event: NetworkEvent) -> None:
    """Codes of no meaning to a link, and none at all, ask for an answer and nothing else."""
    fields = {"transmission_date_time": "1120123001", "trace_number": "000007"}
    if code is not None:
        fields["network_code"] = code
    raw = encode_message(DIALECTS[dialect], "0800", fields)

    assert is_network_management(DIALECTS[dialect], raw)
    assert event is event_of(decode(DIALECTS[dialect], raw))


def test_a_card_message_and_garbage_are_no_network_management() -> None:
    """The message type alone tells, so that card messages are not decoded twice."""
    assert [False] * 3 == [is_network_management(DIALECTS["iso87-ascii"], raw) for raw in (b"0100", b"", b"GET /")]


@pytest.mark.parametrize("name", [name for name in DIALECTS if sends_echo(DIALECTS[name])])
def test_our_echo_is_an_echo_to_its_reader(name: str) -> None:
    """It carries our trace number, our time where the dialect has it, asks for an answer, and reads as an echo."""
    decoded = decode(DIALECTS[name], echo_message(DIALECTS[name], trace_number="000042", at=AT))

    assert (NetworkEvent.ECHO, False) == (event_of(decoded), is_response(decoded))
    assert "000042" == decoded.fields["trace_number"]
    if "transmission_date_time" in DIALECTS[name].kept:
        assert "1120123001" == decoded.fields["transmission_date_time"]


def test_a_dialect_of_clearing_files_has_no_echo() -> None:
    """A dialect without network management says so before a link asks for echoes."""
    clearing = DIALECTS["ipm93-ebcdic"]

    assert not sends_echo(clearing)
    with pytest.raises(ValueError, match="no network management"):
        echo_message(clearing, trace_number="000001", at=AT)


@pytest.mark.parametrize(
    ("code", "event"),
    [
        ("801", NetworkEvent.SIGN_ON),
        ("802", NetworkEvent.SIGN_OFF),
        ("831", NetworkEvent.ECHO),
        ("811", NetworkEvent.OTHER),
    ],
)
def test_the_function_code_says_it_in_1993(code: str, event: NetworkEvent) -> None:
    """A dialect of 1993 has 1804 and function codes, and writes its echo with both of its times."""
    texts = schemas.iso8583_dialects()
    dialect = parse_dialect("net93", NETWORK_93, texts)
    fields = {"transmission_date_time": "1120123001", "trace_number": "000007", "function_code": code}

    assert event is event_of(decode(dialect, encode_message(dialect, "1804", fields)))
    decoded = decode(dialect, echo_message(dialect, trace_number="000042", at=AT))
    assert ("1804", "261120123001") == (decoded.mti, decoded.fields["local_date_time"])
    assert NetworkEvent.ECHO is event_of(decoded)
