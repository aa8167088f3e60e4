"""Statement days of accounts on a real database: from the card file to caps, posting dates, explanations and proof."""

from datetime import UTC, datetime, timedelta

from processor.core.card import Pan
from processor.flow.card_file import CardFileIntake, CardFileRecord, CardFileResult
from processor.flow.explain import explain_decision
from processor.flow.post_due import Posted
from tests.conftest import Database
from tests.flow.audit import assert_books_agree, rows
from tests.flow.conftest import Pipeline, apply_skyways, make_pipeline
from tests.flow.test_post_due import RETURNS, bought, run

LUNCH = {"acquirer": "423456", "acceptor": "LUNCH", "mcc": "5812", "amount": "6000"}
TOUR = {"acquirer": "423456", "acceptor": "TOURS", "mcc": "4722", "amount": "5000"}


def hand_in(pipeline: Pipeline, statement_day: str) -> CardFileResult:
    """Hand in the bank's card file with one card of one account."""
    taking = CardFileIntake(bank="delta", full=False, decider=pipeline.decider, intake=pipeline.intake)
    card = Pan("4000000000000002")
    taking.take(
        [CardFileRecord(card_number=card, account_reference="R-1", product="plain", statement_day=statement_day)]
    )
    return taking.finish()


def counters(pipeline: Pipeline) -> dict[str, int]:
    """Return what the cap of lunches has used by period."""
    found = rows(pipeline.database, "SELECT period, used FROM limit_counter WHERE cap = 'lunches'")
    return {period: used for period, used in found if used}


def test_a_change_of_the_day_moves_nothing_that_was_bought_before(database: Database) -> None:
    """The product's 15th until the file says 20: each purchase keeps its period and its statement date."""
    apply_skyways(database, folder=RETURNS)
    pipeline = make_pipeline(database)
    pipeline.now = datetime(2026, 11, 8, 12, tzinfo=UTC)
    assert 1 == hand_in(pipeline, "").taken
    bought(pipeline, 1, TOUR, local_date_time="261109080000")
    bought(pipeline, 2, LUNCH, local_date_time="261109123000")
    pipeline.now = datetime(2026, 11, 10, 12, tzinfo=UTC)
    assert [1, 1] == [hand_in(pipeline, "20").taken for _ in range(2)]
    assert [("20",)] == rows(database, "SELECT value FROM member_fact")
    assert [("bank delta", "statement-day")] == rows(database, "SELECT actor, action FROM audit WHERE action LIKE 's%'")
    bought(pipeline, 3, LUNCH, local_date_time="261112123000")
    bought(pipeline, 4, LUNCH, local_date_time="261118123000")
    assert {"S2026-11-15": 30, "S2026-11-20": 40} == counters(pipeline)
    bought(pipeline, 5, TOUR, local_date_time="261116080000")
    assert_books_agree(pipeline)

    for as_of, posted in ((14, 0), (15, 1), (19, 0), (20, 1)):
        done = run(pipeline, datetime(2026, 11, as_of, 6, tzinfo=UTC))
        assert isinstance(done, Posted)
        assert posted == done.posted, as_of
    for bucket, message, account, attempt in rows(
        database, "SELECT bucket, message_id, account, attempt FROM decision"
    ):
        found = explain_decision(
            database.service, pipeline.snapshots, (bucket, bytes(message)), bytes(account), attempt
        )
        assert found is not None
        assert found.reproduced
        assert ("day 20 of the month" in " ".join(found.sentences)) is (b"statement_day" in found.detail.encode())
    assert_books_agree(pipeline)


def test_a_day_is_refused_that_nobody_asks_for(database: Database) -> None:
    """Where the programme has no statement days of accounts, the record is refused and says what to write."""
    document = (RETURNS / "programme.yaml").read_text(encoding="utf-8")
    lines = [line for line in document.splitlines(keepends=True) if "account_statement_days" not in line]
    assert len(lines) + 1 == len(document.splitlines())
    apply_skyways(database, folder=RETURNS, document="".join(lines))
    pipeline = make_pipeline(database)
    result = hand_in(pipeline, "20")
    assert (0, 1) == (result.taken, result.rejected)
    assert "write account_statement_days: true at the bank" in result.errors[0][1]
    assert 1 == hand_in(pipeline, "").taken


def test_a_day_that_no_month_has_is_refused(database: Database) -> None:
    """A record with the 32nd is not taken."""
    apply_skyways(database, folder=RETURNS)
    pipeline = make_pipeline(database)
    pipeline.now += timedelta(days=1)
    result = hand_in(pipeline, "32")
    assert (0, "statement_day is no day of a month") == (result.taken, result.errors[0][1].partition(";")[0])
