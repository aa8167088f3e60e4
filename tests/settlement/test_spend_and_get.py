"""Cycles of money and soft rewards from card messages to settlement files, with the figures of docs/cycles.md."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import pytest

from processor.flow.entitlements import Use, Used, UseRefusal, UseRefused, holdings_of, use_entitlement
from processor.flow.submission import Answer
from processor.store.card_side import Key
from processor.store.settlement import CycleKey
from settlement.settle import Settled, parties_of, settle
from tests.conftest import Database
from tests.flow.audit import assert_books_agree, rows
from tests.flow.clearing_files import file_of, presentment, take
from tests.flow.conftest import Pipeline, apply_skyways, iso87, make_pipeline
from tests.flow.test_explain import explain
from tests.settlement.test_discount_examples import lines_of

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "examples" / "programmes" / "spend-and-get"
PAGE: Final = (ROOT / "docs" / "cycles.md").read_text(encoding="utf-8")
FOOD, HOME, NOWHERE = "POLARFOOD000001", "POLARHOME000001", "NOBODY000000001"
BACK_ON: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def polar(database: Database) -> Pipeline:
    """Give a test a pipeline with the programme of cycles in force."""
    apply_skyways(database, folder=FOLDER)
    return make_pipeline(database)


def clear(pipeline: Pipeline, place: str, number: int, cents: int, *, refund_of: int | None = None) -> None:
    """Clear one purchase, or a refund of an earlier one."""
    fields = {"acquirer": "412345", "acceptor": place, "amount": str(cents)}
    if refund_of is not None:
        named = {"retrieval_reference": f"{refund_of:012d}", "approval_code": f"A{refund_of:05d}"}
        fields |= {"processing_code": "200000", "message_number": "2", **named}
    take(pipeline, file_of(presentment(number, **fields), file_id=f"F-{number}", total=cents), bank="fjord")


def closed(pipeline: Pipeline, root: Path, day: date) -> set[tuple[str, ...]]:
    """Close a business date, and return the lines of its files that are about discounts and rewards."""
    settled = settle(
        pipeline.database.service,
        CycleKey(bank="fjord", programme="polar", business_date=day),
        parties=parties_of(pipeline.snapshots.current.latest("polar"), "fjord"),
        current=day,
        now=datetime(day.year, day.month, day.day, 22, tzinfo=UTC),
        root=root,
    )
    assert isinstance(settled, Settled), settled
    return {line for line in lines_of(settled) if not line[1].startswith("miles")}


def table(heading: str) -> set[tuple[str, ...]]:
    """Return the rows of the table under a heading of the page."""
    section = PAGE.partition(f"\n### {heading}\n")[2].partition("\n## ")[0].partition("\n### ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return {tuple(cell.strip().strip("`") for cell in line.strip("|").split("|")) for line in lines}


def test_the_files_show_the_figures_of_the_page(polar: Pipeline, tmp_path: Path) -> None:
    """The chair at the second brand carries the money; the refund at the first brand brings it back to the retailer."""
    clear(polar, FOOD, 1, 180_00)
    clear(polar, HOME, 2, 150_00)
    clear(polar, HOME, 2, 150_00)
    assert table("The files of 20 November") == closed(polar, tmp_path, date(2026, 11, 20))

    polar.now = BACK_ON
    clear(polar, FOOD, 9, 180_00, refund_of=1)
    assert table("The files of 23 November") == closed(polar, tmp_path, date(2026, 11, 23))
    assert_books_agree(polar)


def key_of(pipeline: Pipeline) -> Key:
    """Return the only account."""
    ((bucket, account),) = rows(pipeline.database, "SELECT bucket, id FROM account")
    return bucket, bytes(account)


def used(pipeline: Pipeline, number: int) -> Used | UseRefused:
    """Use a lounge visit."""
    use = Use(entitlement="lounge", count=1, reason="Lounge", actor="maria", request_id=UUID(int=number))
    return use_entitlement(
        pipeline.database.service, pipeline.snapshots, key_of(pipeline), use, clock=lambda: pipeline.now
    )


def held(pipeline: Pipeline) -> list[tuple[int, int, int]]:
    """Return what each purchase was granted of visits, what of it was used and what is left."""
    with pipeline.database.service.connect() as connection:
        snapshot = pipeline.snapshots.refresh(connection)
        found = holdings_of(connection, snapshot, "polar", key_of(pipeline))
    return sorted((entry.granted, entry.used, entry.left) for entry in found if entry.unit == "lounge")


def test_an_unused_visit_settles_with_what_took_it_back(polar: Pipeline) -> None:
    """The refund of the first of three purchases takes the third one's visit, and nothing is owed when it expires."""
    for number in (1, 2, 3):
        clear(polar, NOWHERE, number, 60_00)
    assert [(1, 0, 1)] == held(polar)
    polar.now = BACK_ON
    clear(polar, NOWHERE, 9, 60_00, refund_of=1)
    assert [(-1, 0, 0), (1, 0, 0)] == held(polar)
    refused = used(polar, 1)
    assert isinstance(refused, UseRefused)
    assert UseRefusal.NOT_ENOUGH_LEFT is refused.refusal
    clear(polar, NOWHERE, 4, 60_00)
    assert Used(left=0, duplicate=False) == used(polar, 2)
    assert_books_agree(polar)


def test_a_used_visit_is_owed(polar: Pipeline) -> None:
    """The visit was used before its cycle was undone: the next one makes up for it."""
    for number in (1, 2, 3):
        clear(polar, NOWHERE, number, 60_00)
    assert Used(left=0, duplicate=False) == used(polar, 1)
    polar.now = BACK_ON
    clear(polar, NOWHERE, 9, 60_00, refund_of=1)
    assert [(-1, 0, -1), (1, 1, 0)] == held(polar)
    clear(polar, NOWHERE, 4, 60_00)
    assert isinstance(used(polar, 2), UseRefused)
    assert_books_agree(polar)


def paid(pipeline: Pipeline, number: int, cents: int, place: str) -> Answer:
    """Authorize one purchase."""
    (answer,) = pipeline.send(
        iso87(
            "0110",
            bank="fjord",
            response_code="00",
            trace_number=f"{number:06d}",
            retrieval_reference=f"{number:012d}",
            acquirer="412345",
            acceptor=place,
            amount=f"{cents:012d}",
        )
    )
    return answer


def test_a_promise_is_explained(polar: Pipeline) -> None:
    """What an authorization promises names the period, what it comes to and its worth, in money and in visits."""
    clear(polar, FOOD, 1, 180_00)
    clear(polar, HOME, 2, 60_00)
    found = explain(polar, paid(polar, 3, 150_00, HOME))
    assert found.reproduced
    told = " ".join(found.sentences)
    assert "of one month: they stood at 240.00 EUR and stand at 240.00 EUR now, worth 0.00 EUR in all" in told
    assert "of which this purchase earns 15.00 EUR" in told
    assert "of one year: they stood at 2 purchases and stand at 2 purchases now, worth 0 lounge in all" in told
    assert "It gives you 15.00 Euro in all." in found.for_member
    assert "It gives you 1 x Airport lounge visit in all." in found.for_member
    assert_books_agree(polar)
