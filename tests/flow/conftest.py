"""A running pipeline without a network: the example programme applied, and a decider on a real database."""

import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import pytest

import schemas
from processor.core.programme import Programme
from processor.flow.address_book import AddressBook
from processor.flow.batch import BatchDecider
from processor.flow.clearing import AcceptedClearingFile, accept_clearing_file
from processor.flow.clearing_run import ClearingRun
from processor.flow.intake import Intake
from processor.flow.programmes import Applied, apply_programme
from processor.flow.snapshot import Snapshots
from processor.flow.submission import Answer, IncomingMessage
from processor.flow.worker import Worker
from processor.store.clearing import TAKEN, find_file
from processor.wire.dialect import Dialect, parse_dialect
from processor.wire.encode import encode_message
from processor.wiring import known_layouts
from tests.conftest import Database

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SKYWAYS = Path(__file__).parents[2] / "examples" / "skyways"
TOKEN_KEYS = {"k1": bytes(range(32))}
BUCKETS = 256


def shipped_dialects() -> dict[str, Dialect]:
    """Compile every shipped dialect."""
    texts = schemas.iso8583_dialects()
    return {name: parse_dialect(name, text, texts) for name, text in texts.items()}


DIALECTS = shipped_dialects()


@dataclass(slots=True, kw_only=True)
class Pipeline:
    """The parts of a worker, and a clock a test can set; they are left out where a failure prints it."""

    database: Database = field(repr=False)
    snapshots: Snapshots = field(repr=False)
    intake: Intake = field(repr=False)
    decider: BatchDecider = field(repr=False)
    worker: Worker = field(repr=False)
    now: datetime = NOW

    def clock(self) -> datetime:
        """Return the time the test set."""
        return self.now

    def send(self, *messages: IncomingMessage) -> list[Answer]:
        """Answer messages as one batch, on this thread."""
        return self.worker._answers(list(messages))


def apply_skyways(
    database: Database, *, document: str | None = None, now: datetime = NOW, folder: Path = SKYWAYS
) -> Applied:
    """Apply the example programme or that of another folder, or a changed document beside its merchants."""
    text = document or (folder / "programme.yaml").read_text()
    files = {path.name: path.read_text() for path in folder.glob("*.csv")}
    applied = apply_programme(
        database.service, document=text, files=files, source="programme.yaml", actor="test", now=now
    )
    assert isinstance(applied, Applied), applied
    return applied


def make_pipeline(database: Database) -> Pipeline:
    """Build the parts of one worker on a database."""
    snapshots = Snapshots()
    with database.service.connect() as connection:
        snapshots.refresh(connection)
    intake = Intake(dialects=DIALECTS, token_keys=TOKEN_KEYS, active="k1", layouts=known_layouts(DIALECTS))
    holder: list[Pipeline] = []
    decider = BatchDecider(
        engine=database.service,
        snapshots=snapshots,
        address_book=AddressBook(database.service, BUCKETS),
        clock=lambda: holder[0].now,
    )
    worker = Worker(intake=intake, decider=decider, snapshots=snapshots, clock=lambda: holder[0].now, dialects=DIALECTS)
    pipeline = Pipeline(database=database, snapshots=snapshots, intake=intake, decider=decider, worker=worker)
    holder.append(pipeline)
    return pipeline


@pytest.fixture
def pipeline(database: Database) -> Pipeline:
    """Give a test a pipeline with the example programme in force."""
    apply_skyways(database)
    return make_pipeline(database)


def programme_of(pipeline: Pipeline) -> Programme:
    """Return the example programme as it is in force."""
    return pipeline.snapshots.current.latest("skyways")


def iso87(
    mti: str, *, bank: str = "alpha", dialect: str = "iso87-ascii", caller_id: str = "1", **fields: str
) -> IncomingMessage:
    """Encode a message of the 1987 dialects; sensible values stand where a test names none."""
    values = {
        "pan": "4000000000000002",
        "processing_code": "000000",
        "amount": "000000010000",
        "transmission_date_time": "1120113000",
        "trace_number": "000001",
        "local_time": "113000",
        "local_date": "1120",
        "mcc": "5411",
        "entry_mode": "051",
        "condition_code": "00",
        "acquirer": "12345678",
        "retrieval_reference": "632400000001",
        "terminal": "TERM0001",
        "acceptor": "NOBODY000000001",
        "currency": "978",
        **fields,
    }
    raw = encode_message(DIALECTS[dialect], mti, {name: value for name, value in values.items() if value})
    return IncomingMessage(caller_id=caller_id, bank=bank, dialect=dialect, iso8583=raw)


def take_clearing_file(
    source: BinaryIO, *, bank: str, dialect_name: str, intake: Intake, decider: BatchDecider
) -> AcceptedClearingFile:
    """Accept a clearing file, and decide what waits until it is taken."""
    accepted = accept_clearing_file(source, bank=bank, format_name=dialect_name, intake=intake, decider=decider)
    run = ClearingRun(decider=decider, intake=intake, worker=f"test {id(decider)}")
    while accepted.row.state != TAKEN:
        if run.run_next() is None:
            time.sleep(0.02)
        with decider.engine.connect() as connection:
            row = find_file(connection, bank, accepted.row.file_id)
        assert row is not None
        accepted = replace(accepted, row=row)
    return accepted
