"""An IPM clearing file read from its header to its trailer: what is in it, and whether it is whole.

It decides that the header stands first, the trailer last, and that the trailer's count and total are what is there.
A file that is not so is refused as a whole, with the record's number and offset.
It never shows a record's content.
"""

from collections.abc import Iterator
from enum import Enum
from typing import Final, NoReturn

from processor.wire.clearing_file import (
    ClearingFileError,
    ClearingRecord,
    ClearingSource,
    ClearingSummary,
    record_place,
)
from processor.wire.decode import Decoded, DecodeFailure, decode, readable_amount
from processor.wire.dialect import Dialect
from processor.wire.ipm import read_records

_HEADER_FUNCTION: Final = "697"
_TRAILER_FUNCTION: Final = "695"
_ADMINISTRATIVE: Final = "1644"


class RecordRole(Enum):
    """What a record of a clearing file is for."""

    HEADER = "header"
    TRAILER = "trailer"
    RECORD = "record"


def record_role(decoded: Decoded) -> RecordRole:
    """Return whether a decoded record opens its file, closes it or lies between."""
    if decoded.mti == _ADMINISTRATIVE:
        function_code = decoded.fields.get("function_code")
        if function_code == _HEADER_FUNCTION:
            return RecordRole.HEADER
        if function_code == _TRAILER_FUNCTION:
            return RecordRole.TRAILER
    return RecordRole.RECORD


def check_clearing_file(source: ClearingSource, dialect: Dialect, *, blocked: bool) -> ClearingSummary:
    """Read a whole file and return what it holds; raises :class:`ClearingFileError` where it is not whole."""
    reading = IpmReading(source, dialect, blocked=blocked)
    for _ in reading.records():
        pass
    return reading.summary()


class IpmReading:
    """One file being read.

    A record between header and trailer that does not decode is counted as broken and leaves the file sound.
    Its amount counts where it can be read; where it cannot, the trailer's total must leave room for it.
    """

    def __init__(self, source: ClearingSource, dialect: Dialect, *, blocked: bool) -> None:
        self.dialect: Final = dialect
        self.file_id = ""
        self._source = source
        self._blocked = blocked
        self._trailed = False
        self._number = 0
        self._offset = 0
        self._broken = 0
        self._unread_amounts = 0
        self._amount_total = 0

    def records(self) -> Iterator[ClearingRecord]:
        """Yield the records between header and trailer, each with its number in the file."""
        for number, offset, raw in read_records(self._source, blocked=self._blocked):
            self._number, self._offset = number, offset
            record = self._take(raw)
            if record is not None:
                yield record
        if not self._trailed:
            self._refuse("the file has no trailer; ask for it again")

    def summary(self) -> ClearingSummary:
        """Return what the file held; the trailer's total is over all currencies."""
        return ClearingSummary(
            file_id=self.file_id,
            records=self._number - 2,
            broken=self._broken,
            totals={"": self._amount_total},
        )

    def _take(self, raw: bytes) -> ClearingRecord | None:
        """Check one record in its place; header and trailer are none of the file's records."""
        try:
            decoded = decode(self.dialect, raw)
        except DecodeFailure as failure:
            return self._take_broken(raw, failure)
        role = record_role(decoded)
        misplaced = _misplaced(role, first=self._number == 1, trailed=self._trailed)
        if misplaced:
            self._refuse(misplaced)
        self._amount_total += int(decoded.fields.get("amount", "0"))
        if role is RecordRole.RECORD:
            if decoded.pan is not None and decoded.pan.clear() in self.file_id:
                self._refuse("the file's id holds a card number of the file; give the file another id")
            return ClearingRecord(number=self._number, place=self._place(), raw=raw, decoded=decoded)
        if role is RecordRole.HEADER:
            self.file_id = decoded.fields.get("file_id", "").strip()
            if not self.file_id:
                self._refuse("the header has no file id")
        else:
            self._trailed = True
            self._check_controls(decoded)
        return None

    def _take_broken(self, raw: bytes, failure: DecodeFailure) -> ClearingRecord:
        if self._number == 1 or self._trailed:
            self._refuse(f"it does not decode: {failure}")
        self._broken += 1
        amount = readable_amount(self.dialect, raw)
        if amount is None:
            self._unread_amounts += 1
        else:
            self._amount_total += amount
        return ClearingRecord(number=self._number, place=self._place(), raw=raw, failure=failure)

    def _check_controls(self, decoded: Decoded) -> None:
        """Compare the trailer with the file: its id, its count of records and the sum of its amounts."""
        file_id = decoded.fields.get("file_id", "").strip()
        if file_id != self.file_id:
            self._refuse("the trailer names another file", file_id, self.file_id)
        messages = self._stated_number(decoded, "file_messages")
        if messages != self._number:
            self._refuse("the trailer counts other records than the file has", messages, self._number)
        total = self._stated_number(decoded, "file_amount")
        if total < self._amount_total or (total != self._amount_total and not self._unread_amounts):
            self._refuse("the trailer's total is not the sum of the amounts", total, self._amount_total)

    def _stated_number(self, decoded: Decoded, name: str) -> int:
        text = decoded.fields.get(name, "").strip()
        if not (text.isascii() and text.isdecimal()):
            self._refuse(f"the trailer's {name} is not a number")
        return int(text)

    def _place(self) -> str:
        return record_place(self._number, self._offset)

    def _refuse(self, problem: str, stated: str | int | None = None, calculated: str | int | None = None) -> NoReturn:
        raise ClearingFileError(problem, place=self._place(), stated=stated, calculated=calculated) from None


def _misplaced(role: RecordRole, *, first: bool, trailed: bool) -> str | None:
    if first != (role is RecordRole.HEADER):
        return "the first record is not the header" if first else "a second header; hand over one file at a time"
    return "a record follows the trailer; hand over one file at a time" if trailed else None
