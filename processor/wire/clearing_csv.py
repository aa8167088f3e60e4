"""A clearing file of lines read from its header to its trailer as its layout says: what is in it, and is it whole.

It decides that every line is where it belongs and that the trailer's controls are what is there; a file that is not so
is refused as a whole, with line, column and the column's name.
A line of a sound file that makes no record is yielded as broken.
It never shows a line's content.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NoReturn

from processor.wire.clearing_controls import ControlError, Controls
from processor.wire.clearing_file import ClearingFileError, ClearingRecord, ClearingSource, ClearingSummary
from processor.wire.clearing_layout import LAYOUT_FIELD, ClearingLayout
from processor.wire.clearing_lines import Splitter, line_place, read_lines
from processor.wire.clearing_posting import read_posting
from processor.wire.clearing_values import BadValueError, ValueReader, currency_value, text_value
from processor.wire.decode import DecodeFailure


class CsvReading:
    """One file being read; the number of a record is its line's."""

    def __init__(self, source: ClearingSource, layout: ClearingLayout) -> None:
        self.dialect: Final = layout.dialect
        self.file_id = ""
        self._source = source
        self._layout = layout
        self._splitter = Splitter(layout.separator, layout.quote)
        self._reader = ValueReader(layout)
        self._controls = Controls(layout, self._reader)
        self._line = 0
        self._broken = 0
        self._headed = layout.header is None
        self._named = not layout.names
        self._trailed = False
        self._columns: Mapping[str, int] = {}
        self._width = 0
        if self._named:
            self._take_names(list(layout.order))

    def records(self) -> Iterator[ClearingRecord]:
        """Yield the records between header and trailer, each with its line."""
        for number, raw in read_lines(self._source):
            self._line = number
            values = self._values(raw)
            if not self._headed:
                self._take_header(values)
            elif not self._named:
                self._take_names(values[self._shift :])
                self._named = True
            elif self._is_trailer(values):
                self._take_trailer(values)
            elif self._trailed:
                self._refuse("a line follows the trailer; hand over one file at a time")
            else:
                yield self._take_record(raw, values)
        self._end()

    def summary(self) -> ClearingSummary:
        """Return what the file held; the totals are those of each currency."""
        return ClearingSummary(
            file_id=self.file_id,
            records=self._controls.records,
            broken=self._broken,
            totals=dict(self._controls.totals),
        )

    @property
    def _shift(self) -> int:
        """How many values stand before the columns: the mark, where lines have one."""
        return 1 if self._layout.detail_mark else 0

    def _values(self, raw: bytes) -> list[str]:
        try:
            text = raw.decode(self._layout.encoding)
        except UnicodeDecodeError:
            self._refuse(f"the line is not {self._layout.encoding}; write the file in that encoding")
        values = self._splitter.split(text)
        if isinstance(values, int):
            problem = "a quote is out of place; double the quotes inside a quoted value, which holds no line break"
            self._refuse(problem, values)
        return values

    def _take_header(self, values: list[str]) -> None:
        header = self._layout.header
        if header is None or values[0] != header.mark:
            self._refuse("the first line is not the header; hand over the whole file")
        fields = self._edge_fields(values, header.fields, "header")
        if LAYOUT_FIELD in fields and fields[LAYOUT_FIELD] != self._layout.name:
            self._refuse(f"the header names another layout than {self._layout.name}", 2, LAYOUT_FIELD)
        self._headed = True
        if "file_id" not in self._layout.columns:
            self._name_file("-".join(fields[name] for name in self._layout.file_id), "header")

    def _take_names(self, names: list[str]) -> None:
        """Learn which column stands where; an unknown name is refused unless the layout says to read over it."""
        layout = self._layout
        known = set(layout.columns.values())
        for column, name in enumerate(names, start=1 + self._shift):
            if name in known and names.index(name) != column - 1 - self._shift:
                self._refuse("the column is named twice", column, name)
            if name not in known and not layout.ignores_others and layout.names:
                self._refuse("the layout has no column of this name; add it, or write others: ignore", column)
        for ours, name in layout.columns.items():
            if name not in names and ours not in layout.optional:
                self._refuse(f"the file lacks the column {name}; add it, or name {ours} among the optional ones")
        self._columns = {
            ours: names.index(name) + self._shift for ours, name in layout.columns.items() if name in names
        }
        self._width = len(names) + self._shift

    def _is_trailer(self, values: list[str]) -> bool:
        return self._layout.trailer is not None and values[0] == self._layout.trailer.mark

    def _take_trailer(self, values: list[str]) -> None:
        trailer = self._layout.trailer
        if trailer is None or (self._trailed and not self._layout.totals_by_currency):
            self._refuse("a second trailer; hand over one file at a time")
        self._trailed = True
        stated = self._edge_fields(values, trailer.fields, "trailer")
        try:
            self._controls.check(stated, self.file_id)
        except ControlError as error:
            self._refuse_control(error, 2 + trailer.fields.index(error.column))

    def _take_record(self, raw: bytes, values: list[str]) -> ClearingRecord:
        if self._layout.detail_mark and values[0] != self._layout.detail_mark:
            self._refuse("the line begins with no mark of the layout", 1)
        if len(values) != self._width:
            self._refuse("the line has another number of values than columns", None, "", len(values), self._width)
        stated = {ours: text for ours, index in self._columns.items() if (text := values[index])}
        stated.update(self._layout.constants)
        if "file_id" in self._layout.columns:
            self._name_file(stated.get("file_id", ""), "record", self._columns.get("file_id"))
        place = line_place(self._line)
        try:
            self._count(stated)
            decoded, card = read_posting(self._layout, self._reader, stated)
        except BadValueError as error:
            self._broken += 1
            return ClearingRecord(number=self._line, place=place, raw=raw, failure=self._failure(error))
        if decoded.pan is not None and decoded.pan.clear() in self.file_id:
            self._refuse("the file's id holds a card number of the file; give the file another id", None, "file_id")
        return ClearingRecord(number=self._line, place=place, raw=raw, decoded=decoded, card=card)

    def _count(self, stated: Mapping[str, str]) -> None:
        """Add a record's amount to the totals; raises :class:`BadValueError` where it cannot be read."""
        try:
            currency = currency_value("currency", stated.get("currency", ""))
            amount_minor = self._reader.amount("amount", stated.get("amount", ""), currency)
        except BadValueError:
            self._controls.add_unread()
            raise
        self._controls.add(currency, amount_minor)

    def _failure(self, error: BadValueError) -> DecodeFailure:
        index = self._columns.get(error.column)
        name = self._layout.columns.get(error.column, error.column)
        field = name if index is None else f"column {index + 1} ({name})"
        return DecodeFailure(dialect=self._layout.name, field=field, position=None, problem=error.problem)

    def _name_file(self, file_id: str, where: str, index: int | None = None) -> None:
        column = None if index is None else index + 1
        if self.file_id and file_id != self.file_id:
            self._refuse("the line names another file; hand over one file at a time", column, "file_id")
        try:
            self.file_id = text_value("file_id", file_id.strip())
        except BadValueError as error:
            self._refuse(f"the {where}'s file id {error.problem}", column, "file_id")

    def _edge_fields(self, values: list[str], fields: tuple[str, ...], what: str) -> dict[str, str]:
        if len(values) != len(fields) + 1:
            self._refuse(f"the {what} has another number of values", None, "", len(values), len(fields) + 1)
        return {field: value.strip() for field, value in zip(fields, values[1:], strict=True)}

    def _end(self) -> None:
        """Refuse a file that stops too early."""
        if not self._headed or not self._named:
            self._refuse("the file ends before its records; ask for it again")
        if not self._trailed and self._layout.trailer is not None:
            self._refuse("the file has no trailer; ask for it again")
        if not self.file_id:
            self._refuse("the file has no record, and nothing names it")
        try:
            self._controls.check_complete()
        except ControlError as error:
            self._refuse_control(error, None)

    def _refuse_control(self, error: ControlError, column: int | None) -> NoReturn:
        place = line_place(self._line, column, error.column)
        raise ClearingFileError(error.problem, place=place, stated=error.stated, calculated=error.calculated) from None

    def _refuse(
        self,
        problem: str,
        column: int | None = None,
        name: str = "",
        stated: int | None = None,
        should: int | None = None,
    ) -> NoReturn:
        place = line_place(self._line, column, name)
        raise ClearingFileError(problem, place=place, stated=stated, calculated=should) from None


def begins_like(layout: ClearingLayout, begun: bytes) -> bool:
    """Tell whether a file's first bytes are the header, or the line of names, of a layout."""
    line, end, _ = begun.removeprefix(b"\xef\xbb\xbf").partition(b"\n")
    if not end:
        return False
    try:
        text = line.removesuffix(b"\r").decode(layout.encoding)
    except UnicodeDecodeError:
        return False
    values = Splitter(layout.separator, layout.quote).split(text)
    if isinstance(values, int):
        return False
    if layout.header is not None:
        return _is_header(layout, values)
    if not layout.names:
        return False
    names = set(values[1 if layout.detail_mark else 0 :])
    needed = {name for ours, name in layout.columns.items() if ours not in layout.optional}
    return needed <= names and (layout.ignores_others or names <= set(layout.columns.values()))


def _is_header(layout: ClearingLayout, values: list[str]) -> bool:
    """Tell whether values are a header that names its layout, or one of a layout whose headers name none."""
    header = layout.header
    if header is None or values[0] != header.mark or len(values) != len(header.fields) + 1:
        return False
    if LAYOUT_FIELD not in header.fields:
        return True
    return values[1 + header.fields.index(LAYOUT_FIELD)].strip() == layout.name
