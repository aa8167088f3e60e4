"""Layouts of settlement files: which records a file has, and how each column is written.

A layout is data in ``schemas/settlement/``, compiled once; ``render`` fills it.
A value that does not fit its column is an error: nothing is ever cut.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from typing import Any, Final

import yaml

import schemas
from processor.core.money import exponent

Record = Mapping[str, Any]
"""A record's values by column name.

An ``amount`` column takes minor units of the record's ``currency``, a ``units`` column the smallest units of miles that
have the record's ``decimals``.
"""

_FORMAT: Final = re.compile(
    r"(?P<kind>text|integer|amount|units)\.\.(?P<limit>[1-9][0-9]?)|hexadecimal\.(?P<exact>[1-9][0-9]?)"
)
_CHOICE: Final = re.compile(r"choice\.(?P<letters>[A-Z]+)")
_LINE_ENDS: Final[Mapping[str, str]] = {"crlf": "\r\n", "lf": "\n"}
SPREADSHEET_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


class LayoutError(ValueError):
    """A layout is malformed, or a value does not fit its column; the text names the layout, record and column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: its name, its format as the layout writes it, and what it means to the receiver."""

    name: str
    format: str
    description: str
    write: Callable[[Record], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A compiled layout: ``records`` maps a record type to its columns; ``fields`` is the widest record's number.

    Shorter records are filled with empty fields, because RFC 4180 gives every line the same number of them.
    """

    id: str
    encoding: str
    line_end: str
    fields: int
    records: Mapping[str, tuple[Column, ...]]

    def row(self, record_type: str, record: Record) -> list[str]:
        """Return a record's fields; raises :class:`LayoutError` for a value that does not fit."""
        columns = self.records[record_type]
        return [column.write(record) for column in columns] + [""] * (self.fields - len(columns))


@cache
def load_layout(layout_id: str) -> Layout:
    """Return a shipped layout by its id, for example ``party-csv-v1``."""
    return compile_layout(schemas.read("settlement", f"{layout_id}.yaml"), source=f"{layout_id}.yaml")


def compile_layout(text: str, *, source: str) -> Layout:
    """Compile a layout's YAML; raises :class:`LayoutError` naming ``source`` and the place that is wrong."""
    document = yaml.safe_load(text)
    try:
        records = {
            record_type: tuple(_column(entry, f"{source}, record {record_type}") for entry in entries)
            for record_type, entries in document["records"].items()
        }
        return Layout(
            id=document["layout"],
            encoding=document["encoding"],
            line_end=_LINE_ENDS[document["line_end"]],
            fields=max(len(columns) for columns in records.values()),
            records=records,
        )
    except (KeyError, TypeError) as error:
        raise LayoutError(
            f"{source}: {error} is missing or not known; "
            f"a layout has layout, encoding, line_end (crlf or lf) and records"
        ) from error


def _column(entry: Any, place: str) -> Column:
    if not (isinstance(entry, list) and len(entry) == 3 and all(isinstance(item, str) for item in entry)):
        raise LayoutError(f"{place}: {entry!r} is no column; write [name, format, description]")
    name, form, description = entry
    return Column(name=name, format=form, description=description, write=_writer(name, form, f"{place}, column {name}"))


def _writer(name: str, form: str, place: str) -> Callable[[Record], str]:
    """Return the function that writes one column of a record."""
    if form == "date":
        return lambda record: _date(record[name])
    if form == "date-time":
        return lambda record: _date_time(record[name])
    if choice := _CHOICE.fullmatch(form):
        return _checked(lambda record: str(record[name]), f"[{choice['letters']}]", place)
    matched = _FORMAT.fullmatch(form)
    if matched is None:
        raise LayoutError(f"{place}: {form!r} is no format; write one such as text..32, amount..20 or date")
    limit = matched["limit"]
    if matched["exact"]:
        return _checked(lambda record: record[name].hex(), f"[0-9a-f]{{{matched['exact']}}}", place)
    if matched["kind"] == "text":
        return _checked(lambda record: _text(record[name]), rf"[^\x00-\x1f\x7f]{{0,{limit}}}", place)
    if matched["kind"] == "integer":
        return _checked(lambda record: str(record[name]), rf"-?[0-9]{{1,{limit}}}", place)
    if matched["kind"] == "units":
        return _checked(lambda record: decimal_text(record[name], record["decimals"]), rf"[-.0-9]{{1,{limit}}}", place)
    return _checked(lambda record: amount_text(record[name], record["currency"]), rf"[-.0-9]{{1,{limit}}}", place)


def _checked(write: Callable[[Record], str], fits: str, place: str) -> Callable[[Record], str]:
    """Return a writer that refuses what does not fit its column."""
    pattern = re.compile(fits)

    def checked(record: Record) -> str:
        written = write(record)
        if not pattern.fullmatch(written):
            raise LayoutError(f"{place}: {written!r} does not fit; the layout needs a new version with a wider column")
        return written

    return checked


def amount_text(amount_minor: int, currency: str) -> str:
    """Write minor units as a decimal number with all the currency's decimals: 1050 EUR is 10.50, 1050 JPY is 1050."""
    return decimal_text(amount_minor, exponent(currency))


def decimal_text(amount: int, decimals: int) -> str:
    """Write a number of smallest units with all its decimals: 1050 with two is 10.50, with none 1050."""
    digits = str(abs(amount)).rjust(decimals + 1, "0")
    sign = "-" if amount < 0 else ""
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}" if decimals else f"{sign}{digits}"


def _text(value: str) -> str:
    """Write text so that no spreadsheet takes it for a formula: what begins like one gets an apostrophe before it."""
    return f"'{value}" if value.startswith(SPREADSHEET_FORMULA) else value


def _date(value: date) -> str:
    return value.isoformat()


def _date_time(value: datetime) -> str:
    """Write a moment in UTC, to the second; a part of a second is dropped."""
    return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
