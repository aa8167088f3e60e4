"""Reading a file of exchange rates: each line is the figure of one currency from one day on.

The columns are ``date``, ``currency`` and ``rate``; what a figure says stands in the programme document.
It never lets a rate pass through a float, and never repairs what it reads.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

from processor.core.exchange import Quote
from processor.core.located_document import DocumentError, shown
from processor.core.programme_checks import CURRENCIES

COLUMNS: Final = ("date", "currency", "rate")
"""The header line, in this order."""
MOST_LINES: Final = 100_000
"""More lines are refused: forty currencies on each day of nearly ten years."""

_RATE: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,12})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class RateList:
    """The figures of a file by currency, the earliest first, and every error that reading it found."""

    quotes: Mapping[str, tuple[Quote, ...]]
    errors: tuple[DocumentError, ...]


def read_rates(text: str, *, source: str, base: str) -> RateList:
    """Read a file of rates against ``base``; ``source`` is its name for errors."""
    lines = text.removeprefix("\ufeff").split("\n")
    header = ",".join(COLUMNS)
    if lines[0].rstrip("\r") != header:
        return _refused(source, 1, "header", f"is {shown(lines[0].rstrip())}", f"write {header}")
    if len(lines) > MOST_LINES:
        return _refused(source, MOST_LINES, "line", f"is one of {len(lines)}", "leave out the days long gone")
    quotes: dict[str, list[Quote]] = {}
    line_of: dict[tuple[date, str], int] = {}
    errors: list[DocumentError] = []
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        found = _quote(line.rstrip("\r"), source, number, base)
        if not isinstance(found, Quote):
            errors.append(found)
            continue
        first = line_of.setdefault((found.on, found.currency), number)
        if first != number:
            problem = f"is the second rate of {found.currency} for {found.on}, after line {first}"
            errors.append(_error(source, number, 1, "line", problem, "remove one of the two"))
            continue
        quotes.setdefault(found.currency, []).append(found)
    if not quotes and not errors:
        return _refused(source, 1, "file", "holds no rate", "write a line for each day and currency")
    return RateList(quotes={code: tuple(sorted(known)) for code, known in quotes.items()}, errors=tuple(errors))


def _refused(source: str, line: int, path: str, problem: str, expected: str) -> RateList:
    return RateList(quotes={}, errors=(_error(source, line, 1, path, problem, expected),))


def _error(source: str, line: int, column: int, path: str, problem: str, expected: str) -> DocumentError:
    return DocumentError(source=source, line=line, column=column, path=path, problem=problem, expected=expected)


def _quote(line: str, source: str, number: int, base: str) -> Quote | DocumentError:
    """Return the figure that a line states, or the first thing that is wrong with it."""
    cells = line.split(",")
    if len(cells) != len(COLUMNS):
        problem = f"has {len(cells)} values where the header has {len(COLUMNS)}"
        return _error(source, number, 1, "line", problem, "write a date, a currency and a rate")
    for name, problem, expected in _wrong(cells, base):
        place = COLUMNS.index(name)
        column = sum(len(cell) + 1 for cell in cells[:place]) + 1
        return _error(source, number, column, name, problem, expected)
    return Quote(on=date.fromisoformat(cells[0]), currency=cells[1], rate=Decimal(cells[2]))


def _wrong(cells: list[str], base: str) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with the values of a line: the column, the problem, and what to write instead."""
    day, currency, rate = cells
    if not _is_day(day):
        yield "date", f"{shown(day)} is no day", "write a day of the calendar such as 2026-11-02"
    if currency not in CURRENCIES:
        yield "currency", f"{shown(currency)} is no currency", "write an ISO 4217 letter code such as USD"
    if currency == base:
        yield "currency", f"{shown(currency)} is the base itself", "remove the line"
    if not _RATE.fullmatch(rate) or not Decimal(rate):
        yield "rate", f"{shown(rate)} is no rate", "write a decimal over 0 with a point, such as 1.0835"


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
