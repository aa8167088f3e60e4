"""The page on clearing files in CSV says what the schema and the code say."""

import re
from typing import Any, Final

import orjson

import schemas
from processor.wire.clearing_layout import POSTING_TYPES
from processor.wire.clearing_lines import LONGEST_LINE_BYTES
from tests.wire.clearing_extracts import POSTING, ROOT, layout_of, reading, refusal

PAGE: Final = (ROOT / "docs" / "clearing-csv.md").read_text(encoding="utf-8")
EXAMPLES: Final = re.findall(r"^```csv\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def _rows(heading: str) -> list[list[str]]:
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [re.split(r"(?<!\\)\|", line.strip("|")) for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in row] for row in rows]


def _schema() -> Any:
    return orjson.loads(schemas.read(schemas.CLEARING_FOLDER, "clearing_layout.schema.json"))


def test_the_page_explains_every_key_column_and_type() -> None:
    """The tables of the page have a row for each, and no other."""
    keys = _schema()["properties"]

    assert {f"`{key}`" for key in keys} == {row[0] for row in _rows("Layouts")}
    assert {f"`{column}`" for column in keys["columns"]["properties"]} == {row[0] for row in _rows("Columns")}
    assert {f"`{name}`" for name in POSTING_TYPES} == {row[0] for row in _rows("Types")}


def test_the_page_says_what_record_each_type_is() -> None:
    """Message type, function code, processing code and reversal are those of the code."""
    expected = {}
    for name, posting in POSTING_TYPES.items():
        code = f", processing code {posting.processing_code[:2]}" if posting.processing_code != "000000" else ""
        undone = ", reversed" if posting.reversed else ""
        expected[f"`{name}`"] = f"{posting.message_type}/{posting.function_code}{code}{undone}"

    assert expected == {row[0]: row[1] for row in _rows("Types")}


def test_the_page_lists_every_choice() -> None:
    """Each word that the schema lets a key have stands in the key's row."""
    rows = {row[0].strip("`"): row[1].replace("\\|", "|") for row in _rows("Layouts")}
    choices = {key: value["enum"] for key, value in _schema()["properties"].items() if "enum" in value}

    assert [] == [(key, word) for key, words in choices.items() for word in words if f"`{word}`" not in rows[key]]
    assert len(choices) >= 8


def test_the_examples_of_the_page_are_read() -> None:
    """The files that the page shows are whole, and the error it shows is what a wrong total gives."""
    own = layout_of(PAGE.split("```yaml\n")[1].split("```")[0])
    first, second = (
        reading(text.encode(layout.encoding), layout) for text, layout in zip(EXAMPLES, (POSTING, own), strict=True)
    )

    assert ("ALPHA-20261122-1", 2, 0, {"EUR": 14050}) == (
        first[1].file_id,
        first[1].records,
        first[1].broken,
        first[1].totals,
    )
    assert ("ALPHA-20261122-7", 2, 0, {"EUR": 14050}) == (
        second[1].file_id,
        second[1].records,
        second[1].broken,
        second[1].totals,
    )
    wrong = refusal(EXAMPLES[0].replace("140.50", "140.49").encode())
    assert str(wrong) == PAGE.split("```text\n")[1].split("\n```")[0]


def test_the_bound_of_the_page_is_that_of_the_code() -> None:
    """The page states the longest line."""
    assert f"A line has at most {LONGEST_LINE_BYTES:,} bytes" in PAGE


def test_the_schema_lists_the_types_of_the_code() -> None:
    """A layout may name each type, and no other."""
    types = _schema()["properties"]["types"]["additionalProperties"]

    assert [*POSTING_TYPES] == types["enum"]
