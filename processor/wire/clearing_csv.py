"""A clearing file of lines read from its header to its trailer: a bank's posting or dispute extract.

Each line becomes what an IPM record of the same meaning would decode to, so that both are known by the same identity.
A file whose structure or control totals are wrong is refused whole; a bad line in a sound file is a broken record.
It reads line by line and never shows a line's content.
"""

import csv
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final, NoReturn

from processor.core.card import Pan
from processor.core.money import CURRENCY_OF_NUMERIC_CODE, NUMERIC_CODE_OF_CURRENCY, exponent
from processor.wire.clearing_file import ClearingFileError, ClearingRecord, ClearingSource, ClearingSummary
from processor.wire.clearing_layout import REQUIRED_COLUMNS, ClearingLayout
from processor.wire.decode import Decoded, DecodeFailure, Echo
from processor.wire.dialect import Dialect

LONGEST_LINE_BYTES: Final = 64 * 1024
"""A longer line is none that an extract has; the file is refused."""

_PIECE_BYTES: Final = 256 * 1024
_PAN: Final = re.compile(r"[0-9]{12,19}")
_AMOUNT: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?")
_DATES: Final = {
    "YYYY-MM-DD": "%Y-%m-%d",
    "YYYYMMDD": "%Y%m%d",
    "YYMMDD": "%y%m%d",
    "DD.MM.YYYY": "%d.%m.%Y",
    "DD/MM/YYYY": "%d/%m/%Y",
    "MM/DD/YYYY": "%m/%d/%Y",
}
_TIMES: Final = {"HH:MM:SS": "%H:%M:%S", "HHMMSS": "%H%M%S", "HH:MM": "%H:%M", "HHMM": "%H%M"}
_REVERSAL: Final = "-reversal"
_RECORDS: Final[Mapping[str, tuple[str, str, str]]] = {
    "purchase": ("1240", "200", "000000"),
    "refund": ("1240", "200", "200000"),
    "cash": ("1240", "200", "010000"),
    "fee": ("1740", "700", "190000"),
    "chargeback": ("1442", "450", "000000"),
    "second-presentment": ("1240", "205", "000000"),
    "arbitration-chargeback": ("1442", "451", "000000"),
}
"""What each type of line is as a record: message type, function code, processing code (ISO 8583:1993)."""
_AS_THEY_ARE: Final = (
    "acquirer",
    "acceptor",
    "acceptor_name",
    "terminal",
    "mcc",
    "acquirer_reference",
    "approval_code",
    "retrieval_reference",
    "lifecycle_id",
    "function_code",
)

_NUMBERS: Final = frozenset({"acquirer", "mcc", "function_code"})


class CsvReading:
    """One file being read by a layout; ``dialect`` is the one whose field names and identity its records have."""

    def __init__(self, source: ClearingSource, layout: ClearingLayout, dialect: Dialect) -> None:
        self.dialect: Final = dialect
        self.file_id = ""
        self._source = source
        self._layout = layout
        self._line = 0
        self._records = 0
        self._broken = 0
        self._unread_amounts = 0
        self._totals: dict[str, int] = {}
        self._sum = Decimal(0)

    def records(self) -> Iterator[ClearingRecord]:
        """Yield the lines between the line of names and the trailer, each with its number in the file."""
        lines = self._lines()
        self._take_header(lines)
        names = self._take_names(lines)
        ended = False
        for raw, cells in lines:
            if ended:
                self._refuse("a line follows the trailer; hand over one file at a time")
            if cells[0] == self._layout.trailer.mark:
                self._check_controls(cells)
                ended = True
            else:
                yield self._record(raw, cells, names)
        if not ended:
            self._refuse("the file has no trailer; ask for it again")

    def summary(self) -> ClearingSummary:
        """Return what the file held; totals are in minor units by currency."""
        return ClearingSummary(
            file_id=self.file_id, records=self._records, broken=self._broken, totals=dict(self._totals)
        )

    def _lines(self) -> Iterator[tuple[bytes, list[str]]]:
        """Yield each line that is not blank as bytes and as cells."""
        for raw in split_lines(self._source, self._refuse):
            self._line += 1
            text = raw.decode(self._layout.encoding, errors="replace").strip("\r\n\x1a\ufeff")
            if not text.strip():
                continue
            try:
                cells = next(csv.reader([text], delimiter=self._layout.separator, strict=True))
            except (csv.Error, StopIteration):
                self._refuse("the line's quotes do not close; a value holds no line break")
            yield raw, [cell.strip() for cell in cells]

    def _take_header(self, lines: Iterator[tuple[bytes, list[str]]]) -> None:
        _, cells = next(lines, (b"", [""]))
        header = self._layout.header
        if cells[0] != header.mark:
            self._refuse(f"the first line does not begin with {header.mark}; check which layout the file has")
        self.file_id = self._cell(cells, header.file_id, "file_id")
        if not self.file_id:
            self._refuse("the header has no file id", column="file_id")

    def _take_names(self, lines: Iterator[tuple[bytes, list[str]]]) -> dict[str, int]:
        """Return the place of each of our columns, by the names in the second line."""
        _, cells = next(lines, (b"", []))
        twice = sorted({name for name in cells if cells.count(name) > 1})
        if twice:
            self._refuse("a column's name stands twice", column=twice[0])
        places = {ours: cells.index(theirs) for ours, theirs in self._layout.columns.items() if theirs in cells}
        for ours in REQUIRED_COLUMNS:
            if ours not in places:
                self._refuse("the line of names lacks the column", column=self._layout.columns[ours])
        return places

    def _record(self, raw: bytes, cells: list[str], names: Mapping[str, int]) -> ClearingRecord:
        self._records += 1
        place = f"line {self._line}"
        try:
            values = {ours: cells[at] if at < len(cells) else "" for ours, at in names.items()}
            self._add_amount(values)
            decoded = self._decoded(values)
        except _ColumnError as error:
            self._broken += 1
            column = self._layout.columns.get(error.column, error.column)
            failure = DecodeFailure(dialect=self._layout.name, field=column, position=None, problem=error.problem)
            return ClearingRecord(number=self._line, place=place, raw=raw, failure=failure)
        return ClearingRecord(number=self._line, place=place, raw=raw, decoded=decoded)

    def _add_amount(self, values: Mapping[str, str]) -> None:
        """Let a line's amount count in the control total, also where the line is broken otherwise."""
        try:
            self._sum += self._decimal(values["amount"])
        except _ColumnError:
            self._unread_amounts += 1
            raise
        currency = _currency(values["currency"], "currency")
        self._totals[currency] = self._totals.get(currency, 0) + self._minor(values["amount"], currency, "amount")

    def _decoded(self, values: Mapping[str, str]) -> Decoded:
        kind = self._layout.types.get(values["type"])
        if kind is None:
            raise _ColumnError("type", "is no code of the layout")
        pan = _pan(values["card_number"])
        mti, function_code, processing_code = _RECORDS[kind.removesuffix(_REVERSAL)]
        currency = _currency(values["currency"], "currency")
        fields = {
            "processing_code": processing_code,
            "amount": f"{self._minor(values['amount'], currency, 'amount'):012d}",
            "currency": NUMERIC_CODE_OF_CURRENCY[currency],
            "function_code": function_code,
            "local_date_time": self._moment(values),
        }
        fields |= {name: values[name] for name in _AS_THEY_ARE if values.get(name)}
        if values.get("billing_amount"):
            billed = _currency(values.get("billing_currency", ""), "billing_currency")
            fields["billing_amount"] = f"{self._minor(values['billing_amount'], billed, 'billing_amount'):012d}"
            fields["billing_currency"] = NUMERIC_CODE_OF_CURRENCY[billed]
        if kind.endswith(_REVERSAL):
            fields["presentment_reversal"] = "R"
        if values.get("part"):
            fields["clearing_part"] = _part(values["part"])
        for name, value in fields.items():
            if not value.isprintable() or pan.clear() in value:
                raise _ColumnError(name, "holds control characters or the card number")
            if name in _NUMBERS and not (value.isascii() and value.isdecimal()):
                raise _ColumnError(name, "is not digits")
        return Decoded(
            dialect=self.dialect.name,
            mti=mti,
            fields=fields,
            pan=pan,
            oddities=(),
            positions={},
            echo=Echo({}),
        )

    def _decimal(self, text: str) -> Decimal:
        written = text.replace(",", ".") if self._layout.amounts == "comma" else text
        if _AMOUNT.fullmatch(written) is None or (self._layout.amounts == "minor" and "." in written):
            raise _ColumnError("amount", "is not an amount as the layout writes them, without a sign")
        return Decimal(written)

    def _minor(self, text: str, currency: str, column: str) -> int:
        try:
            amount = self._decimal(text)
        except _ColumnError as error:
            raise _ColumnError(column, error.problem) from None
        scaled = amount if self._layout.amounts == "minor" else amount.scaleb(exponent(currency))
        if scaled != int(scaled) or int(scaled) >= 10**12:
            raise _ColumnError(column, f"has more decimals than {currency}, or is too large")
        return int(scaled)

    def _moment(self, values: Mapping[str, str]) -> str:
        try:
            day = datetime.strptime(values["date"], _DATES[self._layout.date])  # noqa: DTZ007 - the acceptor's own time.
        except ValueError:
            raise _ColumnError("date", f"is not a date {self._layout.date}") from None
        stated = values.get("time", "")
        try:
            time = datetime.strptime(stated, _TIMES[self._layout.time]) if stated else day  # noqa: DTZ007
        except ValueError:
            raise _ColumnError("time", f"is not a time {self._layout.time}") from None
        return f"{day:%y%m%d}{time:%H%M%S}"

    def _check_controls(self, cells: list[str]) -> None:
        """Compare the trailer with the file: its id, its count of lines and the sum of their amounts as written."""
        trailer = self._layout.trailer
        file_id = self._cell(cells, trailer.file_id, "file_id")
        if file_id != self.file_id:
            self._refuse("the trailer names another file", file_id, self.file_id)
        records = self._cell(cells, trailer.records, "records")
        if not (records.isascii() and records.isdecimal()):
            self._refuse("the trailer's count is not a number", column="records")
        if int(records) != self._records:
            self._refuse("the trailer counts other lines than the file has", int(records), self._records)
        try:
            total = self._decimal(self._cell(cells, trailer.total, "total"))
        except _ColumnError as error:
            self._refuse(f"the trailer's total {error.problem}", column="total")
        if total < self._sum or (total != self._sum and not self._unread_amounts):
            self._refuse("the trailer's total is not the sum of the amounts", f"{total:f}", f"{self._sum:f}")

    def _cell(self, cells: list[str], column: int, name: str) -> str:
        if column > len(cells):
            self._refuse(f"the line has {len(cells)} columns and lacks this one", column=name)
        return cells[column - 1]

    def _refuse(
        self,
        problem: str,
        stated: str | int | None = None,
        calculated: str | int | None = None,
        *,
        column: str = "",
    ) -> NoReturn:
        place = f"line {max(self._line, 1)}" + (f", column {column}" if column else "")
        raise ClearingFileError(problem, place=place, stated=stated, calculated=calculated) from None


class _ColumnError(ValueError):
    """A value of one column is wrong; the text says how and never repeats it."""

    def __init__(self, column: str, problem: str) -> None:
        super().__init__(f"{column} {problem}")
        self.column = column
        self.problem = problem


def split_lines(source: ClearingSource, refuse: Callable[[str], NoReturn]) -> Iterator[bytes]:
    """Yield a source's lines, its last one also without an end; a line over the limit is refused."""
    rest = b""
    while piece := source.read(_PIECE_BYTES):
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
        if len(rest) > LONGEST_LINE_BYTES:
            refuse(f"a line is longer than {LONGEST_LINE_BYTES} bytes; check whether the file has lines")
    if rest:
        yield rest


def begins_with(begun: bytes, layout: ClearingLayout) -> bool:
    """Tell whether a file that begins with these bytes has a layout's header."""
    text = begun.split(b"\n", 1)[0].decode(layout.encoding, errors="replace").lstrip("\ufeff").strip()
    return text.split(layout.separator)[0].strip('" ') == layout.header.mark


def _currency(text: str, column: str) -> str:
    code = CURRENCY_OF_NUMERIC_CODE.get(text, text)
    if code not in NUMERIC_CODE_OF_CURRENCY:
        raise _ColumnError(column, "is no ISO 4217 code, neither letters nor digits")
    return code


def _part(text: str) -> str:
    found = re.fullmatch(r"([0-9]{1,2})/([0-9]{1,2})", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise _ColumnError("part", "is not a sequence and a count such as 1/2")
    return f"{int(found[1]):02d}{int(found[2]):02d}"


def _pan(text: str) -> Pan:
    digits = text.replace(" ", "")
    if _PAN.fullmatch(digits) is None:
        raise _ColumnError("card_number", "is not 12 to 19 digits")
    return Pan(digits)
