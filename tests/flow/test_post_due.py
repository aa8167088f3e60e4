"""Miles that are posted later: they become due once, or are released once, and a return in time leaves nothing."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

import pytest
from sqlalchemy import text

from processor.core.outcome import Outcome, Reason
from processor.flow.event_message import EventRefusal, EventRefused
from processor.flow.post_due import Posted, post_due
from processor.flow.release_awards import Release, Released, release_awards
from processor.flow.submission import Answer, Verdict
from processor.flow.sweep import Sweep
from processor.store.card_side import Key
from processor.store.directory import bucket_of
from tests.conftest import Database
from tests.flow.audit import assert_books_agree, count, rows, totals
from tests.flow.clearing_records import clear, presentment
from tests.flow.conftest import BUCKETS, NOW, Pipeline, apply_skyways, make_pipeline
from tests.flow.test_explain import explain

RETURNS: Final = Path(__file__).parents[2] / "examples" / "programmes" / "returns"
STORES: Final = {"acquirer": "412345", "acceptor": "PARADE01"}
JOURNAL: Final = {"acquirer": "412345", "acceptor": "JOURNAL"}
DUE: Final = datetime(2026, 12, 4, tzinfo=UTC)
"""Two weeks behind the purchases of these tests."""


@pytest.fixture
def returns(database: Database) -> Pipeline:
    """Build a pipeline under a programme that posts after days of return, by statement and on release."""
    apply_skyways(database, folder=RETURNS)
    return make_pipeline(database)


def bought(pipeline: Pipeline, number: int = 1, at: Mapping[str, str] = STORES, **fields: str) -> Verdict:
    """Clear a purchase of 100.00 EUR at the stores on 20 November 2026, or when the record says."""
    made = datetime.strptime({**at, **fields}.get("local_date_time", "261120113000"), "%y%m%d%H%M%S").replace(
        tzinfo=UTC
    )
    pipeline.now = max(pipeline.now, made)
    (verdict,) = clear(pipeline, presentment(number, **{**at, **fields}), bank="delta")
    return verdict


def run(pipeline: Pipeline, as_of: datetime, *, days_back: int = 60) -> Posted:
    """Post what is due, over every bucket."""
    pipeline.now = max(pipeline.now, as_of)
    sweep, result = Sweep(buckets=BUCKETS), Posted()
    while sweep.position is not None:
        done = post_due(pipeline.decider, sweep, as_of=as_of, days_back=days_back)
        result.examined += done.examined
        result.posted += done.posted
        result.left += done.left
    return result


def test_miles_are_posted_once_their_days_are_over(returns: Pipeline) -> None:
    """The day before nothing happens; then the promise becomes miles and is charged, and again nothing happens."""
    bought(returns)
    assert (100, 0) == totals(returns.database)
    assert 0 == count(returns.database, "posting", "between_parties")
    assert Posted(examined=1) == run(returns, DUE - timedelta(seconds=1))
    assert Posted(examined=1, posted=1) == run(returns, DUE)
    assert (0, 100) == totals(returns.database)
    assert [("party/parade-stores/settlement", 100)] == rows(
        returns.database, "SELECT debit, amount FROM posting WHERE between_parties"
    )
    assert Posted() == run(returns, DUE)
    assert Posted() == run(returns, DUE + timedelta(days=9))
    assert 2 == count(returns.database, "message")
    assert_books_agree(returns)


def test_a_run_that_is_late_books_the_day_that_came(returns: Pipeline) -> None:
    """A run weeks later, with parts due on several days, books one event about the last of them."""
    bought(returns, clearing_part="0102", amount="6000", approval_code="APPR01")
    later = {"clearing_part": "0202", "amount": "4000", "local_date_time": "261125113000", "approval_code": "APPR01"}
    bought(returns, 2, {**STORES, **later})
    assert 1 == run(returns, DUE + timedelta(days=30)).posted
    assert (0, 100) == totals(returns.database)
    assert [("2026-12-09T00:00:00+00:00",)] == rows(
        returns.database, "SELECT fields ->> 'transmitted_at' FROM message WHERE (fields ->> 'kind')::int = 61"
    )
    assert_books_agree(returns)


def test_a_return_in_time_leaves_nothing_to_post(returns: Pipeline) -> None:
    """Goods that come back within the days take their promise along; afterwards they take what was posted."""
    back = {"processing_code": "200000", "acquirer_reference": f"7123456{1:016d}"}
    bought(returns)
    bought(returns, amount="6000", local_date_time="261125113000", at={**STORES, **back})
    assert (40, 0) == totals(returns.database)
    assert 1 == run(returns, DUE).posted
    assert (0, 40) == totals(returns.database)
    assert 1 == count(returns.database, "posting", "between_parties")
    bought(returns, amount="4000", local_date_time="261207113000", at={**STORES, **back})
    assert (0, 0) == totals(returns.database)
    assert 0 == run(returns, DUE + timedelta(days=60)).posted
    assert_books_agree(returns)


def test_runs_beside_each_other_book_one_event(returns: Pipeline) -> None:
    """Four runs at once post what twenty purchases earned once each."""
    for number in range(1, 21):
        bought(returns, number)
    others = [make_pipeline(returns.database) for _ in range(4)]
    for other in others:
        other.now = DUE
    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(lambda other: run(other, DUE), others))
    assert 20 == sum(one.posted for one in done)
    assert (0, 2000) == totals(returns.database)
    assert 40 == count(returns.database, "message")
    assert_books_agree(returns)


def test_an_explanation_says_when_miles_are_expected(returns: Pipeline) -> None:
    """What is pending, under which terms, and from when on it is posted; computed again, it is the same."""
    waiting = explained(returns, bought(returns))
    assert "Rule fashion posts what has cleared 14 days later." in waiting
    assert "What rule fashion has pending is expected to be posted on 2026-12-04." in waiting
    run(returns, DUE)
    ((account, message),) = rows(
        returns.database,
        "SELECT encode(account, 'hex'), encode(id, 'hex') FROM message WHERE (fields ->> 'kind')::int = 61",
    )
    posted = explained(returns, f"accounts/{account}/decisions/{message}-1")
    assert "What is due up to 2026-12-04 is posted." in posted
    assert not [sentence for sentence in posted if "expected" in sentence]


def explained(pipeline: Pipeline, decided: Verdict | str) -> tuple[str, ...]:
    """Return an explanation's sentences; computing it again gives what is stored."""
    name = decided if isinstance(decided, str) else decided.explanation
    answer = Answer(caller_id="", outcome=Outcome.ACCEPTED, reason=Reason.EARNED, explanation=name)
    found = explain(pipeline, answer)
    assert found.reproduced
    return found.sentences


def release_of(verdict: Verdict, number: int = 1, rules: tuple[str, ...] = ()) -> tuple[Key, Release]:
    """Return the account of a purchase, and a release of it under a request id of its own."""
    _, account, _, decision = verdict.explanation.split("/")
    purchase = bytes.fromhex(decision.partition("-")[0])
    key = bucket_of(bytes.fromhex(account), BUCKETS), bytes.fromhex(account)
    asked = Release(purchase=purchase, rules=rules, reason="Ticket 4711", actor="maria", request_id=UUID(int=number))
    return key, asked


def test_miles_wait_for_their_release(returns: Pipeline) -> None:
    """No day posts them; a release does, once, and said again it changes nothing."""
    key, release = release_of(bought(returns, at=JOURNAL))
    assert (500, 0) == totals(returns.database)
    assert 0 == run(returns, DUE + timedelta(days=200)).posted
    done = release_awards(returns.decider, key, release)
    assert isinstance(done, Released)
    assert (Reason.EARNED, False) == (done.verdict.reason, done.duplicate)
    assert (0, 500) == totals(returns.database)
    again = release_awards(returns.decider, key, release)
    assert isinstance(again, Released)
    assert (done.message_id, True) == (again.message_id, again.duplicate)
    assert [("maria", "release-awards", "Ticket 4711")] == rows(
        returns.database, "SELECT actor, action, reason FROM audit WHERE action = 'release-awards'"
    )
    assert "What is due up to" not in "".join(explained(returns, done.verdict))
    assert_books_agree(returns)


@pytest.mark.parametrize(
    ("number", "rules", "refusal"),
    [
        (2, (), EventRefusal.NOTHING_TO_RELEASE),
        (1, ("subscriber",), EventRefusal.REQUEST_ID_REUSED),
        (3, ("fashion",), EventRefusal.NOTHING_TO_RELEASE),
    ],
)
def test_a_release_of_nothing_is_refused(
    returns: Pipeline, number: int, rules: tuple[str, ...], refusal: EventRefusal
) -> None:
    """What was released, another release under a used request id, and a rule that does not wait are refused."""
    verdict = bought(returns, at=JOURNAL)
    key, release = release_of(verdict)
    release_awards(returns.decider, key, release)
    refused = release_awards(returns.decider, *release_of(verdict, number, rules))
    assert isinstance(refused, EventRefused)
    assert refusal is refused.refusal
    assert (0, 500) == totals(returns.database)


def test_a_release_of_what_is_not_there_is_refused(returns: Pipeline) -> None:
    """An unknown purchase and an unknown account are refused, and nothing is recorded."""
    key, release = release_of(bought(returns, at=JOURNAL))
    unknown = Release(purchase=bytes(16), rules=(), reason="Ticket", actor="maria", request_id=UUID(int=9))
    found = release_awards(returns.decider, key, unknown)
    assert isinstance(found, EventRefused)
    assert EventRefusal.PURCHASE_NOT_FOUND is found.refusal
    nobody = (key[0], bytes(16))
    missing = release_awards(returns.decider, nobody, release)
    assert isinstance(missing, EventRefused)
    assert EventRefusal.ACCOUNT_NOT_FOUND is missing.refusal
    assert 0 == count(returns.database, "audit", "action = 'release-awards'")
    assert NOW == returns.now


def test_an_explanation_says_what_part_was_given_back(returns: Pipeline) -> None:
    """A bonus that is taken back in proportion is explained by the part of the purchase that came back."""
    silk = {**STORES, "pan": "4000010000000001", "amount": "24000"}
    bought(returns, at=silk)
    refund = {
        **silk,
        "local_date_time": "261121113000",
        "processing_code": "200000",
        "amount": "8000",
        "acquirer_reference": f"7123456{1:016d}",
    }
    said = explained(returns, bought(returns, at=refund))
    assert "Rule large-basket takes back in proportion: 1/3 of what was bought was given back." in said
    assert (160, 200) == totals(returns.database)
    assert_books_agree(returns)


def test_what_a_holder_keeps_is_written_off(returns: Pipeline) -> None:
    """A refund of more than the holder has stops at nothing; the rest stays charged, and the books prove it."""
    lunch = {"acquirer": "412345", "acceptor": "LUNCH", "mcc": "5812"}
    bought(returns, at={**lunch, "amount": "2000"})
    assert (0, 10) == totals(returns.database)
    said = explained(returns, bought(returns, 2, at={**lunch, "processing_code": "200000", "amount": "6000"}))
    assert "the holder keeps 20 PRD, which stay charged to delta." in "".join(said)
    assert (0, 0) == totals(returns.database)
    assert [("party/delta/kept", 20)] == rows(returns.database, "SELECT debit, amount FROM posting WHERE template = 29")
    assert_books_agree(returns)
    with returns.database.owner.begin() as connection:
        connection.execute(text("UPDATE posting SET amount = 19 WHERE template = 29"))
        connection.execute(text("UPDATE account SET available = available - 1 WHERE available = 0"))
    with pytest.raises(AssertionError):
        assert_books_agree(returns)
