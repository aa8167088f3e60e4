"""Clearing files in CSV that are wrong: a file is whole or refused, a bad line breaks its record alone."""

import re
from typing import Final

import pytest

from processor.wire.clearing_file import ClearingFileError
from processor.wire.clearing_lines import LONGEST_LINE_BYTES
from tests.wire.clearing_extracts import ARN, HEADER, LAYOUTS, NAMES, broken, extract, line_of, reading, refusal
from tests.wire.conftest import PAN

BAD_VALUES: Final = [
    ({"CARD_NUMBER": "400000******3219"}, "column 2 (CARD_NUMBER): is not what the column takes; write all 12 to 19"),
    ({"CARD_NUMBER": ""}, "column 2 (CARD_NUMBER): is empty; a record needs it"),
    ({"CARD_NUMBER": "4000 0098 7654 3219"}, "column 2 (CARD_NUMBER): is not what the column takes"),
    ({"TYPE": "SALE"}, "column 3 (TYPE): is none of the layout's types; add it to them or mend the line"),
    ({"TYPE": ""}, "column 3 (TYPE): is empty; a record needs it"),
    ({"AMOUNT": "1,00"}, "column 4 (AMOUNT): is no amount; write digits, '.' and at most 2 decimals, without a sign"),
    ({"AMOUNT": "-1.00"}, "column 4 (AMOUNT): is no amount"),
    ({"AMOUNT": "1.005"}, "column 4 (AMOUNT): is no amount"),
    ({"AMOUNT": "\u0661"}, "column 4 (AMOUNT): is no amount"),
    ({"AMOUNT": ""}, "column 4 (AMOUNT): is no amount"),
    ({"AMOUNT": "10000000000.00"}, "column 4 (AMOUNT): is too large; an amount has at most 12 digits in minor units"),
    ({"CURRENCY": "EURO"}, "column 5 (CURRENCY): is no ISO 4217 currency; write its three letters or digits"),
    ({"CURRENCY": ""}, "column 5 (CURRENCY): is no ISO 4217 currency"),
    ({"LOCAL_DATE": "22.11.2026"}, "column 6 (LOCAL_DATE): is no date YYYY-MM-DD of 2000 or later"),
    ({"LOCAL_DATE": "2026-02-29"}, "column 6 (LOCAL_DATE): is no date YYYY-MM-DD of 2000 or later"),
    ({"LOCAL_DATE": ""}, "column 6 (LOCAL_DATE): is empty; a record needs it"),
    ({"ACQUIRER": "ACQ"}, "column 7 (ACQUIRER): is not what the column takes; write the acquirer's identification"),
    ({"ACCEPTOR": "M" * 16}, "column 8 (ACCEPTOR): is not what the column takes; write the card acceptor's code"),
    ({"ACCEPTOR_NAME": "A\x00B"}, "column 9 (ACCEPTOR_NAME): is not what the column takes"),
    ({"MCC": "541"}, "column 10 (MCC): is not what the column takes; write the merchant category code: 4 digits"),
    ({"ARN": ARN[1:]}, "column 11 (ARN): is not what the column takes; write all 23 characters of the ARN"),
    ({"APPROVAL_CODE": "A1B2C3D"}, "column 12 (APPROVAL_CODE): is not what the column takes"),
]


@pytest.mark.parametrize(("changes", "expected"), BAD_VALUES, ids=lambda value: str(value)[:40])
def test_a_bad_value_breaks_its_record_alone(changes: dict[str, str], expected: str) -> None:
    """A sound file with a bad line is taken; the line is named with its column and what to write."""
    assert broken(extract(line_of(**changes))).startswith(f"line 3: {expected}")


@pytest.mark.parametrize(
    ("column", "value", "code", "expected"),
    [
        ("LOCAL_TIME", "24:00:00", "PURCHASE", "is no time HH:MM:SS"),
        ("PART", "3/2", "PURCHASE", "is no sequence and count; write the first of two parts as 1/2"),
        ("PART", "1", "PURCHASE", "is no sequence and count"),
        ("PROCESSING_CODE", "200000", "PURCHASE", "does not fit the type: 20 to 29 pay the holder"),
        ("PROCESSING_CODE", "000000", "REFUND", "does not fit the type: 20 to 29 pay the holder"),
        ("BILLING_AMOUNT", "1.00", "PURCHASE", "is empty; a record needs it"),
    ],
)
def test_a_bad_value_of_an_optional_column_breaks_its_record(column: str, value: str, code: str, expected: str) -> None:
    """What an optional column says is not ignored where it is wrong."""
    problem = broken(extract(f"{line_of(TYPE=code)};{value}", names=f"{NAMES};{column}"))

    assert expected in problem


@pytest.mark.parametrize(
    ("extra", "stage", "value", "expected"),
    [
        ("FUNCTION_CODE", "CHARGEBACK", "451", "means something else than the type; mend one of the two"),
        ("FUNCTION_CODE", "CHARGEBACK", "999", "means something else than the type"),
        ("REVERSED_DATE", "CHARGEBACK", "2026-11-22", "is given, but the type is no reversal"),
        ("REVERSED_DATE", "CHARGEBACK-REVERSAL", "2026", "is no date YYYY-MM-DD"),
    ],
)
def test_a_stage_that_contradicts_itself_breaks_its_record(extra: str, stage: str, value: str, expected: str) -> None:
    """A dispute's line must say one thing."""
    names = f"RECORD;CARD_NUMBER;STAGE;AMOUNT;CURRENCY;PURCHASE_DATE;ARN;{extra}"
    line = f"D;{PAN};{stage};120.50;EUR;2026-11-22;{ARN};{value}"
    data = extract(line, names=names, header="H;dispute-csv-v1;F;1")

    assert f"column 8 ({extra}): {expected}" in broken(data, LAYOUTS["dispute-csv-v1"])


STRUCTURE: Final = [
    (b"", "line 0: the file ends before its records; ask for it again"),
    (extract(header=NAMES), "line 1: the first line is not the header; hand over the whole file"),
    (extract(header="H;FILE-1"), "line 1: the header has another number of values (stated 2, calculated 4)"),
    (extract(header="H;dispute-csv-v1;F;1"), "line 1, column 2 (layout): the header names another layout than posting"),
    (extract(header="H;posting-csv-v1;;1"), "line 1 (file_id): the header's file id is not what the column takes"),
    (f"{HEADER}\n".encode(), "line 1: the file ends before its records; ask for it again"),
    (
        extract(names=f"{NAMES};COLOUR"),
        "line 2, column 13: the layout has no column of this name; add it, or write oth",
    ),
    (extract(names=f"{NAMES};MCC"), "line 2, column 13 (MCC): the column is named twice"),
    (extract(names=NAMES.replace(";ARN", "")), "line 2: the file lacks the column ARN; add it, or name acquirer_refe"),
    (extract(f"{line_of()};"), "line 3: the line has another number of values than columns (stated 13, calculated 12)"),
    (extract(line_of(RECORD="X")), "line 3, column 1: the line begins with no mark of the layout"),
    (extract(line_of(ACCEPTOR='"A')), "line 3, column 8: a quote is out of place; double the quotes inside"),
    (extract(line_of(ACCEPTOR='"A\nB"')), "line 3, column 8: a quote is out of place"),
    (extract(line_of(ACCEPTOR='A"B')), "line 3, column 8: a quote is out of place"),
    (extract("", line_of()), "line 3: the line is empty; remove it"),
    (extract(line_of(), trailer=()), "line 3: the file has no trailer; ask for it again"),
    (
        extract(line_of(), trailer=("T;EUR;1;120.50", line_of())),
        "line 5: a line follows the trailer; hand over one file",
    ),
    (extract(line_of(), trailer=("T;EUR;1;120.50", HEADER)), "line 5: a line follows the trailer; hand over one file"),
    (
        extract(line_of(), trailer=("T;EUR;1",)),
        "line 4: the trailer has another number of values (stated 3, calculated 4)",
    ),
    (
        extract(line_of(), trailer=("T;EURO;1;120.50",)),
        "line 4, column 2 (currency): the trailer's currency is no ISO 42",
    ),
    (
        extract(line_of(), trailer=("T;EUR;1;120.50",) * 2),
        "line 5, column 2 (currency): the trailer has two lines of EUR",
    ),
    (
        extract(line_of(), trailer=("T;USD;0;0",)),
        "line 4 (currency): the trailer has no line of EUR, which the file has",
    ),
    (
        extract(line_of(), trailer=("T;EUR;2;120.50",)),
        "line 4, column 3 (record_count): the trailer counts other records than the file has (stated 2, calculated 1)",
    ),
    (
        extract(line_of(), trailer=("T;EUR;one;1",)),
        "line 4, column 3 (record_count): the trailer's count is no number of",
    ),
    (extract(line_of(), trailer=("T;EUR;1;x",)), "line 4, column 4 (amount_total): the trailer's total is no amount"),
    (b"\xff\xfeH\x00", "line 1: the file is UTF-16; write it in its layout's encoding"),
    (
        extract(line_of(ACCEPTOR_NAME="CAF")).replace(b"CAF;", b"CAF\xc9;"),
        "line 3: the line is not utf-8; write the file",
    ),
    (b"H" * (LONGEST_LINE_BYTES + 1), f"line 1: the line is longer than {LONGEST_LINE_BYTES} bytes; end lines with"),
    (extract("D" * (LONGEST_LINE_BYTES + 1)), "line 3: the line is longer than"),
]


def test_a_wrong_total_is_told_beside_the_right_one() -> None:
    """A total that is not the sum is shown with what the sum is."""
    error = refusal(extract(line_of(), trailer=("T;EUR;1;120.49",)))

    assert ("line 4, column 4 (amount_total)", "120.49", "120.50") == (error.place, error.stated, error.calculated)
    assert "the trailer's total is not the sum of the amounts" == error.problem


@pytest.mark.parametrize(("data", "expected"), STRUCTURE, ids=[expected for _, expected in STRUCTURE])
def test_a_file_that_is_not_sound_is_refused_with_its_place(data: bytes, expected: str) -> None:
    """Each fault of structure and controls refuses the file, with line, column and what stands against what."""
    assert str(refusal(data)).startswith(expected)


def test_no_refusal_and_no_broken_record_shows_a_card_number() -> None:
    """Whatever stands in the wrong place, no digits of a card number but four stand in what is said about it."""
    digits = re.compile(r"[0-9][0-9 ]{8,}")
    places = [name for name in NAMES.split(";") if name != "CARD_NUMBER"]
    files = [
        extract(line_of(**{name: PAN}), trailer=trailer) for name in places for trailer in (("T;EUR;1;120.50",), ())
    ]
    files += [
        extract(line_of(), trailer=(f"T;{PAN};1;1",)),
        extract(line_of(), trailer=(f"T;EUR;{PAN};1",)),
        extract(line_of(), trailer=(f"T;EUR;1;{PAN}",)),
        extract(line_of(), names=line_of()),
        extract(line_of(), header=line_of()),
        extract(line_of(CARD_NUMBER="4000 0098 7654 3219")),
        extract(f"{line_of()};{PAN}"),
    ]
    said = []
    for data in files:
        try:
            records, _ = reading(data)
        except ClearingFileError as error:
            said.append(str(error))
        else:
            said += [f"{record!r}" for record in records if record.failure is not None]
            said += [f"{record.failure}" for record in records if record.failure is not None]

    assert [] == [text for text in said if digits.search(text)]
    assert len(said) > 20


def test_a_broken_record_counts_in_the_totals() -> None:
    """Its amount is added where it can be read, and where it cannot the trailer must leave room."""
    bad_date, bad_amount = line_of(LOCAL_DATE="never"), line_of(AMOUNT="much")

    assert 2 == reading(extract(line_of(), bad_date, trailer=("T;EUR;2;241.00",)))[1].records
    assert 1 == reading(extract(line_of(), bad_amount, trailer=("T;EUR;2;500.00",)))[1].broken
    assert "not the sum" in str(refusal(extract(line_of(), bad_date, trailer=("T;EUR;2;241.01",))))
    assert "not the sum" in str(refusal(extract(line_of(), bad_amount, trailer=("T;EUR;2;120.49",))))
    assert "counts other" in str(refusal(extract(line_of(), bad_amount, trailer=("T;EUR;3;120.50",))))
