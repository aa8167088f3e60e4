"""How columns are written, and what a layout refuses."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from settlement.layout import LayoutError, amount_text, compile_layout, load_layout

_HEAD = "layout: test-v1\nencoding: utf-8\nline_end: crlf\nrecords:\n"


def _written(form: str, value: Any, currency: str = "EUR") -> str:
    layout = compile_layout(f"{_HEAD}  D:\n    - [value, {form}, A value]\n", source="test-v1.yaml")
    return layout.row("D", {"value": value, "currency": currency})[0]


@pytest.mark.parametrize(
    ("amount_minor", "currency", "written"),
    [
        (1050, "EUR", "10.50"),
        (5, "EUR", "0.05"),
        (0, "EUR", "0.00"),
        (-5, "EUR", "-0.05"),
        (-1050, "EUR", "-10.50"),
        (1050, "JPY", "1050"),
        (0, "JPY", "0"),
        (1050, "BHD", "1.050"),
        (10**15, "EUR", "10000000000000.00"),
    ],
)
def test_an_amount_has_all_the_decimals_of_its_currency(amount_minor: int, currency: str, written: str) -> None:
    """Minor units become a decimal number with as many decimals as ISO 4217 says."""
    assert written == amount_text(amount_minor, currency)


@pytest.mark.parametrize(
    ("form", "value", "written"),
    [
        ("text..32", "alpha", "alpha"),
        ("text..32", "", ""),
        ("integer..9", 0, "0"),
        ("integer..9", 999_999_999, "999999999"),
        ("hexadecimal.4", b"\x0a\xff", "0aff"),
        ("choice.DC", "C", "C"),
        ("date", date(2026, 11, 20), "2026-11-20"),
        ("date-time", datetime(2026, 11, 20, 12, 0, 59, 999_999, tzinfo=UTC), "2026-11-20T12:00:59Z"),
        ("date-time", datetime(2026, 11, 20, 1, tzinfo=timezone(timedelta(hours=2))), "2026-11-19T23:00:00Z"),
        ("amount..20", -1, "-0.01"),
    ],
)
def test_a_value_is_written_as_its_format_says(form: str, value: Any, written: str) -> None:
    """Every format writes its values in exactly one way."""
    assert written == _written(form, value)


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@SUM(A1)"])
def test_text_is_never_a_spreadsheet_formula(formula: str) -> None:
    """Text that a spreadsheet would compute gets an apostrophe before it."""
    assert f"'{formula}" == _written("text..32", formula)


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("text..5", "alphas"),
        ("text..32", "two\nlines"),
        ("text..32", "a\ttab"),
        ("integer..2", 100),
        ("hexadecimal.4", b"\x0a"),
        ("choice.DC", "X"),
        ("choice.DC", ""),
        ("amount..4", 10**5),
    ],
)
def test_a_value_that_does_not_fit_is_an_error(form: str, value: Any) -> None:
    """Nothing is cut to fit: the error names the layout, the record and the column."""
    with pytest.raises(LayoutError, match=r"test-v1.yaml, record D, column value: .* does not fit"):
        _written(form, value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"{_HEAD}  D:\n    - [value, money, A value]\n", "'money' is no format"),
        (f"{_HEAD}  D:\n    - [value, text..32]\n", "is no column"),
        (_HEAD.replace("crlf", "cr") + "  D:\n    - [value, date, A value]\n", "'cr' is missing or not known"),
        ("layout: test-v1\n", "'records' is missing or not known"),
    ],
)
def test_a_malformed_layout_says_what_to_write(text: str, problem: str) -> None:
    """A layout's mistakes are found when it is compiled."""
    with pytest.raises(LayoutError, match=problem):
        compile_layout(text, source="test-v1.yaml")


def test_every_record_has_the_same_number_of_fields() -> None:
    """RFC 4180 section 2.4: each line contains the same number of fields, so short records are filled up."""
    layout = load_layout("party-csv-v1")
    row = layout.row("T", {"record_type": "T", "record_count": 0, "hash_total": 0})
    assert ["T", "0", "0", *[""] * 10] == row
    assert layout.fields == len(row)
