"""Velocity limits where many workers decide one account, connections end, messages repeat and accounts are joined."""

from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest

from processor.flow.join_accounts import join_account
from processor.flow.release_awards import Released
from processor.flow.submission import IncomingMessage
from processor.store.directory import CardAddress, bucket_of
from tests.conftest import Database
from tests.flow.audit import assert_books_agree, rows, totals
from tests.flow.conftest import BUCKETS, Pipeline, make_pipeline
from tests.flow.test_budgets import alongside, bought, end_connections, together, undone
from tests.flow.test_velocity import EACH, held, tell, watched

STREAMS: Final = 6
MOST: Final = 7
"""How many awards of a day are not held."""


@pytest.fixture
def limited(database: Database) -> Pipeline:
    """Give a pipeline whose programme holds the award behind the seventh of a day."""
    return watched(database, f"{{id: burst, rules: [base], awards: {MOST}, within: {{hours: 24}}}}")


def scripts_of_one_card() -> list[list[IncomingMessage]]:
    """Return five purchases for each stream, all with one card."""
    return [[bought(100 * stream + number, 1) for number in range(5)] for stream in range(1, STREAMS + 1)]


def counted(database: Database) -> int:
    """Return what the windows of all accounts count."""
    return int(rows(database, "SELECT COALESCE(sum(used), 0) FROM limit_counter WHERE cap = 'burst/velocity'")[0][0])


def test_streams_of_one_account_hold_all_but_the_first(limited: Pipeline) -> None:
    """Whoever of six workers decides, seven awards of the account pass; messages sent again change nothing."""
    for _ in range(2):
        together(limited.database, scripts_of_one_card())

        assert 5 * STREAMS - MOST == len(held(limited.database))
        assert 5 * STREAMS == counted(limited.database)
    assert_books_agree(limited)


def test_what_streams_undo_no_longer_counts(limited: Pipeline) -> None:
    """With reversals in every stream the windows count what stands, and no more than that passes."""
    scripts = scripts_of_one_card()
    for place, script in enumerate(scripts, start=1):
        script.insert(3, undone(100 * place, 1))

    together(limited.database, scripts)

    standing = 4 * STREAMS
    assert standing == counted(limited.database)
    assert standing - MOST <= len(held(limited.database)) <= standing
    assert_books_agree(limited)


def test_connections_that_end_hold_nothing_twice(limited: Pipeline) -> None:
    """Workers whose connections end at any moment, and hosts that send all again, leave the windows exact."""
    pipelines = [make_pipeline(limited.database) for _ in range(STREAMS)]
    with ThreadPoolExecutor(1) as killer:
        killing = killer.submit(end_connections, limited.database, times=6)
        alongside(pipelines, scripts_of_one_card())
        killing.result()
    together(limited.database, scripts_of_one_card())

    assert (5 * STREAMS, 5 * STREAMS - MOST) == (counted(limited.database), len(held(limited.database)))
    assert_books_agree(limited)


def test_workers_that_refuse_at_once_take_back_once(limited: Pipeline) -> None:
    """The same refusal of two workers at once is one, and its window has room for one award less than before."""
    limited.send(*(bought(number, 1) for number in range(1, MOST + 2)))
    (last,) = held(limited.database)
    workers = [make_pipeline(limited.database) for _ in range(2)]

    with ThreadPoolExecutor(2) as pool:
        told = list(pool.map(lambda worker: tell(worker, last, refuses=True), workers))

    assert [False, True] == sorted(isinstance(word, Released) and word.duplicate for word in told)
    assert (MOST, []) == (counted(limited.database), held(limited.database))
    assert_books_agree(limited)


def test_joined_accounts_count_together(limited: Pipeline) -> None:
    """What the joined account was given is decided afresh in the survivor's windows, and held beyond them."""
    limited.send(*(bought(number, 1) for number in range(1, 6)), *(bought(number, 2) for number in range(11, 16)))
    before = totals(limited.database)
    assert [] == held(limited.database)
    found = [bytes(account) for (account,) in rows(limited.database, "SELECT id FROM account ORDER BY id")]
    gone, taker = (CardAddress(account=account, bucket=bucket_of(account, BUCKETS)) for account in found)

    join_account(limited.decider, limited.intake, gone, taker)

    joined = held(limited.database)
    assert 10 - MOST == len(joined)
    assert {taker.account} == {key[1] for key, _ in joined}
    assert (before, 10) == (totals(limited.database), counted(limited.database))
    assert isinstance(tell(limited, joined[0], refuses=True), Released)
    assert before[0] - EACH == totals(limited.database)[0]
    assert_books_agree(limited)
