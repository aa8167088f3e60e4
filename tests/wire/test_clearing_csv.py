"""Clearing files of lines: a bank's posting or dispute extract, by a layout that is data."""

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import schemas
from processor.core.card import Pan
from processor.core.message import CardMessage, MessageKind
from processor.core.money import Money
from processor.wire.card_message import to_card_message
from processor.wire.clearing_csv import CsvReading
from processor.wire.clearing_file import ClearingFileError, ClearingRecord
from processor.wire.clearing_format import open_reading
from processor.wire.clearing_layout import ClearingLayout, read_layout
from processor.wire.decode import decode
from processor.wire.encode import encode_message
from processor.wire.tokenise import Tokeniser
from tests.wire.conftest import DIALECTS

EXAMPLES: Final = Path(__file__).parents[2] / "examples" / "skyways"
TOKENISER: Final = Tokeniser({"k1": bytes(32)}, "k1", {})
NOW: Final = datetime(2026, 11, 25, 12, tzinfo=UTC)
PAN: Final = "4000000000000002"
OWN: Final = """description: Alpha's card system
extends: posting-csv-v1
separator: ","
amounts: comma
date: DD.MM.YYYY
time: HHMM
header: {mark: KOPF}
trailer: {mark: ENDE}
columns: {card_number: Kartennummer, type: Art, amount: Betrag, currency: Währung, date: Datum, time: Zeit}
types: {K: purchase, G: refund}
"""


def layouts() -> dict[str, ClearingLayout]:
    """Return the shipped layouts, and one of a bank's own."""
    texts = schemas.clearing_layouts() | {"alpha-csv": OWN}
    found = {name: read_layout(name, text, texts) for name, text in texts.items()}
    assert [] == [read for read in found.values() if not isinstance(read, ClearingLayout)]
    return {name: read for name, read in found.items() if isinstance(read, ClearingLayout)}


LAYOUTS: Final = layouts()


def read(data: bytes, layout: str = "") -> tuple[Any, list[ClearingRecord]]:
    """Read a whole file; return the reading and its records."""
    reading = open_reading(io.BytesIO(data), layout, DIALECTS, LAYOUTS)
    return reading, list(reading.records())


def message(record: ClearingRecord, *, file_id: str = "F") -> CardMessage:
    """Return the card message of a record that decodes."""
    assert record.decoded is not None, record.failure
    return to_card_message(
        record.decoded,
        dialect=DIALECTS["ipm93-ascii"],
        bank="alpha",
        received_at=NOW,
        tokeniser=TOKENISER,
        clearing_file=file_id,
        record_number=record.number,
    )


def lines(*postings: str, head: str = "POSTINGS;P-1", end: str = "") -> bytes:
    """Put postings of 10.00 EUR each between header and trailer."""
    names = "card_number;type;amount;currency;date;time;acquirer;acceptor;mcc;acquirer_reference;part"
    end = end or f"END;P-1;{len(postings)};{len(postings) * 10}.00"
    return "\n".join([head, names, *postings, end, ""]).encode()


def posting(**values: str) -> str:
    """Return one line."""
    line = {
        "card_number": PAN,
        "type": "PURCHASE",
        "amount": "10.00",
        "currency": "EUR",
        "date": "2026-11-19",
        "time": "10:30:00",
        "acquirer": "12345678",
        "acceptor": "NOBODY000000001",
        "mcc": "5999",
        "acquirer_reference": "71234566323000000000001",
        "part": "",
        **values,
    }
    return ";".join(line.values())


def test_the_posting_extract_of_the_example_is_read() -> None:
    """It is recognised by its first line; amounts, currencies, dates and what each line is are those written."""
    reading, records = read((EXAMPLES / "posting-extract.csv").read_bytes())
    found = [message(record) for record in records]

    assert "ALPHA-20261120-1" == reading.file_id
    assert {"EUR": 170_00, "USD": 40_00} == reading.summary().totals
    assert [3, 4, 5, 6] == [record.number for record in records]
    assert [MessageKind.PRESENTMENT] * 4 == [entry.kind for entry in found]
    assert [False, False, True, False] == [entry.credit for entry in found]
    assert ["000000", "000000", "200000", "010000"] == [entry.processing_code for entry in found]
    assert Money(amount_minor=36_00, currency="EUR") == found[1].billing
    assert Money(amount_minor=40_00, currency="USD") == found[1].amount
    assert datetime(2026, 11, 19, 10, 30, tzinfo=UTC) == found[0].transmitted_at


def test_the_dispute_extract_of_the_example_is_read() -> None:
    """Its stages become the records of a dispute."""
    _, records = read((EXAMPLES / "dispute-extract.csv").read_bytes())
    kinds = [message(record).kind for record in records]
    stages = [MessageKind.CHARGEBACK, MessageKind.SECOND_PRESENTMENT, MessageKind.ARBITRATION_CHARGEBACK]
    assert stages == kinds


def test_a_banks_own_layout_states_what_differs() -> None:
    """Commas, a decimal comma in quotes, German dates and names, and codes of its own; the rest is inherited."""
    text = f'KOPF,A-7\nKartennummer,Art,Betrag,Währung,Datum,Zeit\n{PAN},K,"12,50",978,19.11.2026,1030\n'
    text += f'"{PAN}",G,"2,50",EUR,20.11.2026,\nENDE,A-7,2,"15,00"\n'
    reading, records = read(text.encode())
    bought, given = map(message, records)

    assert ("A-7", {"EUR": 15_00}) == (reading.file_id, reading.summary().totals)
    assert (Money(amount_minor=12_50, currency="EUR"), False) == (bought.amount, bought.credit)
    assert (Money(amount_minor=2_50, currency="EUR"), True) == (given.amount, given.credit)


@pytest.mark.parametrize(
    ("kind", "mti", "function_code", "fields"),
    [
        ("PURCHASE", "1240", "200", {}),
        ("PURCHASE-REVERSAL", "1240", "200", {"presentment_reversal": "R"}),
        ("REFUND", "1240", "200", {"processing_code": "200000"}),
        ("CHARGEBACK", "1442", "450", {}),
        ("REPRESENTMENT", "1240", "205", {}),
        ("ARBITRATION-REVERSAL", "1442", "451", {"presentment_reversal": "R"}),
    ],
)
def test_a_line_and_a_record_that_say_the_same_are_one_message(
    kind: str, mti: str, function_code: str, fields: dict[str, str]
) -> None:
    """Whichever file tells a presentment first, its id is the same."""
    ((record),) = read(lines(posting(type=kind)))[1]
    values = {
        "pan": PAN,
        "processing_code": "000000",
        "amount": "1000",
        "local_date_time": "261119103000",
        "function_code": function_code,
        "mcc": "5999",
        "acquirer_reference": "71234566323000000000001",
        "acquirer": "12345678",
        "acceptor": "NOBODY000000001",
        "currency": "978",
        **fields,
    }
    dialect = DIALECTS["ipm93-ebcdic"]
    told = to_card_message(
        decode(dialect, encode_message(dialect, mti, values)),
        dialect=dialect,
        bank="alpha",
        received_at=NOW,
        tokeniser=TOKENISER,
        clearing_file="OTHER",
        record_number=9,
    )
    own = message(record)
    assert (told.message_id, told.kind, told.card) == (own.message_id, own.kind, own.card)


@pytest.mark.parametrize(
    ("values", "column"),
    [
        ({"amount": "10,00"}, "amount"),
        ({"amount": "-10.00"}, "amount"),
        ({"amount": "10.001"}, "amount"),
        ({"amount": ""}, "amount"),
        ({"currency": "EURO"}, "currency"),
        ({"type": "SOMETHING"}, "type"),
        ({"date": "19.11.2026"}, "date"),
        ({"date": "2026-02-30"}, "date"),
        ({"time": "25:00:00"}, "time"),
        ({"card_number": "98"}, "card_number"),
        ({"mcc": "59A9"}, "mcc"),
        ({"acceptor": PAN}, "acceptor"),
        ({"part": "3/2"}, "part"),
    ],
)
def test_a_bad_line_in_a_sound_file_is_a_broken_record(values: dict[str, str], column: str) -> None:
    """It says its line and column and never its content; its neighbours are read and the totals still checked."""
    bad = posting(**values)
    total = {"10,00": "30.01", "-10.00": "30.01", "": "30.01", "10.001": "30.001"}.get(
        values.get("amount", "-"), "30.00"
    )
    data = lines(posting(), bad, posting(), end=f"END;P-1;3;{total}")
    reading, records = read(data)

    assert 1 == reading.summary().broken
    assert [False, True, False] == [record.decoded is None for record in records]
    failure = records[1].failure
    assert failure is not None
    assert (column, "line 4") == (failure.field, records[1].place)
    assert PAN not in str(failure)
    for value in values.values():
        assert not value or value not in str(failure)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "no format"),
        (b"NOTHING;P-1\n", "no format"),
        (lines(posting(), head="POSTINGS;"), "file id"),
        (lines(posting()).replace(b"currency", b"currencies"), "column currency"),
        (lines(posting()).replace(b"acceptor;mcc", b"mcc;mcc"), "stands twice"),
        (lines(posting(), end="END;P-2;1;10.00"), "names another file"),
        (lines(posting(), end="END;P-1;2;10.00"), "stated 2, calculated 1"),
        (lines(posting(), end="END;P-1;1;10.01"), "stated 10.01, calculated 10.00"),
        (lines(posting(), end="END;P-1;x;10.00"), "not a number"),
        (lines(posting(), end="END;P-1;1"), "lacks this one"),
        (lines(posting()) + posting().encode(), "follows the trailer"),
        (lines(posting()).rsplit(b"END", 1)[0], "no trailer"),
        (lines(posting(acceptor='"open')), "quotes"),
        (lines("x" * 400_000), "longer than"),
    ],
)
def test_an_unsound_file_is_refused_whole(data: bytes, problem: str) -> None:
    """Structure and controls, each with the line, and with the stated and the calculated value."""
    with pytest.raises(ClearingFileError, match=problem) as refused:
        read(data)
    assert PAN not in str(refused.value)


def test_a_byte_order_mark_and_windows_line_ends_are_taken() -> None:
    """As a spreadsheet writes them."""
    data = b"\xef\xbb\xbf" + lines(posting(), posting(acquirer_reference="7" * 23)).replace(b"\n", b"\r\n")
    reading, records = read(data)
    assert (2, 0) == (len(records), reading.summary().broken)


def test_every_mistake_in_a_layout_is_named_with_its_place() -> None:
    """Unknown keys and values, a parent that is not there, and what is missing altogether."""
    wrong = "description: x\nextends: postings\nseparator: '#'\ncolumns: {amout: A}\n"
    found = read_layout("own", wrong, schemas.clearing_layouts(), source="own.yaml")
    bare = read_layout("own", "description: x\n", schemas.clearing_layouts(), source="own.yaml")
    assert isinstance(found, tuple)
    assert ["own.yaml:2:10", "own.yaml:3:12", "own.yaml:4:11"] == [str(error).split(" ")[0] for error in found]
    assert isinstance(bare, tuple)
    assert "lacks" in str(bare[0])


AMOUNTS: Final = st.integers(0, 10**9)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(AMOUNTS, st.sampled_from(["EUR", "USD", "JPY"]), st.integers(0, 9999)), max_size=8))
def test_what_is_written_is_read(rows: list[tuple[int, str, int]]) -> None:
    """Any amounts in any currency, cut into pieces of any size, come back to the unit."""
    postings = [
        posting(amount=_written(minor, currency), currency=currency, acquirer_reference=f"{number:023d}")
        for minor, currency, number in rows
    ]
    total = sum(minor if currency == "JPY" else minor / 100 for minor, currency, _ in rows)
    reading, records = read(lines(*postings, end=f"END;P-1;{len(rows)};{total:.2f}"))
    assert [(minor, currency) for minor, currency, _ in rows] == [
        (found.amount.amount_minor, found.amount.currency) for found in map(message, records) if found.amount
    ]
    assert isinstance(reading, CsvReading)
    assert {Pan(PAN)} >= {record.decoded.pan for record in records if record.decoded}


def _written(minor: int, currency: str) -> str:
    return str(minor) if currency == "JPY" else f"{minor // 100}.{minor % 100:02d}"
