"""Parked messages: nothing that waits is lost, and a replay decides it once, from its stored fields."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, Final

import pytest
import structlog
from sqlalchemy import text

from processor.core.outcome import Outcome, Reason
from processor.flow import batch
from processor.flow.address_book import AddressBook
from processor.flow.replay import ReplayResult, replay
from processor.flow.submission import Answer, IncomingMessage
from processor.store.card_side import Key, write_batch
from tests.flow.audit import assert_books_agree, balances, count, rows, said, totals
from tests.flow.conftest import Pipeline, iso87, make_pipeline
from tests.flow.test_card_file import CLASSIC, CLASSIC_TWO, GOLD, GOLD_TWO, record, submit

AGAIN: Final = (Outcome.DUPLICATE, Reason.EARNED)
WAITS: Final = (Outcome.PARKED, Reason.UNKNOWN_CARD)
TOO_OLD: Final = (Outcome.PARKED, Reason.TOO_OLD)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep the log of the failures that the tests cause."""
    with structlog.testing.capture_logs():
        yield


def approved(number: int, card: str = CLASSIC, **fields: str) -> IncomingMessage:
    """Build an approved authorization of 100.00 EUR, a purchase of its own."""
    values = {"trace_number": f"{number:06d}", "retrieval_reference": f"{number:012d}", **fields}
    return iso87("0110", pan=card, response_code="00", **values)


def old(number: int, card: str = GOLD) -> IncomingMessage:
    """Build an authorization that is too old to be decided without operations."""
    return approved(number, card, transmission_date_time="0101120000", local_date="0101")


def replay_all(pipeline: Pipeline, limit: int = 100) -> tuple[int, int]:
    """Replay the oldest that wait; return how many are decided and how many still wait."""
    result = replay(pipeline.decider, pipeline.intake, None, limit)
    return result.decided, result.still_parked


def key_of(pipeline: Pipeline, number: int) -> Key:
    """Return the key of a message by its trace number."""
    found = rows(
        pipeline.database,
        "SELECT bucket, id FROM message WHERE fields ->> 'trace_number' = :number",
        number=f"{number:06d}",
    )
    return int(found[0][0]), bytes(found[0][1])


def enrol(pipeline: Pipeline, card: str) -> None:
    """Name a card's account without the replay that a card file brings along."""
    with pipeline.database.owner.begin() as connection:
        connection.execute(
            text(
                "UPDATE account SET provisional = false, status = 'active', programme = 'skyways',"
                " product = 'alpha-classic' WHERE id = (SELECT account FROM card WHERE last_four = :last_four)"
            ),
            {"last_four": card[-4:]},
        )


def test_what_cannot_be_decided_yet_stays(pipeline: Pipeline) -> None:
    """A replay before the cause is mended leaves every message where it is, and writes nothing."""
    pipeline.send(approved(1), approved(2, CLASSIC_TWO))
    before = count(pipeline.database, "decision")

    assert (0, 2) == replay_all(pipeline)
    assert (0, 2) == replay_all(pipeline)
    assert (2, before) == (count(pipeline.database, "parked"), count(pipeline.database, "decision"))
    assert [(Outcome.DUPLICATE, Reason.UNKNOWN_CARD)] == said(pipeline.send(approved(1)))


def test_the_oldest_are_replayed_first(pipeline: Pipeline) -> None:
    """A limit takes those that have waited longest."""
    for number in (3, 1, 2):
        pipeline.send(approved(number))
        pipeline.now += timedelta(seconds=1)
    enrol(pipeline, CLASSIC)

    assert (2, 0) == replay_all(pipeline, limit=2)
    waiting = rows(pipeline.database, "SELECT message_id FROM parked")
    assert [(key_of(pipeline, 2)[1],)] == [(bytes(found),) for (found,) in waiting]
    assert (1, 0) == replay_all(pipeline, limit=2)


def test_messages_are_replayed_by_name(pipeline: Pipeline) -> None:
    """Only the named are decided; names that wait no longer, or never did, are no error."""
    pipeline.send(approved(1), approved(2), approved(3))
    enrol(pipeline, CLASSIC)
    keys = [key_of(pipeline, 1), key_of(pipeline, 3), (7, bytes(16))]

    first = replay(pipeline.decider, pipeline.intake, keys, 100)
    again = replay(pipeline.decider, pipeline.intake, keys, 100)
    nothing = replay(pipeline.decider, pipeline.intake, [], 100)

    assert ReplayResult(decided=2, still_parked=0) == first
    assert ReplayResult(decided=0, still_parked=0) == again == nothing
    assert (100, 0) == totals(pipeline.database)
    assert 1 == count(pipeline.database, "parked")
    assert_books_agree(pipeline)


def test_a_replayed_message_repeats_to_its_decision(pipeline: Pipeline) -> None:
    """The highest attempt answers a repeat, and both attempts are kept."""
    pipeline.send(approved(1))
    enrol(pipeline, CLASSIC)
    replay_all(pipeline)

    (again,) = pipeline.send(approved(1))

    assert [AGAIN] == said([again])
    assert again.explanation.endswith("-2")
    assert [50] == [line.pending_change for line in again.awards]
    outcomes = rows(pipeline.database, "SELECT attempt, outcome FROM decision ORDER BY attempt")
    assert [(1, Outcome.PARKED), (2, Outcome.ACCEPTED)] == outcomes


def test_operations_decide_what_is_too_old(pipeline: Pipeline) -> None:
    """A replay decides a message of long ago, under the revision and in the period of its own time."""
    parked = pipeline.send(old(1))

    assert [TOO_OLD] == said(parked)
    assert (1, 0) == replay_all(pipeline)
    assert [("2026-01", 75)] == rows(pipeline.database, "SELECT period, used FROM limit_counter")
    assert [AGAIN] == said(pipeline.send(old(1)))
    assert_books_agree(pipeline)


def test_a_later_message_finds_its_replayed_original(pipeline: Pipeline) -> None:
    """A reversal that waits behind its authorization takes effect with it, in whatever order they are replayed."""
    original = f"0100{1:06d}1120113000{'12345678':0>11}{'0':0>11}"
    reversal = iso87("0420", pan=CLASSIC, trace_number="000002", original_data=original, retrieval_reference="")
    pipeline.send(reversal)
    pipeline.now += timedelta(seconds=1)
    pipeline.send(approved(1), approved(3))
    enrol(pipeline, CLASSIC)

    assert (3, 0) == replay_all(pipeline)
    assert (50, 0) == totals(pipeline.database)
    assert_books_agree(pipeline)


def test_replays_beside_each_other_decide_once(pipeline: Pipeline) -> None:
    """Two operators who replay at once share the work; no message is decided twice."""
    pipeline.send(*[approved(number) for number in range(1, 31)])
    enrol(pipeline, CLASSIC)
    desks = [make_pipeline(pipeline.database) for _ in range(3)]

    with ThreadPoolExecutor(3) as threads:
        decided = list(threads.map(lambda desk: replay_all(desk)[0], desks))

    assert 30 == sum(decided)
    assert (30 * 50, 0) == totals(pipeline.database)
    assert 60 == count(pipeline.database, "decision")
    assert_books_agree(pipeline)


def test_what_could_not_be_replayed_still_waits(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the database ends the connection at every attempt, the result says that the messages wait on."""
    pipeline.send(approved(1), approved(2))
    enrol(pipeline, CLASSIC)

    def lose(cursor: Any, *arguments: Any) -> None:
        write_batch(cursor, *arguments)
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with monkeypatch.context() as broken:
        broken.setattr(batch, "write_batch", lose)
        assert (0, 2) == replay_all(pipeline)

    assert (2, 0) == replay_all(pipeline)


def _with_buckets(pipeline: Pipeline, buckets: int) -> None:
    """Make this installation one of so many buckets, before its first account."""
    with pipeline.database.owner.begin() as connection:
        connection.execute(text("UPDATE installation SET bucket_count = :buckets"), {"buckets": buckets})
    pipeline.decider.address_book = AddressBook(pipeline.database.service, buckets)


@pytest.mark.parametrize("buckets", [1, 256])
def test_what_waits_goes_with_its_joined_account(pipeline: Pipeline, buckets: int) -> None:
    """A message that waits for operations waits on when its card's account is joined to another, and is decided there.

    That holds whether the two accounts share a bucket or not.
    """
    _with_buckets(pipeline, buckets)
    pipeline.send(approved(1, GOLD), approved(2, GOLD_TWO), old(3, GOLD_TWO))
    submit(pipeline, record(GOLD, "ACC-1", "alpha-gold"))

    submit(pipeline, record(GOLD_TWO, "ACC-1", "alpha-gold", predecessor=GOLD))

    ((survivor,),) = rows(pipeline.database, "SELECT account FROM account_reference")
    waiting = rows(pipeline.database, "SELECT account, reason FROM parked")
    assert [(bytes(survivor), int(Reason.TOO_OLD))] == [(bytes(account), reason) for account, reason in waiting]
    assert [(Outcome.DUPLICATE, Reason.TOO_OLD)] == said(pipeline.send(old(3, GOLD_TWO)))
    assert (1, 0) == replay_all(pipeline)
    assert {bytes(survivor): (225, 0)} == balances(pipeline.database)
    assert 0 == count(pipeline.database, "parked")
    assert_books_agree(pipeline)


def test_a_card_file_decides_what_waited_for_its_cards_alone(pipeline: Pipeline) -> None:
    """The card file replays the messages of the accounts it names, and leaves the others waiting."""
    answers: list[Answer] = pipeline.send(approved(1), approved(2, CLASSIC_TWO))

    result = submit(pipeline, record(CLASSIC))

    assert [WAITS, WAITS] == said(answers)
    assert 1 == result.messages_decided
    assert (50, 0) == totals(pipeline.database)
    assert 1 == count(pipeline.database, "parked")
