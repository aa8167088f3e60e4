"""Card files: CSV into records, and every mistake by its line without its value."""

import pytest

from processor.cli.card_file import PIECE_RECORDS, CardFileError, pieces, read_cards
from processor.v1.card_file_pb2 import CARD_ROLE_SUPPLEMENTARY, CARD_STATUS_BLOCKED, CardRecord
from tests.cli.conftest import Run

HEADER = "card_number,account_reference,product"
CARD = "4000000000000002"


def test_every_column_is_read() -> None:
    """Each column, in any order, ends in its field of the record."""
    header = (
        "status,status_from,card_number,account_reference,product,role,predecessor_card_number,member_number,opened_on"
    )
    line = f"blocked,2026-11-01,{CARD},A-1,alpha-gold,supplementary,4000000000000010,M-7,2020-02-29"
    expected = CardRecord(
        card_number=CARD,
        account_reference="A-1",
        product="alpha-gold",
        role=CARD_ROLE_SUPPLEMENTARY,
        predecessor_card_number="4000000000000010",
        member_number="M-7",
        opened_on="2020-02-29",
        status=CARD_STATUS_BLOCKED,
        status_from="2026-11-01",
    )
    assert [expected] == list(read_cards(f"{header}\n{line}\n"))


def test_columns_may_be_left_out_and_lines_empty() -> None:
    """Only the required columns must be there; an empty line is passed over; a quoted value may hold a comma."""
    records = list(read_cards(f'{HEADER}\r\n{CARD},"A,1",alpha-gold\r\n\r\n'))
    assert [CardRecord(card_number=CARD, account_reference="A,1", product="alpha-gold")] == records


@pytest.mark.parametrize(
    ("text", "line", "column", "problem"),
    [
        ("", 1, "", "is empty; begin with the columns"),
        ("card_number,product\n", 1, "account_reference", "is missing; add the column"),
        (f"{HEADER},colour\n", 1, "", "names a column twice or one that is none of"),
        (f"{HEADER},product\n", 1, "", "names a column twice or one that is none of"),
        (f"{HEADER}\n{CARD},A-1\n", 2, "", "has 2 values; the header row has 3"),
        (f"{HEADER}\n{CARD},A-1,g\n{CARD},,g\n", 3, "account_reference", "is empty; every card needs one"),
        (f"{HEADER}\n4000 0000 0000 0002,A-1,g\n", 2, "card_number", "is not 12 to 19 digits"),
        (
            f"{HEADER}\n\u0664\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0660,A-1,g\n",
            2,
            "card_number",
            "is not 12 to 19 digits",
        ),
        (f"{HEADER},role\n{CARD},A-1,g,{CARD}\n", 2, "role", "is none of primary, supplementary"),
        (f"{HEADER},status\n{CARD},A-1,g,open\n", 2, "status", "is none of active, blocked, closed"),
        (f"{HEADER},opened_on\n{CARD},A-1,g,20201131\n", 2, "opened_on", "is not a date; write YYYY-MM-DD"),
        (f"{HEADER},status_from\n{CARD},A-1,g,2021-02-29\n", 2, "status_from", "is not a date; write YYYY-MM-DD"),
        (f'{HEADER}\n{CARD},"A-1,g\n', 2, "", "is not CSV; check its quotation marks"),
    ],
)
def test_mistakes(text: str, line: int, column: str, problem: str) -> None:
    """Each mistake names its line and column, says what to write, and never repeats a value."""
    errors = [record for record in read_cards(text) if isinstance(record, CardFileError)]
    assert [(line, column)] == [(error.line, error.column) for error in errors]
    assert errors[0].problem.startswith(problem)
    assert CARD not in errors[0].problem


def test_records_travel_in_pieces() -> None:
    """A file goes out in pieces that the server takes."""
    lines = "\n".join(f"{4_000_000_000_000_000 + number},A-{number},g" for number in range(PIECE_RECORDS + 1))
    assert [PIECE_RECORDS, 1] == [len(piece) for piece in pieces(f"{HEADER}\n{lines}\n")]


def test_a_file_with_a_mistake_is_not_sent(run: Run) -> None:
    """A full file with one wrong line is refused before anything is sent, for it would close the card it fails on."""
    text = f"{HEADER}\n{CARD},A-1,g\n{CARD}x,A-2,g\n"
    result = run("cards", "submit", "-", "--bank", "alpha", "--full", stdin=text.encode())
    expected = (
        "-:3: card_number is not 12 to 19 digits\n- has 1 mistakes; nothing was sent. Mend it and submit it again.\n"
    )
    assert (1, "", expected) == (result.exit_code, result.stdout, result.stderr)


def test_an_empty_file_is_not_sent(run: Run) -> None:
    """A header row without cards is refused: as a full file it would close every card."""
    result = run("cards", "submit", "-", "--bank", "alpha", "--full", stdin=f"{HEADER}\n".encode())
    assert (1, "- holds no cards; nothing was sent.\n") == (result.exit_code, result.stderr)
