"""Frames of raw TCP links: every length encoding to the byte, headers in answers, pieces of any size, and garbage."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.wire.framing import (
    Frame,
    FrameReader,
    Framing,
    FramingError,
    HeaderAnswer,
    LengthEncoding,
    answer_header,
    write_frame,
)

TPDU = bytes.fromhex("6000010002")
GOLDEN = {
    "two bytes": (Framing(length=LengthEncoding.BINARY_2, largest_message_bytes=8192), "0004 30383030"),
    "two bytes that count themselves": (
        Framing(length=LengthEncoding.BINARY_2, counts_itself=True, largest_message_bytes=8192),
        "0006 30383030",
    ),
    "four bytes": (Framing(length=LengthEncoding.BINARY_4, largest_message_bytes=8192), "00000004 30383030"),
    "four digits": (Framing(length=LengthEncoding.ASCII_4, largest_message_bytes=8192), "30303034 30383030"),
    "four digits that count themselves": (
        Framing(length=LengthEncoding.ASCII_4, counts_itself=True, largest_message_bytes=8192),
        "30303038 30383030",
    ),
    "packed digits": (Framing(length=LengthEncoding.BCD_2, largest_message_bytes=8192), "0004 30383030"),
    "a TPDU that is counted": (
        Framing(length=LengthEncoding.BCD_2, header_bytes=5, largest_message_bytes=8192),
        "0009 6000010002 30383030",
    ),
    "a TPDU that is not counted": (
        Framing(length=LengthEncoding.BINARY_2, header_bytes=5, counts_header=False, largest_message_bytes=8192),
        "0004 6000010002 30383030",
    ),
    "a TPDU and the length counted": (
        Framing(length=LengthEncoding.BINARY_4, counts_itself=True, header_bytes=5, largest_message_bytes=8192),
        "0000000d 6000010002 30383030",
    ),
}
FRAMINGS = [framing for framing, _ in GOLDEN.values()]


def read_all(framing: Framing, data: bytes, *, piece: int = 1_000_000, limit: int = 1_000) -> list[Frame]:
    """Return the frames of bytes that arrive in pieces."""
    reader = FrameReader(framing)
    frames: list[Frame] = []
    for start in range(0, len(data), piece):
        reader.feed(data[start : start + piece])
        frames.extend(reader.take(limit))
    assert reader.failure is None
    return frames


@pytest.mark.parametrize("name", GOLDEN)
def test_a_frame_is_written_and_read_to_the_byte(name: str) -> None:
    """Each length encoding is written as its hosts write it, and read back."""
    framing, written = GOLDEN[name]
    header = TPDU[: framing.header_bytes]

    assert bytes.fromhex(written) == write_frame(framing, header, b"0800")
    assert [Frame(header=header, message=b"0800")] == read_all(framing, bytes.fromhex(written))


def test_packed_digits_are_read_as_digits() -> None:
    """A packed length of 0118 is a hundred and eighteen, and one in binary 280."""
    packed = Framing(length=LengthEncoding.BCD_2, largest_message_bytes=8192)

    assert b"\x01\x18" == write_frame(packed, b"", b"x" * 118)[:2]
    assert b"\x01\x18" == write_frame(replace(packed, length=LengthEncoding.BINARY_2), b"", b"x" * 280)[:2]


def test_a_swapped_header_changes_destination_and_source() -> None:
    """The answer to 60 0001 0002 is sent from 0001 to 0002; an echoed header stays as it is."""
    swap = Framing(
        length=LengthEncoding.BCD_2, header_bytes=5, header_answer=HeaderAnswer.SWAP, largest_message_bytes=8192
    )

    assert bytes.fromhex("6000020001") == answer_header(swap, TPDU)
    assert TPDU == answer_header(replace(swap, header_answer=HeaderAnswer.ECHO), TPDU)


@given(
    framing=st.sampled_from(FRAMINGS),
    messages=st.lists(st.binary(min_size=1, max_size=300), max_size=12),
    piece=st.integers(min_value=1, max_value=400),
    limit=st.integers(min_value=1, max_value=3),
)
def test_pieces_of_any_size_give_the_same_messages(
    framing: Framing, messages: list[bytes], piece: int, limit: int
) -> None:
    """However TCP cuts the bytes, and however few messages are taken at once, all come out in order."""
    header = TPDU[: framing.header_bytes]
    reader = FrameReader(framing)
    data = b"".join(write_frame(framing, header, message) for message in messages)
    found: list[Frame] = []
    for start in range(0, len(data), piece):
        reader.feed(data[start : start + piece])
        while frames := reader.take(limit):
            assert len(frames) <= limit
            found.extend(frames)

    assert (messages, 0) == ([frame.message for frame in found], reader.unread_bytes)
    assert {header} >= {frame.header for frame in found}


@given(framing=st.sampled_from(FRAMINGS), data=st.binary(max_size=600), piece=st.integers(min_value=1, max_value=100))
def test_any_bytes_give_messages_or_a_failure(framing: Framing, data: bytes, piece: int) -> None:
    """Nothing but a FramingError comes of garbage, no message is longer than allowed, and no more is held than fed."""
    reader = FrameReader(replace(framing, largest_message_bytes=64))
    fed = 0
    for start in range(0, len(data), piece):
        reader.feed(data[start : start + piece])
        fed += len(data[start : start + piece])
        for frame in reader.take(1_000):
            assert 1 <= len(frame.message) <= 64
        assert reader.unread_bytes <= (0 if reader.failure else 64 + 5 + 4)
    assert reader.unread_bytes <= fed


def test_a_length_of_nothing_is_a_sign_of_life_where_the_link_says_so() -> None:
    """Signs of life are counted and stand between messages; elsewhere they end the link."""
    framing = Framing(length=LengthEncoding.ASCII_4, keep_alive=True, largest_message_bytes=8192)
    reader = FrameReader(framing)
    reader.feed(b"00000000" + b"00040800" + b"0000")

    assert [b"0800"] == [frame.message for frame in reader.take(10)]
    assert (3, 0, None) == (reader.keep_alives, reader.unread_bytes, reader.failure)

    strict = FrameReader(replace(framing, keep_alive=False))
    strict.feed(b"0000")
    assert [] == strict.take(10)
    assert "no room" in str(strict.failure)


@pytest.mark.parametrize(
    ("encoding", "data", "problem"),
    [
        (LengthEncoding.ASCII_4, b"+012", "digits"),
        (LengthEncoding.ASCII_4, b" 012", "digits"),
        (LengthEncoding.ASCII_4, b"1_00", "digits"),
        (LengthEncoding.ASCII_4, b"GET ", "digits"),
        (LengthEncoding.BCD_2, b"\x0a\x10", "digits"),
        (LengthEncoding.ASCII_4, b"9000", "9000 bytes"),
        (LengthEncoding.BINARY_2, b"\xff\xff", "65535 bytes"),
        (LengthEncoding.BINARY_4, b"\xff\xff\xff\xff", "4294967295 bytes"),
        (LengthEncoding.BINARY_4, b"\x00\x00\x00\x00", "no room"),
    ],
)
def test_garbage_ends_the_reader_with_a_reason(encoding: LengthEncoding, data: bytes, problem: str) -> None:
    """A length that cannot be right is named by its rule; whole messages before it are given, nothing after it is."""
    framing = Framing(length=encoding, largest_message_bytes=8192)
    reader = FrameReader(framing)
    reader.feed(write_frame(framing, b"", b"0800") + data)

    assert [b"0800"] == [frame.message for frame in reader.take(10)]
    assert problem in str(reader.failure)
    reader.feed(write_frame(framing, b"", b"0800"))
    assert [] == reader.take(10)
    assert 0 == reader.unread_bytes


def test_a_message_that_its_length_cannot_say_is_not_written() -> None:
    """Four digits say 9999 at most, the header counted."""
    framing = Framing(length=LengthEncoding.BCD_2, header_bytes=5, largest_message_bytes=8192)

    assert b"\x99\x99" == write_frame(framing, TPDU, b"x" * 9994)[:2]
    with pytest.raises(FramingError, match="longer than"):
        write_frame(framing, TPDU, b"x" * 9995)


def test_a_frame_does_not_show_its_message() -> None:
    """A frame in a log or a traceback says how long its message is, and no more."""
    assert "Frame(16 bytes)" == repr(Frame(header=b"", message=b"4000000000000002"))
