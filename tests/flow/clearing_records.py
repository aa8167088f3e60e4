"""Clearing records for the tests of a pipeline: encoded, read and decided as a clearing file's are."""

from examples.traffic.skyways import CLEARING_DIALECT
from processor.core.message import CardMessage
from processor.flow.submission import Submission, Verdict
from processor.wire.clearing_file import ClearingRecord
from processor.wire.decode import decode
from processor.wire.encode import encode_message
from processor.wire.stored import message_to_json
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


def decided_as(pipeline: Pipeline, record: bytes, *, number: int, file_id: str, bank: str) -> Submission:
    """Read one record as a clearing file is read, and as it comes back from where it waits."""
    dialect = DIALECTS[CLEARING_DIALECT]
    read = pipeline.intake.read_record(
        ClearingRecord(number=number, place=f"record {number}", raw=record, decoded=decode(dialect, record)),
        pipeline.snapshots.current,
        pipeline.now,
        bank=bank,
        dialect=dialect,
        file_id=file_id,
    )
    assert isinstance(read, CardMessage), read
    fields = message_to_json(read)
    return pipeline.intake.read_stored(fields, pipeline.snapshots.current, pipeline.now, replay=False)


def clear(pipeline: Pipeline, *records: bytes, bank: str = "alpha") -> list[Verdict]:
    """Decide clearing records as one batch."""
    return pipeline.decider.decide(
        [
            decided_as(pipeline, record, number=number, file_id="FILE", bank=bank)
            for number, record in enumerate(records, start=2)
        ]
    )
