"""Clearing files in CSV on their way into the books: one presentment counts once, whatever format tells it."""

import io
from dataclasses import replace
from typing import Final

import pytest

import schemas
from processor.core.card import Pan
from processor.flow.clearing import AcceptedClearingFile, UnknownClearingLinkError
from processor.store.clearing import list_exceptions
from processor.wire.clearing_file import ClearingFileError
from processor.wire.clearing_layout_text import parse_clearing_layout
from processor.wire.encode import encode_message
from processor.wire.ipm import write_records
from tests.flow.audit import assert_books_agree, count
from tests.flow.clearing_records import presentment
from tests.flow.conftest import DIALECTS, SKYWAYS, Pipeline, take_clearing_file

IPM: Final = DIALECTS["ipm93-ebcdic"]
PAN: Final = "4000000000000002"
NAMES: Final = (
    "RECORD;CARD_NUMBER;TYPE;AMOUNT;CURRENCY;LOCAL_DATE;ACQUIRER;ACCEPTOR;ACCEPTOR_NAME;MCC;ARN;APPROVAL_CODE"
)


def _take(pipeline: Pipeline, data: bytes, name: str = "") -> AcceptedClearingFile:
    return take_clearing_file(
        io.BytesIO(data), bank="alpha", dialect_name=name, intake=pipeline.intake, decider=pipeline.decider
    )


def _ipm(number: int = 1) -> bytes:
    file_id = "0022611200000000000100001"
    header = {"function_code": "697", "file_id": file_id, "message_number": "1"}
    controls = {"file_messages": "00000003", "file_amount": f"{10000:016d}", "file_id": file_id}
    trailer = {"function_code": "695", "message_number": "3", **controls}
    records = [encode_message(IPM, "1644", header), presentment(number), encode_message(IPM, "1644", trailer)]
    return write_records(records, blocked=False)


def _line(number: int = 1, amount: str = "100.00", day: str = "2026-11-20") -> str:
    return f"D;{PAN};PURCHASE;{amount};EUR;{day};12345678;NOBODY000000001;CAFE;5411;7123456{number:016d};A1B2C3"


def _csv(*lines: str, total: str, file_id: str = "F1") -> bytes:
    trailer = f"T;EUR;{len(lines)};{total}"
    return "\r\n".join([f"H;posting-csv-v1;{file_id};2026-11-20", NAMES, *lines, trailer, ""]).encode()


def test_a_presentment_told_by_two_formats_counts_once(pipeline: Pipeline) -> None:
    """What an IPM file told, a CSV file tells again without effect."""
    first = _take(pipeline, _ipm())
    again = _take(pipeline, _csv(_line(), total="100.00"))

    assert {"ACCEPTED"} == {outcome.split()[0] for outcome, records in first.row.outcomes.items() if records}
    assert {"DUPLICATE"} == {outcome.split()[0] for outcome, records in again.row.outcomes.items() if records}
    assert 1 == count(pipeline.database, "message")
    assert_books_agree(pipeline)


def test_another_amount_of_one_presentment_is_a_conflict(pipeline: Pipeline) -> None:
    """A line that contradicts what was told before is kept for review, and changes nothing."""
    _take(pipeline, _ipm())
    other = _take(pipeline, _csv(_line(amount="100.01"), total="100.01"))

    outcomes = {outcome: records for outcome, records in other.row.outcomes.items() if records}
    assert {"REJECTED IDENTITY_CONFLICT": 1} == outcomes
    assert 1 == count(pipeline.database, "message")


def test_a_broken_line_is_listed_and_its_neighbours_are_taken(pipeline: Pipeline) -> None:
    """The desk finds the line, the column and what to write; the format is that of the layout."""
    taken = _take(pipeline, _csv(_line(1), _line(2, day="20.11.2026"), _line(3), total="300.00"))
    with pipeline.database.service.connect() as connection:
        (exception,) = list_exceptions(connection, "alpha", "F1", 0, 10)

    assert ("posting-csv-v1", 3, {"EUR": 30000}) == (taken.row.dialect, taken.row.records, taken.row.totals)
    assert (4, "line 4") == (exception.number, exception.place)
    assert "column 6 (LOCAL_DATE): is no date YYYY-MM-DD of 2000 or later" == exception.problem
    assert 2 == count(pipeline.database, "message")


def test_a_file_that_is_not_sound_leaves_nothing(pipeline: Pipeline) -> None:
    """A wrong total refuses the file, and not one record of it counts."""
    with pytest.raises(ClearingFileError, match="the trailer's total is not the sum"):
        _take(pipeline, _csv(_line(), total="99.00"))
    with pytest.raises(UnknownClearingLinkError, match="the format is none of clearing files; use one of"):
        _take(pipeline, _csv(_line(), total="100.00"), "posting")

    assert (0, 0) == (count(pipeline.database, "message"), count(pipeline.database, "clearing_file"))


def test_the_example_extracts_are_taken(pipeline: Pipeline) -> None:
    """The example's postings, and the disputes that follow them, are decided without an exception."""
    pipeline.now = pipeline.now.replace(month=12, day=4)
    files = [_take(pipeline, (SKYWAYS / f"{name}-extract.csv").read_bytes()) for name in ("posting", "dispute")]

    assert [7, 3] == [file.row.records for file in files]
    assert {"ACCEPTED"} == {
        outcome.split()[0] for file in files for outcome, records in file.row.outcomes.items() if records
    }
    assert_books_agree(pipeline)


def test_a_card_may_be_named_by_its_token(pipeline: Pipeline) -> None:
    """A token of a live key names the card that its number names; one of another key is parked, and says so."""
    texts = schemas.clearing_layouts()
    text = (
        "extends: posting-csv-v1\ncolumns: {card_number: null, card_token: TOKEN, card_token_key: KEY, "
        "card_last_four: LAST}\noptional: [acquirer, acceptor, acceptor_name, mcc, approval_code, inherited]\n"
    )
    layout = parse_clearing_layout("own", text, texts, DIALECTS)
    pipeline.intake = replace(pipeline.intake, layouts={"own": layout})
    token = pipeline.intake.tokeniser(pipeline.snapshots.current).reference(Pan(PAN)).token.hex()
    lines = [
        f"D;{token};{key};0002;PURCHASE;100.00;EUR;2026-11-20;7123456{number:016d}"
        for number, key in enumerate(("k1", "gone"), start=1)
    ]
    names = "RECORD;TOKEN;KEY;LAST;TYPE;AMOUNT;CURRENCY;LOCAL_DATE;ARN"
    data = "\n".join(["H;own;F1;2026-11-20", names, *lines, "T;EUR;2;200.00", ""]).encode()
    _take(pipeline, _ipm())
    taken = _take(pipeline, data)
    with pipeline.database.service.connect() as connection:
        (exception,) = list_exceptions(connection, "alpha", "F1", 0, 10)

    outcomes = {outcome.split()[0]: records for outcome, records in taken.row.outcomes.items() if records}
    assert {"DUPLICATE": 1, "PARKED": 1} == outcomes
    assert "card_token_key: names no live token key; the live keys are k1" == exception.problem
