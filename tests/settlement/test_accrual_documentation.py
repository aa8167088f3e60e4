"""The page on accruals says what the layouts, the states and the verdicts are, and shows files as they are rendered."""

import csv
import io
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from processor.core.owner_accrual import EXPLANATIONS, STANDS_IN, TRANSITIONS
from processor.store.accrual import SentRow
from processor.store.accrual_state import Pair
from settlement.accrual_file import AccrualHeader, key_of, render_accruals
from settlement.accrual_response import read_response
from settlement.layout import load_layout

PAGE = (Path(__file__).parents[2] / "docs" / "accruals.md").read_text(encoding="utf-8")
GOLDEN = Path(__file__).parent / "golden"
FILES = {
    "accrual-csv-v1": (GOLDEN / "accruals-skyways-alpha-000017.csv").read_bytes(),
    "accrual-response-csv-v1": (GOLDEN / "accrual-response.csv").read_bytes(),
}
ALPHA = Pair(programme="skyways", bank="alpha")


def rows_of(layout: str) -> list[list[str]]:
    """Return the records of a golden file."""
    return list(csv.reader(io.StringIO(FILES[layout].decode(), newline="")))


@pytest.mark.parametrize("layout", FILES)
def test_the_page_lists_every_column_and_shows_the_file(layout: str) -> None:
    """Each column has its row with place, name, format, the golden's value and meaning."""
    listed = [line for line in PAGE.splitlines() if line.startswith("| ") and line[2].isdigit()]
    for kind, columns in load_layout(layout).records.items():
        example = next(row for row in rows_of(layout) if row[0] == kind)
        for place, (column, value) in enumerate(zip(columns, example, strict=False), 1):
            shown = f"`{value}`" if value else ""
            assert f"| {place} | `{column.name}` | {column.format} | {shown} | {column.description} |" in listed
    assert f"```\n{FILES[layout].decode().replace(chr(13), '')}```" in PAGE


def test_the_golden_is_what_is_rendered() -> None:
    """The accruals of the golden render to its bytes, so that a change of the layout shows."""
    header, *details, _ = rows_of("accrual-csv-v1")
    sent = [
        SentRow(
            number=int(row[1]),
            bucket=key_of(bytes.fromhex(row[2]))[0],
            id=key_of(bytes.fromhex(row[2]))[1],
            attempt=int(row[3]),
            member=row[4],
            miles=int(row[6]),
            purchase_id=bytes.fromhex(row[7]),
            rule=row[8],
            partner=row[9],
            unit=header[5],
            booked_at=datetime.fromisoformat(row[10]),
            business_date=date.fromisoformat(row[11]),
        )
        for row in details
    ]
    made_at = datetime(2026, 11, 20, 22, 15, 0, 999_999, tzinfo=UTC)
    of_file = AccrualHeader(pair=ALPHA, sequence=17, unit="SKY", decimals=0, made_at=made_at)
    made = io.BytesIO()
    totals = render_accruals(load_layout("accrual-csv-v1"), of_file, sent, made)
    assert FILES["accrual-csv-v1"] == made.getvalue()
    assert ("accruals-skyways-alpha-000017.csv", 3, 205, 40) == (
        of_file.file_name,
        totals.record_count,
        totals.accrued,
        totals.taken_back,
    )


def test_miles_have_the_decimals_of_their_unit() -> None:
    """Hundredths of a mile are written with their decimals."""
    columns = load_layout("accrual-csv-v1").records["T"]
    values = {"record_type": "T", "record_count": 1, "accrued": 1050, "taken_back": 5, "net": -1045, "decimals": 2}
    assert ["T", "1", "10.50", "0.05", "-10.45"] == [column.write(values) for column in columns]


def test_the_golden_response_is_read() -> None:
    """The page's response holds the answers that its details say."""
    read = read_response(FILES["accrual-response-csv-v1"], ALPHA)
    assert ("SKY-2026-11-21-1", [True, False, True]) == (read.reference, [each.accepted for each in read.answers])
    assert ("MEMBER-CLOSED", "The account was closed in October") == (read.answers[1].code, read.answers[1].text)
    assert [row[2] for row in rows_of("accrual-csv-v1") if row[0] == "D"] == [
        answer.accrual.hex() for answer in read.answers
    ]


def test_the_page_lists_the_life_and_the_verdicts() -> None:
    """Every transition and every verdict has its row, and there is no other."""
    listed = [line for line in PAGE.splitlines() if line.startswith("| ")]
    for (before, step), now in TRANSITIONS.items():
        assert f"| {before} | {step} | {now} | `{STANDS_IN[before]}` | `{STANDS_IN[now]}` |" in listed
    assert len(TRANSITIONS) == sum(len(line.split("|")) == 7 and "`member/" in line for line in listed)
    assert all(f"| {verdict} | {explanation} |" in listed for verdict, explanation in EXPLANATIONS.items())
