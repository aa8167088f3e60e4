"""What a large clearing file costs: seconds and memory to accept and to decide it, its records made while it is read.

Run ``python -m benchmarks.clearing_file --records 1000000``.
It starts a PostgreSQL of its own with the example programme and removes it at the end; one process reads and decides.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sqlalchemy import Engine

from benchmarks.ground import postgres_server
from examples.traffic.skyways import CLEARING_DIALECT, dialects
from processor.flow.address_book import AddressBook
from processor.flow.batch import BatchDecider
from processor.flow.clearing import accept_clearing_file
from processor.flow.clearing_run import ClearingRun, wall_clock
from processor.flow.intake import Intake
from processor.flow.programmes import Applied, apply_programme
from processor.flow.snapshot import Snapshots
from processor.store.embedded import SERVICE_ROLE, temporary_database
from processor.store.engine import connect
from processor.store.schema import upgrade
from processor.wire.encode import encode_message

SKYWAYS: Final = Path(__file__).parents[1] / "examples" / "skyways"
BUCKETS: Final = 256
CARDS: Final = 20_000
CARD_STEP: Final = 617_283_947
"""Makes the cards' digits as mixed as real ones; it shares no factor with 10, so that no two cards are alike."""
AMOUNT_MINOR: Final = 2_500
END_MARK: Final = bytes(4)


class GeneratedFile:
    """A clearing file without blocks that is made while it is read; every record is a purchase of its own."""

    def __init__(self, records: int, day: str) -> None:
        self._records = records
        self._day = day
        self._pieces = self._made()
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, none at the end."""
        rest = self._rest or next(self._pieces, b"")
        piece, self._rest = rest[:size], rest[size:]
        return piece

    def _made(self) -> Iterator[bytes]:
        file_id = f"002{self._day}0000006000100001"
        yield _framed("1644", {"function_code": "697", "file_id": file_id, "message_number": "1"})
        for number in range(self._records):
            yield _framed("1240", self._presentment(number))
        controls = {
            "file_amount": f"{self._records * AMOUNT_MINOR:016d}",
            "file_messages": f"{self._records + 2:08d}",
        }
        yield _framed(
            "1644", {"function_code": "695", "file_id": file_id, "message_number": str(self._records + 2), **controls}
        )
        yield END_MARK

    def _presentment(self, number: int) -> dict[str, str]:
        return {
            "pan": f"400000{number % CARDS * CARD_STEP % 10**9:09d}0",
            "processing_code": "000000",
            "amount": str(AMOUNT_MINOR),
            "local_date_time": f"{self._day}103000",
            "function_code": "200",
            "mcc": "5999",
            "acquirer_reference": f"{number:023d}",
            "acquirer": "12345678",
            "retrieval_reference": f"{number:012d}",
            "approval_code": f"{number % 1_000_000:06d}",
            "acceptor": "NOBODY000000001",
            "currency": "978",
            "message_number": str(min(number + 2, 99_999_999)),
        }


def _framed(mti: str, fields: dict[str, str]) -> bytes:
    raw = encode_message(dialects()[CLEARING_DIALECT], mti, fields)
    return len(raw).to_bytes(4, "big") + raw


def peak_mib() -> int:
    """Return the most memory that this process has held, in MiB."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) // 1024


def measure(service: Engine, records: int) -> None:
    """Accept one generated file and decide it, and print what each took."""
    now = wall_clock()
    applied = apply_programme(
        service,
        document=(SKYWAYS / "programme.yaml").read_text(),
        files={"merchants.csv": (SKYWAYS / "merchants.csv").read_text()},
        source="programme.yaml",
        actor="benchmark",
        now=now,
    )
    assert isinstance(applied, Applied)  # noqa: S101 - the example programme is sound.
    intake = Intake(dialects=dialects(), token_keys={"k1": bytes(range(32))}, active="k1")
    decider = BatchDecider(
        engine=service, snapshots=Snapshots(), address_book=AddressBook(service, BUCKETS), clock=wall_clock
    )
    began = time.monotonic()
    file = GeneratedFile(records, f"{now:%y%m%d}")
    accept_clearing_file(file, bank="alpha", format_name="", intake=intake, decider=decider)
    _say("accepted", records, time.monotonic() - began)
    began = time.monotonic()
    taken = ClearingRun(decider=decider, intake=intake, worker="benchmark").run_next()
    assert taken is not None  # noqa: S101 - the file was accepted just now.
    _say(taken.state, taken.decided, time.monotonic() - began)


def _say(what: str, records: int, seconds: float) -> None:
    rate = records / seconds
    sys.stdout.write(f"{what}: {records:,} records in {seconds:.0f} s, {rate:,.0f} a second, peak {peak_mib()} MiB\n")
    sys.stdout.flush()


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clearing_file", description=__doc__)
    parser.add_argument("--records", type=int, default=100_000, help="how many records the file has")
    records = parser.parse_args().records
    folder = Path("/var/tmp/cobrand") / f"clearing-{os.getpid()}"  # noqa: S108 - see processor/store/embedded.py.
    with postgres_server(folder) as server, temporary_database(server.url, "clearing_file") as urls:
        owner = connect(urls.owner_url)
        upgrade(owner, service_role=SERVICE_ROLE, today=wall_clock().date())
        owner.dispose()
        service = connect(urls.service_url)
        measure(service, records)
        service.dispose()


if __name__ == "__main__":
    main()
