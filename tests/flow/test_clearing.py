"""Clearing files: taken once and whole, refused whole, and the same in the end after any interruption."""

import io
import tracemalloc
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import structlog
from sqlalchemy import text

from processor.core.message import CardMessage
from processor.flow import batch, clearing, clearing_run, intake
from processor.flow.clearing import (
    AcceptedClearingFile,
    ChangedClearingFileError,
    ClearingInterruptedError,
    UnknownClearingLinkError,
    accept_clearing_file,
)
from processor.flow.clearing_run import LEASE_S, ClearingRun, wall_clock
from processor.flow.clearing_stage import StagedRecord
from processor.flow.pace import Pace
from processor.flow.submission import IncomingMessage
from processor.store.card_side import write_batch
from processor.store.embedded import create_database, drop_database
from processor.store.engine import connect
from processor.wire.card_message import to_card_message
from processor.wire.clearing_file import ClearingFileError
from processor.wire.decode import Decoded
from processor.wire.encode import encode_message
from processor.wire.ipm import write_records
from tests.conftest import Database
from tests.flow.audit import (
    assert_books_agree,
    award_sums,
    balances,
    count,
    ledger_sums,
    purchases,
    rows,
    totals,
)
from tests.flow.conftest import DIALECTS, Pipeline, apply_skyways, iso87, make_pipeline, take_clearing_file

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


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep the log of the failures that the tests cause."""
    with structlog.testing.capture_logs():
        yield


def presentment(number: int, **fields: str) -> bytes:
    """Build the presentment of a purchase of 100.00 EUR."""
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
    return encode_message(CLEARING, "1240", {name: value for name, value in values.items() if value})


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


def take(pipeline: Pipeline, content: bytes, bank: str = "alpha") -> AcceptedClearingFile:
    """Hand in one clearing file, and decide it."""
    return take_clearing_file(
        io.BytesIO(content), bank=bank, dialect_name="ipm93-ebcdic", intake=pipeline.intake, decider=pipeline.decider
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


NOTHING: Final[Mapping[str, int]] = dict.fromkeys(FACTS, 0)


def test_a_file_is_taken_once(pipeline: Pipeline) -> None:
    """The same bytes again, also at another worker, are a duplicate with the counts of the first time."""
    content = file_of(*[presentment(number) for number in range(1, 4)])

    first = take(pipeline, content)
    before = state(pipeline.database)
    pipeline.now = pipeline.now.replace(day=21)
    again = take(pipeline, content)
    elsewhere = take(make_pipeline(pipeline.database), content)

    assert (False, True, True) == (first.duplicate, again.duplicate, elsewhere.duplicate)
    assert {"ACCEPTED EARNED": 3} == first.row.outcomes
    assert first.row == again.row == elsewhere.row
    assert ("FILE-1", "taken", 3) == (first.row.file_id, first.row.state, first.row.records)
    assert before == state(pipeline.database)
    assert (0, 225) == totals(pipeline.database)
    assert_books_agree(pipeline)


def test_one_record_in_two_files_is_one_presentment(pipeline: Pipeline) -> None:
    """A record that a later file brings again, at another place, is found decided."""
    take(pipeline, file_of(presentment(1), presentment(2)))

    second = take(pipeline, file_of(presentment(3), presentment(2, message_number="9"), file_id="FILE-2"))

    assert {"ACCEPTED EARNED": 1, "DUPLICATE EARNED": 1} == second.row.outcomes
    assert (0, 225) == totals(pipeline.database)


def test_a_changed_file_under_a_known_id_is_refused(pipeline: Pipeline) -> None:
    """Neither a corrected amount nor another framing passes for the file that was taken; nothing is booked."""
    take(pipeline, file_of(presentment(1)))
    before = state(pipeline.database)

    for changed in (
        file_of(presentment(1), presentment(2)),
        file_of(presentment(1, amount="20000"), total=20000),
        file_of(presentment(1), blocked=False),
    ):
        with pytest.raises(ChangedClearingFileError, match="FILE-1"):
            take(pipeline, changed)
    assert before == state(pipeline.database)


def test_two_banks_may_use_the_same_file_id(pipeline: Pipeline) -> None:
    """A file id belongs to its bank."""
    take(pipeline, file_of(presentment(1)))

    assert not take(pipeline, file_of(presentment(1, pan="5413330000000019")), bank="beta").duplicate


def _unsound() -> dict[str, bytes]:
    records = [presentment(number) for number in range(1, 15)]
    whole = file_of(*records)
    plain = file_of(*records, blocked=False)
    length = plain[:4]
    trailer = encode_message(CLEARING, "1644", {"function_code": "695", "file_id": "FILE-1"})
    return {
        "cut between two blocks": whole[: 2 * 1014],
        "cut inside a block": whole[:-100],
        "cut inside a record": plain[:-60],
        "a byte lost": plain[:500] + plain[501:],
        "a wrong length": plain.replace(length, (int.from_bytes(length, "big") + 1).to_bytes(4, "big"), 1),
        "one record fewer than the trailer counts": file_of(*records[1:], messages=16, total=140000),
        "a total that is one cent off": file_of(*records, total=140001),
        "no header": write_records(records, blocked=True),
        "no header, only a trailer": write_records([trailer], blocked=True),
        "two files in one": plain[:-4] + file_of(*records, file_id="FILE-2", blocked=False),
        "nothing": b"",
    }


def test_an_unsound_file_is_refused_whole(pipeline: Pipeline) -> None:
    """Cut, damaged or contradicting its trailer, a file leaves no trace; whole, it is taken under the same id."""
    for name, content in _unsound().items():
        with pytest.raises(ClearingFileError):
            take(pipeline, content)
        assert NOTHING == facts(pipeline.database), name

    assert {"ACCEPTED EARNED": 14} == take(pipeline, file_of(*[presentment(n) for n in range(1, 15)])).row.outcomes


def test_a_link_that_does_not_clear_is_refused(pipeline: Pipeline) -> None:
    """An unknown bank, an unknown dialect or a host's dialect is named, with what is known; nothing is kept."""
    source = io.BytesIO(file_of(presentment(1)))
    for bank, dialect, known in (
        ("gamma", "ipm93-ebcdic", "alpha, beta"),
        ("alpha", "ipm77", "ipm93-ebcdic"),
        ("alpha", "iso87-ascii", "ipm93-ebcdic"),
    ):
        with pytest.raises(UnknownClearingLinkError, match=known):
            accept_clearing_file(
                source, bank=bank, format_name=dialect, intake=pipeline.intake, decider=pipeline.decider
            )
    assert NOTHING == facts(pipeline.database)


def test_a_bad_record_is_kept_aside_and_its_neighbours_are_taken(pipeline: Pipeline) -> None:
    """A record that does not decode, and one without a card, are listed by number and place and counted."""
    letter = presentment(2).replace("10000".encode("cp500"), "1000A".encode("cp500"))
    no_card = presentment(4, pan="")
    content = file_of(presentment(1), letter, no_card, presentment(5))

    taken = take(pipeline, content)

    assert {"ACCEPTED EARNED": 2, "PARKED UNDECODABLE": 2} == taken.row.outcomes
    kept = rows(pipeline.database, "SELECT source, field, bank, dialect FROM undecodable ORDER BY source")
    assert [
        ("FILE-1 record 3", "4 amount", "alpha", "ipm93-ebcdic"),
        ("FILE-1 record 4", "2 pan", "alpha", "ipm93-ebcdic"),
    ] == kept
    listed = rows(pipeline.database, "SELECT number, place, reason, problem FROM clearing_exception ORDER BY number")
    assert [(3, 60), (4, 60)] == [(number, reason) for number, _, reason, _ in listed]
    assert "4 amount" in listed[0][3]
    assert listed[1][1].startswith("record 4 at byte ")
    assert (0, 150) == totals(pipeline.database)
    assert take(pipeline, content).duplicate
    assert 2 == count(pipeline.database, "undecodable")
    assert_books_agree(pipeline)


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


EXAMPLES: Final = Path(__file__).parents[2] / "examples" / "skyways"


def test_extracts_of_lines_end_like_records(pipeline: Pipeline) -> None:
    """A posting extract earns and takes back, a dispute extract charges back; told again by IPM it is one message."""

    def take_lines(name: str) -> AcceptedClearingFile:
        with (EXAMPLES / name).open("rb") as source:
            return take_clearing_file(
                source, bank="alpha", dialect_name="", intake=pipeline.intake, decider=pipeline.decider
            )

    taken = take_lines("posting-extract.csv")
    assert {"ACCEPTED EARNED": 2, "ACCEPTED TAKEN_BACK": 1, "ACCEPTED EXCLUDED": 1} == taken.row.outcomes
    assert {"EUR": 170_00, "USD": 40_00} == taken.row.totals
    earned = totals(pipeline.database)
    assert take_lines("posting-extract.csv").duplicate
    same = presentment(1, acquirer_reference="71234566323000000000001")
    other = presentment(1, acquirer_reference="71234566323000000000002")
    again = take(pipeline, file_of(same, other, file_id="IPM-1"))
    assert {"DUPLICATE EARNED": 1, "REJECTED IDENTITY_CONFLICT": 1} == again.row.outcomes, (
        "40.00 USD are not 100.00 EUR"
    )
    assert earned == totals(pipeline.database)
    disputed = take_lines("dispute-extract.csv")
    assert 3 == sum(disputed.row.outcomes.values())
    (pending, available) = totals(pipeline.database)
    assert (0, earned[1] - 30) == (pending, available), "40.00 of 100.00 are in dispute in the end"
    assert_books_agree(pipeline)


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
    """Where the database goes after some chunks, another worker goes on behind the last one, and then all is there."""
    monkeypatch.setattr(clearing, "RECORDS_IN_A_CHUNK", 4)
    accepted = accept(pipeline, _big_file())
    written: list[int] = []
    with monkeypatch.context() as broken:
        broken.setattr(batch, "write_batch", lambda *arguments: _lose_after(written, batches, *arguments))
        with pytest.raises(ClearingInterruptedError):
            run(pipeline, "first").run_next()
    assert [("taking", batches, 3)] == rows(
        pipeline.database, "SELECT state, decided_chunks, chunks FROM clearing_file"
    )
    with pytest.raises(ChangedClearingFileError):
        accept(pipeline, file_of(presentment(1)))
    assert accept(pipeline, _big_file()).duplicate
    assert run(pipeline, "second").run_next() is None, "the first worker may come back until its lease ends"

    later = run(pipeline, "second")
    later.clock = lambda: wall_clock() + timedelta(seconds=LEASE_S + 1)
    taken = later.run_next()

    assert taken is not None
    assert ("taken", 10, 10) == (taken.state, taken.decided, sum(taken.outcomes.values()))
    assert accepted.row.file_id == taken.file_id
    assert undisturbed == state(pipeline.database)
    assert_books_agree(pipeline)


def test_a_worker_that_is_stopped_leaves_the_rest_to_another(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends behind the chunk at hand and gives the file back at once."""
    monkeypatch.setattr(clearing, "RECORDS_IN_A_CHUNK", 4)
    accept(pipeline, _big_file())
    asked: list[int] = []

    def stopped() -> bool:
        asked.append(1)
        return len(asked) > 1

    left = run(pipeline, "first").run_next(stopped)
    assert left is not None
    assert ("taking", 4) == (left.state, left.decided)
    assert "taken" == _run_all(pipeline, "second")
    assert (0, 9 * 75) == totals(pipeline.database)


def accept(pipeline: Pipeline, content: bytes) -> AcceptedClearingFile:
    """Hand in one clearing file, and let it wait."""
    return accept_clearing_file(
        io.BytesIO(content),
        bank="alpha",
        format_name="ipm93-ebcdic",
        intake=pipeline.intake,
        decider=pipeline.decider,
    )


def run(pipeline: Pipeline, worker: str) -> ClearingRun:
    """Return what decides files as one worker."""
    return ClearingRun(decider=pipeline.decider, intake=pipeline.intake, worker=worker)


def test_a_file_that_fails_lets_others_pass(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file on which a worker fails every time waits behind the others, and none of them waits for it."""
    accept(pipeline, file_of(presentment(1), file_id="BAD"))
    accept(pipeline, file_of(presentment(2), file_id="GOOD"))
    worker = run(pipeline, "one")

    def fail(content: bytes) -> list[StagedRecord]:
        raise ZeroDivisionError

    with monkeypatch.context() as broken:
        broken.setattr(clearing_run, "unpack_chunk", fail)
        with pytest.raises(ZeroDivisionError):
            worker.run_next()
    taken = worker.run_next()
    assert taken is not None
    assert ("GOOD", "taken") == (taken.file_id, taken.state)
    assert worker.run_next() is None, "the failed file's lease has not ended"
    worker.clock = lambda: wall_clock() + timedelta(seconds=LEASE_S + 1)
    assert "taken" == getattr(worker.run_next(), "state", None)


def _run_all(pipeline: Pipeline, worker: str) -> str:
    row = run(pipeline, worker).run_next()
    assert row is not None
    return row.state


def test_streams_are_answered_between_the_chunks_of_a_file(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that can wait rests after each chunk in which messages came, several times as long as the chunk took."""
    monkeypatch.setattr(clearing, "RECORDS_IN_A_CHUNK", 2)
    accept(pipeline, _big_file())
    rested: list[float] = []
    ticks = iter(range(1000))
    seen = iter([0, 5, 5, 5, 5, 9, *[9] * 100])
    pace = Pace(messages=lambda: next(seen), sleep=rested.append, clock=lambda: float(next(ticks)))

    ClearingRun(decider=pipeline.decider, intake=pipeline.intake, worker="one", pace=pace).run_next()

    assert [2.0, 2.0] == rested, "three times a second is over the longest rest"


def test_a_large_file_is_read_in_bounded_memory(pipeline: Pipeline) -> None:
    """Ten thousand records are staged with no more memory at hand than one hundred need."""
    peaks = []
    for size in (100, 10_000):
        source = _Generated(size)
        tracemalloc.start()
        accept_clearing_file(
            source, bank="alpha", format_name="ipm93-ebcdic", intake=pipeline.intake, decider=pipeline.decider
        )
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    small, large = peaks
    assert large < small + 6_000_000


class _Generated:
    """A clearing file that is made while it is read."""

    def __init__(self, size: int) -> None:
        self._pieces = self._made(size)

    def _made(self, size: int) -> Iterator[bytes]:
        whole = file_of(presentment(1), file_id=f"SIZE-{size}", total=size * 10_000, messages=size + 2, blocked=False)
        record = presentment(1)
        length = len(record).to_bytes(4, "big")
        head, tail = whole.split(length + record, 1)
        yield head
        for number in range(size):
            own = presentment(number)
            yield len(own).to_bytes(4, "big") + own
        yield tail

    def read(self, size: int, /) -> bytes:
        """Return the next piece, however much was asked for."""
        return next(self._pieces, b"")


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
    monkeypatch.setattr(clearing, "RECORDS_IN_A_CHUNK", 2)
    desks = [make_pipeline(pipeline.database) for _ in range(2)]

    with ThreadPoolExecutor(2) as threads:
        taken = list(threads.map(lambda desk: take(desk, _big_file()), desks))

    assert {10} == {sum(one.row.outcomes.values()) for one in taken}
    assert (0, 9 * 75) == totals(pipeline.database)
    assert 9 == count(pipeline.database, "message")
    assert take(pipeline, _big_file()).duplicate
    assert_books_agree(pipeline)


SALES: Final = ((1, 10000, 10000), (2, 10000, 6000), (3, 5000, 10000), (4, 8000, 4000))
"""Number, and what is authorized and cleared in minor units of EUR."""


def told(card: str) -> list[IncomingMessage]:
    """Build the authorizations of a card's sales."""
    return [
        iso87(
            "0110",
            pan=card,
            trace_number=f"{int(card[-4:]) * 10 + number:06d}",
            transmission_date_time="1119103000",
            local_date="1119",
            retrieval_reference=f"{number:012d}",
            approval_code=f"A{number:05d}",
            amount=str(authorized),
            mcc="5999",
            response_code="00",
        )
        for number, authorized, _ in SALES
    ]


def cleared(card: str, file_id: str) -> bytes:
    """Build the clearing file of a card's sales."""
    records = [
        presentment(number, pan=card, amount=str(amount), acquirer_reference=f"71234566323{card[-4:]}{number:08d}")
        for number, _, amount in SALES
    ]
    return file_of(*records, file_id=file_id, total=sum(amount for _, _, amount in SALES))


def as_held(database: Database, card: str) -> tuple[object, ...]:
    """Return what a card's account holds, without what tells it apart from another."""
    ((found,),) = rows(database, "SELECT account FROM card WHERE last_four = :digits", digits=card[-4:])
    account = bytes(found)
    return (
        balances(database)[account],
        {key[1:]: amount for key, amount in ledger_sums(database).items() if key[0] == account},
        {
            (seen.occurred_on, seen.partner, seen.grants, seen.charges, len(seen.messages))
            for seen in purchases(database)
            if seen.account == account
        },
    )


def test_clearing_before_authorization_ends_like_after(pipeline: Pipeline) -> None:
    """Two cards with the same sales, one told in order and one the other way round, end alike to the unit."""
    first, second = CARDS[:2]

    pipeline.send(*told(first))
    take(pipeline, cleared(first, "FILE-1"))
    take(pipeline, cleared(second, "FILE-2"))
    pipeline.send(*told(second))

    assert as_held(pipeline.database, first) == as_held(pipeline.database, second)
    assert (0, 75 + 45 + 75 + 30) == as_held(pipeline.database, first)[0]
    assert 8 == len(purchases(pipeline.database))
    assert_books_agree(pipeline)


def test_a_record_that_the_processor_fails_on_costs_no_other(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of ours in reading one record keeps it aside by file and number; the file is taken."""

    def fail(decoded: Decoded, **arguments: Any) -> CardMessage:
        if arguments["record_number"] == 3:
            raise ZeroDivisionError
        return to_card_message(decoded, **arguments)

    monkeypatch.setattr(intake, "to_card_message", fail)

    taken = take(pipeline, file_of(*[presentment(number) for number in range(1, 4)]))

    assert {"ACCEPTED EARNED": 2, "PARKED UNDECODABLE": 1} == taken.row.outcomes
    assert [("FILE-1 record 3", "message")] == rows(pipeline.database, "SELECT source, field FROM undecodable")


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
