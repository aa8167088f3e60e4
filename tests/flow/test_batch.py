"""One batch, one transaction: exactly one effect for each message, whatever is sent twice and whatever fails."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

import psycopg2
import pytest
import structlog

from processor.core.account_terms import AccountTerms
from processor.core.awarding import Carried
from processor.core.card import passes_check_digit
from processor.core.decision import Decision
from processor.core.decision import decide as decide_purely
from processor.core.event import Event
from processor.core.kept_purchase import Purchase
from processor.core.outcome import Outcome, Reason
from processor.core.spent import Kept
from processor.flow import batch, purchase_work
from processor.flow.replay import ReplayResult, replay
from processor.flow.retry import ATTEMPTS
from processor.flow.submission import Answer, IncomingMessage
from processor.store.card_side import lock_accounts, write_batch
from tests.conftest import Database
from tests.flow.audit import assert_books_agree, balances, count, rows, said, totals
from tests.flow.conftest import SKYWAYS, Pipeline, apply_skyways, iso87, make_pipeline
from tests.flow.test_card_file import record, submit

EARNED: Final = (Outcome.ACCEPTED, Reason.EARNED)
AGAIN: Final = (Outcome.DUPLICATE, Reason.EARNED)
UNAVAILABLE: Final = (Outcome.UNAVAILABLE, Reason.DATABASE_UNAVAILABLE)
CONFLICT: Final = (Outcome.REJECTED, Reason.IDENTITY_CONFLICT)
MILES: Final = 75
"""What 100.00 EUR earn with a gold card at no partner."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep the log of the failures that the tests cause; rendering their tracebacks would take most of the time."""
    with structlog.testing.capture_logs():
        yield


def approved(number: int, mti: str = "0110", **fields: str) -> IncomingMessage:
    """Build an approved authorization of 100.00 EUR, a purchase of its own."""
    return iso87(
        mti,
        caller_id=str(number),
        response_code="00",
        **{"trace_number": f"{number:06d}", "retrieval_reference": f"{number:012d}", **fields},
    )


def facts(database: Database) -> dict[str, int]:
    """Count the rows of every table that a message may append to."""
    tables = ("message", "decision", "award", "posting", "purchase", "parked", "message_conflict", "undecodable")
    return {table: count(database, table) for table in tables}


def test_a_message_sent_again_gets_its_decision_and_changes_nothing(pipeline: Pipeline) -> None:
    """In the same batch, in a later one and at another worker the stored decision comes back.

    That holds byte for byte, under the repeat's type, with another authentication code or chip data.
    """
    repeats = [
        approved(1, "0120"),
        approved(1, "0121"),
        approved(1, "0121", mac="00112233445566FF"),
        approved(1, "0120", expiry_date="3001", chip_data="9F26080011223344556677"),
    ]

    (decided, *in_the_batch) = pipeline.send(approved(1, "0120"), *repeats)
    before = facts(pipeline.database)
    later = [answer for repeat in repeats for answer in pipeline.send(repeat)]
    elsewhere = make_pipeline(pipeline.database).send(*repeats)

    again = [*in_the_batch, *later, *elsewhere]
    assert [EARNED, *[AGAIN] * 12] == said([decided, *again])
    assert {(decided.awards, decided.explanation)} == {(answer.awards, answer.explanation) for answer in again}
    assert before == facts(pipeline.database)
    assert (MILES, 0) == totals(pipeline.database)
    assert_books_agree(pipeline)


def test_a_repeat_that_overtakes_its_original_is_the_message(pipeline: Pipeline) -> None:
    """Whichever arrives first is decided; the other is the duplicate."""
    assert [EARNED, AGAIN] == said(pipeline.send(approved(1, "0121")) + pipeline.send(approved(1, "0120")))


def test_another_message_under_the_same_identity_is_refused_and_kept_once(pipeline: Pipeline) -> None:
    """The first content counts, in the same batch and later; each other content is kept once, and books nothing."""
    original, other, third = approved(1), approved(1, amount="000000090000"), approved(1, mcc="5999")

    answers = pipeline.send(original, other) + pipeline.send(other, third, original)

    assert [EARNED, CONFLICT, CONFLICT, CONFLICT, AGAIN] == said(answers)
    assert "DE11" in answers[1].problem
    assert b"OC008REJECTED" in answers[1].iso8583
    expected = {"message": 1, "decision": 1, "award": 2, "posting": 2, "purchase": 1, "message_conflict": 2}
    assert expected == {table: found for table, found in facts(pipeline.database).items() if found}
    amounts = rows(pipeline.database, "SELECT fields -> 'amount' ->> 0 FROM message_conflict ORDER BY 1")
    assert [("10000",), ("90000",)] == amounts
    assert (MILES, 0) == totals(pipeline.database)


def test_a_message_of_long_ago_waits_for_operations(pipeline: Pipeline) -> None:
    """Beyond 300 days a message is parked with its reason, once, and its neighbours are decided."""
    old = approved(1, transmission_date_time="0101120000", local_date="0101")

    answers = pipeline.send(old, approved(2), old)
    later = pipeline.send(old)

    too_old = (Outcome.PARKED, Reason.TOO_OLD)
    assert [too_old, EARNED, (Outcome.DUPLICATE, Reason.TOO_OLD)] == said(answers)
    assert [(Outcome.DUPLICATE, Reason.TOO_OLD)] == said(later)
    assert 1 == count(pipeline.database, "parked", f"reason = {int(Reason.TOO_OLD)}")
    assert (MILES, 0) == totals(pipeline.database)
    assert_books_agree(pipeline)


def test_a_message_of_300_days_ago_is_decided(pipeline: Pipeline) -> None:
    """The oldest day that is decided earns under the revision of its own time, and repeats to its original."""
    old = approved(1, transmission_date_time="0124120000", local_date="0124")

    assert [EARNED, AGAIN] == said(pipeline.send(old) + pipeline.send(old))
    assert [("2026-01",)] == rows(pipeline.database, "SELECT DISTINCT period FROM limit_counter")


def test_a_message_before_the_programme_waits(database: Database) -> None:
    """Where no revision was in force the message waits; a neighbour on the programme's first day earns."""
    document = (
        (SKYWAYS / "programme.yaml").read_text().replace("2026-01-01T00:00:00+01:00", "2026-11-10T00:00:00+01:00")
    )
    apply_skyways(database, document=document)
    pipeline = make_pipeline(database)

    answers = pipeline.send(
        approved(1, transmission_date_time="1109225959"), approved(2, transmission_date_time="1109230000")
    )

    assert [(Outcome.PARKED, Reason.NO_PROGRAMME), EARNED] == said(answers)
    assert 1 == count(database, "parked", f"reason = {int(Reason.NO_PROGRAMME)}")
    assert 1 == count(database, "purchase")
    assert_books_agree(pipeline)


def test_an_unknown_link_is_refused_with_what_is_known(pipeline: Pipeline) -> None:
    """A bank or a dialect that no programme names is refused before anything is looked up."""
    answers = pipeline.send(
        approved(1, bank="gamma"), approved(2, bank="beta"), approved(3, dialect="iso87-bcd"), approved(4)
    )

    expected = [Reason.UNKNOWN_BANK, Reason.UNKNOWN_DIALECT, Reason.UNKNOWN_DIALECT, Reason.EARNED]
    assert expected == [answer.reason for answer in answers]
    assert "alpha, beta" in answers[0].problem
    assert "iso87-bcd" in answers[1].problem
    assert 1 == count(pipeline.database, "message")


def test_what_does_not_decode_is_kept_once_with_its_place(pipeline: Pipeline) -> None:
    """Bytes that are no message leave link, length, place and a keyed digest; their neighbours are decided."""
    whole = approved(1)
    broken = IncomingMessage(caller_id="b", bank="alpha", dialect="iso87-ascii", iso8583=whole.iso8583[:-5])
    letter = IncomingMessage(
        caller_id="l",
        bank="alpha",
        dialect="iso87-ascii",
        iso8583=whole.iso8583.replace(b"000000010000", b"00000001000A"),
    )

    answers = pipeline.send(approved(2), broken, letter, approved(3), broken)
    pipeline.send(broken)

    undecodable = (Outcome.REJECTED, Reason.UNDECODABLE)
    assert [EARNED, undecodable, undecodable, EARNED, undecodable] == said(answers)
    assert "4 amount at byte" in answers[2].problem
    kept = rows(
        pipeline.database,
        "SELECT bank, dialect, source, length_bytes, field, position, octet_length(digest), key_id"
        " FROM undecodable ORDER BY field",
    )
    length = len(whole.iso8583)
    place = whole.iso8583.index(b"000000010000")
    assert ("alpha", "iso87-ascii", "exchange", length, "4 amount", place, 32, "k1") == kept[0]
    assert ("alpha", "iso87-ascii", "exchange", length - 5) == kept[1][:4]
    assert 2 == len(kept)
    assert 2 == count(pipeline.database, "message")


def test_a_message_older_than_its_account_is_decided(pipeline: Pipeline) -> None:
    """An account opens with the first message that arrives; one sent months before it counts in its own period."""
    answers = pipeline.send(approved(1)) + pipeline.send(
        approved(2, transmission_date_time="0601120000", local_date="0601")
    )

    assert [EARNED, EARNED] == said(answers)
    periods = rows(pipeline.database, "SELECT period, used FROM limit_counter ORDER BY period")
    assert [("2026-06", MILES), ("2026-11", MILES)] == periods


@contextmanager
def poisoned(monkeypatch: pytest.MonkeyPatch, *numbers: int) -> Iterator[None]:
    """Make the decision fail on the messages with these trace numbers."""

    def fail(
        purchase: Purchase,
        event: Event,
        terms: AccountTerms,
        *,
        quote: bool = False,
        carried: Sequence[Carried] = (),
        kept: Sequence[Kept] = (),
    ) -> Decision | None:
        if any(f"/{number:06d}/" in event.trace for number in numbers):
            raise ZeroDivisionError
        return decide_purely(purchase, event, terms, quote=quote, carried=carried, kept=kept)

    with monkeypatch.context() as patched:
        patched.setattr(purchase_work, "decide", fail)
        yield


def test_poison_is_parked_alone(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that the processor fails on is parked; its neighbours, also of the same card, are decided."""
    first = 1
    for poison in [(0,), (3,), (6,), (1, 2, 5)]:
        numbers = range(first, first + 7)
        messages = [approved(number) for number in numbers]
        bad = {first + place for place in poison}
        with poisoned(monkeypatch, *bad):
            answers = pipeline.send(*messages)
            again = pipeline.send(*messages)

        parked, waits = (Outcome.PARKED, Reason.POISON), (Outcome.DUPLICATE, Reason.POISON)
        assert [parked if number in bad else EARNED for number in numbers] == said(answers)
        assert [waits if number in bad else AGAIN for number in numbers] == said(again)
        first += 7
    assert ((28 - 6) * MILES, 0) == totals(pipeline.database)
    assert 6 == count(pipeline.database, "parked", f"reason = {int(Reason.POISON)}")
    assert_books_agree(pipeline)


def test_poison_is_decided_once_it_is_mended(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay while the fault lasts leaves it parked; after the repair it decides it, and a repeat finds that."""
    with poisoned(monkeypatch, 1):
        pipeline.send(approved(1), approved(2))
        assert ReplayResult(decided=0, still_parked=1) == replay(pipeline.decider, pipeline.intake, None, 10)

    assert ReplayResult(decided=1, still_parked=0) == replay(pipeline.decider, pipeline.intake, None, 10)
    assert ReplayResult(decided=0, still_parked=0) == replay(pipeline.decider, pipeline.intake, None, 10)
    assert [AGAIN] == said(pipeline.send(approved(1)))
    assert (2 * MILES, 0) == totals(pipeline.database)
    assert 0 == count(pipeline.database, "parked")
    assert_books_agree(pipeline)


def raising(state: str) -> str:
    """Return a statement that fails with an SQLSTATE."""
    return f"DO $$ BEGIN RAISE SQLSTATE '{state}'; END $$"


LOSING: Final = "SELECT pg_terminate_backend(pg_backend_pid())"
"""Ends the connection it is sent over."""


@contextmanager
def failing_before_commit(monkeypatch: pytest.MonkeyPatch, statement: str, times: int) -> Iterator[list[int]]:
    """Make the transaction fail ``times`` times when all is written and nothing committed."""
    failed: list[int] = []

    def write(cursor: Any, *arguments: Any) -> None:
        write_batch(cursor, *arguments)
        if len(failed) < times:
            failed.append(1)
            cursor.execute(statement)

    with monkeypatch.context() as patched:
        patched.setattr(batch, "write_batch", write)
        yield failed


@contextmanager
def losing_the_connection_after_commit(
    monkeypatch: pytest.MonkeyPatch, pipeline: Pipeline, times: int
) -> Iterator[list[int]]:
    """Make the connection end between the commit and the news of it, ``times`` times."""
    dialect = pipeline.decider.engine.dialect
    commit = dialect.do_commit
    lost: list[int] = []

    def commit_and_lose(connection: Any) -> None:
        commit(connection)
        if len(lost) < times:
            lost.append(1)
            connection.cursor().execute(LOSING)

    with monkeypatch.context() as patched:
        patched.setattr(dialect, "do_commit", commit_and_lose)
        yield lost


FAILURES: Final = [*map(raising, ("40001", "40P01", "55P03", "25P03", "08006", "57P01", "53300", "23505")), LOSING]
"""Serialization failure, deadlock, lock and idle time-outs, a lost connection, shutdown, no room, a key just taken."""


def test_a_failure_before_the_commit_has_no_effect(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to three failures are run again with the same ids; every message has one effect and is accepted."""
    number = 0
    for statement in FAILURES:
        for times in (1, 3):
            messages = [approved(number := number + 1), approved(number := number + 1)]
            pipeline.send(messages[1])
            with failing_before_commit(monkeypatch, statement, times) as failed:
                answers = pipeline.send(*messages)

            assert times == len(failed)
            assert [EARNED, AGAIN] == said(answers), statement
    assert (number * MILES, 0) == totals(pipeline.database)
    assert number == count(pipeline.database, "decision")
    assert_books_agree(pipeline)


def test_a_connection_lost_after_the_commit_leaves_one_effect(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its own lost transaction had committed is accepted; what was there before it is a duplicate."""
    pipeline.send(approved(3))
    with losing_the_connection_after_commit(monkeypatch, pipeline, 1) as lost:
        answers = pipeline.send(*[approved(number) for number in range(1, 4)])

    assert [1] == lost
    assert [EARNED, EARNED, AGAIN] == said(answers)
    assert (3 * MILES, 0) == totals(pipeline.database)
    assert 3 == count(pipeline.database, "decision")
    assert_books_agree(pipeline)


def test_a_connection_lost_after_the_commit_keeps_duplicates_apart(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a message twice in one batch the first is accepted and the second is a duplicate, also on a retry."""
    pipeline.send(approved(9))
    with losing_the_connection_after_commit(monkeypatch, pipeline, 1):
        answers = pipeline.send(approved(1), approved(1))

    assert [EARNED, AGAIN] == said(answers)


def test_a_duplicate_stays_one_when_its_batch_fails_before_it_is_looked_up(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that ended before it looked cannot have written the message that the next run finds."""
    pipeline.send(approved(1))
    failed: list[int] = []

    def fail_once(cursor: Any, keys: Any) -> Any:
        if not failed:
            failed.append(1)
            cursor.execute(raising("40P01"))
        return lock_accounts(cursor, keys)

    monkeypatch.setattr(batch, "lock_accounts", fail_once)

    assert [AGAIN, EARNED] == said(pipeline.send(approved(1), approved(2)))


def test_contention_that_lasts_is_no_poison(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that could not be booked because of others is to be sent again, and then earns."""
    for number, state in enumerate(("40001", "40P01", "55P03"), start=1):
        messages = approved(number), approved(100 + number)
        with failing_before_commit(monkeypatch, raising(state), 1000) as failed:
            answers = pipeline.send(*messages)

        assert ATTEMPTS == len(failed), "whoever holds the lock is waited for no more often"
        assert [UNAVAILABLE, UNAVAILABLE] == said(answers), state
        assert [EARNED, EARNED] == said(pipeline.send(*messages))
    assert 0 == count(pipeline.database, "parked")


def test_a_key_that_stays_taken_is_poison(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unique key that is taken at every attempt is the message's own fault: it is parked, for it never could be."""

    def write(cursor: Any, writes: Any, accounts: Any) -> None:
        write_batch(cursor, writes, accounts)
        if any(award for award in writes.awards):
            cursor.execute(raising("23505"))

    monkeypatch.setattr(batch, "write_batch", write)
    declined = iso87("0110", trace_number="000002", response_code="51")

    answers = pipeline.send(approved(1), declined)

    assert [(Outcome.PARKED, Reason.POISON), (Outcome.ACCEPTED, Reason.DECLINED)] == said(answers)


@contextmanager
def closed_to_everybody(administrator_url: str, database: Database) -> Iterator[None]:
    """End the database's connections and let nobody in."""
    name = database.service.url.database
    connection = psycopg2.connect(administrator_url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        yield
        cursor.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    connection.close()


def test_without_a_database_everything_is_unavailable(pipeline: Pipeline, administrator_url: str) -> None:
    """Nothing is answered that is not durable; the same messages are taken once the database is back."""
    broken = IncomingMessage(caller_id="b", bank="alpha", dialect="iso87-ascii", iso8583=b"0110nonsense")
    messages = (approved(1), broken, approved(2, pan="4000000000000010"), approved(3))
    pipeline.send(approved(3))
    with closed_to_everybody(administrator_url, pipeline.database):
        down = pipeline.send(*messages)
    back = pipeline.send(*messages)

    assert [UNAVAILABLE] * 4 == said(down)
    assert all("send the message again" in answer.problem for answer in down)
    assert [EARNED, (Outcome.REJECTED, Reason.UNDECODABLE), EARNED, AGAIN] == said(back)
    assert 1 == count(pipeline.database, "undecodable")
    assert (3 * MILES, 0) == totals(pipeline.database)
    assert_books_agree(pipeline)


CARDS: Final = ("4000000000000002", "4000000000000010", "4000000000000028", "4000000000000036", "4000000000000044")


def crowd() -> list[IncomingMessage]:
    """Build messages of a few cards: authorizations, reversals of some, and some declined."""
    messages: list[IncomingMessage] = []
    for number in range(1, 41):
        card = CARDS[number % len(CARDS)]
        messages.append(approved(number, "0120", pan=card))
        if number % 4 == 0:
            original = f"0120{number:06d}1120113000{'12345678':0>11}{'0':0>11}"
            messages.append(approved(500 + number, "0420", pan=card, original_data=original))
        if number % 5 == 0:
            messages.append(iso87("0120", pan=card, trace_number=f"{700 + number:06d}", response_code="51"))
    return messages


def test_workers_beside_each_other_end_as_one_alone(
    pipeline: Pipeline, administrator_url: str, template_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four workers are sent the same messages in their own orders and batches: each message has one effect."""
    messages = crowd()
    workers = [make_pipeline(pipeline.database) for _ in range(4)]

    def work(number: int) -> list[Answer]:
        own = random.Random(number)
        order = own.sample(messages, len(messages))
        answers: list[Answer] = []
        while order:
            size = own.choice((1, 2, 5, 17))
            answers += workers[number].send(*order[:size])
            del order[:size]
        return answers

    with ThreadPoolExecutor(len(workers)) as threads:
        outcomes = Counter(answer.outcome for answers in threads.map(work, range(4)) for answer in answers)

    assert {Outcome.ACCEPTED: len(messages), Outcome.DUPLICATE: 3 * len(messages)} == dict(outcomes)
    assert [(30 * MILES, 0)] == [totals(pipeline.database)]
    assert {(6 * MILES, 0)} == set(balances(pipeline.database).values())
    assert_books_agree(pipeline)


def test_a_bank_tells_nothing_about_another_banks_cards(pipeline: Pipeline) -> None:
    """What comes over a bank's link about another bank's card waits, and neither books there nor stands in its way.

    That holds for a card that is known, for one that is not, and for one of a range that no product has yet.
    """
    known, unseen, nobodys = "4000000000000002", "4000000000000010", "4999990000000007"
    pipeline.send(approved(1, pan=known))

    def beta(number: int, pan: str) -> IncomingMessage:
        return approved(number, bank="beta", dialect="iso87-bcd", pan=pan)

    foreign = pipeline.send(beta(2, known), beta(3, unseen), beta(4, nobodys))
    own = pipeline.send(approved(5, pan=known), approved(6, pan=unseen))
    repeated = pipeline.send(beta(2, known))

    unknown = (Outcome.PARKED, Reason.UNKNOWN_CARD)
    assert [unknown] * 3 == said(foreign)
    assert [EARNED, EARNED] == said(own)
    assert [(Outcome.DUPLICATE, Reason.UNKNOWN_CARD)] == said(repeated)
    assert {("alpha",)} == set(rows(pipeline.database, "SELECT DISTINCT bank FROM posting"))
    assert (3 * MILES, 0) == totals(pipeline.database)
    assert ReplayResult(decided=0, still_parked=3) == replay(pipeline.decider, pipeline.intake, None, 10)
    assert_books_agree(pipeline)


def test_a_card_file_takes_over_no_other_banks_cards(pipeline: Pipeline) -> None:
    """A record about another bank's card range is refused, also as a predecessor; the card's account stays as it is."""
    pipeline.send(approved(1))

    result = submit(
        pipeline,
        record("4000000000000002", "BETA-1", "beta-blue"),
        record("2223000000000007", "BETA-2", "beta-blue", predecessor="4000000000000002"),
        bank="beta",
    )

    assert (0, 2) == (result.taken, result.rejected)
    assert all("another bank" in problem for _, problem in result.errors)
    assert [("alpha", "alpha-gold")] == rows(pipeline.database, "SELECT bank, product FROM account")


def test_the_bank_that_names_a_card_first_seen_elsewhere_gets_it(pipeline: Pipeline) -> None:
    """A card of an unknown range that came over the wrong link earns for the bank whose card file names it."""
    card = "4999990000000007"
    assert passes_check_digit(card)
    pipeline.send(approved(1, pan=card, bank="beta", dialect="iso87-bcd"))

    result = submit(pipeline, record(card, "ACC-1", "alpha-gold"))
    own = pipeline.send(approved(2, pan=card))

    assert (1, 0) == (result.taken, result.messages_decided)
    assert [EARNED] == said(own)
    assert [("alpha", "alpha-gold", MILES)] == rows(pipeline.database, "SELECT bank, product, pending FROM account")
    assert {("alpha",)} == set(rows(pipeline.database, "SELECT DISTINCT bank FROM posting"))
    assert_books_agree(pipeline)
