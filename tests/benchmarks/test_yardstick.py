"""The yardstick that the benchmark measures itself beside: the same rows, one transaction a message."""

from datetime import timedelta
from itertools import islice
from pathlib import Path

import pytest

from benchmarks.ground import pgbench_program
from benchmarks.row_shape import SampleError, Shape, count_writes, expected_rows, sample_shapes
from benchmarks.yardstick import open_accounts, open_counters, run, write_scripts
from examples.traffic import authorizations
from processor.flow.submission import IncomingMessage
from tests.conftest import TODAY, Database
from tests.flow.conftest import NOW, Pipeline, apply_skyways, make_pipeline, programme_of

ACCOUNTS = 500
MESSAGES = 2000
TRANSACTIONS_A_CLIENT = 250


def _send(pipeline: Pipeline, messages: list[IncomingMessage]) -> None:
    """Decide messages in batches that hold each account once."""
    for start in range(0, len(messages), ACCOUNTS):
        answers = pipeline.send(*messages[start : start + ACCOUNTS])
        assert {"ACCEPTED"} == {answer.outcome.name for answer in answers}


def _traffic() -> list[IncomingMessage]:
    made = authorizations(ACCOUNTS + MESSAGES, seed=5, now=NOW, bank="alpha", dialect="iso87-ascii", accounts=ACCOUNTS)
    return [
        IncomingMessage(caller_id=one.caller_id, bank=one.bank, dialect=one.dialect, iso8583=one.message)
        for one in made
    ]


def _writes(database: Database) -> dict[str, int]:
    database.service.dispose()
    database.owner.dispose()  # Statistics of a connection are complete once it has gone.
    with database.owner.connect() as connection:
        return count_writes(connection)


def _per_message(before: dict[str, int], after: dict[str, int], messages: int) -> dict[str, float]:
    return {table: (after[table] - before[table]) / messages for table in after if after[table] != before[table]}


def _shapes(database: Database, pipeline: Pipeline) -> list[Shape]:
    with database.owner.connect() as connection:
        return sample_shapes(connection, programme_of(pipeline), messages=MESSAGES)


def test_scripts_leave_the_rows_that_messages_leave(database: Database, tmp_path: Path) -> None:
    """One transaction a message leaves as many rows in every table as the processor does, within one in a hundred."""
    apply_skyways(database)
    pipeline = make_pipeline(database)
    traffic = iter(_traffic())
    programme = programme_of(pipeline)
    _send(pipeline, list(islice(traffic, ACCOUNTS)))
    with database.owner.begin() as connection:
        open_counters(connection, programme, TODAY)
    before = _writes(database)
    pipeline.now = NOW + timedelta(minutes=1)
    _send(pipeline, list(traffic))
    ours = _per_message(before, _writes(database), MESSAGES)
    shapes = _shapes(database, pipeline)

    with database.owner.begin() as connection:
        open_accounts(connection, programme, accounts=ACCOUNTS)
        open_counters(connection, programme, TODAY)
    scripts = write_scripts(tmp_path, shapes, programme, accounts=ACCOUNTS, day=TODAY)
    before = _writes(database)
    ran = run(
        pgbench_program(),
        database.urls.service_url,
        ["--no-vacuum", *scripts.arguments, f"--transactions={TRANSACTIONS_A_CLIENT}", "--random-seed=1"],
        jobs=1,
    )
    theirs = _per_message(before, _writes(database), ran.transactions)

    assert pytest.approx(ours, rel=1e-9) == {table: rows for table, rows in expected_rows(shapes).items() if rows}
    assert pytest.approx(ours, rel=0.01) == theirs


def test_a_purchase_of_several_messages_is_no_sample(database: Database) -> None:
    """A message that joins an earlier purchase writes other rows, so it is refused as a sample."""
    apply_skyways(database)
    pipeline = make_pipeline(database)
    message = _traffic()[0]
    reversal = IncomingMessage(
        caller_id="2", bank=message.bank, dialect=message.dialect, iso8583=message.iso8583.replace(b"0110", b"0210", 1)
    )
    _send(pipeline, [message, reversal])

    with pytest.raises(SampleError, match="did not begin a purchase"):
        _shapes(database, pipeline)
