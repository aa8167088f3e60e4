"""Clearing files for the tests: built, handed in, decided, and all that they leave behind."""

import io
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from processor.flow.clearing import AcceptedClearingFile, accept_clearing_file
from processor.flow.clearing_run import ClearingRun, wall_clock
from processor.wire.encode import encode_message
from processor.wire.ipm import write_records
from tests.conftest import Database
from tests.flow.audit import award_sums, balances, count, ledger_sums, purchases, rows
from tests.flow.conftest import DIALECTS, Pipeline, take_clearing_file

CLEARING: Final = DIALECTS["ipm93-ebcdic"]
CARDS: Final = ("4000000000000002", "4000000000000010", "4000000000000028", "4000000000000036", "4000000000000044")
FACTS: Final = (
    "message",
    "decision",
    "award",
    "posting",
    "purchase",
    "undecodable",
    "clearing_file",
    "clearing_chunk",
    "clearing_exception",
)
NOTHING: Final[Mapping[str, int]] = dict.fromkeys(FACTS, 0)


def presentment(number: int, mti: str = "1240", **fields: str) -> bytes:
    """Build the presentment of a purchase of 100.00 EUR, or another record that names it."""
    values = {
        "pan": CARDS[0],
        "processing_code": "000000",
        "amount": "10000",
        "local_date_time": "261119103000",
        "entry_mode": "510101511344",
        "function_code": "200",
        "mcc": "5999",
        "acquirer_reference": f"7123456632300000{number:07d}",
        "acquirer": "12345678",
        "forwarder": "600001",
        "retrieval_reference": f"{number:012d}",
        "approval_code": f"A{number:05d}",
        "terminal": "TERM0001",
        "acceptor": "NOBODY000000001",
        "acceptor_name": "NOBODY\\STREET 1\\WIEN\\1010      AUT",
        "currency": "978",
        "message_number": str(number + 1),
        **fields,
    }
    return encode_message(CLEARING, mti, {name: value for name, value in values.items() if value})


def file_of(
    *records: bytes,
    file_id: str = "FILE-1",
    total: int | None = None,
    messages: int | None = None,
    blocked: bool = True,
) -> bytes:
    """Put records of 100.00 EUR each between a header and a trailer."""
    header = encode_message(CLEARING, "1644", {"function_code": "697", "file_id": file_id, "message_number": "1"})
    trailer = encode_message(
        CLEARING,
        "1644",
        {
            "function_code": "695",
            "file_id": file_id,
            "file_amount": f"{len(records) * 10000 if total is None else total:016d}",
            "file_messages": f"{len(records) + 2 if messages is None else messages:08d}",
            "message_number": str(len(records) + 2),
        },
    )
    return write_records([header, *records, trailer], blocked=blocked)


def accept(
    pipeline: Pipeline, content: bytes, bank: str = "alpha", format_name: str = "ipm93-ebcdic"
) -> AcceptedClearingFile:
    """Hand in one clearing file, and decide nothing of it."""
    return accept_clearing_file(
        io.BytesIO(content), bank=bank, format_name=format_name, intake=pipeline.intake, decider=pipeline.decider
    )


def take(pipeline: Pipeline, content: bytes, bank: str = "alpha") -> AcceptedClearingFile:
    """Hand in one clearing file, and decide it."""
    return take_clearing_file(
        io.BytesIO(content), bank=bank, dialect_name="ipm93-ebcdic", intake=pipeline.intake, decider=pipeline.decider
    )


def run_of(pipeline: Pipeline, worker: str = "one", *, later_s: float = 0) -> ClearingRun:
    """Return a worker that decides files, whose clock for leases runs ahead by some seconds."""
    return ClearingRun(
        decider=pipeline.decider,
        intake=pipeline.intake,
        worker=worker,
        clock=lambda: wall_clock() + timedelta(seconds=later_s),
    )


def facts(database: Database) -> dict[str, int]:
    """Count what clearing files leave."""
    return {table: count(database, table) for table in FACTS}


def state(database: Database) -> dict[str, object]:
    """Return everything that two runs over the same files must agree on."""
    messages = rows(database, "SELECT id, content, account, fields::text FROM message ORDER BY id")
    return {
        "balances": balances(database),
        "ledger": ledger_sums(database),
        "awards": award_sums(database),
        "purchases": purchases(database),
        "messages": [tuple(map(_plain, row)) for row in messages],
        "facts": facts(database),
    }


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value
