"""Frames on a raw TCP link: bytes as they arrive in, whole messages out, and the frame around an answer.

A frame is a length, an optional header (a TPDU or other bytes of fixed length) and one message.
It does no input or output and keeps no time; a half message's age is its caller's to watch.
It never repeats what a peer sent: a :class:`FramingError` says which rule was broken, not by which bytes.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

TPDU_BYTES: Final = 5
"""A transport protocol data unit: an identifier of one byte, then destination and source, two bytes each."""


class LengthEncoding(StrEnum):
    """How the length in front of a message is written."""

    BINARY_2 = "binary-2"
    BINARY_4 = "binary-4"
    ASCII_4 = "ascii-4"
    BCD_2 = "bcd-2"


class HeaderAnswer(StrEnum):
    """What the header of an answer is: the request's own, or a TPDU with its destination and source changed over."""

    ECHO = "echo"
    SWAP = "swap"


_LENGTH_BYTES: Final = {
    LengthEncoding.BINARY_2: 2,
    LengthEncoding.BINARY_4: 4,
    LengthEncoding.ASCII_4: 4,
    LengthEncoding.BCD_2: 2,
}
_LARGEST_LENGTHS: Final = {
    LengthEncoding.BINARY_2: 0xFFFF,
    LengthEncoding.BINARY_4: 0xFFFFFFFF,
    LengthEncoding.ASCII_4: 9999,
    LengthEncoding.BCD_2: 9999,
}
_DIGITS: Final = b"0123456789"


class FramingError(ValueError):
    """What came is no frame of the link; where the next one begins is not known, so the connection cannot go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """How a link frames its messages.

    ``counts_itself`` is true where the length counts its own bytes too; ``counts_header`` where it counts the header.
    ``header_bytes`` is 0 where there is no header; ``own_header`` stands before a message that answers none.
    ``keep_alive`` is true where a length of nothing is a sign of life, and not an error.
    ``largest_message_bytes`` is the longest message that is taken, its header not counted.
    """

    length: LengthEncoding
    counts_itself: bool = False
    header_bytes: int = 0
    counts_header: bool = True
    header_answer: HeaderAnswer = HeaderAnswer.ECHO
    own_header: bytes = b""
    keep_alive: bool = False
    largest_message_bytes: int

    @property
    def length_bytes(self) -> int:
        """Bytes of the length itself."""
        return _LENGTH_BYTES[self.length]

    @property
    def uncounted_bytes(self) -> int:
        """What must be taken from a length so that the message's bytes are left."""
        return (self.length_bytes if self.counts_itself else 0) + (self.header_bytes if self.counts_header else 0)

    @property
    def largest_writable_bytes(self) -> int:
        """The longest message whose length can be written."""
        return _LARGEST_LENGTHS[self.length] - self.uncounted_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One message and the header that stood before it."""

    header: bytes
    message: bytes

    def __repr__(self) -> str:
        return f"Frame({len(self.message)} bytes)"


def answer_header(framing: Framing, header: bytes) -> bytes:
    """Return the header of the answer to a message that came with ``header``."""
    if framing.header_answer is HeaderAnswer.SWAP:
        return header[:1] + header[3:5] + header[1:3]
    return header


def write_frame(framing: Framing, header: bytes, message: bytes) -> bytes:
    """Return ``message`` in its frame; raises :class:`FramingError` where the length cannot say how long it is."""
    if len(message) > framing.largest_writable_bytes:
        raise FramingError(f"a message of {len(message)} bytes is longer than a length of {framing.length} can say")
    length = len(message) + framing.uncounted_bytes
    return _written_length(framing, length) + header + message


def _written_length(framing: Framing, length: int) -> bytes:
    if framing.length is LengthEncoding.ASCII_4:
        return b"%04d" % length
    if framing.length is LengthEncoding.BCD_2:
        return bytes.fromhex(f"{length:04d}")
    return length.to_bytes(framing.length_bytes, "big")


class FrameReader:
    """The bytes of one connection that are not whole messages yet.

    After :attr:`failure` is set it takes and gives nothing more.
    It holds no more than one unfinished frame beyond what was fed since the last :meth:`take`.
    """

    __slots__ = ("_at", "_buffer", "_framing", "failure", "keep_alives")

    def __init__(self, framing: Framing) -> None:
        self._framing = framing
        self._buffer = bytearray()
        self._at = 0
        self.failure: FramingError | None = None
        self.keep_alives = 0

    @property
    def unread_bytes(self) -> int:
        """Bytes that were fed and not taken."""
        return len(self._buffer) - self._at

    def feed(self, data: bytes) -> None:
        """Take bytes as they came."""
        if self.failure is None:
            self._buffer += data

    def take(self, limit: int) -> list[Frame]:
        """Return at most ``limit`` whole messages; those before a failure are given, and :attr:`failure` is set."""
        frames: list[Frame] = []
        try:
            while len(frames) < limit and (frame := self._next()) is not None:
                frames.append(frame)
        except FramingError as failure:
            self.failure = failure
            self._at = len(self._buffer)
        if self._at:
            del self._buffer[: self._at]
            self._at = 0
        return frames

    def _next(self) -> Frame | None:
        """Return the next whole message, or None where it has not all come; skips signs of life."""
        framing, buffer = self._framing, self._buffer
        while True:
            start = self._at + framing.length_bytes
            if len(buffer) < start:
                return None
            size = self._message_bytes(bytes(buffer[self._at : start]))
            if size is not None:
                break
            self.keep_alives += 1
            self._at = start
        middle = start + framing.header_bytes
        end = middle + size
        if len(buffer) < end:
            return None
        self._at = end
        return Frame(header=bytes(buffer[start:middle]), message=bytes(buffer[middle:end]))

    def _message_bytes(self, written: bytes) -> int | None:
        """Return how many bytes of message follow a length and its header, None for a sign of life."""
        framing = self._framing
        length = _read_length(framing.length, written)
        if framing.keep_alive and length == (framing.length_bytes if framing.counts_itself else 0):
            return None
        size = length - framing.uncounted_bytes
        if size <= 0:
            raise FramingError("a length leaves no room for a message")
        if size > framing.largest_message_bytes:
            raise FramingError(
                f"a length announces a message of {size} bytes; the link takes {framing.largest_message_bytes} at most"
            )
        return size


def _read_length(encoding: LengthEncoding, written: bytes) -> int:
    if encoding in {LengthEncoding.BINARY_2, LengthEncoding.BINARY_4}:
        return int.from_bytes(written, "big")
    digits = written if encoding is LengthEncoding.ASCII_4 else written.hex().encode()
    if digits.strip(_DIGITS):  # int() would take signs, spaces and underscores.
        raise FramingError(f"a length is not of the digits that {encoding} is written in")
    return int(digits)
