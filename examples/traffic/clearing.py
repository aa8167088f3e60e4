"""Clearing files: each bank's presentments of one day between a header and a trailer, EBCDIC and in blocks.

The trailer counts the records, itself and the header included, and adds up all amounts, whatever their currencies.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Final

from examples.traffic.scene import Presentment
from examples.traffic.skyways import CLEARING_DIALECT, dialects
from processor.wire.encode import encode_message
from processor.wire.ipm import write_records

_FILE_TYPE: Final = "002"
_HEADER: Final = "697"
_TRAILER: Final = "695"


def by_bank_and_day(presentments: Iterable[Presentment]) -> dict[tuple[str, date], list[Presentment]]:
    """Return the presentments of each file, the files in the order of bank and day."""
    files: dict[tuple[str, date], list[Presentment]] = {}
    for presentment in presentments:
        files.setdefault((presentment.bank, presentment.day), []).append(presentment)
    return dict(sorted(files.items()))


def clearing_file(presentments: Sequence[Presentment], *, day: date, institution: str, sequence: int) -> bytes:
    """Return the bytes of one file; ``institution`` and ``sequence`` (up to 99999) tell its id from other files'."""
    dialect = dialects()[CLEARING_DIALECT]
    file_id = f"{_FILE_TYPE}{day:%y%m%d}{institution:0>11}{sequence:05d}"
    total = sum(int(presentment.elements["amount"]) for presentment in presentments)
    records = [("1644", {"function_code": _HEADER, "file_id": file_id})]
    records += [("1240", presentment.elements) for presentment in presentments]
    records.append(
        (
            "1644",
            {
                "function_code": _TRAILER,
                "file_id": file_id,
                "file_amount": f"{total:016d}",
                "file_messages": f"{len(presentments) + 2:08d}",
            },
        )
    )
    numbered = enumerate(records, start=1)
    encoded = [encode_message(dialect, mti, {**fields, "message_number": str(n)}) for n, (mti, fields) in numbered]
    return write_records(encoded, blocked=True)
