"""``cobrand demo``: the whole job once, from an empty database to settlement files and the proof of the books.

Everything goes through the same ways as in service: files and streams over gRPC, one bank also over raw TCP, two
worker processes, one PostgreSQL.
It ends every process it started, also when it fails or is interrupted.
"""

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from processor.cli.book_proof import is_sound, run_checks, show_checks
from processor.cli.card_verbs import submit_cards
from processor.cli.clearing_verbs import submit_clearing_file
from processor.cli.client import ANSWER_SECONDS, connect
from processor.cli.database import open_database, settings
from processor.cli.demo_ground import DemoDatabase, checkout, free_port, prepare_database, running_server
from processor.cli.demo_tcp import BANK, DemoLink, send_again, write_link
from processor.cli.failure import CommandError
from processor.cli.message_file import read_json_lines
from processor.cli.message_stream import StreamTerms
from processor.cli.message_verbs import show_tally
from processor.cli.output import amount_of_unit, counted, document_of, money, progress_bar, say, show_json, show_table
from processor.cli.programme_verbs import apply_document, compile_document
from processor.cli.settlement_verbs import close_business_date, show_files
from processor.cli.submission import Tally, submit_messages
from processor.core.business_calendar import business_date
from processor.core.programme import Programme
from processor.core.rule import Benefit
from processor.store.award_totals import AwardTotal, sum_awards
from processor.v1.ledger_pb2 import LedgerAccount, ListLedgerAccountsRequest
from processor.v1.ledger_pb2_grpc import LedgerServiceStub
from processor.v1.operations_pb2 import GetStatusRequest
from processor.v1.operations_pb2_grpc import OperationsServiceStub
from processor.v1.settlement_pb2 import CloseBusinessDateResponse
from settlement.verification import Checked

CONNECTIONS: Final = 4

_CLEARING_DIALECT: Final = "ipm93-ebcdic"
_TRAFFIC_SECONDS: Final = 120


@dataclass(slots=True, kw_only=True)
class DemoResult:
    """What happened: answers of each sending, outcomes over raw TCP, clearing records, settlement, and the proof."""

    messages: Tally = field(default_factory=Tally)
    repeats: Tally = field(default_factory=Tally)
    raw_tcp: Counter[str] = field(default_factory=Counter)
    clearing: Counter[str] = field(default_factory=Counter)
    decided_later: int = 0
    parked: int = 0
    ledger: list[LedgerAccount] = field(default_factory=list)
    ledger_after_repeats: list[LedgerAccount] = field(default_factory=list)
    awards: list[AwardTotal] = field(default_factory=list)
    cycles: list[CloseBusinessDateResponse] = field(default_factory=list)
    checks: list[Checked] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether the books are proven and sending everything again changed nothing."""
        return bool(self.checks) and is_sound(self.checks) and self.ledger == self.ledger_after_repeats


def run_demo(*, messages: int, seed: int, folder: Path | None, as_json: bool) -> None:
    """Run the demo and print what happened; raises where the books are not sound."""
    root = checkout()
    stamp = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    place = folder or Path("var") / "demo" / stamp
    place.mkdir(parents=True, exist_ok=True)
    place = place.resolve()
    result = DemoResult()
    began = time.monotonic()
    with _ended_like_an_interrupt():
        with _step("Making an empty PostgreSQL database"):
            database = prepare_database(settings(), stamp)
        with _step(f"Making example traffic of {messages:,} messages"):
            _make_traffic(root, place / "traffic", messages=messages, seed=seed)
        _run(root, place, database, result)
    seconds = time.monotonic() - began
    if as_json:
        show_json({**_document(result), "folder": str(place), "database": database.place, "seconds": seconds})
    else:
        _show(result)
        say(f"Files and logs lie in {place}; the database lies in {database.place}. It took {seconds:.0f} s.")
    if not result.sound:
        raise CommandError("The books are not sound: the tables above say where.")


@contextmanager
def _ended_like_an_interrupt() -> Iterator[None]:
    """Make a request to end this process an interrupt, so that what it started is ended too."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _step(what: str) -> Iterator[None]:
    """Tell what is being done, and how long it took."""
    began = time.monotonic()
    yield
    say(f"{what}: {time.monotonic() - began:.1f} s")


def _make_traffic(root: Path, folder: Path, *, messages: int, seed: int) -> None:
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    arguments = [str(folder.resolve()), "--date", today, "--seed", str(seed), "--messages", str(messages)]
    subprocess.run(  # noqa: S603 - the project's own generator.
        [sys.executable, "-m", "examples.traffic", *arguments],
        cwd=root,
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=_TRAFFIC_SECONDS,
    )


def _run(root: Path, place: Path, database: DemoDatabase, result: DemoResult) -> None:
    """Run the server and everything that needs it, then prove the books."""
    document = str(root / "examples" / "skyways" / "programme.yaml")
    programme = compile_document(document)
    banks = sorted(programme.calendars)
    traffic = place / "traffic"
    with ExitStack() as stack:
        with _step("Starting the server with two workers"):
            link = write_link(place, free_port())
            server = stack.enter_context(running_server(database.urls.service_url, place, tcp_links=link.file))
        with _step("Applying the example programme and the banks' card files"):
            apply_document(server, document)
            for bank in banks:
                _submit_cards(server, traffic / "cards" / f"{bank}-full.csv", bank, full=True)
        with _step("Streaming the messages of both banks"):
            _stream(server, traffic / "submission.jsonl", result.messages)
        with _step("Taking their clearing files"):
            _submit_clearing(server, traffic / "clearing", banks, result)
        with _step("Taking later card files, which decide what waited for them"):
            for bank in banks:
                later = _submit_cards(server, traffic / "cards" / f"{bank}-later.csv", bank, full=False)
                result.decided_later += later
        result.ledger = _ledger(server, programme)
        with _step("Streaming every message again, which must change nothing"):
            _stream(server, traffic / "submission.jsonl", result.repeats)
        with _step(f"Sending those of {BANK} once more over a raw TCP link"):
            result.raw_tcp = _send_again(link, traffic / "submission.jsonl")
        result.ledger_after_repeats = _ledger(server, programme)
        with _step("Closing the business day and writing settlement files"):
            result.cycles = [_close(server, programme, bank) for bank in banks]
        with connect(server) as channel:
            status = OperationsServiceStub(channel).GetStatus(GetStatusRequest(), timeout=ANSWER_SECONDS)
            result.parked = status.parked
    with _step("Proving the books"), open_database(database.urls.service_url, "COBRAND_DATABASE_URL") as engine:
        result.checks = run_checks(engine)
        with engine.connect() as connection:
            result.awards = sum_awards(connection)


def _submit_cards(server: str, file: Path, bank: str, *, full: bool) -> int:
    return submit_cards(server, file.read_text(encoding="utf-8"), bank=bank, full=full).messages_decided


def _stream(server: str, file: Path, tally: Tally) -> None:
    with file.open("rb") as source:
        total = sum(1 for _ in source)
        source.seek(0)
        terms = StreamTerms()
        submit_messages(server, read_json_lines(source), terms=terms, connections=CONNECTIONS, tally=tally, total=total)


def _send_again(link: DemoLink, file: Path) -> Counter[str]:
    with file.open("rb") as source:
        return send_again(link, read_json_lines(source))


def _submit_clearing(server: str, folder: Path, banks: Sequence[str], result: DemoResult) -> None:
    files = [(bank, file) for bank in banks for file in sorted(folder.glob(f"{bank}-*.ipm"))]
    with progress_bar("Clearing files", len(files)) as bar:
        for number, (bank, file) in enumerate(files, start=1):
            with file.open("rb") as source:
                response = submit_clearing_file(server, source, bank=bank, format_name=_CLEARING_DIALECT)
            result.clearing.update(response.file.outcomes)
            bar.reach(number)


def _ledger(server: str, programme: Programme) -> list[LedgerAccount]:
    with connect(server) as channel:
        request = ListLedgerAccountsRequest(parent=f"programmes/{programme.id}")
        return list(LedgerServiceStub(channel).ListLedgerAccounts(request, timeout=ANSWER_SECONDS).accounts)


def _close(server: str, programme: Programme, bank: str) -> CloseBusinessDateResponse:
    """Close the business date that everything booked until now belongs to."""
    current = business_date(programme.calendars[bank], datetime.now(UTC))
    return close_business_date(server, programme=programme.id, bank=bank, business_date=current.isoformat())


def _show(result: DemoResult) -> None:
    show_tally(result.messages)
    rows: list[tuple[Any, ...]] = [
        (*outcome.partition(" ")[::2], records) for outcome, records in counted(result.clearing)
    ]
    show_table("Clearing records by outcome", ("outcome", "reason", "records"), rows, numbers=("records",))
    say(f"Later card files decided {result.decided_later:,} messages; {result.parked:,} wait for cards nobody named.")
    _show_repeats(result)
    _show_awards(result.awards)
    rows = [
        (response.cycle.name, position.party, position.currency, money(position.net_minor, position.currency))
        for response in result.cycles
        for position in response.cycle.positions
    ]
    title = "Net positions: what each party receives, or pays (-)"
    show_table(title, ("cycle", "party", "currency", "net"), rows, numbers=("net",))
    for response in result.cycles:
        show_files(f"Files in {response.folder}", response.files)
    show_checks(result.checks)


def _show_repeats(result: DemoResult) -> None:
    counts = Counter[str]()
    for (outcome, _), messages in result.repeats.outcomes.items():
        counts[outcome] += messages
    show_table("Every message sent again", ("outcome", "messages"), counted(counts), numbers=("messages",))
    title = f"The messages of {BANK} once more, over a raw TCP link"
    show_table(title, ("outcome", "messages"), counted(result.raw_tcp), numbers=("messages",))
    same = result.ledger == result.ledger_after_repeats
    say("Sending everything again left the ledger as it was." if same else "Sending again CHANGED the ledger.")


def _show_awards(awards: Sequence[AwardTotal]) -> None:
    for benefit, title in ((Benefit.MILES, "Miles by partner"), (Benefit.DISCOUNT, "Discounts by partner")):
        rows = [
            (
                total.partner or "(no partner)",
                total.unit,
                total.purchases,
                amount_of_unit(total.pending, total.unit),
                amount_of_unit(total.available, total.unit),
            )
            for total in awards
            if total.benefit is benefit
        ]
        columns = ("partner", "unit", "purchases", "pending", "posted")
        show_table(title, columns, rows, numbers=columns[2:])


def _document(result: DemoResult) -> dict[str, Any]:
    return {
        "sound": result.sound,
        "messages": result.messages.document(),
        "repeats": result.repeats.document(),
        "raw_tcp": dict(counted(result.raw_tcp)),
        "clearing": dict(counted(result.clearing)),
        "parked": result.parked,
        "awards": [asdict(total) for total in result.awards],
        "cycles": [document_of(response) for response in result.cycles],
        "checks": [asdict(result) for result in result.checks],
    }
