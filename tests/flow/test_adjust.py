"""Adjusting accounts: one effect per request, in the books, in the cached balance and in the audit."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from sqlalchemy import text

from processor.flow.adjust import LARGEST_MILES, Adjusted, Adjustment, AdjustmentRefusal, AdjustmentRefused, adjust
from processor.flow.snapshot import Snapshots
from processor.store.card_side import Key
from processor.store.directory import bucket_of
from processor.store.schema import id_of_day
from tests.flow.conftest import BUCKETS, NOW, Pipeline, iso87

REQUEST = UUID("7d1f3f7e-53a4-4d2c-9a52-0a4f3a3c8a11")
OTHER_REQUEST = UUID("7d1f3f7e-53a4-4d2c-9a52-0a4f3a3c8a12")
GOODWILL = Adjustment(miles=500, reason="Goodwill, ticket 4711", actor="maria", request_id=REQUEST)
GOLD = "4000000000000002"
CLASSIC = "4000010000000001"


def account_of(pipeline: Pipeline, card: str = GOLD) -> Key:
    """Open a card's account by a message, and return the account's key."""
    (answer,) = pipeline.send(iso87("0110", pan=card, response_code="00"))
    account = bytes.fromhex(answer.explanation.split("/")[1])
    return bucket_of(account, BUCKETS), account


def do(pipeline: Pipeline, key: Key, adjustment: Adjustment = GOODWILL) -> Adjusted | AdjustmentRefused:
    """Adjust an account at the pipeline's time."""
    return adjust(pipeline.database.service, pipeline.snapshots, key, adjustment, clock=pipeline.clock)


def refusal_of(done: Adjusted | AdjustmentRefused) -> AdjustmentRefusal:
    """Return why an adjustment was refused."""
    assert isinstance(done, AdjustmentRefused)
    return done.refusal


def rows(pipeline: Pipeline, statement: str) -> list[tuple[Any, ...]]:
    """Read rows as tuples."""
    with pipeline.database.service.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def books_of(pipeline: Pipeline) -> tuple[int, int]:
    """Return the cached available miles of all accounts, and what their postings add up to."""
    ((cached,),) = rows(pipeline, "SELECT sum(available) FROM account")
    ((posted,),) = rows(
        pipeline,
        "SELECT coalesce(sum(CASE WHEN credit = 'member/available' THEN amount ELSE -amount END), 0) FROM posting"
        " WHERE 'member/available' IN (debit, credit)",
    )
    return int(cached), int(posted)


def test_giving_miles_posts_them_and_records_who_asked(pipeline: Pipeline) -> None:
    """An upward adjustment is one posting, one audit row, and the account's new balance."""
    key = account_of(pipeline)
    assert Adjusted(available=500, duplicate=False) == do(pipeline, key)
    posting = "SELECT template, debit, credit, unit, amount, between_parties, business_date::text FROM posting"
    assert rows(pipeline, f"{posting} WHERE template > 8") == [
        (9, "programme/adjusted", "member/available", "SKY", 500, False, "2026-11-20")
    ]
    audit = rows(pipeline, "SELECT actor, action, subject, reason, detail::text FROM audit")
    assert [row[:4] for row in audit] == [("maria", "adjust", f"accounts/{key[1].hex()}", "Goodwill, ticket 4711")]
    assert {"miles": 500, "available": 500, "day": "2026-11-20"}.items() <= orjson.loads(audit[0][4]).items()
    assert books_of(pipeline) == (500, 500)


def test_the_audit_names_the_posting_and_the_posting_its_day(pipeline: Pipeline) -> None:
    """The audit's posting id is the posting's, and all three ids of the posting begin with the day it was booked."""
    do(pipeline, account_of(pipeline))
    ((detail,),) = rows(pipeline, "SELECT detail::text FROM audit")
    ((id_, message_id, purchase_id),) = rows(
        pipeline,
        "SELECT encode(id, 'hex'), encode(message_id, 'hex'), encode(purchase_id, 'hex') FROM posting"
        " WHERE template > 8",
    )
    assert id_ == orjson.loads(detail)["posting"]
    assert message_id == purchase_id
    assert id_.startswith(id_of_day(NOW.date()).hex())


def test_taking_miles_may_make_the_balance_negative(pipeline: Pipeline) -> None:
    """A downward adjustment takes what was given by mistake, also beyond what is there."""
    key = account_of(pipeline)
    done = do(pipeline, key, replace(GOODWILL, miles=-20))
    assert Adjusted(available=-20, duplicate=False) == done
    assert rows(pipeline, "SELECT template, debit, credit, amount FROM posting WHERE template > 8") == [
        (10, "member/available", "programme/adjusted", 20)
    ]
    assert books_of(pipeline) == (-20, -20)


def test_the_same_request_again_changes_nothing_on_any_day(pipeline: Pipeline) -> None:
    """A repeat a month later, after another adjustment, gets the first answer."""
    key = account_of(pipeline)
    do(pipeline, key)
    do(pipeline, key, replace(GOODWILL, miles=1, request_id=OTHER_REQUEST))
    pipeline.now = NOW + timedelta(days=31)
    assert Adjusted(available=500, duplicate=True) == do(pipeline, key)
    assert books_of(pipeline) == (501, 501)


def test_one_request_from_many_callers_has_one_effect(pipeline: Pipeline) -> None:
    """Eight callers send the same request at once, on engines that share nothing: one books, seven are told so."""
    key = account_of(pipeline)
    with ThreadPoolExecutor(max_workers=8) as pool:
        futures = [
            pool.submit(adjust, pipeline.database.service, Snapshots(), key, GOODWILL, clock=pipeline.clock)
            for _ in range(8)
        ]
    done = [future.result() for future in futures]
    assert 1 == done.count(Adjusted(available=500, duplicate=False))
    assert 7 == done.count(Adjusted(available=500, duplicate=True))
    assert books_of(pipeline) == (500, 500)


def test_many_requests_at_once_all_count(pipeline: Pipeline) -> None:
    """Different requests of one account wait for each other; none is lost, and the cached balance stays exact."""
    key = account_of(pipeline)
    requests = [replace(GOODWILL, miles=number, request_id=UUID(int=number)) for number in range(1, 25)]
    with ThreadPoolExecutor(max_workers=6) as pool:
        done = list(pool.map(lambda request: do(pipeline, key, request), requests))
    assert all(isinstance(entry, Adjusted) and not entry.duplicate for entry in done)
    assert books_of(pipeline) == (300, 300)


def test_another_amount_under_the_same_request_is_refused(pipeline: Pipeline) -> None:
    """A request id stands for one adjustment of an account; with other miles it is an error and changes nothing."""
    key = account_of(pipeline)
    do(pipeline, key)
    assert AdjustmentRefusal.REQUEST_ID_REUSED == refusal_of(do(pipeline, key, replace(GOODWILL, miles=501)))
    assert books_of(pipeline) == (500, 500)


def test_one_request_id_adjusts_two_accounts(pipeline: Pipeline) -> None:
    """The id is the caller's per account: the same one on another account is another adjustment."""
    first, second = account_of(pipeline), account_of(pipeline, "4000000000000010")
    assert do(pipeline, first) == do(pipeline, second)
    assert books_of(pipeline) == (1000, 1000)


def test_an_unknown_account_is_refused(pipeline: Pipeline) -> None:
    """An account that was never opened cannot be adjusted."""
    assert AdjustmentRefusal.ACCOUNT_NOT_FOUND == refusal_of(do(pipeline, (1, bytes(16))))


def test_a_provisional_account_is_refused(pipeline: Pipeline) -> None:
    """An account that waits for the card file has no programme's miles yet."""
    key = account_of(pipeline, CLASSIC)
    assert AdjustmentRefusal.ACCOUNT_PROVISIONAL == refusal_of(do(pipeline, key))
    assert rows(pipeline, "SELECT * FROM audit") == []


def test_a_joined_account_is_refused_and_its_survivor_named(pipeline: Pipeline) -> None:
    """An account that was joined to another says to which; a repeat of an older request still gets its answer."""
    key = account_of(pipeline)
    do(pipeline, key)
    with pipeline.database.service.begin() as connection:
        connection.execute(text("UPDATE account SET superseded_by = :id, status = 'joined'"), {"id": b"\x07" * 16})
    refused = do(pipeline, key, replace(GOODWILL, request_id=OTHER_REQUEST))
    assert AdjustmentRefusal.ACCOUNT_JOINED == refusal_of(refused)
    assert isinstance(refused, AdjustmentRefused)
    assert f"accounts/{'07' * 16}" in refused.explanation
    assert Adjusted(available=500, duplicate=True) == do(pipeline, key)


def test_a_programme_that_is_not_in_force_is_refused(pipeline: Pipeline) -> None:
    """Before its first revision takes effect a programme has no miles to give."""
    key = account_of(pipeline)
    pipeline.now = NOW.replace(year=2025)
    assert AdjustmentRefusal.NO_PROGRAMME_IN_FORCE == refusal_of(do(pipeline, key))


@pytest.mark.parametrize("miles", [LARGEST_MILES, -LARGEST_MILES - 1])
def test_what_does_not_fit_is_refused(pipeline: Pipeline, miles: int) -> None:
    """A balance or an amount beyond 64 bits is refused instead of failing in the database."""
    key = account_of(pipeline)
    do(pipeline, key)
    request = replace(GOODWILL, miles=miles, request_id=OTHER_REQUEST)
    assert AdjustmentRefusal.BALANCE_OUT_OF_RANGE == refusal_of(do(pipeline, key, request))
    assert books_of(pipeline) == (500, 500)


def test_decisions_and_adjustments_of_one_account_do_not_lose_each_other(pipeline: Pipeline) -> None:
    """While an account is adjusted its purchases are decided: both wait for its lock, and both balances stay exact."""
    key = account_of(pipeline)
    messages = [
        iso87("0110", response_code="00", trace_number=f"{number:06d}", retrieval_reference=f"{number:012d}")
        for number in range(2, 12)
    ]
    requests = [replace(GOODWILL, miles=7, request_id=UUID(int=number)) for number in range(10)]
    with ThreadPoolExecutor(max_workers=2) as pool:
        deciding = pool.submit(lambda: [pipeline.send(message) for message in messages])
        adjusting = pool.submit(lambda: [do(pipeline, key, request) for request in requests])
    assert 10 == len(deciding.result()) == len(adjusting.result())
    assert rows(pipeline, "SELECT pending, available FROM account") == [(11 * 75, 70)]
