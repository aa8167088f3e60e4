"""Authorizations that never cleared: they expire once, give back what they held, and a late presentment still earns."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from processor.core.lifecycle import PurchaseState
from processor.core.purchase import fold
from processor.flow.expire import Expired, expire, start_of_day
from processor.flow.submission import IncomingMessage
from processor.flow.sweep import Sweep
from processor.store.purchase_state import decode_purchase
from tests.flow.audit import assert_books_agree, count, rows, totals
from tests.flow.clearing_records import clear, presentment
from tests.flow.conftest import BUCKETS, Pipeline, iso87, make_pipeline

SENT = datetime(2026, 11, 20, 11, 30, tzinfo=UTC)
"""When the authorizations of these tests are sent."""
DUE = SENT + timedelta(days=30)
"""When they are no longer awaited, by the example programme's 30 days."""


def run(pipeline: Pipeline, as_of: datetime, *, days_back: int = 60) -> Expired:
    """Run an expiry over every bucket."""
    pipeline.now = max(pipeline.now, as_of)
    sweep, result = Sweep(buckets=BUCKETS), Expired()
    while sweep.position is not None:
        done = expire(pipeline.decider, sweep, as_of=as_of, days_back=days_back)
        result.examined += done.examined
        result.expired += done.expired
        result.left += done.left
    return result


def states(pipeline: Pipeline) -> list[PurchaseState]:
    """Return the states of all purchases that stand for themselves."""
    found = rows(pipeline.database, "SELECT id, state::text FROM purchase ORDER BY id")
    purchases = [decode_purchase(bytes(id_), state) for id_, state in found]
    return [fold(purchase.events).state for purchase in purchases if purchase.merged_into is None]


def test_an_authorization_expires_once_its_days_are_over(pipeline: Pipeline) -> None:
    """A second before its time nothing happens; then the pending miles are released, and again nothing happens."""
    pipeline.send(iso87("0110", response_code="00"))
    assert (75, 0) == totals(pipeline.database)
    assert 0 == run(pipeline, DUE - timedelta(seconds=1)).expired
    assert (75, 0) == totals(pipeline.database)
    assert Expired(examined=1, expired=1) == run(pipeline, DUE)
    assert (0, 0) == totals(pipeline.database)
    assert [PurchaseState.EXPIRED] == states(pipeline)
    assert Expired() == run(pipeline, DUE)
    assert Expired() == run(pipeline, DUE + timedelta(days=3))
    assert 2 == count(pipeline.database, "message")
    assert_books_agree(pipeline)


def test_a_presentment_after_expiry_still_earns(pipeline: Pipeline) -> None:
    """What expired promises nothing; what clears later is earned in whole."""
    pipeline.send(iso87("0110", response_code="00", approval_code="APPR01"))
    run(pipeline, DUE)
    clear(pipeline, presentment(approval_code="APPR01"))
    assert (0, 75) == totals(pipeline.database)
    assert [PurchaseState.CLEARED] == states(pipeline)
    assert_books_agree(pipeline)


def test_what_cleared_in_part_keeps_what_cleared(pipeline: Pipeline) -> None:
    """The rest of a purchase that cleared in part expires; what cleared stays earned."""
    pipeline.send(iso87("0110", response_code="00", approval_code="APPR01"))
    clear(pipeline, presentment(approval_code="APPR01", amount="4000", clearing_part="0102"))
    assert (45, 30) == totals(pipeline.database)
    assert 1 == run(pipeline, DUE).expired
    assert (0, 30) == totals(pipeline.database)
    assert [PurchaseState.CLEARED] == states(pipeline)
    assert_books_agree(pipeline)


@pytest.mark.parametrize(
    "messages",
    [
        [iso87("0110", response_code="05")],
        [iso87("0100")],
        [
            iso87("0110", response_code="00"),
            iso87("0420", original_data=f"01000000011120113000{'12345678':0>11}{'0':0>11}"),
        ],
    ],
    ids=["declined", "undecided", "reversed"],
)
def test_what_promises_nothing_does_not_expire(pipeline: Pipeline, messages: list[IncomingMessage]) -> None:
    """An expiry is booked where it takes something off, and nowhere else."""
    for message in messages:
        pipeline.send(message)
    before = count(pipeline.database, "message")
    assert 0 == run(pipeline, DUE + timedelta(days=1)).expired
    assert before == count(pipeline.database, "message")


def test_an_authorization_without_miles_expires_too(pipeline: Pipeline) -> None:
    """A purchase that the programme excludes earns nothing, and still is no longer awaited."""
    pipeline.send(iso87("0110", response_code="00", mcc="6011"))
    assert 1 == run(pipeline, DUE).expired
    assert [PurchaseState.EXPIRED] == states(pipeline)


def test_expiry_gives_back_the_caps(pipeline: Pipeline) -> None:
    """Every cap counter that a pending purchase used is nothing again."""
    pipeline.send(iso87("0110", response_code="00", mcc="5541", acceptor="BLUEFUEL0000001"))
    used = "SELECT count(*) FROM limit_counter WHERE used <> 0"
    run(pipeline, DUE)
    assert [(0,)] == rows(pipeline.database, used)
    assert (0, 0) == totals(pipeline.database)
    assert_books_agree(pipeline)


def test_runs_beside_each_other_book_one_event(pipeline: Pipeline) -> None:
    """Four runs at once let twenty authorizations expire once each."""
    for number in range(1, 21):
        pipeline.send(iso87("0110", response_code="00", trace_number=f"{number:06d}", retrieval_reference=""))
    assert (20 * 75, 0) == totals(pipeline.database)
    pipeline.now = DUE + timedelta(days=1)
    others = [make_pipeline(pipeline.database) for _ in range(4)]
    for other in others:
        other.now = pipeline.now
    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(lambda other: run(other, DUE), others))
    assert 20 == sum(one.expired for one in done)
    assert 40 == count(pipeline.database, "message")
    assert (0, 0) == totals(pipeline.database)
    assert_books_agree(pipeline)


def test_a_presentment_beside_a_run_is_never_lost(pipeline: Pipeline) -> None:
    """Presentments and expiry meet on the same purchases; whichever comes first, every presentment earns in whole."""
    for number in range(1, 13):
        code = f"A{number:05d}"
        pipeline.send(iso87("0110", response_code="00", trace_number=f"{number:06d}", approval_code=code))
    pipeline.now = DUE
    beside = make_pipeline(pipeline.database)
    beside.now = DUE

    def present() -> None:
        for number in range(1, 13):
            clear(beside, presentment(number=number, approval_code=f"A{number:05d}"))

    with ThreadPoolExecutor(2) as threads:
        presenting = threads.submit(present)
        run(pipeline, DUE)
        presenting.result()
    run(pipeline, DUE + timedelta(days=1))
    assert (0, 12 * 75) == totals(pipeline.database)
    assert_books_agree(pipeline)


def test_a_call_stops_and_goes_on(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep that reads a page of two at a time and stops after each call ends where one whole sweep ends."""
    for module in ("processor.flow.sweep", "processor.flow.expire"):
        monkeypatch.setattr(f"{module}.PAGE", 2)
    monkeypatch.setattr("processor.flow.sweep.PAGES_A_CALL", 1)
    for number in range(1, 6):
        pipeline.send(iso87("0110", response_code="00", trace_number=f"{number:06d}", retrieval_reference=""))
    assert 5 == run(pipeline, DUE).expired
    assert (0, 0) == totals(pipeline.database)


def test_a_window_bounds_what_is_looked_at(pipeline: Pipeline) -> None:
    """A run that comes long after the last one sees older authorizations once it is told to look further back."""
    pipeline.send(iso87("0110", response_code="00"))
    late = DUE + timedelta(days=100)
    assert Expired() == run(pipeline, late, days_back=60)
    assert 1 == run(pipeline, late, days_back=300).expired


def test_runs_of_one_day_count_back_from_one_moment() -> None:
    """The start of the UTC day is the same all day long, so that a day's runs book the same events."""
    midnight = datetime(2026, 11, 20, tzinfo=UTC)
    assert midnight == start_of_day(SENT) == start_of_day(midnight + timedelta(hours=23, minutes=59))
