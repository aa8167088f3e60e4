"""The page on ISO 8583 says what the dialects say."""

import re
from pathlib import Path

import pytest

from processor.core.money import Miles
from processor.wire.award_tlv import AwardText, encode_award
from processor.wire.dialect import KEYS, Dialect, parse_dialect
from processor.wire.element import CHOICES
from processor.wire.layout import CARD_DATA_TAGS
from processor.wire.layout_text import FORMS
from processor.wire.message_header import TREATMENTS
from tests.wire.conftest import DIALECTS, TEXTS

PAGE = (Path(__file__).parents[2] / "docs" / "iso8583.md").read_text(encoding="utf-8")
DESCRIBED = ["iso87-ascii", "iso93-ascii", "ipm93-ebcdic", "mastercard-like-ebcdic", "visa-like-bcd", "pos-bcd"]


def _section(name: str) -> list[str]:
    return PAGE.split(f"### `{name}`")[1].split("\n### ")[0].split("\n## ")[0].splitlines()


def _handling(dialect: Dialect, name: str) -> str:
    if name == "pan":
        return "token"
    if name in dialect.sensitive:
        return "dropped"
    if name in dialect.kept:
        return "kept"
    return "split" if any(name in layout.carriers for layout in dialect.layouts) else ""


def test_every_dialect_has_a_row_and_a_section() -> None:
    """The table of dialects lists those that ship, and each stands in the heading of a section."""
    listed = re.findall(r"^\| `([a-z0-9-]+)` \| (?:1987|1993) \|", PAGE, re.MULTILINE)
    headings = " ".join(line for line in PAGE.splitlines() if line.startswith("### `"))

    assert set(DIALECTS) == set(listed)
    assert [] == [name for name in DIALECTS if f"`{name}`" not in headings]


@pytest.mark.parametrize("name", DESCRIBED)
def test_the_page_lists_every_element_in_use(name: str) -> None:
    """Each element that is kept, tokenised, split or dropped has its row, and no other row claims so."""
    dialect = DIALECTS[name]
    rows = [
        f"| {number} | `{element.name}` | {element.format} | {handling} |"
        for number, element in dialect.elements.items()
        if (handling := _handling(dialect, element.name))
    ]

    listed = [line.rsplit("|", 2)[0] + "|" for line in _section(name) if re.match(r"\| \d+ \| `\w+` \|", line)]
    assert rows == listed


@pytest.mark.parametrize("name", DESCRIBED)
def test_the_page_lists_every_subfield(name: str) -> None:
    """Each named sub-field has its row, with its carrier, tag and what becomes of it."""
    dialect = DIALECTS[name]
    rows = [
        f"| `{layout.carriers[0]}` | {tag} | `{subfield.name}` | {_handling(dialect, subfield.name) or 'forgotten'} |"
        for layout in dialect.layouts
        for tag, subfield in layout.fields.items()
    ]

    assert rows == [line.rsplit("|", 2)[0] + "|" for line in _section(name) if line.startswith("| `")]


@pytest.mark.parametrize("name", ["iso87", "iso93"])
@pytest.mark.parametrize("suffix", ["bcd", "ebcdic"])
def test_a_dialect_without_a_table_has_that_of_its_section(name: str, suffix: str) -> None:
    """The packed and the EBCDIC dialect change the encoding alone."""
    plain, other = DIALECTS[f"{name}-ascii"], DIALECTS[f"{name}-{suffix}"]

    assert {element.name: element.format for element in plain.elements.values()} == {
        element.name: element.format for element in other.elements.values()
    }
    assert (plain.kept, plain.sensitive, plain.marks, plain.trace, plain.kinds) == (
        other.kept,
        other.sensitive,
        other.marks,
        other.trace,
        other.kinds,
    )


def test_the_page_lists_every_kind_of_a_clearing_record() -> None:
    """The table of kinds is that of the clearing dialect."""
    rows = dict(re.findall(r"^\| (\d{4}(?:/[0-9x]+)*) \| `(\w+)` \|$", PAGE, re.MULTILINE))

    kinds = DIALECTS["ipm93-ebcdic"].kinds
    assert {"/".join(filter(None, rule[:3])): rule.kind for rule in kinds} == rows


def _keys(heading: str) -> set[str]:
    section = PAGE.split(f"{heading}\n")[1].split("\n#")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {key for cell in cells for key in re.findall(r"`(\w+)`", cell)}


def test_the_page_explains_every_key() -> None:
    """Every key of a dialect, of its encoding, its sub-fields and its header has a row."""
    assert set(KEYS) == _keys("## Writing an own dialect")
    assert set(CHOICES) == _keys("### Encoding")
    assert set(FORMS) == _keys("### Sub-fields")
    assert set(TREATMENTS) == _keys("### Header")


def test_the_page_lists_the_chip_tags_that_are_never_kept() -> None:
    """The tags that hold card data are all named."""
    sentence = re.search(r"^Chip tags (.+) are never kept", PAGE, re.MULTILINE)

    assert sentence is not None
    assert sorted(CARD_DATA_TAGS) == re.split(r", | and ", sentence[1])


@pytest.mark.parametrize("types", re.findall(r"take (\d{4}[^.]+ and \d{4})\.", PAGE))
def test_the_page_lists_the_message_types(types: str) -> None:
    """Each list of message types is that of a dialect."""
    listed = set(re.findall(r"\d{4}", types))

    assert listed in [
        {digits for digits in dialect.message_type_bytes if not int(digits[3]) % 2} for dialect in DIALECTS.values()
    ]


def test_the_example_dialects_compile() -> None:
    """The dialects shown as examples are ones."""
    clearing, fuel, host = [
        parse_dialect("example-host", example.split("```")[0], TEXTS) for example in PAGE.split("```yaml\n")[1:]
    ]

    assert "lifecycle_id" in clearing.subfields
    assert "product_codes" in fuel.kept
    assert "ans..99" == host.elements[43].format
    assert "latin-1" == host.spec["63"]["data_enc"]
    assert 124 == host.award_field


def test_the_example_award_is_what_is_written() -> None:
    """The award text shown is what an answer carries."""
    assert f"`{encode_award(AwardText(outcome='earned', miles=Miles(120), partner='retailer-7'))}`" in PAGE
