"""Merchants: a file's lines become matches, its mistakes errors, and the closest line wins."""

from collections.abc import Mapping
from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.located_document import DocumentError
from processor.core.merchant_file import COLUMNS, read_merchants
from processor.core.merchant_match import match_merchant
from processor.core.programme import Merchant, Partner, Programme

HEADER = ",".join(COLUMNS)
PARTNERS = ("fuel", "shop", "grill")


def programme(merchants: Mapping[tuple[str, str], tuple[Merchant, ...]]) -> Programme:
    """Return a programme of merchants alone."""
    return Programme(
        id="skyways",
        name="Skyways",
        revision=1,
        effective_from=datetime(2026, 1, 1, tzinfo=UTC),
        unit="SKY",
        unit_name="mile",
        decimals=0,
        owner="skyways",
        parties={},
        links=(),
        calendars={},
        products={},
        partners={name: Partner(id=name, name=name, sector="fuel", retailer="blue") for name in PARTNERS},
        merchants=merchants,
        excluded_mccs=frozenset(),
        excluded_processing_codes=frozenset(),
        rules=(),
        caps=(),
    )


def read(*lines: str) -> tuple[DocumentError, ...]:
    """Return the errors of a file with these lines below the header."""
    return read_merchants("\n".join((HEADER, *lines)), source="merchants.csv", partners=PARTNERS).errors


NARROWED = read_merchants(
    f"""{HEADER}
412345,STATION 1,,,fuel
412345,STATION 1,,5499,shop
412345,STATION 1,TILL0001,,grill
412345,STATION 1,TILL0001,5499,shop
412345,STATION 2,,5541,fuel
""",
    source="merchants.csv",
    partners=PARTNERS,
)


@pytest.mark.parametrize(
    ("acquirer", "acceptor", "terminal", "mcc", "partner"),
    [
        ("412345", "STATION 1", "", "", "fuel"),
        ("412345", "STATION 1", "TILL0002", "5541", "fuel"),
        ("412345", "STATION 1", "TILL0002", "5499", "shop"),
        ("412345", "STATION 1", "TILL0001", "5541", "grill"),
        ("412345", "STATION 1", "TILL0001", "5499", "shop"),
        ("412345", "STATION 2", "TILL0001", "5541", "fuel"),
        ("412345", "STATION 2", "TILL0001", "5499", None),
        ("412345", "STATION 3", "", "", None),
        ("412345", "STATION", "", "", None),
        ("412345", "station 1", "", "", None),
        ("41234", "STATION 1", "", "", None),
        ("0412345", "STATION 1", "", "", None),
    ],
)
def test_the_closest_line_wins(acquirer: str, acceptor: str, terminal: str, mcc: str, partner: str | None) -> None:
    """A terminal is closer than an MCC, both are closer than neither, and nothing matches by half."""
    found = match_merchant(
        programme(NARROWED.merchants), acquirer=acquirer, acceptor=acceptor, terminal=terminal, mcc=mcc
    )
    assert partner == (found.partner if found else None)


small = st.sampled_from
merchant_lines = st.lists(
    st.tuples(
        small(["412345", "512345"]),
        small(["A 1", "B-2"]),
        small(["", "T1", "T2"]),
        small(["", "5541", "5499"]),
        small(PARTNERS),
    ),
    unique_by=lambda line: line[:4],
)


@given(merchant_lines, st.randoms(use_true_random=False))
def test_the_order_of_lines_does_not_matter(lines: list[tuple[str, ...]], random: Random) -> None:
    """A shuffled file matches every message as the file itself does."""
    shuffled = random.sample(lines, len(lines))
    files = [
        read_merchants("\n".join([HEADER, *map(",".join, rows)]), source="m.csv", partners=PARTNERS)
        for rows in (lines, shuffled)
    ]
    assert [file.errors for file in files] == [(), ()]
    for acquirer in ("412345", "512345"):
        for terminal in ("", "T1", "T2", "T3"):
            for mcc in ("", "5541", "5499", "5812"):
                first, second = (
                    match_merchant(
                        programme(file.merchants), acquirer=acquirer, acceptor="A 1", terminal=terminal, mcc=mcc
                    )
                    for file in files
                )
                assert first == second


def test_quotes_order_of_columns_and_line_ends_are_free() -> None:
    """A spreadsheet's file reads like one written by hand."""
    text = '\ufeffpartner,mcc,terminal_id,card_acceptor_id,acquirer_id\r\nfuel,,,"A,""1""",412345\r\n\r\n'
    listed = read_merchants(text, source="merchants.csv", partners=PARTNERS)
    merchant = Merchant(acquirer="412345", acceptor='A,"1"', terminal=None, mcc=None, partner="fuel")
    assert {("412345", 'A,"1"'): (merchant,)} == listed.merchants
    assert listed.errors == ()


@pytest.mark.parametrize(
    ("line", "column", "path", "problem"),
    [
        ("12345,A,,,fuel", 1, "acquirer_id", "is '12345'"),
        ("0412345,A,,,fuel", 1, "acquirer_id", "is '0412345'"),
        ("123456789012,A,,,fuel", 1, "acquirer_id", "is '123456...'"),
        ("4.12E+05,A,,,fuel", 1, "acquirer_id", "is '4.12E+05'"),
        (",A,,,fuel", 1, "acquirer_id", "is empty"),
        ("412345,,,,fuel", 8, "card_acceptor_id", "is empty"),
        ("412345,A ,,,fuel", 8, "card_acceptor_id", "is 'A '"),
        ("412345,ABCDEFGHIJKLMNOP,,,fuel", 8, "card_acceptor_id", "is 'ABCDEFGHIJKLMNOP'"),
        ("412345,CAF\u00c9,,,fuel", 8, "card_acceptor_id", "is 'CAF\u00c9'"),
        ("412345,A,TERMINAL1,,fuel", 10, "terminal_id", "is 'TERMINAL1'"),
        ('412345,"A,1",TERMINAL1,,fuel', 14, "terminal_id", "is 'TERMINAL1'"),
        ("412345,A,,554,fuel", 11, "mcc", "is '554'"),
        ("412345,A,,\u0665\u0665\u0664\u0661,fuel", 11, "mcc", "is '\u0665\u0665\u0664\u0661'"),
        ("412345,A,,5541,fule", 16, "partner", "'fule' is no partner"),
        ("412345,A,,5541,", 16, "partner", "is empty"),
        ("412345,A,5541,fuel", 1, "line", "has 4 values where the header has 5"),
        ("412345,A,,5541,fuel,", 1, "line", "has 6 values where the header has 5"),
        ('412345,"A,,5541,fuel', 8, "line", "has a quote out of place"),
        ('412345,A"B",,,fuel', 8, "line", "has a quote out of place"),
    ],
)
def test_each_error_has_its_line_column_and_name(line: str, column: int, path: str, problem: str) -> None:
    """A wrong value in line 40 is reported in line 40, at its column and under its name."""
    good = [f"412345,SHOP {number},,,shop" for number in range(2, 40)]
    (error,) = read(*good, line)
    assert ("merchants.csv", 40, column, path, problem) == (
        error.source,
        error.line,
        error.column,
        error.path,
        error.problem,
    )


def test_a_misspelt_partner_gets_a_hint() -> None:
    """The error names the partner that was probably meant."""
    (error,) = read("412345,A,,,fule")
    assert str(error) == (
        "merchants.csv:2:12 partner: 'fule' is no partner; "
        "did you mean 'fuel'? write the identifier of one of the document's partners"
    )


def test_every_error_of_a_file_is_reported() -> None:
    """Reading does not stop at the first wrong value, of a line or of the file."""
    errors = read("x,A,,1,fuel", "412345,A,,,fuel", "412345,B,,,none")
    assert [(error.line, error.path) for error in errors] == [(2, "acquirer_id"), (2, "mcc"), (4, "partner")]


@pytest.mark.parametrize("narrowing", [",", "T1,", ",5541", "T1,5541"])
def test_lines_that_match_equally_are_refused(narrowing: str) -> None:
    """Two lines that the same message matches equally well are an error, even for one partner."""
    (error,) = read(f"412345,A,{narrowing},fuel", "412345,B,,,fuel", f"412345,A,{narrowing},shop")
    assert (error.line, error.column, error.problem) == (4, 1, "matches the same messages as line 2")


@pytest.mark.parametrize(
    ("header", "column", "problem"),
    [
        ("acquirer_id,card_acceptor_id,terminal_id,mmc,partner", 42, "'mmc' is no known column"),
        ("acquirer_id;card_acceptor_id", 1, "'acquirer_id;card_acceptor_id' is no known column"),
        (f"{HEADER},mcc", 54, "names 'mcc' twice"),
        ('"acquirer_id,', 1, "has a quote out of place"),
        ("", 1, "'' is no known column"),
    ],
)
def test_a_wrong_header_stops_the_reading(header: str, column: int, problem: str) -> None:
    """Without its columns nothing below can be read; the error says which header to write."""
    listed = read_merchants(f"{header}\nx,y,z", source="merchants.csv", partners=PARTNERS)
    first = listed.errors[0]
    assert (1, column, "header", problem) == (first.line, first.column, first.path, first.problem)
    assert f"write the header {HEADER}" in first.expected
    assert {1} == {error.line for error in listed.errors}


def test_a_missing_column_is_named() -> None:
    """Each column that the header lacks is an error of its own."""
    listed = read_merchants("acquirer_id,mcc,partner\n", source="merchants.csv", partners=PARTNERS)
    assert [error.problem for error in listed.errors] == [
        "lacks the column 'card_acceptor_id'",
        "lacks the column 'terminal_id'",
    ]


@given(st.text())
def test_any_text_gives_merchants_or_errors(text: str) -> None:
    """No text raises; one with neither header nor errors does not exist."""
    listed = read_merchants(text, source="merchants.csv", partners=PARTNERS)
    assert listed.errors or text.removeprefix("\ufeff").split("\n")[0].replace('"', "").count(",") == 4
