"""The page on settlement files says what the layout says, and shows a file as it is rendered."""

import csv
import io
from pathlib import Path

import pytest

from processor.core.posting import BETWEEN_PARTIES
from settlement.layout import load_layout

PAGE = (Path(__file__).parents[2] / "docs" / "settlement-files.md").read_text(encoding="utf-8")
GOLDEN = (Path(__file__).parent / "golden" / "alpha-alpha-skyways-2026-11-20-000017.csv").read_bytes().decode()
LAYOUT = load_layout("party-csv-v1")


@pytest.mark.parametrize("record_type", sorted(LAYOUT.records))
def test_the_page_lists_every_column(record_type: str) -> None:
    """Each column has its row with place, name, format and meaning, and the example file's value."""
    section = PAGE.split(f"### {record_type}, ")[1].split("\n## ")[0].split("\n### ")[0]
    example = next(row for row in csv.reader(io.StringIO(GOLDEN, newline="")) if row[0] == record_type)
    expected = [
        f"| {place} | `{column.name}` | {column.format} | {f'`{value}`' if value else ''} | {column.description} |"
        for place, (column, value) in enumerate(zip(LAYOUT.records[record_type], example, strict=False), start=1)
    ]
    listed = [line for line in section.splitlines() if line.startswith("| ") and line[2].isdigit()]
    assert expected == listed


def test_the_page_shows_a_whole_file() -> None:
    """The example is the golden file, its line ends aside."""
    assert f"```\n{GOLDEN.replace(chr(13), '')}```" in PAGE


def test_the_page_names_every_format_in_use() -> None:
    """A format that a column has is explained."""
    kinds = {column.format.rstrip("0123456789") for columns in LAYOUT.records.values() for column in columns}
    named = {"choice." if kind.startswith("choice") else kind for kind in kinds}
    explained = {
        "choice." if cell.startswith("choice") else cell.removesuffix("N")
        for cell in (line.split("|")[1].strip() for line in PAGE.splitlines() if line.startswith("| "))
    }
    assert set() == named - explained


def test_the_page_names_every_template_between_parties() -> None:
    """A receiver can look up each template that a detail may show."""
    assert [] == [template for template in BETWEEN_PARTIES if f"| `{template.name.lower()}` |" not in PAGE]


def test_the_page_states_how_many_fields_a_record_has() -> None:
    """The number of fields is that of the layout."""
    assert f"Every record has {LAYOUT.fields} fields" in PAGE
