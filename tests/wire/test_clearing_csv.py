"""Clearing files in CSV: told by their first line, and each line is the record that IPM tells of the same posting."""

import io
from dataclasses import replace
from typing import Final

import orjson
import pytest

from processor.core.message import CardMessage
from processor.wire.card_message import to_card_message
from processor.wire.clearing_file import ClearingFileError, ClearingRecord, claim_digest
from processor.wire.clearing_format import UnknownFormatError, clearing_formats, open_reading
from processor.wire.clearing_layout import POSTING_TYPES, ClearingLayout
from processor.wire.decode import decode
from processor.wire.encode import encode_message
from processor.wire.ipm import write_records
from processor.wire.message_dates import local_time_of
from processor.wire.tokenise import Tokeniser
from tests.wire.clearing_extracts import (
    ARN,
    EXTRACTS,
    HEADER,
    LAYOUTS,
    NAMES,
    OWN,
    OWN_BANK,
    OWN_FILE,
    POSTING,
    decoded_in,
    extract,
    layout_of,
    line_of,
    reading,
)
from tests.wire.conftest import DIALECTS, GOLDEN, PAN, RECEIVED_AT, presentment


def _message(record: ClearingRecord, layout: ClearingLayout, file_id: str, tokeniser: Tokeniser) -> CardMessage:
    message = to_card_message(
        decoded_in(record),
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
    records, summary = reading(data, layout)
    told: list[dict[str, object]] = [
        {
            "line": record.number,
            "mti": decoded_in(record).mti,
            "pan": str(decoded_in(record).pan),
            **decoded_in(record).fields,
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
    layout = layout_of(text.replace("columns:\n", "columns:\n  file_id: Datei\n"), "by-names")
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
    two = {name: layout_of(text, name) for name in ("one", "two")}

    with pytest.raises(ClearingFileError, match="it may be one or two; name one of"):
        open_reading(io.BytesIO(f"{HEADER}\n".encode()), "", DIALECTS, two)
    assert "two" == open_reading(io.BytesIO(f"{HEADER}\n".encode()), "two", DIALECTS, two).dialect.name


def test_an_unknown_format_is_refused() -> None:
    """A name that is no format is answered with those that are."""
    assert {"posting-csv-v1", "dispute-csv-v1", "ipm93-ebcdic"} <= set(clearing_formats(DIALECTS, LAYOUTS))
    with pytest.raises(UnknownFormatError, match="the format is none of clearing files; use one of dispute-csv-v1"):
        open_reading(io.BytesIO(), "csv", DIALECTS, LAYOUTS)


def test_one_presentment_told_by_two_formats_is_one_message(tokeniser: Tokeniser) -> None:
    """An IPM record and a line of one presentment have one identity and one claim; a changed amount claims another."""
    told, changed = (
        _message(
            reading(extract(line_of(AMOUNT=amount), trailer=(f"T;EUR;1;{amount}",)))[0][0], POSTING, "F", tokeniser
        )
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
    data = extract(line, header=f"H;{layout};F;2026-11-22", names=names)
    told = _message(reading(data, own)[0][0], own, "F", tokeniser)
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
    data = extract(line_of(ARN=""), line_of(ARN=""), trailer=("T;EUR;2;241.00",))
    first, again, other = (
        [_message(record, POSTING, file_id, tokeniser).message_id for record in reading(data)[0]]
        for file_id in ("F", "F", "G")
    )

    assert first == again
    assert 4 == len({*first, *other})


def test_a_part_and_a_function_code_are_part_of_the_identity(tokeniser: Tokeniser) -> None:
    """The second of two parts is the record that IPM calls 0202, a partial chargeback the one it calls 453."""
    names = f"{NAMES};PART"
    record = reading(extract(f"{line_of()};2/2", names=names))[0][0]
    assert (
        _ipm_message(tokeniser, clearing_part="0202").message_id == _message(record, POSTING, "F", tokeniser).message_id
    )

    layout = LAYOUTS["dispute-csv-v1"]
    names = "RECORD;CARD_NUMBER;STAGE;AMOUNT;CURRENCY;PURCHASE_DATE;ARN;FUNCTION_CODE"
    line = f"D;{PAN};CHARGEBACK;120.50;EUR;2026-11-22;{ARN};453"
    record = reading(extract(line, names=names, header="H;dispute-csv-v1;F;1"), layout)[0][0]
    assert (
        _ipm_message(tokeniser, "1442", function_code="453").message_id
        == _message(record, layout, "F", tokeniser).message_id
    )


def test_a_reversal_names_the_date_that_ipm_names(tokeniser: Tokeniser) -> None:
    """The date behind R in a reversal indicator is a column of its own."""
    layout = LAYOUTS["dispute-csv-v1"]
    names = "RECORD;CARD_NUMBER;STAGE;AMOUNT;CURRENCY;PURCHASE_DATE;ARN;REVERSED_DATE"
    line = f"D;{PAN};CHARGEBACK-REVERSAL;120.50;EUR;2026-11-22;{ARN};2026-11-25"
    record = reading(extract(line, names=names, header="H;dispute-csv-v1;F;1"), layout)[0][0]

    expected = _ipm_message(tokeniser, "1442", function_code="450", presentment_reversal="R261125")
    assert expected.message_id == _message(record, layout, "F", tokeniser).message_id


@pytest.mark.parametrize(("code", "time"), [("PURCHASE", "000000"), ("REFUND", "235959"), ("CASH", "000000")])
def test_without_a_time_what_follows_lies_behind(code: str, time: str) -> None:
    """A purchase without a time begins its day; what follows a purchase ends it, and neither tells an hour."""
    decoded = decoded_in(reading(extract(line_of(TYPE=code)))[0][0])
    assert f"261122{time}" == decoded.fields["local_date_time"]
    assert "" == local_time_of(decoded)


TOKENS: Final = layout_of(
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
    record = reading(data, TOKENS)[0][0]
    message = _message(record, TOKENS, "F", tokeniser)

    assert reference == record.card
    assert _ipm_message(tokeniser).content == claim_digest(replace(message, card=record.card))


def test_a_copy_of_the_card_number_is_dropped() -> None:
    """A number that a bank repeats in a text is not kept, and that is noted."""
    decoded = decoded_in(reading(extract(line_of(ACCEPTOR_NAME=f"REF {PAN}")))[0][0])

    assert "acceptor_name" not in decoded.fields
    assert ("acceptor_name holds the card number",) == decoded.oddities
