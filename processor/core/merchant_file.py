"""Reading a merchant file: each line says which partner an acquirer's card acceptor belongs to.

The columns and their meaning stand in ``docs/programme.md``.
A line holds one merchant; a quoted value may hold commas but never a line break, so that every error has one place.
It never repairs what it reads: an identifier with a space or a leading zero too many would match nothing, silently.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from processor.core.located_document import DocumentError, did_you_mean, shown
from processor.core.programme import Merchant

COLUMNS: Final = ("acquirer_id", "card_acceptor_id", "terminal_id", "mcc", "partner")
"""The columns of the header line; they may stand in any order."""

_FIELD: Final = re.compile(r'(?:"((?:[^"]|"")*)"|([^",]*))(,|$)')

_FORMS: Final[Mapping[str, tuple[re.Pattern[str], str]]] = {
    "acquirer_id": (
        re.compile(r"[1-9][0-9]{5,10}"),
        "write the acquirer's identification code (DE32): 6 to 11 digits without leading zeros",
    ),
    "card_acceptor_id": (
        re.compile(r"[!-~](?:[ -~]{0,13}[!-~])?"),
        "write the card acceptor's identification code (DE42): 1 to 15 characters, no spaces around it",
    ),
    "terminal_id": (
        re.compile(r"(?:[!-~](?:[ -~]{0,6}[!-~])?)?"),
        "write the terminal's identification (DE41): 1 to 8 characters, or nothing for every terminal",
    ),
    "mcc": (
        re.compile(r"(?:[0-9]{4})?"),
        "write the merchant category code (DE18): 4 digits, or nothing for every category",
    ),
    "partner": (re.compile(r"[a-z][a-z0-9-]{0,31}"), "write the identifier of a partner"),
}
"""What each column takes: DE32 and DE42 as ISO 8583 carries them, without the padding that ``wire/`` removes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MerchantList:
    """The merchants of a file by acquirer and acceptor, and every error that reading it found."""

    merchants: Mapping[tuple[str, str], tuple[Merchant, ...]]
    errors: tuple[DocumentError, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cell:
    text: str
    column: int


def read_merchants(text: str, *, source: str, partners: Collection[str]) -> MerchantList:
    """Read a merchant file; ``partners`` are the identifiers that a line may name."""
    lines = text.removeprefix("\ufeff").split("\n")
    header, errors = _header(lines[0].removesuffix("\r"), source)
    if header is None:
        return MerchantList(merchants={}, errors=tuple(errors))
    merchants: dict[tuple[str, str], list[Merchant]] = {}
    first_line_of: dict[Merchant, int] = {}
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        cells, cell_errors = _cells(line.removesuffix("\r"), header, source, number, partners)
        errors.extend(cell_errors)
        if cell_errors:
            continue
        merchant = _merchant(cells)
        matched = Merchant(
            acquirer=merchant.acquirer,
            acceptor=merchant.acceptor,
            terminal=merchant.terminal,
            mcc=merchant.mcc,
            partner="",
        )
        first = first_line_of.setdefault(matched, number)
        if first != number:
            problem = f"matches the same messages as line {first}"
            expected = "remove one of the two, or narrow one by terminal or MCC"
            errors.append(_error(source, number, cells["acquirer_id"].column, "acquirer_id", problem, expected))
            continue
        merchants.setdefault((merchant.acquirer, merchant.acceptor), []).append(merchant)
    return MerchantList(merchants={key: tuple(found) for key, found in merchants.items()}, errors=tuple(errors))


def _error(source: str, line: int, column: int, path: str, problem: str, expected: str) -> DocumentError:
    return DocumentError(source=source, line=line, column=column, path=path, problem=problem, expected=expected)


def _header(line: str, source: str) -> tuple[tuple[str, ...] | None, list[DocumentError]]:
    """Return the header's column names, or None where the lines below cannot be read by them."""
    wanted = f"write the header {','.join(COLUMNS)}"
    cells = _split(line)
    if isinstance(cells, int):
        return None, [_error(source, 1, cells, "header", "has a quote out of place", wanted)]
    names = [cell.text for cell in cells]
    errors = []
    for index, cell in enumerate(cells):
        if cell.text not in COLUMNS:
            hint = f"{did_you_mean(cell.text, COLUMNS)}{wanted}, with commas between"
            errors.append(_error(source, 1, cell.column, "header", f"{shown(cell.text)} is no known column", hint))
        elif cell.text in names[:index]:
            errors.append(_error(source, 1, cell.column, "header", f"names {cell.text!r} twice", wanted))
    missing = [name for name in COLUMNS if name not in names]
    errors += [_error(source, 1, 1, "header", f"lacks the column {name!r}", wanted) for name in missing]
    return (None if errors else tuple(names)), errors


def _split(line: str) -> list[_Cell] | int:
    """Split a line at its commas; returns the column of a quote that is out of place, where there is one."""
    cells: list[_Cell] = []
    start = 0
    while True:
        match = _FIELD.match(line, start)
        if match is None:
            return start + 1
        quoted, bare, end = match.groups()
        cells.append(_Cell(text=bare if quoted is None else quoted.replace('""', '"'), column=start + 1))
        start = match.end()
        if not end:
            return cells


def _cells(
    line: str, header: tuple[str, ...], source: str, number: int, partners: Collection[str]
) -> tuple[dict[str, _Cell], list[DocumentError]]:
    cells = _split(line)
    if isinstance(cells, int):
        expected = "put the whole value in quotes and double the quotes inside it"
        return {}, [_error(source, number, cells, "line", "has a quote out of place", expected)]
    if len(cells) != len(header):
        problem = f"has {len(cells)} values where the header has {len(header)}"
        return {}, [_error(source, number, 1, "line", problem, "write a value, or nothing, for each column")]
    by_name = dict(zip(header, cells, strict=True))
    return by_name, list(_wrong_cells(by_name, source, number, partners))


def _wrong_cells(
    cells: Mapping[str, _Cell], source: str, number: int, partners: Collection[str]
) -> Iterator[DocumentError]:
    for name, (form, expected) in _FORMS.items():
        cell = cells[name]
        if not form.fullmatch(cell.text):
            problem = f"is {shown(cell.text)}" if cell.text else "is empty"
            yield _error(source, number, cell.column, name, problem, expected)
        elif name == "partner" and cell.text not in partners:
            hint = f"{did_you_mean(cell.text, partners)}write the identifier of one of the document's partners"
            yield _error(source, number, cell.column, name, f"{shown(cell.text)} is no partner", hint)


def _merchant(cells: Mapping[str, _Cell]) -> Merchant:
    return Merchant(
        acquirer=cells["acquirer_id"].text,
        acceptor=cells["card_acceptor_id"].text,
        terminal=cells["terminal_id"].text or None,
        mcc=cells["mcc"].text or None,
        partner=cells["partner"].text,
    )
