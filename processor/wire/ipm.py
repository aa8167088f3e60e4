"""Clearing files of the IPM kind: records with a length in front, in blocks of 1014 bytes or without.

It decides whether a file is whole: header first, trailer last, the trailer's count and total equal to what is there.
A file that is not is refused as a whole, with offset and record number, before any record of it counts.
It reads from a file that its caller opened, with bounded memory, and never shows a record's content.

Framing: each record follows its length in four bytes, high byte first; a length of zero ends the file.
Blocked: after every 1012 bytes come two fill bytes 0x40, and the last block is filled up with them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import chain
from typing import BinaryIO, Final

from processor.wire.decode import MAXIMUM_MESSAGE_BYTES, Decoded, DecodeFailure, decode, readable_amount
from processor.wire.dialect import Dialect

BLOCK_BYTES: Final = 1014
BLOCK_DATA_BYTES: Final = 1012
PROBE_BYTES: Final = 64 * BLOCK_BYTES
"""How much of a file's beginning to hand to :func:`looks_blocked`."""

_FILL: Final = b"\x40"
_LENGTH_BYTES: Final = 4
_READ_BLOCKS: Final = 64
_HEADER_FUNCTION: Final = "697"
_TRAILER_FUNCTION: Final = "695"


class RecordRole(Enum):
    """What a record of a clearing file is for."""

    HEADER = "header"
    TRAILER = "trailer"
    PRESENTMENT = "presentment"
    OTHER = "other"


class ClearingFileError(ValueError):
    """A clearing file is refused as a whole; says where and, for a control, the stated and the calculated value.

    ``offset`` is in bytes from the file's beginning, ``record_number`` counts from 1.
    """

    def __init__(
        self,
        problem: str,
        *,
        offset: int,
        record_number: int,
        stated: int | str | None = None,
        calculated: int | str | None = None,
    ) -> None:
        control = "" if stated is None else f" (stated {stated}, calculated {calculated})"
        super().__init__(f"record {record_number} at byte {offset}: {problem}{control}")
        self.problem = problem
        self.offset = offset
        self.record_number = record_number
        self.stated = stated
        self.calculated = calculated


class FramingError(ClearingFileError):
    """The bytes of a clearing file are not records with lengths, or the file was cut."""

    def __init__(self, *, offset: int, record_number: int, problem: str) -> None:
        super().__init__(problem, offset=offset, record_number=record_number)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearingSummary:
    """What a whole clearing file holds.

    ``records`` counts header and trailer too; ``amount_total`` is the sum of all transaction amounts in minor units,
    whatever their currencies, as the trailer's checksum is.
    ``broken`` counts records that do not decode inside a file that is sound.
    """

    file_id: str
    records: int
    presentments: int
    others: int
    broken: int
    amount_total: int


def record_role(decoded: Decoded) -> RecordRole:
    """Return what a decoded record is; a caller makes a card message of presentments alone."""
    function_code = decoded.fields.get("function_code")
    if decoded.mti == "1644" and function_code == _HEADER_FUNCTION:
        return RecordRole.HEADER
    if decoded.mti == "1644" and function_code == _TRAILER_FUNCTION:
        return RecordRole.TRAILER
    if decoded.mti[1:3] == "24" and function_code == "200":
        return RecordRole.PRESENTMENT
    return RecordRole.OTHER


def read_records(source: BinaryIO, *, blocked: bool) -> Iterator[tuple[int, int, bytes]]:
    """Yield (record number from 1, offset of its length in the file, bytes) of each record.

    Raises :class:`FramingError`; the records before it were yielded, so check the whole file first.
    """
    number = 0
    try:
        for number, offset, record in _framed(_blocks(source) if blocked else _pieces(source), blocked=blocked):
            yield number, offset, record
    except _BrokenBlockError as error:
        raise FramingError(offset=error.offset, record_number=number + 1, problem=error.problem) from None


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


def check_clearing_file(source: BinaryIO, dialect: Dialect, *, blocked: bool) -> ClearingSummary:
    """Read the whole file and return what it holds; raises :class:`ClearingFileError` where it is not whole.

    A record between header and trailer that does not decode is counted as broken and leaves the file sound.
    Its amount counts where it can be read; where it cannot, the trailer's total must leave room for it.
    """
    check = _FileCheck()
    for number, offset, raw in read_records(source, blocked=blocked):
        check.take(dialect, number, offset, raw)
    if not check.trailed:
        problem = "the file has no trailer; ask for it again"
        raise ClearingFileError(problem, offset=check.offset, record_number=check.number)
    return ClearingSummary(
        file_id=check.file_id,
        records=check.number,
        presentments=check.presentments,
        others=check.number - check.presentments - check.broken - 2,
        broken=check.broken,
        amount_total=check.amount_total,
    )


@dataclass(slots=True, kw_only=True)
class _FileCheck:
    """What has been read of a file so far."""

    file_id: str = ""
    trailed: bool = False
    number: int = 0
    offset: int = 0
    presentments: int = 0
    broken: int = 0
    unread_amounts: int = 0
    amount_total: int = 0

    def take(self, dialect: Dialect, number: int, offset: int, raw: bytes) -> None:
        """Check one record in its place."""
        self.number, self.offset = number, offset
        try:
            decoded = decode(dialect, raw)
        except DecodeFailure as failure:
            if number == 1 or self.trailed:
                problem = f"it does not decode: {failure}"
                raise ClearingFileError(problem, offset=offset, record_number=number) from None
            self._take_broken(dialect, raw)
            return
        role = record_role(decoded)
        misplaced = _misplaced(role, first=number == 1, trailed=self.trailed)
        if misplaced:
            raise ClearingFileError(misplaced, offset=offset, record_number=number)
        self.amount_total += int(decoded.fields.get("amount", "0"))
        self.presentments += role is RecordRole.PRESENTMENT
        if number == 1:
            self.file_id = decoded.fields.get("file_id", "").strip()
            if not self.file_id:
                raise ClearingFileError("the header has no file id", offset=offset, record_number=number)
        self.trailed = role is RecordRole.TRAILER
        if self.trailed:
            self._check_controls(decoded)

    def _take_broken(self, dialect: Dialect, raw: bytes) -> None:
        self.broken += 1
        amount = readable_amount(dialect, raw)
        if amount is None:
            self.unread_amounts += 1
        else:
            self.amount_total += amount

    def _check_controls(self, decoded: Decoded) -> None:
        """Compare the trailer with the file: its id, its count of records and the sum of its amounts."""
        file_id = decoded.fields.get("file_id", "").strip()
        if file_id != self.file_id:
            self._refuse("the trailer names another file", file_id, self.file_id)
        messages = self._stated_number(decoded, "file_messages")
        if messages != self.number:
            self._refuse("the trailer counts other records than the file has", messages, self.number)
        total = self._stated_number(decoded, "file_amount")
        if total < self.amount_total or (total != self.amount_total and not self.unread_amounts):
            self._refuse("the trailer's total is not the sum of the amounts", total, self.amount_total)

    def _stated_number(self, decoded: Decoded, name: str) -> int:
        text = decoded.fields.get(name, "").strip()
        if not (text.isascii() and text.isdecimal()):
            problem = f"the trailer's {name} is not a number"
            raise ClearingFileError(problem, offset=self.offset, record_number=self.number)
        return int(text)

    def _refuse(self, problem: str, stated: str | int, calculated: str | int) -> None:
        raise ClearingFileError(
            problem, offset=self.offset, record_number=self.number, stated=stated, calculated=calculated
        )


def _misplaced(role: RecordRole, *, first: bool, trailed: bool) -> str | None:
    if first != (role is RecordRole.HEADER):
        return "the first record is not the header" if first else "a second header; hand over one file at a time"
    return "a record follows the trailer; hand over one file at a time" if trailed else None


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
                raise FramingError(offset=offset, record_number=number + 1, problem=problem)
            if end > len(buffer):
                break
            number += 1
            yield number, offset, buffer[at + _LENGTH_BYTES : end]
            at = end
    if at < len(buffer):
        problem = "the file ends inside the record; ask for it again"
        raise FramingError(offset=_offset(begin + at, blocked=blocked), record_number=number + 1, problem=problem)


def _pieces(source: BinaryIO) -> Iterator[bytes]:
    while piece := source.read(_READ_BLOCKS * BLOCK_BYTES):
        yield piece


class _BrokenBlockError(Exception):
    def __init__(self, offset: int, problem: str) -> None:
        super().__init__(problem)
        self.offset = offset
        self.problem = problem


def _blocks(source: BinaryIO) -> Iterator[bytes]:
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
            raise FramingError(offset=offset, record_number=number, problem=problem)
