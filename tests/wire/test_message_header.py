"""The header in front of a message: what it must hold, and what the header of an answer says."""

import pytest

from processor.wire.decode import DecodeFailure, decode
from processor.wire.encode import encode_answer, encode_message
from processor.wire.network_management import is_network_management
from tests.wire.conftest import DIALECTS
from tests.wire.messages import fields_of

VISA = DIALECTS["visa-like-bcd"]
RAW = encode_message(VISA, "0120", fields_of(VISA, "0120"))
STATIONS = bytes.fromhex("1601020000012345067890810011223344AABBCCDD07")


def _with_header(header: bytes) -> bytes:
    header = header[:3] + len(RAW).to_bytes(2, "big") + header[5:22]
    return header + RAW[22:]


def test_network_management_is_seen_behind_a_header() -> None:
    """The message type stands after the header."""
    assert is_network_management(VISA, encode_message(VISA, "0800", fields_of(VISA, "0800")))
    assert not is_network_management(VISA, RAW)


def test_a_new_message_has_a_whole_header() -> None:
    """Fixed bytes, the length of header and message, and zeros elsewhere."""
    assert "160102" + f"{len(RAW):04x}" + "00" * 17 == RAW[:22].hex()


def test_an_answer_goes_back_where_its_request_came_from() -> None:
    """Source and destination change places, the length is counted anew, the rest is repeated."""
    request = _with_header(STATIONS)

    answer = encode_answer(VISA, request, award="OC003yes")

    assert len(answer) == int.from_bytes(answer[3:5], "big")
    assert (request[5:8], request[8:11]) == (answer[8:11], answer[5:8])
    assert request[11:22] == answer[11:22]
    assert "0130" == decode(VISA, answer).mti


@pytest.mark.parametrize(
    ("raw", "field", "position"),
    [
        (RAW[:21], "header header", 0),
        (b"\x1a" + RAW[1:], "header header_length", 0),
        (RAW[:4] + b"\x01" + RAW[5:], "header message_length", 3),
        (RAW + b"\x00", "header message_length", 3),
        (RAW[:22] + b"\x05" + RAW[23:], "mti", 22),
    ],
)
def test_a_header_that_cannot_be_right_is_refused(raw: bytes, field: str, position: int) -> None:
    """A header that is cut, of another length, or that counts other bytes than came."""
    with pytest.raises(DecodeFailure) as caught:
        decode(VISA, raw)

    assert (field, position) == (caught.value.field, caught.value.position)


def test_places_of_failures_count_from_the_header() -> None:
    """A byte offset counts from the first byte of the header, bitmap included."""
    at = RAW.index(bytes.fromhex("1122101530"))
    with pytest.raises(DecodeFailure) as caught:
        decode(VISA, RAW[:at] + b"\xaa" + RAW[at + 1 :])

    assert ("7 transmission_date_time", at) == (caught.value.field, caught.value.position)
