"""Reading a card file: CSV with a header row, one card a line, into the records that a server takes.

It checks what can be checked without a programme, so that a file with mistakes is refused before any of it is sent.
No error repeats a value: any column may hold a card number by mistake.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice
from typing import Final

from processor.v1 import card_file_pb2
from processor.v1.card_file_pb2 import CardRecord, CardRole, CardStatus

COLUMNS: Final = (
    "card_number",
    "account_reference",
    "product",
    "role",
    "predecessor_card_number",
    "member_number",
    "opened_on",
    "status",
    "status_from",
    "statement_day",
)
"""The columns of the header row, in any order; those not required may be left out."""

REQUIRED: Final = ("card_number", "account_reference", "product")
PIECE_RECORDS: Final = 1000

_CARD_NUMBER: Final = re.compile(r"[0-9]{12,19}")
_DAY: Final = re.compile(r"[1-9]|[12][0-9]|3[01]")
_ROLES: Final[Mapping[str, "CardRole.ValueType"]] = {
    "": card_file_pb2.CARD_ROLE_UNSPECIFIED,
    "primary": card_file_pb2.CARD_ROLE_PRIMARY,
    "supplementary": card_file_pb2.CARD_ROLE_SUPPLEMENTARY,
}
_STATUSES: Final[Mapping[str, "CardStatus.ValueType"]] = {
    "": card_file_pb2.CARD_STATUS_UNSPECIFIED,
    "active": card_file_pb2.CARD_STATUS_ACTIVE,
    "blocked": card_file_pb2.CARD_STATUS_BLOCKED,
    "closed": card_file_pb2.CARD_STATUS_CLOSED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFileError:
    """One thing that is wrong in a card file: its line, the column's name, and what to write instead."""

    line: int
    column: str
    problem: str


def read_cards(text: str) -> Iterator[CardRecord | CardFileError]:
    """Yield every record of a card file, or what is wrong with it; a wrong header row ends the file at once."""
    rows = csv.reader(text.splitlines(keepends=True), strict=True)
    try:
        header = next(rows, [])
        problem = _header_problem(header)
        if problem:
            yield problem
            return
        for row in rows:
            if row:
                yield _record(rows.line_num, header, row)
    except csv.Error:
        yield CardFileError(line=rows.line_num, column="", problem="is not CSV; check its quotation marks")


def pieces(text: str) -> Iterator[list[CardRecord]]:
    """Yield the records of a file without errors, at most :data:`PIECE_RECORDS` at a time."""
    records = (record for record in read_cards(text) if isinstance(record, CardRecord))
    while piece := list(islice(records, PIECE_RECORDS)):
        yield piece


def _header_problem(header: Sequence[str]) -> CardFileError | None:
    if not header:
        return CardFileError(line=1, column="", problem=f"is empty; begin with the columns {', '.join(COLUMNS)}")
    if not set(header) <= set(COLUMNS) or len(set(header)) < len(header):
        problem = f"names a column twice or one that is none of {', '.join(COLUMNS)}"
        return CardFileError(line=1, column="", problem=problem)
    missing = [column for column in REQUIRED if column not in header]
    if missing:
        return CardFileError(line=1, column=missing[0], problem="is missing; add the column")
    return None


def _record(line: int, header: Sequence[str], row: Sequence[str]) -> CardRecord | CardFileError:
    if len(row) != len(header):
        return CardFileError(line=line, column="", problem=f"has {len(row)} values; the header row has {len(header)}")
    values = {**dict.fromkeys(COLUMNS, ""), **dict(zip(header, row, strict=True))}
    error = _first_problem(values)
    if error:
        return CardFileError(line=line, column=error[0], problem=error[1])
    return CardRecord(
        card_number=values["card_number"],
        account_reference=values["account_reference"],
        product=values["product"],
        role=_ROLES[values["role"]],
        predecessor_card_number=values["predecessor_card_number"],
        member_number=values["member_number"],
        opened_on=values["opened_on"],
        status=_STATUSES[values["status"]],
        status_from=values["status_from"],
        statement_day=int(values["statement_day"] or 0),
    )


def _first_problem(values: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the first column that is wrong, and what to write there."""
    for column in REQUIRED:
        if not values[column]:
            return column, "is empty; every card needs one"
    for column in ("card_number", "predecessor_card_number"):
        if values[column] and not _CARD_NUMBER.fullmatch(values[column]):
            return column, "is not 12 to 19 digits"
    for column, words in (("role", _ROLES), ("status", _STATUSES)):
        if values[column] not in words:
            return column, f"is none of {', '.join(filter(None, words))}"
    for column in ("opened_on", "status_from"):
        if values[column] and not _is_date(values[column]):
            return column, "is not a date; write YYYY-MM-DD"
    if values["statement_day"] and not _DAY.fullmatch(values["statement_day"]):
        return "statement_day", "is not a day of the month; write a number from 1 to 31"
    return None


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
