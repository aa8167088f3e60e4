"""The page on ISO 8583 says what the dialects say."""

from pathlib import Path

import pytest

from processor.core.money import Miles
from processor.wire.award_tlv import AwardText, encode_award
from processor.wire.dialect import Dialect, Element, parse_dialect
from tests.wire.conftest import DIALECTS, TEXTS

PAGE = (Path(__file__).parents[2] / "docs" / "iso8583.md").read_text(encoding="utf-8")


def _handling(dialect: Dialect, name: str) -> str:
    if name == "pan":
        return "token"
    if name in dialect.sensitive:
        return "dropped"
    if name in dialect.carriers:
        return "split"
    return "kept" if name in dialect.kept else ""


def _format(element: Element) -> str:
    return f"{element.content}{'.' * element.length_digits}{element.length}"


@pytest.mark.parametrize("name", ["iso87-ascii", "ipm93-ebcdic"])
def test_the_page_lists_every_element_in_use(name: str) -> None:
    """Each element that is kept, tokenised, split or dropped has its row, and no other row claims so."""
    dialect = DIALECTS[name]
    section = PAGE.split(f"### `{name}`")[1].split("\n### ")[0]
    rows = [
        f"| {number} | `{element.name}` | {_format(element)} | {handling} |"
        for number, element in dialect.elements.items()
        if (handling := _handling(dialect, element.name))
    ]

    listed = [line.rsplit("|", 2)[0] + "|" for line in section.splitlines() if line.startswith("| ")]
    assert rows == listed[1:]


def test_the_page_lists_every_subelement() -> None:
    """Each named private data sub-element has its row."""
    for tag, subelement in DIALECTS["ipm93-ebcdic"].subelements.items():
        assert f"| {tag} | `{subelement.name}` |" in PAGE


def test_the_example_dialect_compiles() -> None:
    """The dialect shown as an example is one."""
    example = PAGE.split("```yaml\n")[1].split("```")[0]

    dialect = parse_dialect("example-host", example, TEXTS)

    assert "ans..99" == _format(dialect.elements[43])
    assert 124 == dialect.award_field


def test_the_example_award_is_what_is_written() -> None:
    """The award text shown is what an answer carries."""
    assert f"`{encode_award(AwardText(outcome='earned', miles=Miles(120), partner='retailer-7'))}`" in PAGE
