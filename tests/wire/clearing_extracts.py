"""Extracts for the tests of clearing files in CSV: layouts, lines and files, and what reading one gives."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

import schemas
from processor.wire.clearing_csv import CsvReading
from processor.wire.clearing_file import ClearingFileError, ClearingRecord, ClearingSummary
from processor.wire.clearing_layout import ClearingLayout
from processor.wire.clearing_layout_text import parse_clearing_layout
from processor.wire.decode import Decoded
from tests.wire.conftest import DIALECTS, PAN

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


def layout_of(text: str, name: str = "own") -> ClearingLayout:
    """Compile a layout that may extend the shipped ones."""
    return parse_clearing_layout(name, text, TEXTS, DIALECTS)


OWN: Final = layout_of(OWN_BANK, "own-bank")


def line_of(**changes: str) -> str:
    """Return one line of postings; sensible values stand where a test names none."""
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


def extract(
    *lines: str, trailer: tuple[str, ...] = ("T;EUR;1;120.50",), header: str = HEADER, names: str = NAMES
) -> bytes:
    """Return a whole extract of postings, its lines between header, names and trailer."""
    return "\n".join([header, names, *lines, *trailer, ""]).encode()


def reading(data: bytes, layout: ClearingLayout = POSTING) -> tuple[list[ClearingRecord], ClearingSummary]:
    """Return the records of a file and what it held."""
    reading = CsvReading(io.BytesIO(data), layout)
    return list(reading.records()), reading.summary()


def refusal(data: bytes, layout: ClearingLayout = POSTING) -> ClearingFileError:
    """Return why a file is refused."""
    with pytest.raises(ClearingFileError) as caught:
        reading(data, layout)
    return caught.value


def broken(data: bytes, layout: ClearingLayout = POSTING) -> str:
    """Return what is wrong with the one record of a sound file."""
    records, summary = reading(data, layout)
    assert (1, 1) == (len(records), summary.broken)
    assert records[0].failure is not None
    return f"{records[0].place}: {records[0].failure.field}: {records[0].failure.problem}"


def decoded_in(record: ClearingRecord) -> Decoded:
    """Return what a record says; it is not a broken one."""
    assert record.decoded is not None, record.failure
    return record.decoded
