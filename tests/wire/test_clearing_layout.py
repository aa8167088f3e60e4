"""Layouts of clearing files: each mistake has its place, and a bank's own stand beside its dialects."""

from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

import schemas
from processor.wire.clearing_layout_text import parse_clearing_layout
from processor.wire.dialect_text import DialectError
from tests.wire.clearing_extracts import OWN_BANK, TEXTS, layout_of
from tests.wire.conftest import DIALECTS


def _mistakes(text: str) -> list[str]:
    with pytest.raises(DialectError) as caught:
        layout_of(text)
    return [str(error) for error in caught.value.errors]


BAD_LAYOUTS: Final = [
    ("extends: posting-csv", "own.yaml:1:10 extends: names 'posting-csv', which is no layout; did you mean"),
    ("- a", "own.yaml:1:1 document: is no layout; expected a mapping of keys"),
    ("extends: posting-csv-v1\nseparater: x", "own.yaml:2:1 separater: is no known key; did you mean 'separator'?"),
    ("extends: posting-csv-v1\nencoding: utf8", "own.yaml:2:11 encoding: is 'utf8'; did you mean 'utf-8'?"),
    ("extends: posting-csv-v1\nseparator: xyz", "own.yaml:2:12 separator: is 'xyz'; write ;, ,, | or tab"),
    ("extends: posting-csv-v1\ntypes: {5: sale}", "own.yaml:2:12 types.5: is 'sale'; write purchase, refund,"),
    ("extends: posting-csv-v1\ncolumns: {colour: X}", "own.yaml:2:11 columns.colour: is no known key;"),
    ("extends: posting-csv-v1\ncolumns: {amount: 5}", "own.yaml:2:19 columns.amount: is the number 5; write the"),
    ("extends: posting-csv-v1\ndialect: iso87-ascii", "own.yaml:2:10 dialect: is 'iso87-ascii'; did you mean"),
    ("extends: posting-csv-v1\ncolumns: {amount: null}", "own.yaml:2:10 columns: lacks amount; write amount: the"),
    ("extends: posting-csv-v1\ncolumns: {local_date: null}", "own.yaml:2:10 columns: lacks local_date;"),
    ("extends: posting-csv-v1\ncolumns: {card_number: null}", "own.yaml:2:10 columns: has not one of card_number and"),
    (
        "extends: posting-csv-v1\ncolumns: {card_number: null, card_token: T}",
        "own.yaml:2:10 columns: has card_token without card_token_key; write card_token_key as a column or a const",
    ),
    ("extends: posting-csv-v1\ncolumns: {amount: MCC}", "own.yaml:2:19 columns.amount: names 'MCC' twice; name each"),
    ("extends: posting-csv-v1\nconstants: {mcc: '5411'}", "own.yaml:2:13 constants.mcc: is a column as well; remove"),
    ("extends: posting-csv-v1\nheader: null", "own.yaml:1:1 file_id: names file_id, which the header does not have;"),
    ("extends: posting-csv-v1\nfile_id: [day]", "own.yaml:2:10 file_id: names day, which the header does not have"),
    ("extends: posting-csv-v1\nheader: {mark: null}", "own.yaml:2:9 header: lacks its mark or its fields; write both"),
    ("extends: posting-csv-v1\nnames: false", "own.yaml:1:1 columns.card_number: 'CARD_NUMBER' is not in order; list"),
    ("extends: posting-csv-v1\norder: [A]", "own.yaml:2:8 order: is given though the file names its columns; remove"),
    (
        "extends: posting-csv-v1\nseparator: ','\ndecimal: ','\nquote: none",
        "own.yaml:2:12 separator: is the decimal sign as well; write another, or quote the amounts",
    ),
    (
        "extends: posting-csv-v1\ncolumns: {currency: null}\nconstants: {currency: EURO}",
        "own.yaml:3:23 constants.currency: is no ISO 4217 currency; write its three letters or digits; mend the",
    ),
    (
        "extends: posting-csv-v1\ncolumns: {mcc: null}\nconstants: {mcc: '54'}",
        "own.yaml:3:18 constants.mcc: is not what the column takes;",
    ),
    (
        "extends: posting-csv-v1\ncolumns: {type: null}\nconstants: {type: SALE}",
        "own.yaml:3:19 constants.type: is none of the layout's types; mend the constant",
    ),
    ("extends: posting-csv-v1\ntypes: null", "own.yaml:2:8 types: lists nothing; write each code of the bank with"),
    ("dialect: ipm93-ascii", "own.yaml:1:1 columns: lacks type; write type: the bank's name of that column"),
]


@pytest.mark.parametrize(("text", "expected"), BAD_LAYOUTS, ids=[expected[:70] for _, expected in BAD_LAYOUTS])
def test_a_layout_that_is_not_sound_is_named_with_its_place(text: str, expected: str) -> None:
    """Each mistake in a layout has file, line, column and what to write instead."""
    assert any(mistake.startswith(expected) for mistake in _mistakes(text)), _mistakes(text)


def test_a_type_that_the_dialect_gives_no_meaning_is_refused() -> None:
    """A layout cannot promise what its dialect does not know."""
    dialect = replace(DIALECTS["ipm93-ascii"], kinds=())
    with pytest.raises(DialectError, match="is refund, which ipm93-ascii gives no such meaning; name a dialect whose"):
        parse_clearing_layout("own", TEXTS["posting-csv-v1"], {}, {"ipm93-ascii": dialect})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Name a folder of own dialects with one of own layouts in it."""
    (tmp_path / "clearing").mkdir()
    monkeypatch.setenv(schemas.DIALECTS_FOLDER, str(tmp_path))
    return tmp_path / "clearing"


def test_own_layouts_stand_beside_own_dialects(folder: Path) -> None:
    """The folder clearing in that of own dialects holds layouts; none may have a shipped one's name."""
    (folder / "own-bank.yaml").write_text(OWN_BANK)
    assert {*TEXTS, "own-bank"} == set(schemas.clearing_layouts())
    assert "own-bank" not in schemas.iso8583_dialects()

    (folder / "posting-csv-v1.yaml").write_text(OWN_BANK)
    with pytest.raises(schemas.DialectsFolderError, match="has the name of a shipped layout; give it one of its own"):
        schemas.clearing_layouts()


def test_without_the_folder_the_shipped_layouts_are_known(folder: Path) -> None:
    """An installation with own dialects need not have own layouts."""
    folder.rmdir()

    assert TEXTS == schemas.clearing_layouts()
