"""Clearing files: accepted once and whole, refused whole, and the same in the end whatever order things come in."""

import re
from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Final

import pytest
import structlog

from processor.core.message import CardMessage
from processor.core.outcome import Outcome, Reason
from processor.flow import intake
from processor.flow.clearing import ChangedClearingFileError, UnknownClearingLinkError, accept_clearing_file
from processor.flow.submission import IncomingMessage
from processor.wire.card_message import to_card_message
from processor.wire.clearing_file import ClearingFileError
from processor.wire.decode import Decoded
from processor.wire.encode import encode_message
from processor.wire.ipm import write_records
from tests.conftest import Database
from tests.flow.audit import assert_books_agree, balances, count, ledger_sums, purchases, rows, totals
from tests.flow.clearing_files import CARDS, CLEARING, NOTHING, accept, facts, file_of, presentment, state, take
from tests.flow.conftest import Pipeline, iso87, make_pipeline


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep the log of the failures that the tests cause."""
    with structlog.testing.capture_logs():
        yield


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


def test_a_record_without_a_meaning_is_listed(pipeline: Pipeline) -> None:
    """A record whose function code says nothing in the dialect is kept aside, and the file is taken."""
    unknown = presentment(2, function_code="299")

    taken = take(pipeline, file_of(presentment(1), unknown))

    assert {"ACCEPTED EARNED": 1, "PARKED UNDECODABLE": 1} == taken.row.outcomes
    assert [(3,)] == rows(pipeline.database, "SELECT number FROM clearing_exception")


def test_a_link_that_does_not_clear_is_refused(pipeline: Pipeline) -> None:
    """An unknown bank, an unknown dialect or a host's dialect is named, with what is known; nothing is kept."""
    for bank, dialect, known in (
        ("gamma", "ipm93-ebcdic", "alpha, beta"),
        ("alpha", "ipm77", "ipm93-ebcdic"),
        ("alpha", "iso87-ascii", "ipm93-ebcdic"),
    ):
        with pytest.raises(UnknownClearingLinkError, match=known):
            accept(pipeline, file_of(presentment(1)), bank, dialect)
    assert NOTHING == facts(pipeline.database)


def test_a_bad_record_is_kept_aside_and_its_neighbours_are_taken(pipeline: Pipeline) -> None:
    """A record that does not decode, one without a date and one without a card are listed by number and counted."""
    letter = presentment(2).replace("10000".encode("cp500"), "1000A".encode("cp500"))
    undated = presentment(3, local_date_time="")
    no_card = presentment(4, pan="")
    content = file_of(presentment(1), letter, undated, no_card, presentment(5))

    taken = take(pipeline, content)

    assert {"ACCEPTED EARNED": 2, "PARKED UNDECODABLE": 3} == taken.row.outcomes
    listed = rows(
        pipeline.database, "SELECT number, place, outcome, reason, problem FROM clearing_exception ORDER BY 1"
    )
    assert [3, 4, 5] == [number for number, *_ in listed]
    assert {(int(Outcome.PARKED), int(Reason.UNDECODABLE))} == {
        (outcome, reason) for _, _, outcome, reason, _ in listed
    }
    assert all(re.fullmatch(rf"record {number} at byte \d+", place) for number, place, *_ in listed)
    assert ["4 amount", "12 local_date_time", "2 pan"] == [re.split(":| at", problem)[0] for *_, problem in listed]
    kept = rows(pipeline.database, "SELECT source, field, bank, dialect FROM undecodable ORDER BY source")
    assert [
        ("FILE-1 record 3", "4 amount", "alpha", "ipm93-ebcdic"),
        ("FILE-1 record 4", "12 local_date_time", "alpha", "ipm93-ebcdic"),
        ("FILE-1 record 5", "2 pan", "alpha", "ipm93-ebcdic"),
    ] == kept
    assert (0, 150) == totals(pipeline.database)
    assert take(pipeline, content).duplicate
    assert 3 == count(pipeline.database, "undecodable")
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


def test_a_large_file_is_read_in_bounded_memory(pipeline: Pipeline) -> None:
    """Fifty thousand records are staged in hardly more memory than one thousand need."""
    peaks = []
    for size in (1_000, 50_000):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        accepted = accept_clearing_file(
            _Generated(size), bank="alpha", format_name="", intake=pipeline.intake, decider=pipeline.decider
        )
        assert size == accepted.row.records
        peaks.append(_peak_kib())
    small, large = peaks
    assert large - small < 16 * 1024


def _peak_kib() -> int:
    """Return the most memory that this process held since that was reset, in KiB."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1])


class _Generated:
    """A clearing file that is made while it is read."""

    def __init__(self, size: int) -> None:
        whole = file_of(presentment(1), file_id=f"SIZE-{size}", total=size * 10_000, messages=size + 2, blocked=False)
        record = presentment(1)
        framed = len(record).to_bytes(4, "big") + record
        head, tail = whole.split(framed, 1)
        self._pieces = chain([head], repeat(framed, size), [tail])

    def read(self, size: int, /) -> bytes:
        """Return the next piece, however much was asked for."""
        return next(self._pieces, b"")
