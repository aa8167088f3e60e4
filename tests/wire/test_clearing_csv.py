"""Clearing files in CSV: layouts, lines, controls; a file is whole or refused, and a record is what IPM says it is."""

import io
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

import schemas
from processor.core.message import CardMessage
from processor.core.money import exponent
from processor.wire.card_message import to_card_message
from processor.wire.clearing_csv import CsvReading
from processor.wire.clearing_file import ClearingFileError, ClearingRecord, ClearingSummary, claim_digest
from processor.wire.clearing_format import UnknownFormatError, clearing_formats, open_reading
from processor.wire.clearing_layout import POSTING_TYPES, ClearingLayout
from processor.wire.clearing_layout_text import parse_clearing_layout
from processor.wire.clearing_lines import LONGEST_LINE_BYTES, PIECE_BYTES
from processor.wire.decode import Decoded, decode
from processor.wire.dialect_text import DialectError
from processor.wire.encode import encode_message
from processor.wire.ipm import write_records
from processor.wire.tokenise import Tokeniser
from tests.wire.conftest import DIALECTS, GOLDEN, PAN, RECEIVED_AT, presentment

ROOT: Final = Path(__file__).parents[2]
EXTRACTS: Final = ROOT / "examples" / "skyways"
TEXTS: Final = schemas.clearing_layouts()
LAYOUTS: Final[Mapping[str, ClearingLayout]] = {
    name: parse_clearing_layout(name, text, TEXTS, DIALECTS) for name, text in TEXTS.items()
}
POSTING: Final = LAYOUTS["posting-csv-v1"]
OWN_BANK: Final = """
description: An own bank's postings
extends: posting-csv-v1
encoding: cp1252
separator: ","
decimal: ","
dates: DD.MM.YYYY
times: HHMMSS
header:
  mark: "00"
  fields: [bank, day, sequence]
file_id: [bank, day, sequence]
names: false
detail_mark: null
order: [Karte, Art, Betrag, Datum, Zeit, Akzeptant, Name, Referenz, Rest]
trailer:
  mark: "99"
  fields: [record_count, amount_total, file_id]
columns:
  card_number: Karte
  type: Art
  amount: Betrag
  currency: null
  billing_amount: null
  billing_currency: null
  local_date: Datum
  local_time: Zeit
  acquirer: null
  acceptor: Akzeptant
  acceptor_name: Name
  terminal: null
  mcc: null
  acquirer_reference: Referenz
  part: null
  approval_code: null
  retrieval_reference: null
  lifecycle_id: null
  processing_code: null
optional: null
constants:
  currency: EUR
  acquirer: "400001"
types:
  "05": purchase
  "06": refund
"""
OWN_FILE: Final = (
    "00,ALPHA,20261122,7\r\n"
    f'{PAN},05,"120,50",22.11.2026,111530,MERCHANT0000001,"CAFÉ ""SÃO"", LISBOA",05400006326100000000018,x\r\n'
    f"{PAN},06,20,21.11.2026,,MERCHANT0000001,Straße,05400006326100000000026,\r\n"
    '99,2,"140,50",ALPHA-20261122-7\r\n'
)
NAMES: Final = (
    "RECORD;CARD_NUMBER;TYPE;AMOUNT;CURRENCY;LOCAL_DATE;ACQUIRER;ACCEPTOR;ACCEPTOR_NAME;MCC;ARN;APPROVAL_CODE"
)
HEADER: Final = "H;posting-csv-v1;FILE-1;2026-11-22"
ARN: Final = "05400006326100000000018"


def _layout(text: str, name: str = "own") -> ClearingLayout:
    return parse_clearing_layout(name, text, TEXTS, DIALECTS)


OWN: Final = _layout(OWN_BANK, "own-bank")


def _line(**changes: str) -> str:
    values = {
        "RECORD": "D",
        "CARD_NUMBER": PAN,
        "TYPE": "PURCHASE",
        "AMOUNT": "120.50",
        "CURRENCY": "EUR",
        "LOCAL_DATE": "2026-11-22",
        "ACQUIRER": "400001",
        "ACCEPTOR": "MERCHANT0000001",
        "ACCEPTOR_NAME": "CAFE",
        "MCC": "5411",
        "ARN": ARN,
        "APPROVAL_CODE": "A1B2C3",
    }
    return ";".join({**values, **changes}.values())


def _file(
    *lines: str, trailer: tuple[str, ...] = ("T;EUR;1;120.50",), header: str = HEADER, names: str = NAMES
) -> bytes:
    return "\n".join([header, names, *lines, *trailer, ""]).encode()


def _reading(data: bytes, layout: ClearingLayout = POSTING) -> tuple[list[ClearingRecord], ClearingSummary]:
    reading = CsvReading(io.BytesIO(data), layout)
    return list(reading.records()), reading.summary()


def _refusal(data: bytes, layout: ClearingLayout = POSTING) -> ClearingFileError:
    with pytest.raises(ClearingFileError) as caught:
        _reading(data, layout)
    return caught.value


def _broken(data: bytes, layout: ClearingLayout = POSTING) -> str:
    """Return what is wrong with the one record of a sound file."""
    records, summary = _reading(data, layout)
    assert (1, 1) == (len(records), summary.broken)
    assert records[0].failure is not None
    return f"{records[0].place}: {records[0].failure.field}: {records[0].failure.problem}"


def _decoded(record: ClearingRecord) -> Decoded:
    assert record.decoded is not None, record.failure
    return record.decoded


def _message(record: ClearingRecord, layout: ClearingLayout, file_id: str, tokeniser: Tokeniser) -> CardMessage:
    message = to_card_message(
        _decoded(record),
        dialect=layout.dialect,
        bank="alpha",
        received_at=RECEIVED_AT,
        tokeniser=tokeniser,
        clearing_file=file_id,
        record_number=record.number,
    )
    return replace(message, content=claim_digest(message))


def _ipm_message(tokeniser: Tokeniser, message_type: str = "1240", **changes: str) -> CardMessage:
    dialect = DIALECTS["ipm93-ebcdic"]
    message = to_card_message(
        decode(dialect, encode_message(dialect, message_type, presentment(**changes))),
        dialect=dialect,
        bank="alpha",
        received_at=RECEIVED_AT,
        tokeniser=tokeniser,
        clearing_file="IPM-1",
        record_number=2,
    )
    return replace(message, content=claim_digest(message))


def _golden(data: bytes, layout: ClearingLayout) -> list[dict[str, object]]:
    records, summary = _reading(data, layout)
    told: list[dict[str, object]] = [
        {
            "line": record.number,
            "mti": _decoded(record).mti,
            "pan": str(_decoded(record).pan),
            **_decoded(record).fields,
        }
        for record in records
    ]
    return [*told, {"file_id": summary.file_id, "records": summary.records, "totals": summary.totals}]


@pytest.mark.parametrize(
    ("name", "data", "layout"),
    [
        ("posting-csv-v1", (EXTRACTS / "posting-extract.csv").read_bytes(), POSTING),
        ("dispute-csv-v1", (EXTRACTS / "dispute-extract.csv").read_bytes(), LAYOUTS["dispute-csv-v1"]),
        ("own-bank", OWN_FILE.encode("cp1252"), OWN),
    ],
)
def test_a_file_is_read_as_its_golden_says(name: str, data: bytes, layout: ClearingLayout) -> None:
    """Every value of every record of the shipped layouts, and of a bank's own, is what was once checked by hand."""
    golden = GOLDEN / f"clearing-{name}.jsonl"

    assert golden.read_bytes().splitlines() == [orjson.dumps(line) for line in _golden(data, layout)]


@pytest.mark.parametrize("name", ["posting", "dispute"])
def test_a_shipped_layout_is_recognised(name: str) -> None:
    """The first line of an extract tells its layout."""
    data = io.BytesIO((EXTRACTS / f"{name}-extract.csv").read_bytes())

    assert f"{name}-csv-v1" == open_reading(data, "", DIALECTS, LAYOUTS).dialect.name


def test_a_file_is_recognised_by_its_column_names() -> None:
    """A layout without a header is told by its line of names."""
    text = (
        OWN_BANK.replace("names: false", "names: true")
        .replace("order:", "#")
        .replace(
            'header:\n  mark: "00"\n  fields: [bank, day, sequence]\nfile_id: [bank, day, sequence]', "header: null"
        )
    )
    layout = _layout(text.replace("columns:\n", "columns:\n  file_id: Datei\n"), "by-names")
    names = ",".join([*layout.columns.values()])

    recognised = open_reading(io.BytesIO(f"{names}\n".encode()), "", DIALECTS, {**LAYOUTS, "by-names": layout})
    assert "by-names" == recognised.dialect.name


def test_an_ipm_file_is_still_recognised() -> None:
    """Layouts do not come between a binary file and its dialect."""
    header = encode_message(
        DIALECTS["ipm93-ascii"], "1644", {"function_code": "697", "file_id": "0" * 25, "message_number": "1"}
    )
    data = io.BytesIO(write_records([header], blocked=False))

    assert "ipm93-ascii" == open_reading(data, "", DIALECTS, LAYOUTS).dialect.name


@pytest.mark.parametrize("data", [b"", b"nonsense", b"H;nonsense;1;2\n", b"\xff\xfe\n", b'"\n'])
def test_another_file_is_not_recognised(data: bytes) -> None:
    """A file that begins like none is refused with the names of the formats."""
    with pytest.raises(ClearingFileError, match=r"begins like no format .* name one of .*dispute-csv-v1"):
        open_reading(io.BytesIO(data), "", DIALECTS, LAYOUTS)


def test_a_file_that_may_be_two_is_not_guessed() -> None:
    """Where two layouts have one header, the file's layout must be named."""
    text = "extends: posting-csv-v1\nheader: {mark: H, fields: [bank, file_id, day]}"
    two = {name: _layout(text, name) for name in ("one", "two")}

    with pytest.raises(ClearingFileError, match="it may be one or two; name one of"):
        open_reading(io.BytesIO(f"{HEADER}\n".encode()), "", DIALECTS, two)
    assert "two" == open_reading(io.BytesIO(f"{HEADER}\n".encode()), "two", DIALECTS, two).dialect.name


def test_an_unknown_format_is_refused() -> None:
    """A name that is no format is answered with those that are."""
    assert {"posting-csv-v1", "dispute-csv-v1", "ipm93-ebcdic"} <= set(clearing_formats(DIALECTS, LAYOUTS))
    with pytest.raises(UnknownFormatError, match="'csv' is no format of clearing files; use one of dispute-csv-v1"):
        open_reading(io.BytesIO(), "csv", DIALECTS, LAYOUTS)


def test_one_presentment_told_by_two_formats_is_one_message(tokeniser: Tokeniser) -> None:
    """An IPM record and a line of one presentment have one identity and one claim; a changed amount claims another."""
    told, changed = (
        _message(_reading(_file(_line(AMOUNT=amount), trailer=(f"T;EUR;1;{amount}",)))[0][0], POSTING, "F", tokeniser)
        for amount in ("120.50", "120.51")
    )
    ipm = _ipm_message(tokeniser)

    assert (ipm.message_id, ipm.content, ipm.kind) == (told.message_id, told.content, told.kind)
    assert ipm.message_id == changed.message_id
    assert ipm.content != changed.content


@pytest.mark.parametrize(
    ("layout", "code", "message_type", "ipm"),
    [
        ("posting-csv-v1", "PURCHASE", "1240", {"function_code": "200"}),
        ("posting-csv-v1", "REFUND", "1240", {"function_code": "200", "processing_code": "200000"}),
        ("posting-csv-v1", "CASH", "1240", {"function_code": "200", "processing_code": "010000"}),
        ("posting-csv-v1", "FEE", "1740", {"function_code": "700"}),
        ("posting-csv-v1", "PURCHASE-REVERSAL", "1240", {"function_code": "200", "presentment_reversal": "R"}),
        (
            "posting-csv-v1",
            "REFUND-REVERSAL",
            "1240",
            {"function_code": "200", "presentment_reversal": "R", "processing_code": "200000"},
        ),
        ("dispute-csv-v1", "CHARGEBACK", "1442", {"function_code": "450"}),
        ("dispute-csv-v1", "CHARGEBACK-REVERSAL", "1442", {"function_code": "450", "presentment_reversal": "R"}),
        ("dispute-csv-v1", "SECOND-PRESENTMENT", "1240", {"function_code": "205"}),
        (
            "dispute-csv-v1",
            "SECOND-PRESENTMENT-REVERSAL",
            "1240",
            {"function_code": "205", "presentment_reversal": "R"},
        ),
        ("dispute-csv-v1", "ARBITRATION-CHARGEBACK", "1442", {"function_code": "451"}),
        (
            "dispute-csv-v1",
            "ARBITRATION-CHARGEBACK-REVERSAL",
            "1442",
            {"function_code": "451", "presentment_reversal": "R"},
        ),
    ],
)
def test_every_type_is_the_record_of_its_kind(
    layout: str, code: str, message_type: str, ipm: dict[str, str], tokeniser: Tokeniser
) -> None:
    """Each type of posting is the very message that the IPM record of its kind is."""
    own = LAYOUTS[layout]
    named = [own.columns[name] for name in ("card_number", "type", "amount", "currency", "local_date")]
    names = ";".join(["RECORD", *named, own.columns["acquirer_reference"], *_needed_besides(own, named)])
    line = f"D;{PAN};{code};120.50;EUR;2026-11-22;{ARN}" + ";" * len(_needed_besides(own, named))
    data = _file(line, header=f"H;{layout};F;2026-11-22", names=names)
    told = _message(_reading(data, own)[0][0], own, "F", tokeniser)
    same = _ipm_message(tokeniser, message_type, **ipm)

    assert (same.message_id, same.content, same.kind, same.credit) == (
        told.message_id,
        told.content,
        told.kind,
        told.credit,
    )
    assert POSTING_TYPES[own.types[code]].kind is told.kind


def _needed_besides(layout: ClearingLayout, named: list[str]) -> list[str]:
    stated = {*named, layout.columns["acquirer_reference"]}
    return [name for ours, name in layout.columns.items() if ours not in layout.optional and name not in stated]


def test_without_a_reference_the_place_in_the_file_identifies(tokeniser: Tokeniser) -> None:
    """Two lines that are equal but for their place are two messages, and the same file again has the same two."""
    data = _file(_line(ARN=""), _line(ARN=""), trailer=("T;EUR;2;241.00",))
    first, again, other = (
        [_message(record, POSTING, file_id, tokeniser).message_id for record in _reading(data)[0]]
        for file_id in ("F", "F", "G")
    )

    assert first == again
    assert 4 == len({*first, *other})


def test_a_part_and_a_function_code_are_part_of_the_identity(tokeniser: Tokeniser) -> None:
    """The second of two parts is the record that IPM calls 0202, a partial chargeback the one it calls 453."""
    names = f"{NAMES};PART"
    record = _reading(_file(f"{_line()};2/2", names=names))[0][0]
    assert (
        _ipm_message(tokeniser, clearing_part="0202").message_id == _message(record, POSTING, "F", tokeniser).message_id
    )

    layout = LAYOUTS["dispute-csv-v1"]
    names = "RECORD;CARD_NUMBER;STAGE;AMOUNT;CURRENCY;PURCHASE_DATE;ARN;FUNCTION_CODE"
    line = f"D;{PAN};CHARGEBACK;120.50;EUR;2026-11-22;{ARN};453"
    record = _reading(_file(line, names=names, header="H;dispute-csv-v1;F;1"), layout)[0][0]
    assert (
        _ipm_message(tokeniser, "1442", function_code="453").message_id
        == _message(record, layout, "F", tokeniser).message_id
    )


def test_a_reversal_names_the_date_that_ipm_names(tokeniser: Tokeniser) -> None:
    """The date behind R in a reversal indicator is a column of its own."""
    layout = LAYOUTS["dispute-csv-v1"]
    names = "RECORD;CARD_NUMBER;STAGE;AMOUNT;CURRENCY;PURCHASE_DATE;ARN;REVERSED_DATE"
    line = f"D;{PAN};CHARGEBACK-REVERSAL;120.50;EUR;2026-11-22;{ARN};2026-11-25"
    record = _reading(_file(line, names=names, header="H;dispute-csv-v1;F;1"), layout)[0][0]

    expected = _ipm_message(tokeniser, "1442", function_code="450", presentment_reversal="R261125")
    assert expected.message_id == _message(record, layout, "F", tokeniser).message_id


@pytest.mark.parametrize(("code", "time"), [("PURCHASE", "000000"), ("REFUND", "235959"), ("CASH", "000000")])
def test_without_a_time_what_follows_lies_behind(code: str, time: str) -> None:
    """A purchase without a time begins its day; what follows a purchase ends it."""
    assert f"261122{time}" == _decoded(_reading(_file(_line(TYPE=code)))[0][0]).fields["local_date_time"]


TOKENS: Final = _layout(
    """
extends: posting-csv-v1
header: {mark: H, fields: [file_id]}
trailer: null
detail_mark: null
columns:
  card_number: null
  card_token: TOKEN
  card_last_four: LAST4
  card_product: PRODUCT
constants: {card_token_key: 2026a}
optional: [card_product, acquirer, acceptor, acceptor_name, mcc, acquirer_reference, approval_code, inherited]
"""
)


def test_a_token_stands_for_the_card(tokeniser: Tokeniser) -> None:
    """A file with tokens instead of numbers names the same card, and claims the same."""
    reference = _ipm_message(tokeniser).card
    assert reference is not None
    data = (
        "H;F\nTOKEN;LAST4;PRODUCT;TYPE;AMOUNT;CURRENCY;LOCAL_DATE;ARN\n"
        f"{reference.token.hex()};3219;gold;PURCHASE;120.50;EUR;2026-11-22;{ARN}\n"
    ).encode()
    record = _reading(data, TOKENS)[0][0]
    message = _message(record, TOKENS, "F", tokeniser)

    assert reference == record.card
    assert _ipm_message(tokeniser).content == claim_digest(replace(message, card=record.card))


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
    assert _broken(_file(_line(**changes))).startswith(f"line 3: {expected}")


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
    problem = _broken(_file(f"{_line(TYPE=code)};{value}", names=f"{NAMES};{column}"))

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
    data = _file(line, names=names, header="H;dispute-csv-v1;F;1")

    assert f"column 8 ({extra}): {expected}" in _broken(data, LAYOUTS["dispute-csv-v1"])


STRUCTURE: Final = [
    (b"", "line 0: the file ends before its records; ask for it again"),
    (_file(header=NAMES), "line 1: the first line is not the header; hand over the whole file"),
    (_file(header="H;FILE-1"), "line 1: the header has another number of values (stated 2, calculated 4)"),
    (_file(header="H;dispute-csv-v1;F;1"), "line 1, column 2 (layout): the header names another layout than posting"),
    (_file(header="H;posting-csv-v1;;1"), "line 1 (file_id): the header's file id is not what the column takes"),
    (f"{HEADER}\n".encode(), "line 1: the file ends before its records; ask for it again"),
    (_file(names=f"{NAMES};COLOUR"), "line 2, column 13: the layout has no column of this name; add it, or write oth"),
    (_file(names=f"{NAMES};MCC"), "line 2, column 13 (MCC): the column is named twice"),
    (_file(names=NAMES.replace(";ARN", "")), "line 2: the file lacks the column ARN; add it, or name acquirer_refe"),
    (_file(f"{_line()};"), "line 3: the line has another number of values than columns (stated 13, calculated 12)"),
    (_file(_line(RECORD="X")), "line 3, column 1: the line begins with no mark of the layout"),
    (_file(_line(ACCEPTOR='"A')), "line 3, column 8: a quote is out of place; double the quotes inside"),
    (_file(_line(ACCEPTOR='"A\nB"')), "line 3, column 8: a quote is out of place"),
    (_file(_line(ACCEPTOR='A"B')), "line 3, column 8: a quote is out of place"),
    (_file("", _line()), "line 3: the line is empty; remove it"),
    (_file(_line(), trailer=()), "line 3: the file has no trailer; ask for it again"),
    (_file(_line(), trailer=("T;EUR;1;120.50", _line())), "line 5: a line follows the trailer; hand over one file"),
    (_file(_line(), trailer=("T;EUR;1;120.50", HEADER)), "line 5: a line follows the trailer; hand over one file"),
    (_file(_line(), trailer=("T;EUR;1",)), "line 4: the trailer has another number of values (stated 3, calculated 4)"),
    (_file(_line(), trailer=("T;EURO;1;120.50",)), "line 4, column 2 (currency): the trailer's currency is no ISO 42"),
    (_file(_line(), trailer=("T;EUR;1;120.50",) * 2), "line 5, column 2 (currency): the trailer has two lines of EUR"),
    (_file(_line(), trailer=("T;USD;0;0",)), "line 4 (currency): the trailer has no line of EUR, which the file has"),
    (
        _file(_line(), trailer=("T;EUR;2;120.50",)),
        "line 4, column 3 (record_count): the trailer counts other records than the file has (stated 2, calculated 1)",
    ),
    (_file(_line(), trailer=("T;EUR;one;1",)), "line 4, column 3 (record_count): the trailer's count is no number of"),
    (_file(_line(), trailer=("T;EUR;1;x",)), "line 4, column 4 (amount_total): the trailer's total is no amount"),
    (b"\xff\xfeH\x00", "line 1: the file is UTF-16; write it in its layout's encoding"),
    (_file(_line(ACCEPTOR_NAME="CAF")).replace(b"CAF;", b"CAF\xc9;"), "line 3: the line is not utf-8; write the file"),
    (b"H" * (LONGEST_LINE_BYTES + 1), f"line 1: the line is longer than {LONGEST_LINE_BYTES} bytes; end lines with"),
    (_file("D" * (LONGEST_LINE_BYTES + 1)), "line 3: the line is longer than"),
]


def test_a_wrong_total_is_told_beside_the_right_one() -> None:
    """A total that is not the sum is shown with what the sum is."""
    error = _refusal(_file(_line(), trailer=("T;EUR;1;120.49",)))

    assert ("line 4, column 4 (amount_total)", "120.49", "120.50") == (error.place, error.stated, error.calculated)
    assert "the trailer's total is not the sum of the amounts" == error.problem


@pytest.mark.parametrize(("data", "expected"), STRUCTURE, ids=[expected for _, expected in STRUCTURE])
def test_a_file_that_is_not_sound_is_refused_with_its_place(data: bytes, expected: str) -> None:
    """Each fault of structure and controls refuses the file, with line, column and what stands against what."""
    assert str(_refusal(data)).startswith(expected)


def test_no_refusal_and_no_broken_record_shows_a_card_number() -> None:
    """Whatever stands in the wrong place, no digits of a card number but four stand in what is said about it."""
    digits = re.compile(r"[0-9][0-9 ]{8,}")
    places = [name for name in NAMES.split(";") if name != "CARD_NUMBER"]
    files = [_file(_line(**{name: PAN}), trailer=trailer) for name in places for trailer in (("T;EUR;1;120.50",), ())]
    files += [
        _file(_line(), trailer=(f"T;{PAN};1;1",)),
        _file(_line(), trailer=(f"T;EUR;{PAN};1",)),
        _file(_line(), trailer=(f"T;EUR;1;{PAN}",)),
        _file(_line(), names=_line()),
        _file(_line(), header=_line()),
        _file(_line(CARD_NUMBER="4000 0098 7654 3219")),
        _file(f"{_line()};{PAN}"),
    ]
    said = []
    for data in files:
        try:
            records, _ = _reading(data)
        except ClearingFileError as error:
            said.append(str(error))
        else:
            said += [f"{record!r}" for record in records if record.failure is not None]
            said += [f"{record.failure}" for record in records if record.failure is not None]

    assert [] == [text for text in said if digits.search(text)]
    assert len(said) > 20


def test_a_copy_of_the_card_number_is_dropped() -> None:
    """A number that a bank repeats in a text is not kept, and that is noted."""
    decoded = _decoded(_reading(_file(_line(ACCEPTOR_NAME=f"REF {PAN}")))[0][0])

    assert "acceptor_name" not in decoded.fields
    assert ("acceptor_name holds the card number",) == decoded.oddities


def test_a_broken_record_counts_in_the_totals() -> None:
    """Its amount is added where it can be read, and where it cannot the trailer must leave room."""
    bad_date, bad_amount = _line(LOCAL_DATE="never"), _line(AMOUNT="much")

    assert 2 == _reading(_file(_line(), bad_date, trailer=("T;EUR;2;241.00",)))[1].records
    assert 1 == _reading(_file(_line(), bad_amount, trailer=("T;EUR;2;500.00",)))[1].broken
    assert "not the sum" in str(_refusal(_file(_line(), bad_date, trailer=("T;EUR;2;241.01",))))
    assert "not the sum" in str(_refusal(_file(_line(), bad_amount, trailer=("T;EUR;2;120.49",))))
    assert "counts other" in str(_refusal(_file(_line(), bad_amount, trailer=("T;EUR;3;120.50",))))


def test_ends_of_lines_a_mark_of_order_and_empty_lines_at_the_end_change_nothing() -> None:
    """CR LF, a byte order mark, no end of the last line and empty lines behind it read as the plain file does."""
    plain = _file(_line())
    fields = _decoded(_reading(plain)[0][0]).fields
    others = [plain.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + plain, plain[:-1], plain + b"\n\r\n"]

    assert [fields] * 4 == [_decoded(_reading(other)[0][0]).fields for other in others]


class _Trickle:
    """A source that gives few bytes at a time, and counts the most that it was asked for."""

    def __init__(self, data: bytes, step: int) -> None:
        self._data = io.BytesIO(data)
        self._step = step
        self.most = 0

    def read(self, size: int, /) -> bytes:
        self.most = max(self.most, size)
        return self._data.read(min(size, self._step))


@given(step=st.integers(min_value=1, max_value=60))
def test_the_pieces_a_file_comes_in_change_nothing(step: int) -> None:
    """A file reads the same in pieces of any size, and is never asked for whole."""
    source = _Trickle(b"\xef\xbb\xbf" + _file(_line()), step)

    records = list(CsvReading(source, POSTING).records())
    assert ([3], PIECE_BYTES) == ([record.number for record in records], source.most)


def test_columns_may_stand_in_any_order() -> None:
    """The line of names says where each value is."""
    names, values = NAMES.split(";"), _line().split(";")
    turned = _file(";".join([values[0], *reversed(values[1:])]), names=";".join([names[0], *reversed(names[1:])]))

    assert _decoded(_reading(_file(_line()))[0][0]).fields == _decoded(_reading(turned)[0][0]).fields


def test_other_columns_are_ignored_where_the_layout_says_so() -> None:
    """A bank's further columns may be read over."""
    layout = _layout("extends: posting-csv-v1\nothers: ignore\nheader: {mark: H, fields: [bank, file_id, day]}")

    assert 1 == _reading(_file(f"{_line()};blue", names=f"{NAMES};COLOUR"), layout)[1].records


PER_LINE: Final = "extends: posting-csv-v1\nheader: null\ndetail_mark: null\ncolumns: {file_id: FILE}\ntrailer: "


def test_a_file_may_be_named_by_its_records() -> None:
    """Without a header every record names the file, and the same one."""
    layout = _layout(f"{PER_LINE}null")
    names = NAMES.replace("RECORD", "FILE")
    one, other, none = (_line(RECORD=name) for name in ("F1", "F2", ""))

    assert "F1" == _reading(f"{names}\n{one}\n{one}\n".encode(), layout)[1].file_id
    assert "line 3, column 1 (file_id): the line names another file" in str(
        _refusal(f"{names}\n{one}\n{other}\n".encode(), layout)
    )
    assert "line 2, column 1 (file_id): the record's file id is not" in str(
        _refusal(f"{names}\n{none}\n".encode(), layout)
    )
    assert "line 1: the file has no record, and nothing names it" in str(_refusal(f"{names}\n".encode(), layout))


def test_one_total_may_be_over_all_currencies() -> None:
    """A total over all adds the numbers as they are written, whatever their decimals."""
    layout = _layout("extends: posting-csv-v1\ntrailer: {fields: [amount_total, file_id]}")
    header = "H;own;F;1"
    lines = (_line(), _line(CURRENCY="JPY", AMOUNT="5200"), _line(CURRENCY="BHD", AMOUNT="1.005"))

    assert {"EUR": 12050, "JPY": 5200, "BHD": 1005} == _reading(
        _file(*lines, header=header, trailer=("T;5321.505;F",)), layout
    )[1].totals
    assert "(stated 5321.500, calculated 5321.505)" in str(
        _refusal(_file(*lines, header=header, trailer=("T;5321.50;F",)), layout)
    )
    assert "line 6, column 3 (file_id): the trailer names another file" in str(
        _refusal(_file(*lines, header=header, trailer=("T;5321.505;G",)), layout)
    )
    assert "line 7: a second trailer" in str(
        _refusal(_file(*lines, header=header, trailer=("T;5321.505;F",) * 2), layout)
    )


def test_amounts_may_be_minor_units() -> None:
    """Minor units are whole numbers, also in the totals."""
    layout = _layout("extends: posting-csv-v1\namounts: minor\ntrailer: {fields: [record_count, amount_total]}")
    lines = (_line(AMOUNT="12050"), _line(CURRENCY="JPY", AMOUNT="5200"))

    assert {"EUR": 12050, "JPY": 5200} == _reading(_file(*lines, header="H;own;F;1", trailer=("T;2;17250",)), layout)[
        1
    ].totals
    assert "write a whole number of minor units" in _broken(
        _file(_line(), header="H;own;F;1", trailer=("T;1;12050",)), layout
    )


@pytest.mark.parametrize(
    ("keys", "date", "time"),
    [
        ("dates: YYYYMMDD\ntimes: HHMMSS", "20261122", "111530"),
        ("dates: YYMMDD\ntimes: HHMMSS", "261122", "111530"),
        ("dates: DD.MM.YYYY\ntimes: HH:MM:SS", "22.11.2026", "11:15:30"),
        ("dates: DD/MM/YYYY\ntimes: HH:MM:SS", "22/11/2026", "11:15:30"),
        ("dates: MM/DD/YYYY\ntimes: HH:MM:SS", "11/22/2026", "11:15:30"),
    ],
)
def test_every_form_of_a_date_and_a_time(keys: str, date: str, time: str) -> None:
    """Each form is read to the same moment."""
    layout = _layout(f"extends: posting-csv-v1\n{keys}")
    data = _file(f"{_line(LOCAL_DATE=date)};{time}", names=f"{NAMES};LOCAL_TIME", header="H;own;F;1")

    assert "261122111530" == _decoded(_reading(data, layout)[0][0]).fields["local_date_time"]


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        ("YYYY-MM-DDTHH:MM:SS+HH:MM", "2026-11-22T23:15:30+05:30", "261122231530"),
        ("YYYY-MM-DDTHH:MM:SS+HH:MM", "2026-11-22T23:15:30Z", "261122231530"),
        ("YYYY-MM-DD HH:MM:SS", "2026-11-22 23:15:30", "261122231530"),
        ("YYYYMMDDHHMMSS", "20261122231530", "261122231530"),
        ("DD.MM.YYYY HH:MM:SS", "22.11.2026 23:15:30", "261122231530"),
    ],
)
def test_every_form_of_a_date_with_its_time(form: str, text: str, expected: str) -> None:
    """One column may hold both, as the card acceptor's clock showed them."""
    layout = _layout(
        f'extends: posting-csv-v1\ndate_times: "{form}"\ncolumns: {{local_date: null, local_date_time: LOCAL_DATE}}'
    )
    data = _file(_line(LOCAL_DATE=text), header="H;own;F;1")

    assert expected == _decoded(_reading(data, layout)[0][0]).fields["local_date_time"]
    assert "is no date and time" in _broken(_file(_line(LOCAL_DATE="2026"), header="H;own;F;1"), layout)


WORDS: Final = st.text(st.sampled_from("ABCxyz09 -;,\"'|.é"), min_size=1, max_size=12)


@given(
    separator=st.sampled_from([";", ",", "|", "\t"]),
    quote=st.sampled_from(['"', "'"]),
    encoding=st.sampled_from(["utf-8", "latin-1", "cp1252"]),
    decimal=st.sampled_from([".", ","]),
    amounts=st.sampled_from(["decimal", "minor"]),
    postings=st.lists(
        st.tuples(
            st.integers(min_value=0, max_value=10**12 - 1),
            st.sampled_from(["EUR", "JPY", "BHD", "978"]),
            st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2099, 12, 31)),  # noqa: DTZ001 - local.
            WORDS,
        ),
        max_size=4,
    ),
)
def test_what_is_written_in_a_layout_is_read(
    separator: str,
    quote: str,
    encoding: str,
    decimal: str,
    amounts: str,
    postings: list[tuple[int, str, datetime, str]],
) -> None:
    """Whatever signs a layout has, its records come back value by value, and its totals hold."""
    word = "tab" if separator == "\t" else separator
    signs = {"separator": word, "quote": quote, "encoding": encoding, "decimal": decimal, "amounts": amounts}
    layout = _layout(
        "extends: posting-csv-v1\n" + "".join(f"{key}: {orjson.dumps(sign).decode()}\n" for key, sign in signs.items())
    )
    lines = [["H", "own", "F", "1"], [*NAMES.split(";"), "LOCAL_TIME"]]
    totals: dict[str, list[int]] = {}
    for amount, currency, moment, name in postings:
        code = "EUR" if currency == "978" else currency
        totals.setdefault(code, []).append(amount)
        stated = _written(layout, amount, code)
        said = [
            stated,
            currency,
            f"{moment:%Y-%m-%d}",
            "400001",
            "M",
            name,
            "5411",
            ARN,
            "A1B2C3",
            f"{moment:%H:%M:%S}",
        ]
        lines.append(["D", PAN, "PURCHASE", *said])
    lines += [["T", code, str(len(parts)), _written(layout, sum(parts), code)] for code, parts in totals.items()]
    data = "".join(separator.join(_quoted(value, layout) for value in line) + "\r\n" for line in lines)

    if not postings:
        data += separator.join(["T", "EUR", "0", "0"])
    records, summary = _reading(data.encode(encoding), layout)
    assert {code: sum(parts) for code, parts in totals.items()} == summary.totals
    assert [(amount, f"{moment:%y%m%d%H%M%S}", name) for amount, _, moment, name in postings] == [
        (int(fields["amount"]), fields["local_date_time"], fields["acceptor_name"])
        for fields in (_decoded(record).fields for record in records)
    ]


def _written(layout: ClearingLayout, amount_minor: int, currency: str) -> str:
    decimals = 0 if layout.minor else exponent(currency)
    digits = f"{amount_minor:0{decimals + 1}d}"
    return f"{digits[:-decimals]}{layout.decimal}{digits[-decimals:]}" if decimals else digits


def _quoted(value: str, layout: ClearingLayout) -> str:
    if layout.separator in value or layout.quote in value:
        return f"{layout.quote}{value.replace(layout.quote, layout.quote * 2)}{layout.quote}"
    return value


def _mistakes(text: str) -> list[str]:
    with pytest.raises(DialectError) as caught:
        _layout(text)
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
    own = _layout(PAGE.split("```yaml\n")[1].split("```")[0])
    first, second = (
        _reading(text.encode(layout.encoding), layout) for text, layout in zip(EXAMPLES, (POSTING, own), strict=True)
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
    wrong = _refusal(EXAMPLES[0].replace("140.50", "140.49").encode())
    assert str(wrong) == PAGE.split("```text\n")[1].split("\n```")[0]


def test_the_bound_of_the_page_is_that_of_the_code() -> None:
    """The page states the longest line."""
    assert f"A line has at most {LONGEST_LINE_BYTES:,} bytes" in PAGE


def test_the_schema_lists_the_types_of_the_code() -> None:
    """A layout may name each type, and no other."""
    types = _schema()["properties"]["types"]["additionalProperties"]

    assert [*POSTING_TYPES] == types["enum"]
