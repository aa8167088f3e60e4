"""Clearing records for the tests of a pipeline: encoded, read and decided as a clearing file's are."""

from examples.traffic.skyways import CLEARING_DIALECT
from processor.flow.submission import Submission, Verdict
from processor.wire.encode import encode_message
from tests.flow.conftest import DIALECTS, Pipeline


def presentment(number: int = 1, **fields: str) -> bytes:
    """Encode a first presentment of 100.00 EUR; sensible values stand where a test names none."""
    values = {
        "pan": "4000000000000002",
        "processing_code": "000000",
        "amount": "000000010000",
        "local_date_time": "261120113000",
        "function_code": "200",
        "mcc": "5411",
        "acquirer_reference": f"7123456{number:016d}",
        "acquirer": "12345678",
        "acceptor": "NOBODY000000001",
        "currency": "978",
        **fields,
    }
    return encode_message(DIALECTS[CLEARING_DIALECT], "1240", {name: value for name, value in values.items() if value})


def clear(pipeline: Pipeline, *records: bytes, bank: str = "alpha") -> list[Verdict]:
    """Decide clearing records as one batch."""
    read = [
        pipeline.intake.read_record(
            record,
            pipeline.snapshots.current,
            pipeline.now,
            bank=bank,
            dialect=DIALECTS[CLEARING_DIALECT],
            file_id="FILE",
            number=number,
        )
        for number, record in enumerate(records, start=2)
    ]
    submissions = [entry for entry in read if isinstance(entry, Submission)]
    assert len(records) == len(submissions), read
    return pipeline.decider.decide(submissions)
