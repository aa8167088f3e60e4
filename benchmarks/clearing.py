"""How fast a clearing file is read, beside plain cardutil on the same bytes: ``python -m benchmarks.clearing``.

Reading is framing and decoding every record, with the control totals checked on our side and not on the other's.
Rounds alternate, and a ratio is taken within a round, so that what disturbs the machine disturbs both.
"""

import argparse
import io
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Final

from cardutil.mciipm import IpmReader

import schemas
from processor.wire.dialect import Dialect, parse_dialect
from processor.wire.encode import encode_message
from processor.wire.ipm import write_records
from processor.wire.ipm_file import IpmReading

DIALECT: Final = "ipm93-ebcdic"
AMOUNT_MINOR: Final = 12_345


def dialect() -> Dialect:
    """Compile the dialect of the file."""
    texts = schemas.iso8583_dialects()
    return parse_dialect(DIALECT, texts[DIALECT], texts)


def clearing_file(spoken: Dialect, presentments: int, *, blocked: bool) -> bytes:
    """Return the bytes of a file of presentments, each with the elements that a bank's file has."""
    header = encode_message(spoken, "1644", {"function_code": "697", "file_id": "BENCH", "message_number": "1"})
    trailer = {
        "function_code": "695",
        "file_id": "BENCH",
        "file_amount": f"{presentments * AMOUNT_MINOR:016d}",
        "file_messages": f"{presentments + 2:08d}",
        "message_number": str(presentments + 2),
    }
    records = [_presentment(spoken, number) for number in range(presentments)]
    return write_records([header, *records, encode_message(spoken, "1644", trailer)], blocked=blocked)


def _presentment(spoken: Dialect, number: int) -> bytes:
    return encode_message(
        spoken,
        "1240",
        {
            "pan": f"5413330000{number % 1_000_000:06d}",
            "processing_code": "000000",
            "amount": str(AMOUNT_MINOR),
            "local_date_time": "261119103000",
            "entry_mode": "510101511344",
            "function_code": "200",
            "mcc": "5411",
            "acquirer_reference": f"7123456632300{number:010d}",
            "acquirer": "12345678",
            "forwarder": "600001",
            "retrieval_reference": f"{number:012d}",
            "approval_code": f"A{number % 100_000:05d}",
            "terminal": "TERM0001",
            "acceptor": "MERCHANT0000001",
            "acceptor_name": "GROCER\\MAIN STREET 1\\WIEN\\1010      AUT",
            "currency": "978",
            "message_number": str(number + 2),
            "originator": "600001",
            "lifecycle_id": f"MCC{number:09d}",
        },
    )


def read_ours(spoken: Dialect, data: bytes, *, blocked: bool) -> int:
    """Read a file with the processor's reader; return the sum of its amounts."""
    reading = IpmReading(io.BytesIO(data), spoken, blocked=blocked)
    return sum(int(record.decoded.fields["amount"]) for record in reading.records() if record.decoded)


def read_with_cardutil(data: bytes, *, blocked: bool) -> int:
    """Read the same file as cardutil's documentation does; return the sum of its amounts."""
    reader = IpmReader(io.BytesIO(data), encoding="cp500", blocked=blocked)
    return sum(record["DE4"] for record in reader if record["MTI"] == "1240")


def rounds(presentments: int, count: int, *, blocked: bool) -> Iterator[tuple[float, float]]:
    """Yield the processor seconds of each round, ours and cardutil's, having checked that both read the same."""
    spoken = dialect()
    data = clearing_file(spoken, presentments, blocked=blocked)
    for _ in range(count):
        ours, seconds = _timed(lambda: read_ours(spoken, data, blocked=blocked))
        theirs, other = _timed(lambda: read_with_cardutil(data, blocked=blocked))
        if not ours == theirs == presentments * AMOUNT_MINOR:
            raise SystemExit(f"the readers differ: {ours} and {theirs}")
        yield seconds, other


def _timed(read: Callable[[], int]) -> tuple[int, float]:
    began = time.process_time()
    return read(), time.process_time() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    print("| file | ours, us a record | cardutil, us a record | times as fast: median | least | greatest |")
    print("|---|---:|---:|---:|---:|---:|")
    for blocked in (False, True):
        measured = list(rounds(chosen.records, chosen.rounds, blocked=blocked))
        ratios = sorted(theirs / ours for ours, theirs in measured)
        ours, theirs = (median(column) / chosen.records * 1e6 for column in zip(*measured, strict=True))
        name = "blocked" if blocked else "unblocked"
        print(f"| {name} | {ours:.0f} | {theirs:.0f} | {median(ratios):.1f} | {ratios[0]:.1f} | {ratios[-1]:.1f} |")


if __name__ == "__main__":
    main()
