"""The framing of clearing files of the IPM kind: records with a length in front, in blocks of 1014 bytes or without.

It reads from a file that its caller opened, with bounded memory, and never shows a record's content.

Framing: each record follows its length in four bytes, high byte first; a length of zero ends the file.
Blocked: after every 1012 bytes come two fill bytes 0x40, and the last block is filled up with them.
"""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from processor.wire.clearing_file import ClearingFileError, ClearingSource, record_place
from processor.wire.decode import MAXIMUM_MESSAGE_BYTES

BLOCK_BYTES: Final = 1014
BLOCK_DATA_BYTES: Final = 1012
PROBE_BYTES: Final = 64 * BLOCK_BYTES
"""How much of a file's beginning to hand to :func:`looks_blocked`."""

_FILL: Final = b"\x40"
_LENGTH_BYTES: Final = 4
_READ_BLOCKS: Final = 64


class FramingError(ClearingFileError):
    """The bytes of a clearing file are not records with lengths, or the file was cut."""


def read_records(source: ClearingSource, *, blocked: bool) -> Iterator[tuple[int, int, bytes]]:
    """Yield (record number from 1, offset of its length in the file, bytes) of each record.

    Raises :class:`FramingError`; the records before it were yielded, so check the whole file first.
    """
    number = 0
    try:
        for number, offset, record in _framed(_blocks(source) if blocked else _pieces(source), blocked=blocked):
            yield number, offset, record
    except _BrokenBlockError as error:
        raise _refusal(error.problem, error.offset, number + 1) from None


def write_records(records: Iterable[bytes], *, blocked: bool) -> bytes:
    """Return the bytes of a file of these records, with its end mark."""
    framed = b"".join([len(record).to_bytes(_LENGTH_BYTES, "big") + record for record in records])
    data = framed + bytes(_LENGTH_BYTES)
    if not blocked:
        return data
    pieces = [data[start : start + BLOCK_DATA_BYTES] for start in range(0, len(data), BLOCK_DATA_BYTES)]
    return b"".join([piece.ljust(BLOCK_BYTES, _FILL) for piece in pieces])


def looks_blocked(first_bytes: bytes) -> bool:
    """Return whether a file that begins with these bytes is in blocks; hand in :data:`PROBE_BYTES` or the whole file.

    The fill bytes are also EBCDIC spaces, so their places alone prove nothing: a file whose lengths lead from record
    to record without leaving out the fill is not blocked.
    """
    whole_blocks = len(first_bytes) // BLOCK_BYTES
    fills = [first_bytes[block * BLOCK_BYTES + BLOCK_DATA_BYTES :][:2] for block in range(whole_blocks)]
    if not fills or any(fill != _FILL * 2 for fill in fills):
        return False
    at = last = 0
    while at + _LENGTH_BYTES <= len(first_bytes):
        length = int.from_bytes(first_bytes[at : at + _LENGTH_BYTES], "big")
        if length == 0 or length > MAXIMUM_MESSAGE_BYTES:
            return length > 0 or at + _LENGTH_BYTES < len(first_bytes)
        last, at = at, at + _LENGTH_BYTES + length
    return last < BLOCK_DATA_BYTES and at != len(first_bytes)


def _refusal(problem: str, offset: int, number: int) -> FramingError:
    return FramingError(problem, place=record_place(number, offset))


def _framed(pieces: Iterator[bytes], *, blocked: bool) -> Iterator[tuple[int, int, bytes]]:
    buffer = b""
    at = begin = number = 0  # The first byte of the buffer is number ``begin`` of the data without fill.
    for piece in pieces:
        buffer, begin, at = buffer[at:] + piece, begin + at, 0
        while len(buffer) - at >= _LENGTH_BYTES:
            length = int.from_bytes(buffer[at : at + _LENGTH_BYTES], "big")
            offset = _offset(begin + at, blocked=blocked)
            end = at + _LENGTH_BYTES + length
            if length == 0:
                _check_end(buffer[end:], pieces, offset, number)
                return
            if length > MAXIMUM_MESSAGE_BYTES:
                problem = f"its length {length} is over {MAXIMUM_MESSAGE_BYTES}; check whether the file is blocked"
                raise _refusal(problem, offset, number + 1)
            if end > len(buffer):
                break
            number += 1
            yield number, offset, buffer[at + _LENGTH_BYTES : end]
            at = end
    if at < len(buffer):
        problem = "the file ends inside the record; ask for it again"
        raise _refusal(problem, _offset(begin + at, blocked=blocked), number + 1)


def _pieces(source: ClearingSource) -> Iterator[bytes]:
    while piece := source.read(_READ_BLOCKS * BLOCK_BYTES):
        yield piece


class _BrokenBlockError(Exception):
    def __init__(self, offset: int, problem: str) -> None:
        super().__init__(problem)
        self.offset = offset
        self.problem = problem


def _blocks(source: ClearingSource) -> Iterator[bytes]:
    """Yield the data of the blocks, many at a time, without the fill bytes after each; the good ones before a bad."""
    start = 0
    rest = b""
    for read in _pieces(source):
        piece = rest + read
        good: list[bytes] = []
        for block in range(0, len(piece) - BLOCK_BYTES + 1, BLOCK_BYTES):
            if piece[block + BLOCK_DATA_BYTES : block + BLOCK_BYTES] != _FILL * 2:
                yield b"".join(good)
                problem = "the block does not end in two fill bytes; check whether the file is blocked"
                raise _BrokenBlockError(start + block + BLOCK_DATA_BYTES, problem)
            good.append(piece[block : block + BLOCK_DATA_BYTES])
        yield b"".join(good)
        rest = piece[len(good) * BLOCK_BYTES :]
        start += len(good) * BLOCK_BYTES
    if rest:
        raise _BrokenBlockError(start, f"the last block has {len(rest)} bytes of {BLOCK_BYTES}; ask for the file again")


def _offset(position: int, *, blocked: bool) -> int:
    """Return the place in the file of a place in its data."""
    return position + position // BLOCK_DATA_BYTES * (BLOCK_BYTES - BLOCK_DATA_BYTES) if blocked else position


def _check_end(rest: bytes, pieces: Iterator[bytes], offset: int, number: int) -> None:
    """After the end mark only fill may follow."""
    for piece in chain((rest,), pieces):
        if piece.strip(_FILL):
            problem = "bytes follow the end mark; hand over one file at a time"
            raise _refusal(problem, offset, number)
