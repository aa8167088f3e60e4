"""Reading a file in a layout strictly: every record, column and line end is as the layout says, or nothing is read.

The counterpart of ``render``: what is refused is named with its line and column and what stands there in a sound file,
and the value itself is not repeated, for it may be anything.
"""

import csv
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from processor.core.card import holds_card_number
from settlement.layout import SPREADSHEET_FORMULA, Column, Layout

LARGEST_FILE_BYTES: Final = 3 * 1024 * 1024
MOST_LINES: Final = 50_002

Reader = Callable[[str], Any]


class FileRefusedError(ValueError):
    """A file is not read, and nothing of it is taken; the text says where it is wrong and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRecord:
    """One record: its line, its type, and its values by column."""

    line: int
    kind: str
    values: dict[str, Any]


def refused(line: int, column: int, problem: str) -> FileRefusedError:
    """Return the error of a place in a file."""
    return FileRefusedError(f"line {line}, column {column}: {problem}; nothing was taken")


def read_records(layout: Layout, content: bytes) -> list[ReadRecord]:
    """Return every record of a file; raises :class:`FileRefusedError` at the first thing that is not as it must be."""
    if len(content) > LARGEST_FILE_BYTES:
        raise FileRefusedError(f"the file has more than {LARGEST_FILE_BYTES} bytes; ask for it in parts")
    try:
        text = content.decode(layout.encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise refused(line, 1, f"these bytes are no {layout.encoding}") from None
    lines = text.split(layout.line_end)
    if len(lines) == 1 and "\n" in text and layout.line_end not in text:
        raise refused(1, text.index("\n") + 1, "the line ends with LF alone; end every line with CR LF")
    if lines.pop() != "":
        raise refused(len(lines) + 1, 1, "the last line is not ended, so that the file may be cut off")
    if len(lines) > MOST_LINES:
        raise FileRefusedError(f"the file has more than {MOST_LINES} lines; ask for it in parts")
    readers = {kind: [_reader(column) for column in columns] for kind, columns in layout.records.items()}
    return [_record(layout, readers, number, line) for number, line in enumerate(lines, 1)]


def _record(layout: Layout, readers: dict[str, list[Reader]], number: int, line: str) -> ReadRecord:
    try:
        (fields,) = csv.reader([line], strict=True)
    except (csv.Error, ValueError):
        raise refused(number, 1, "this is no line of CSV") from None
    kind = fields[0] if fields else ""
    if kind not in readers:
        raise refused(number, 1, f"a record begins with one of {', '.join(layout.records)}")
    columns = layout.records[kind]
    if len(fields) != layout.fields or any(fields[len(columns) :]):
        problem = f"a record {kind} has {len(columns)} fields of {layout.fields}, and the others are empty"
        raise refused(number, len(fields), problem)
    values = {}
    for place, (column, reader, field) in enumerate(zip(columns, readers[kind], fields, strict=False), 1):
        try:
            values[column.name] = reader(field)
        except ValueError:
            raise refused(number, place, f"{column.name} is of the format {column.format}") from None
    return ReadRecord(line=number, kind=kind, values=values)


def _reader(column: Column) -> Reader:
    """Return the function that reads one column; it raises ``ValueError`` for what is not of the column's format."""
    kind, _, limit = column.format.partition(".")
    size = limit.lstrip(".")
    if kind == "choice":
        return _matching(f"[{size}]", str)
    if kind == "hexadecimal":
        return _matching(f"[0-9a-f]{{{size}}}", bytes.fromhex)
    if kind == "integer":
        return _matching(rf"0|[1-9][0-9]{{0,{int(size) - 1}}}", int)
    return _matching(rf"[^\x00-\x1f\x7f]{{0,{size}}}", _text)


def _matching(pattern: str, value: Reader) -> Reader:
    matches = re.compile(pattern).fullmatch

    def read(field: str) -> Any:
        if not matches(field):
            raise ValueError
        return value(field)

    return read


def _text(field: str) -> str:
    """Return text without the apostrophe that keeps a spreadsheet from reading a formula; never a card number."""
    if holds_card_number(field):
        raise ValueError
    return field[1:] if field.startswith("'") and field[1:].startswith(SPREADSHEET_FORMULA) else field
