"""Rendered files: the golden, and what its totals say."""

import csv
import io
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from processor.core.posting import Template
from settlement.layout import load_layout
from settlement.obligations import SettledPosting
from settlement.render import FileHeader, PartyFile

GOLDEN = Path(__file__).parent / "golden"

_POSTINGS = (
    SettledPosting(
        posting_id=bytes.fromhex("0b4a63a1b2c3d4e5f60718293a4b5c6d0002"),
        purchase_id=bytes.fromhex("0b4a63a1b2c3d4e5f60718293a4b5c6d"),
        template=Template.DISCOUNT_CHARGED,
        rule="",
        partner="moda-milano",
        debtor="moda-group",
        creditor="alpha",
        currency="EUR",
        amount_minor=795,
        booked_at=datetime(2026, 11, 19, 21, 59, 59, 999_999, tzinfo=UTC),
        business_date=date(2026, 11, 19),
    ),
    SettledPosting(
        posting_id=bytes.fromhex("0b4a6401234567890abcdef1234567890002"),
        purchase_id=bytes.fromhex("0b4a6401234567890abcdef123456789"),
        template=Template.MILES_CHARGED,
        rule="",
        partner="",
        debtor="alpha",
        creditor="skyways",
        currency="EUR",
        amount_minor=4,
        booked_at=datetime(2026, 11, 20, 12, tzinfo=UTC),
        business_date=date(2026, 11, 20),
    ),
    SettledPosting(
        posting_id=bytes.fromhex("0b4a64fedcba9876543210fedcba98760001"),
        purchase_id=bytes.fromhex("0b4a64fedcba9876543210fedcba9876"),
        template=Template.DISCOUNT_RETURNED,
        rule="",
        partner="moda-milano",
        debtor="alpha",
        creditor="moda-group",
        currency="JPY",
        amount_minor=250,
        booked_at=datetime(2026, 11, 20, 21, 59, 59, tzinfo=UTC),
        business_date=date(2026, 11, 20),
    ),
)


def _file(party: str) -> PartyFile:
    header = FileHeader(
        party=party,
        bank="alpha",
        programme="skyways",
        business_date=date(2026, 11, 20),
        sequence=17,
        closed_at=datetime(2026, 11, 20, 22, 0, 5, 123_456, tzinfo=UTC),
    )
    return PartyFile(load_layout("party-csv-v1"), header)


def _rendered(party: str) -> bytes:
    file = _file(party)
    concerned = [posting for posting in _POSTINGS if party in {posting.debtor, posting.creditor}]
    return b"".join([file.header(), *map(file.detail, concerned), file.trailer()])


@pytest.mark.parametrize("party", ["alpha", "fresh-foods"])
def test_a_file_is_its_golden_to_the_byte(party: str) -> None:
    """A party's file, and that of one that nothing concerns, never change by a byte under one layout version."""
    assert (GOLDEN / f"{_file(party).of.file_name}").read_bytes() == _rendered(party)


def test_a_file_is_rectangular_csv() -> None:
    """Any CSV reader finds the same number of fields in each record, and every line ends as RFC 4180 says."""
    rendered = _rendered("alpha").decode()
    rows = list(csv.reader(io.StringIO(rendered, newline=""), strict=True))
    assert {13} == {len(row) for row in rows}
    assert len(rows) == rendered.count("\r\n") == rendered.count("\n")


@pytest.mark.parametrize("partner", ["tokyo, ginza", 'the "best"', "plain"])
def test_text_survives_the_way_through_csv(partner: str) -> None:
    """Commas and quotes within text are quoted, so that a reader gets the text back."""
    line = _file("alpha").detail(replace(_POSTINGS[0], partner=partner)).decode()
    assert partner == next(csv.reader(io.StringIO(line, newline=""), strict=True))[6]


def test_the_trailer_agrees_with_the_details() -> None:
    """Counts, hash total and net can be calculated from the details alone."""
    rows = list(csv.reader(io.StringIO(_rendered("alpha").decode(), newline="")))
    details = [row for row in rows if row[0] == "D"]
    signed = [(row[8], int(row[9].replace(".", "")) * (1 if row[10] == "C" else -1)) for row in details]
    net = {currency: sum(amount for code, amount in signed if code == currency) for currency, _ in signed}
    assert {row[1]: int(row[5].replace(".", "")) for row in rows if row[0] == "C"} == net
    assert ["T", str(len(details)), str(sum(abs(amount) for _, amount in signed))] == rows[-1][:3]


def test_both_parties_of_a_posting_see_it_with_opposite_directions() -> None:
    """The debtor's file shows D, the creditor's C, with the same posting, purchase and amount."""
    debtor = _file("moda-group").detail(_POSTINGS[0]).decode().split(",")
    creditor = _file("alpha").detail(_POSTINGS[0]).decode().split(",")
    assert ("D", "alpha") == (debtor[10], debtor[7])
    assert ("C", "moda-group") == (creditor[10], creditor[7])
    assert debtor[2:6] + debtor[8:10] == creditor[2:6] + creditor[8:10]
