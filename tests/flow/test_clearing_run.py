"""Deciding accepted clearing files: chunk by chunk under a lease, the same in the end after any interruption."""

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count as numbers
from typing import Any, Final

import psycopg2
import pytest
import structlog
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from processor.core.outcome import Outcome, Reason
from processor.flow import batch, clearing, clearing_run
from processor.flow.clearing import AcceptedClearingFile, ChangedClearingFileError, ClearingInterruptedError
from processor.flow.clearing_stage import StagedRecord
from processor.flow.pace import Pace
from processor.store.card_side import write_batch
from processor.store.embedded import create_database, drop_database
from processor.store.engine import connect
from processor.wire.encode import encode_message
from tests.conftest import Database
from tests.flow.audit import assert_books_agree, count, rows, totals
from tests.flow.clearing_files import (
    CARDS,
    CLEARING,
    accept,
    facts,
    file_of,
    presentment,
    run_of,
    state,
    take,
)
from tests.flow.conftest import Pipeline, apply_skyways, iso87, make_pipeline, take_clearing_file


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep the log of the failures that the tests cause."""
    with structlog.testing.capture_logs():
        yield


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a small file have several chunks."""
    monkeypatch.setattr(clearing, "RECORDS_IN_A_CHUNK", 4)


def _big_file() -> bytes:
    records = [presentment(number, pan=CARDS[number % len(CARDS)]) for number in range(1, 11)]
    records[3] = records[3].replace("10000".encode("cp500"), "1000A".encode("cp500"))
    return file_of(*records)


@pytest.mark.parametrize("batches", [0, 1, 2])
def test_an_interrupted_file_ends_like_an_undisturbed_one(
    pipeline: Pipeline,
    undisturbed: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
    batches: int,
) -> None:
    """Where the database goes after some batches, the file waits where it is, and then all is there."""
    accept(pipeline, _big_file())
    written: list[int] = []
    with monkeypatch.context() as broken:
        broken.setattr(batch, "write_batch", lambda *arguments: _lose_after(written, batches, *arguments))
        with pytest.raises(ClearingInterruptedError, match="goes on when it does"):
            run_of(pipeline).run_next()
    ((status, decided),) = rows(pipeline.database, "SELECT state, decided FROM clearing_file")
    assert ("taking", 4 * batches) == (status, decided)
    with pytest.raises(ChangedClearingFileError):
        accept(pipeline, file_of(presentment(1)))
    assert accept(pipeline, _big_file()).duplicate

    taken = run_of(pipeline).run_next()

    assert taken is not None
    assert ("taken", 10, 10) == (taken.state, taken.decided, sum(taken.outcomes.values()))
    assert undisturbed == state(pipeline.database)
    assert_books_agree(pipeline)


def test_a_record_decided_again_counts_as_it_did(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was parked is listed and what was accepted counts so, though the worker ended before it said any of it.

    A record of an earlier file stays a duplicate, and so does the second of two that are one.
    """
    take(pipeline, file_of(presentment(1), file_id="A"))
    old = presentment(2, local_date_time="250101103000")
    accept(pipeline, file_of(presentment(1), old, presentment(3), presentment(3), file_id="B"))

    def end(*_: object, **__: object) -> bool:
        raise OperationalError("", {}, psycopg2.OperationalError("the worker ended"))

    with monkeypatch.context() as ended:
        ended.setattr(clearing_run, "advance", end)
        with pytest.raises(ClearingInterruptedError):
            run_of(pipeline).run_next()
    assert 0 == count(pipeline.database, "clearing_exception")

    taken = run_of(pipeline).run_next()

    assert taken is not None
    assert {"DUPLICATE EARNED": 2, "PARKED TOO_OLD": 1, "ACCEPTED EARNED": 1} == taken.outcomes
    assert [(3, int(Outcome.PARKED))] == rows(pipeline.database, "SELECT number, outcome FROM clearing_exception")
    assert_books_agree(pipeline)


def test_a_file_is_accepted_by_one_change(pipeline: Pipeline) -> None:
    """Accepted, a file waits in chunks of tokens and nothing is decided; decided, no chunk is left."""
    accepted = accept(pipeline, _big_file())
    before = facts(pipeline.database)

    taken = run_of(pipeline).run_next()

    assert (False, "taking", 10, 0, {}) == (
        accepted.duplicate,
        accepted.row.state,
        accepted.row.records,
        accepted.row.decided,
        accepted.row.outcomes,
    )
    assert {"clearing_file": 1, "clearing_chunk": 3} == {table: rows for table, rows in before.items() if rows}
    assert taken is not None
    assert ("taken", {"ACCEPTED EARNED": 9, "PARKED UNDECODABLE": 1}) == (taken.state, taken.outcomes)
    assert 0 == count(pipeline.database, "clearing_chunk")
    assert run_of(pipeline).run_next() is None


def test_a_lease_keeps_others_away_until_it_ends(pipeline: Pipeline) -> None:
    """A worker that ended without a word is followed once its lease is over, behind the chunks that it decided."""
    accept(pipeline, _big_file())
    asked = numbers()
    run = run_of(pipeline, "killed")
    run._lease()

    assert run_of(pipeline, "other").run_next() is None
    stopped = run_of(pipeline, "killed").run_next(lambda: next(asked) == 1)
    assert stopped is not None
    assert ("taking", 4) == (stopped.state, stopped.decided)
    run._lease()
    assert run_of(pipeline, "other", later_s=9).run_next() is None
    taken = run_of(pipeline, "other", later_s=11).run_next()
    assert taken is not None
    assert ("taken", 10) == (taken.state, taken.decided)
    assert_books_agree(pipeline)


def test_a_stop_gives_the_lease_back(pipeline: Pipeline) -> None:
    """A worker that is told to stop ends behind its chunk, and the next one goes on at once."""
    accept(pipeline, _big_file())
    asked = numbers()

    stopped = run_of(pipeline, "one").run_next(lambda: next(asked) == 2)
    taken = run_of(pipeline, "two").run_next()

    assert stopped is not None
    assert taken is not None
    assert (8, 10, "taken") == (stopped.decided, taken.decided, taken.state)


def test_a_chunk_decided_twice_changes_nothing(pipeline: Pipeline) -> None:
    """A worker that ended before it could say that a chunk is decided is followed by one that finds it decided."""
    accept(pipeline, _big_file())
    run = run_of(pipeline)
    row = run._lease()
    assert row is not None
    assert run._decide_chunk(row, resumed=True) is not None
    before = state(pipeline.database)
    assert run._decide_chunk(row, resumed=True) is None, "another worker was quicker"
    with pipeline.database.owner.connect() as connection:
        assert 1 == connection.exec_driver_sql("SELECT decided_chunks FROM clearing_file").scalar_one()
    assert before == state(pipeline.database)

    taken = run.run_next()

    assert taken is not None
    assert {"ACCEPTED EARNED": 9, "PARKED UNDECODABLE": 1} == taken.outcomes
    assert (0, 9 * 75) == totals(pipeline.database)


def stage(mti: str, number: int, function_code: str, amount: int, **fields: str) -> bytes:
    """Build another record of the purchase that a presentment of this number cleared."""
    values = {
        "pan": CARDS[0],
        "processing_code": "000000",
        "amount": str(amount),
        "local_date_time": f"2611191{int(function_code) % 10}3000",
        "function_code": function_code,
        "acquirer_reference": f"7123456632300000{number:07d}",
        "acquirer": "12345678",
        "acceptor": "NOBODY000000001",
        "currency": "978",
        **fields,
    }
    return encode_message(CLEARING, mti, {name: value for name, value in values.items() if value})


def test_a_banks_outgoing_file_tells_its_disputes(pipeline: Pipeline) -> None:
    """Chargebacks, second presentments, arbitration and their reversals take back and give again; fees earn nothing."""
    take(pipeline, file_of(*[presentment(number) for number in range(1, 5)]))
    assert (0, 4 * 75) == totals(pipeline.database)
    disputes = [
        stage("1442", 1, "450", 10_000),
        stage("1442", 2, "453", 4_000),
        stage("1442", 3, "450", 10_000),
        stage("1240", 3, "205", 10_000),
        stage("1442", 4, "450", 10_000),
        stage("1442", 4, "450", 10_000, presentment_reversal="R"),
        stage("1740", 1, "700", 500),
        encode_message(CLEARING, "1644", {"function_code": "603", "amount": "0"}),
    ]
    amount = 10_000 + 4_000 + 10_000 + 10_000 + 10_000 + 10_000 + 500

    taken = take(pipeline, file_of(*disputes, file_id="OUT-1", total=amount))

    assert len(disputes) == sum(taken.row.outcomes.values())
    assert 0 == count(pipeline.database, "clearing_exception")
    assert (0, 0 + 45 + 75 + 75) == totals(pipeline.database)
    second = take(pipeline, file_of(stage("1442", 3, "451", 10_000), file_id="OUT-2", total=10_000))
    assert {"ACCEPTED TAKEN_BACK": 1} == second.row.outcomes
    assert (0, 0 + 45 + 0 + 75) == totals(pipeline.database)
    assert_books_agree(pipeline)


POSTING_EXTRACT: Final = b"""\
H;posting-csv-v1;ALPHA-20261120-1;2026-11-20
RECORD;CARD_NUMBER;TYPE;AMOUNT;CURRENCY;BILLING_AMOUNT;BILLING_CURRENCY;LOCAL_DATE;LOCAL_TIME;ACQUIRER;ACCEPTOR;\
ACCEPTOR_NAME;MCC;ARN;APPROVAL_CODE
D;4000000000000002;PURCHASE;100.00;EUR;;;2026-11-19;10:30:00;12345678;NOBODY000000001;;5999;71234566323000000000001;A1
D;4000000000000002;PURCHASE;40.00;USD;36.00;EUR;2026-11-19;11:00:00;12345678;NOBODY000000001;;5999;\
71234566323000000000002;A2
D;4000000000000002;REFUND;20.00;EUR;;;2026-11-20;09:00:00;12345678;NOBODY000000001;;5999;71234566323000000000003;
D;4000000000000002;CASH;50.00;EUR;;;2026-11-20;09:30:00;12345678;NOBODY000000001;;6011;71234566323000000000004;
T;EUR;3;170.00
T;USD;1;40.00
"""
DISPUTE_EXTRACT: Final = b"""\
H;dispute-csv-v1;ALPHA-D-20261125-1;2026-11-25
RECORD;CARD_NUMBER;STAGE;AMOUNT;CURRENCY;PURCHASE_DATE;PURCHASE_TIME;ARN;FUNCTION_CODE
D;4000000000000002;CHARGEBACK;100.00;EUR;2026-11-20;08:00:00;71234566323000000000001;450
D;4000000000000002;SECOND-PRESENTMENT;100.00;EUR;2026-11-20;09:00:00;71234566323000000000001;205
D;4000000000000002;ARBITRATION-CHARGEBACK;40.00;EUR;2026-11-20;10:00:00;71234566323000000000001;454
T;EUR;3;240.00
"""


def test_extracts_of_lines_end_like_records(pipeline: Pipeline) -> None:
    """A posting extract earns and takes back, a dispute extract charges back; told again by IPM it is one message."""

    def take_lines(data: bytes) -> AcceptedClearingFile:
        return take_clearing_file(
            io.BytesIO(data), bank="alpha", dialect_name="", intake=pipeline.intake, decider=pipeline.decider
        )

    taken = take_lines(POSTING_EXTRACT)
    assert {"ACCEPTED EARNED": 2, "ACCEPTED TAKEN_BACK": 1, "ACCEPTED EXCLUDED": 1} == taken.row.outcomes
    assert {"EUR": 170_00, "USD": 40_00} == taken.row.totals
    earned = totals(pipeline.database)
    assert take_lines(POSTING_EXTRACT).duplicate
    same = presentment(1, acquirer_reference="71234566323000000000001")
    other = presentment(1, acquirer_reference="71234566323000000000002")
    again = take(pipeline, file_of(same, other, file_id="IPM-1"))
    assert {"DUPLICATE EARNED": 1, "REJECTED IDENTITY_CONFLICT": 1} == again.row.outcomes, (
        "40.00 USD are not 100.00 EUR"
    )
    assert earned == totals(pipeline.database)
    disputed = take_lines(DISPUTE_EXTRACT)
    assert 3 == sum(disputed.row.outcomes.values())
    (pending, available) = totals(pipeline.database)
    assert (0, earned[1] - 30) == (pending, available), "40.00 of 100.00 are in dispute in the end"
    assert_books_agree(pipeline)


def test_a_parked_record_is_listed(pipeline: Pipeline) -> None:
    """A record that decodes and cannot be decided is parked, and listed with its number and why."""
    old = presentment(2, local_date_time="250101103000")

    taken = take(pipeline, file_of(presentment(1), old))

    assert {"ACCEPTED EARNED": 1, "PARKED TOO_OLD": 1} == taken.row.outcomes
    assert [(3, int(Outcome.PARKED), int(Reason.TOO_OLD))] == rows(
        pipeline.database, "SELECT number, outcome, reason FROM clearing_exception"
    )
    assert 1 == count(pipeline.database, "parked")


def test_messages_are_answered_between_chunks(pipeline: Pipeline) -> None:
    """While messages come, a run rests after each chunk three times as long as it took, and they are answered."""
    accept(pipeline, _big_file())
    answered: list[Outcome] = []
    rests: list[float] = []
    times = numbers()

    def message() -> int:
        number = len(answered) + 1
        (answer,) = pipeline.send(iso87("0110", trace_number=f"{number:06d}", response_code="00"))
        answered.append(answer.outcome)
        return len(answered)

    run = run_of(pipeline)
    run.pace = Pace(messages=message, sleep=rests.append, clock=lambda: float(next(times)) / 10)
    taken = run.run_next()

    assert taken is not None
    assert "taken" == taken.state
    assert [0.3] * 3 == pytest.approx(rests)
    assert {Outcome.ACCEPTED} == set(answered)
    assert len(answered) > 3


def test_an_idle_stream_is_not_waited_for() -> None:
    """Where no message came, nothing rests; where a piece took long, the rest is bounded."""
    rests: list[float] = []
    seen = iter([0, 0, 0, 5, 5])
    times = iter([0.0, 1.0, 50.0, 99.0])
    pace = Pace(messages=lambda: next(seen), sleep=rests.append, clock=lambda: next(times))
    pace.begin()
    pace.rest()
    pace.rest()
    assert [2.0] == rests


def _lose_after(written: list[int], batches: int, cursor: Any, *arguments: Any) -> None:
    """Write a batch; once so many are written, lose the connection every time."""
    write_batch(cursor, *arguments)
    if len(written) >= batches:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    written.append(1)


@pytest.fixture
def undisturbed(administrator_url: str, template_database: str) -> Iterator[dict[str, object]]:
    """Take the same file in another database without any failure, and return how that ended."""
    urls = create_database(administrator_url, "test_undisturbed", template=template_database)
    owner, service = connect(urls.owner_url), connect(urls.service_url)
    apply_skyways(Database(owner=owner, service=service, urls=urls))
    calm = make_pipeline(Database(owner=owner, service=service, urls=urls))
    assert {"ACCEPTED EARNED": 9, "PARKED UNDECODABLE": 1} == take(calm, _big_file()).row.outcomes
    yield state(calm.database)
    owner.dispose()
    service.dispose()
    drop_database(administrator_url, "test_undisturbed")


def test_a_file_handed_in_twice_at_once_counts_once(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two desks with the same file beside each other end in one effect for each record."""
    desks = [make_pipeline(pipeline.database) for _ in range(2)]

    with ThreadPoolExecutor(2) as threads:
        taken = list(threads.map(lambda desk: take(desk, _big_file()), desks))

    assert {10} == {sum(one.row.outcomes.values()) for one in taken}
    assert (0, 9 * 75) == totals(pipeline.database)
    assert 9 == count(pipeline.database, "message")
    assert take(pipeline, _big_file()).duplicate
    assert_books_agree(pipeline)


def test_a_file_that_fails_lets_others_pass(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file on which a worker fails every time waits behind the others, and none of them waits for it."""
    accept(pipeline, file_of(presentment(1), file_id="BAD"))
    accept(pipeline, file_of(presentment(2), file_id="GOOD"))
    worker = run_of(pipeline)

    def fail(content: bytes) -> list[StagedRecord]:
        raise ZeroDivisionError

    with monkeypatch.context() as broken:
        broken.setattr(clearing_run, "unpack_chunk", fail)
        with pytest.raises(ZeroDivisionError):
            worker.run_next()
    taken = worker.run_next()
    assert taken is not None
    assert ("GOOD", "taken") == (taken.file_id, taken.state)
    tried_again = worker.run_next()
    assert tried_again is not None
    assert ("BAD", "taken") == (tried_again.file_id, tried_again.state)


def test_a_file_that_is_known_holds_no_transaction_open(pipeline: Pipeline) -> None:
    """While a known file comes again, however slowly, nothing is idle in a transaction, which the server would end."""
    content = file_of(*[presentment(number) for number in range(1, 401)])
    take(pipeline, content)
    idle = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in trans%'"
    seen: list[int] = []

    class Watched(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            with pipeline.database.service.connect() as connection:  # A role sees the sessions of its own alone.
                seen.append(connection.execute(text(idle)).scalar_one())
            return super().read(size)

    again = take_clearing_file(
        Watched(content), bank="alpha", dialect_name="ipm93-ebcdic", intake=pipeline.intake, decider=pipeline.decider
    )

    assert again.duplicate
    assert {0} == set(seen)
