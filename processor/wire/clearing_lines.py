"""Bytes to the lines and values of a clearing file: the first step of reading one that is written in lines.

It decides where a line ends and how it falls into values; a value never holds a line break, so that every error has one
line.
It holds one piece and one line at a time, and never shows what stands in them.
"""

import re
from collections.abc import Iterator
from typing import Final

from processor.wire.clearing_file import ClearingFileError, ClearingSource

PIECE_BYTES: Final = 64 * 1024
LONGEST_LINE_BYTES: Final = 16 * 1024
"""A longer line is none of a clearing file; a file that is no text at all has them."""

_BOM: Final = b"\xef\xbb\xbf"
_WIDE: Final = (b"\xff\xfe", b"\xfe\xff")


def line_place(number: int, column: int | None = None, name: str = "") -> str:
    """Return where a value stands: ``line 3, column 5 (AMOUNT)``; the column counts the line's values from 1."""
    place = f"line {number}" if column is None else f"line {number}, column {column}"
    return f"{place} ({name})" if name else place


def read_lines(source: ClearingSource) -> Iterator[tuple[int, bytes]]:
    """Yield each line with its number from 1, without its end, which is LF or CR LF; empty lines at the end are none.

    Raises :class:`ClearingFileError` for an empty line before others and for one that is too long.
    """
    empty = 0
    for number, line in enumerate(_split(source), start=1):
        text = line.removesuffix(b"\r")
        if not text.strip():
            empty = empty or number
            continue
        if empty:
            raise ClearingFileError("the line is empty; remove it", place=line_place(empty))
        yield number, text


def _split(source: ClearingSource) -> Iterator[bytes]:
    rest, number = b"", 1
    begun = False
    while piece := source.read(PIECE_BYTES):
        rest += piece
        if not begun and len(rest) >= len(_BOM):
            begun = True
            if rest.startswith(_WIDE):
                raise ClearingFileError("the file is UTF-16; write it in its layout's encoding", place=line_place(1))
            rest = rest.removeprefix(_BOM)
        lines = rest.split(b"\n")
        rest = lines.pop()
        for line in lines:
            _require_bounded(line, number)
            yield line
            number += 1
        _require_bounded(rest, number)
    if rest:
        yield rest


def _require_bounded(line: bytes, number: int) -> None:
    if len(line) > LONGEST_LINE_BYTES:
        problem = f"the line is longer than {LONGEST_LINE_BYTES} bytes; end lines with LF or CR LF"
        raise ClearingFileError(problem, place=line_place(number))


class Splitter:
    """Splits lines at a separator; ``quote`` is empty where values are never quoted."""

    __slots__ = ("_field", "_quote", "_separator")

    def __init__(self, separator: str, quote: str) -> None:
        self._separator = separator
        self._quote = quote
        sign, mark = re.escape(separator), re.escape(quote)
        quoted = f"{mark}((?:[^{mark}]|{mark}{mark})*){mark}|" if quote else "(?!)()|"
        self._field = re.compile(f"(?:{quoted}([^{mark}{sign}]*))({sign}|$)", re.DOTALL)

    def split(self, line: str) -> list[str] | int:
        """Return a line's values, or the number of the value, from 1, that has a quote out of place."""
        quote = self._quote
        if not quote or quote not in line:
            return line.split(self._separator)
        values: list[str] = []
        start = 0
        while True:
            match = self._field.match(line, start)
            if match is None:
                return len(values) + 1
            quoted, bare, end = match.groups()
            values.append(bare if quoted is None else quoted.replace(quote * 2, quote))
            start = match.end()
            if not end:
                return values
