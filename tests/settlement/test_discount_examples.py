"""Both ways of a discount from the card message to the settlement file, with the figures of docs/discounts.md."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

import pytest

from processor.core.money import decimal_amount
from processor.core.outcome import Reason
from processor.core.programme import Programme
from processor.flow.submission import Answer, IncomingMessage
from processor.store.settlement import CycleKey
from settlement.settle import Settled, parties_of, settle
from tests.conftest import Database
from tests.flow.audit import assert_books_agree, count
from tests.flow.clearing_files import file_of, presentment, take
from tests.flow.conftest import Pipeline, apply_skyways, iso87, make_pipeline

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "examples" / "programmes" / "till-discounts"
PAGE: Final = (ROOT / "docs" / "discounts.md").read_text(encoding="utf-8")
DAY: Final = date(2026, 11, 20)


@pytest.fixture
def riviera(database: Database) -> Pipeline:
    """Give a test a pipeline with the programme of both ways in force."""
    apply_skyways(database, folder=FOLDER)
    return make_pipeline(database)


def at(place: str, number: int, cents: int, mti: str = "0100", **fields: str) -> IncomingMessage:
    """Build a message of the bank's host about a purchase at one place."""
    values = {
        "acquirer": "712345",
        "acceptor": place,
        "mcc": "5651",
        "amount": f"{cents:012d}",
        "trace_number": f"{number:06d}",
        "retrieval_reference": f"{number:012d}",
        **({"response_code": "00", "approval_code": f"A{number:05d}"} if mti == "0110" else {}),
        **fields,
    }
    return iso87(mti, bank="ligure", **values)


def cleared(place: str, number: int, cents: int, **fields: str) -> bytes:
    """Build the clearing record of that purchase."""
    values = {"acquirer": "712345", "acceptor": place, "mcc": "5651", "amount": str(cents), **fields}
    return presentment(number, **values)


MODE, CAFE, SPORT, GARDEN = "RVMODE000000001", "RVCAFE000000001", "RVSPORT00000001", "RVGARDEN0000001"
PURCHASES: Final = (
    (MODE, 1, 120_00, 108_00),
    (CAFE, 2, 25_00, 23_00),
    (SPORT, 3, 200_00, 190_00),
    (GARDEN, 4, 50_00, 50_00),
)
"""Place, number, what was asked for, what was approved and cleared."""


def bought(pipeline: Pipeline) -> list[Answer]:
    """Ask for every purchase, approve it with the amount that the till was left with, and clear it."""
    quotes = pipeline.send(*(at(place, number, asked) for place, number, asked, _ in PURCHASES))
    pipeline.send(*(at(place, number, left, "0110") for place, number, _, left in PURCHASES))
    records = [cleared(place, number, left) for place, number, _, left in PURCHASES]
    total = sum(left for *_, left in PURCHASES)
    take(pipeline, file_of(*records, file_id="FIRST", total=total), bank="ligure")
    return quotes


def closed(pipeline: Pipeline, root: Path, day: date) -> Settled:
    """Close a business date an hour after the bank's cut-off."""
    programme = programme_of(pipeline)
    settled = settle(
        pipeline.database.service,
        CycleKey(bank="ligure", programme="riviera", business_date=day),
        parties=parties_of(programme, "ligure"),
        current=day,
        now=datetime(day.year, day.month, day.day, 22, tzinfo=UTC),
        root=root,
    )
    assert isinstance(settled, Settled), settled
    return settled


def programme_of(pipeline: Pipeline) -> Programme:
    """Return the programme in force."""
    return pipeline.snapshots.current.latest("riviera")


def lines_of(settled: Settled) -> set[tuple[str, ...]]:
    """Return each file's details as (party, template, partner, counterparty, amount, direction)."""
    found: set[tuple[str, ...]] = set()
    for file in settled.files:
        for line in (settled.folder / file.name).read_text(encoding="utf-8").splitlines():
            fields = line.split(",")
            if fields[0] == "D":
                found.add((file.party, fields[4], fields[6], fields[7], fields[9], fields[10]))
    return found


def nets_of(settled: Settled) -> dict[str, str]:
    """Return what each party's file says it receives."""
    return {
        file.party: str(decimal_amount(credit - debit, currency))
        for file in settled.files
        for currency, debit, credit in file.totals
    }


def table(heading: str) -> list[list[str]]:
    """Return the rows of the first table under a heading of the page."""
    section = PAGE.partition(f"\n### {heading}\n")[2].partition("\n### ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip().strip("`") for cell in row.strip("|").split("|")] for row in rows]


def test_the_request_is_answered_with_the_offer(riviera: Pipeline) -> None:
    """The answer names what the till may take off and what is left, as fields and in the award element."""
    answers = bought(riviera)
    offers = [
        answer.till_offer and (answer.till_offer.discount.amount_minor, answer.till_offer.left.amount_minor)
        for answer in answers
    ]
    assert [(12_00, 108_00), (2_00, 23_00), (10_00, 190_00), None] == offers
    assert [True, True, True, False] == [b"TI" in answer.iso8583 for answer in answers]
    assert b"TI0041200TA00510800TC003EUR" in answers[0].iso8583


def test_the_files_show_the_figures_of_the_page(riviera: Pipeline, tmp_path: Path) -> None:
    """Messages, clearing and the close of the day give each party the lines and the net that the page shows."""
    bought(riviera)
    settled = closed(riviera, tmp_path, DAY)

    shown = {tuple(row) for heading in ("Billed less", "At the till") for row in table(heading)}
    assert shown == {line for line in lines_of(settled) if "discount" in line[1]}
    assert {row[0]: row[1] for row in table("What each party receives")} == nets_of(settled)
    assert_books_agree(riviera)


def test_a_refund_returns_its_part(riviera: Pipeline, tmp_path: Path) -> None:
    """Half of the reduced purchase given back lets the retailer owe half of the discount back."""
    bought(riviera)
    closed(riviera, tmp_path, DAY)
    riviera.now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    named = {"retrieval_reference": f"{1:012d}", "approval_code": "A00001"}
    back = cleared(MODE, 9, 54_00, processing_code="200000", message_number="2", **named)
    take(riviera, file_of(back, file_id="SECOND", total=54_00), bank="ligure")
    settled = closed(riviera, tmp_path, date(2026, 11, 23))

    assert {tuple(row) for row in table("A refund")} == {line for line in lines_of(settled) if "discount" in line[1]}
    assert_books_agree(riviera)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0), (0, 2, 1)])
def test_any_order_and_every_message_twice_book_once(riviera: Pipeline, tmp_path: Path, order: Sequence[int]) -> None:
    """Request, outcome and clearing give the same lines in any order, and repeats change nothing."""
    place, number, asked, left = PURCHASES[0]
    steps = (
        lambda: riviera.send(at(place, number, asked), at(place, number, asked, "0101")),
        lambda: riviera.send(at(place, number, left, "0110"), at(place, number, left, "0110")),
        lambda: take(riviera, file_of(cleared(place, number, left), file_id="FIRST", total=left), bank="ligure"),
    )
    for step in (*order, *order):
        steps[step]()

    expected = {
        ("riviera", "till_discount_charged", "mode", "mode-group", "12.00", "D"),
        ("mode-group", "till_discount_charged", "mode", "riviera", "12.00", "C"),
    }
    lines = {line for line in lines_of(closed(riviera, tmp_path, DAY)) if "discount" in line[1]}
    assert (expected, 1) == (lines, count(riviera.database, "posting", "template = 11"))
    assert_books_agree(riviera)


def test_a_host_that_names_the_whole_amount_books_nothing(riviera: Pipeline) -> None:
    """A till that did not lower the amount gave nothing, whatever was quoted."""
    place, number, asked, _ = PURCHASES[0]
    riviera.send(at(place, number, asked))
    riviera.send(at(place, number, asked, "0110"))
    take(riviera, file_of(cleared(place, number, asked), file_id="FIRST", total=asked), bank="ligure")

    assert 0 == count(riviera.database, "posting", "template IN (11, 12)")
    assert 0 == count(riviera.database, "award", "benefit = 'discount'")
    assert_books_agree(riviera)


def test_a_quote_is_no_decision(riviera: Pipeline) -> None:
    """A quote says so, and leaves the books empty."""
    (answer,) = riviera.send(at(MODE, 1, 120_00))
    assert (Reason.QUOTED, True, 0) == (answer.reason, answer.quote, count(riviera.database, "posting"))


def test_the_page_shows_the_example() -> None:
    """The lines of YAML on the page stand in the example's document."""
    document = (FOLDER / "programme.yaml").read_text(encoding="utf-8")
    blocks = re.findall(r"(?s)```yaml\n(.*?)```", PAGE)
    assert len(blocks) > 1
    assert [] == [block for block in blocks if block not in document]
