"""Budgets that many accounts share: exactly all of them is given, whoever asks at once, and undo gives back."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from random import Random
from time import sleep
from typing import Final

import pytest
from sqlalchemy import text

from processor.core.budget_shares import Share
from processor.flow.budgets import Budgets, BudgetShortError, Need
from processor.flow.join_accounts import join_account
from processor.flow.submission import Answer, IncomingMessage
from processor.rpc.budget_messages import budget_messages
from processor.store.budget import list_budgets, lock_shares, update_shares
from processor.store.directory import CardAddress, bucket_of
from processor.store.verification import snapshot
from settlement.verification import verify
from tests.conftest import Database
from tests.flow.audit import assert_books_agree, rows
from tests.flow.conftest import BUCKETS, SKYWAYS, Pipeline, apply_skyways, iso87, make_pipeline
from tests.flow.test_batch import approved
from tests.flow.test_explain import explain
from tests.flow.test_quotes import beta

STREAMS: Final = 8
EACH: Final = 50
"""What the base rule gives for 100.00 EUR with a gold card."""


def budgeted(text: str) -> str:
    """Return the example programme with a budget."""
    return (SKYWAYS / "programme.yaml").read_text() + f"\nbudgets:\n  - {text}\n"


def started(database: Database, text: str) -> Pipeline:
    """Give a pipeline whose programme has a budget."""
    apply_skyways(database, document=budgeted(text))
    return make_pipeline(database)


def card(number: int) -> str:
    """Return a card number of the gold product that passes its check digit."""
    digits = f"40000000{number:07d}"
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[::-2])
    return digits + str(-(doubled + sum(map(int, digits[-2::-2]))) % 10)


def bought(number: int, holder: int | None = None) -> IncomingMessage:
    """Build an authorization of 100.00 EUR, of a card of its own unless one is named."""
    return approved(number, pan=card(number if holder is None else holder))


def undone(number: int, holder: int | None = None) -> IncomingMessage:
    """Build the reversal of what was bought."""
    return iso87(
        "0420",
        caller_id=f"r{number}",
        pan=card(number if holder is None else holder),
        trace_number=f"{500000 + number:06d}",
        retrieval_reference="",
        original_data=f"0100{number:06d}1120113000{'12345678':0>11}{'0':0>11}",
    )


def given(answers: Sequence[Answer]) -> list[int]:
    """Return how many miles of the base rule each answer gives or takes."""
    return [sum(line.pending_change for line in answer.awards if line.rule == "base") for answer in answers]


def each(pipeline: Pipeline, *messages: IncomingMessage) -> list[Answer]:
    """Send messages one by one."""
    return [answer for message in messages for answer in pipeline.send(message)]


def used(database: Database) -> list[tuple[str, int]]:
    """Return what is used of each pool."""
    return [
        (str(pool), int(units))
        for pool, units in rows(database, "SELECT budget, sum(used) FROM budget_share GROUP BY budget ORDER BY budget")
    ]


def test_the_award_at_the_edge_gets_what_is_left(database: Database) -> None:
    """Under 120 miles the third purchase of 50 gets 20 and the fourth nothing; undo gives back to later ones."""
    pipeline = started(database, "{id: launch, rules: [base], miles: 120}")

    assert [50, 50, 20, 0] == given(each(pipeline, *map(bought, range(1, 5))))
    assert [("launch", 120)] == used(database)
    assert [-50] == given(each(pipeline, undone(1)))
    assert [50, 0] == given(pipeline.send(bought(5), bought(6)))
    assert_books_agree(pipeline)


def test_a_budget_that_refuses_gives_whole_awards_alone(database: Database) -> None:
    """Under 120 miles the third purchase of 50 gets nothing, and what is left serves who asks for less."""
    pipeline = started(database, "{id: launch, rules: [base], miles: 120, at_edge: refuse}")

    small = approved(9, pan=card(9), amount="000000004000")
    assert [50, 50, 0, 20] == given(pipeline.send(*map(bought, range(1, 4)), small))
    assert [("launch", 120)] == used(database)
    assert_books_agree(pipeline)


def test_the_first_holders_have_the_places(database: Database) -> None:
    """Of three accounts the first two are given something, again and again; a place given back serves the next."""
    pipeline = started(database, "{id: early, rules: [base], holders: 2}")

    asked = [bought(1, 1), bought(2, 2), bought(3, 3), bought(4, 1), bought(5, 2)]
    assert [50, 50, 0, 50, 50] == given(each(pipeline, *asked))
    assert [("early/holders", 2)] == used(database)
    assert [-50, 0, -50, 50] == given(each(pipeline, undone(1, 1), bought(6, 3), undone(4, 1), bought(7, 3)))
    assert [0] == given(each(pipeline, bought(8, 1)))
    assert_books_agree(pipeline)


def test_miles_count_at_the_price_that_their_funder_pays(database: Database) -> None:
    """The retailer pays 0.0110 EUR a mile, so that 2.75 EUR buy 250 miles: two purchases of 100, and 50."""
    pipeline = started(database, '{id: spend, rules: [grocery-bonus], amount: "2.75", currency: EUR}')
    grocer = {"acquirer": "412345", "acceptor": "FRESHMART000101"}

    answers = each(pipeline, *(approved(number, pan=card(number), **grocer) for number in range(1, 5)))

    assert [100, 100, 50, 0] == [
        sum(line.pending_change for line in answer.awards if line.rule == "grocery-bonus") for answer in answers
    ]
    assert [("spend", 275)] == used(database)
    assert_books_agree(pipeline)


def test_another_size_counts_from_the_next_purchase_on(database: Database) -> None:
    """A budget made larger gives more; made smaller than what is granted it gives nothing and takes nothing back."""
    pipeline = started(database, "{id: launch, rules: [base], miles: 60}")
    assert [50, 10, 0] == given(each(pipeline, *map(bought, range(1, 4))))

    resize(pipeline, 160)
    assert [50, 50, 0] == given(each(pipeline, *map(bought, range(4, 7))))
    resize(pipeline, 70)
    assert [0] == given(each(pipeline, bought(7)))
    assert [-50, -50] == given(each(pipeline, undone(1), undone(4)))
    assert [10, 0] == given(each(pipeline, bought(8), bought(9)))
    assert [("launch", 70)] == used(database)
    assert_books_agree(pipeline)


def resize(pipeline: Pipeline, miles: int) -> None:
    """Apply another revision, which is in force at once."""
    pipeline.now += timedelta(seconds=2)
    later = f"{pipeline.now:%Y-%m-%dT%H:%M:%S}+00:00"
    text = budgeted(f"{{id: launch, rules: [base], miles: {miles}}}")
    before = next(line for line in text.splitlines() if line.startswith("effective_from:"))
    apply_skyways(pipeline.database, document=text.replace(before, f"effective_from: {later}"), now=pipeline.now)
    pipeline.now += timedelta(seconds=2)


def test_a_quote_holds_what_it_was_quoted_until_its_outcome_or_its_end(database: Database) -> None:
    """What one quote holds another does not get; a decline gives it back at once, and time does."""
    pipeline = started(database, "{id: launch, rules: [base], miles: 60}")

    def quoted(number: int) -> int:
        (answer,) = pipeline.send(beta("0100", number))
        return sum(line.pending_change for line in answer.awards if line.rule == "base")

    assert [50, 10, 0] == [quoted(1), quoted(2), quoted(3)]
    pipeline.send(beta("0110", 1, response_code="51"))
    assert [50, 0] == [quoted(4), quoted(5)]
    pipeline.now += timedelta(minutes=11)
    assert [50] == [quoted(6)]
    assert [50] == given(pipeline.send(beta("0110", 6, response_code="00")))
    assert [("launch", 50)] == used(database)
    assert_books_agree(pipeline)


def stream(pipeline: Pipeline, messages: Sequence[IncomingMessage], seed: int) -> list[Answer]:
    """Send messages in batches of a few, as one of many streams."""
    random, answers, waiting = Random(seed), list[Answer](), list(messages)
    while waiting:
        taken = random.randint(1, 7)
        answers += pipeline.send(*waiting[:taken])
        waiting = waiting[taken:]
    return answers


def together(database: Database, scripts: Sequence[Sequence[IncomingMessage]]) -> list[Answer]:
    """Send every script on a thread and a pipeline of its own, all at once."""
    return alongside([make_pipeline(database) for _ in scripts], scripts)


def alongside(pipelines: Sequence[Pipeline], scripts: Sequence[Sequence[IncomingMessage]]) -> list[Answer]:
    """Send every script on a thread, each through a pipeline of its own."""
    with ThreadPoolExecutor(len(scripts)) as pool:
        parts = list(pool.map(stream, pipelines, scripts, range(len(scripts))))
    return [answer for part in parts for answer in part]


@pytest.mark.parametrize(("edge", "expected"), [("partial", 3270), ("refuse", 3250)])
def test_eight_streams_exhaust_a_budget_exactly(database: Database, edge: str, expected: int) -> None:
    """Eight streams that ask for 4,000 of 3,270 miles get all of them, or as many whole awards, and not one more."""
    pipeline = started(database, f"{{id: launch, rules: [base], miles: 3270, at_edge: {edge}}}")
    scripts = [[bought(100 * stream + n) for n in range(10)] for stream in range(1, STREAMS + 1)]

    answers = together(database, scripts)

    assert expected == sum(given(answers))
    assert [("launch", expected)] == used(database)
    assert_books_agree(pipeline)


@pytest.mark.parametrize("edge", ["partial", "refuse"])
def test_eight_streams_exhaust_a_budget_while_others_undo(database: Database, edge: str) -> None:
    """With reversals in every stream the budget holds what is granted, and what came back serves who asks next."""
    pipeline = started(database, f"{{id: launch, rules: [base], miles: 1020, at_edge: {edge}}}")
    scripts = []
    for place in range(1, STREAMS + 1):
        script = [bought(100 * place + n) for n in range(10)]
        for number in range(0, 10, 3):
            script.insert(script.index(bought(100 * place + number)) + 2, undone(100 * place + number))
        scripts.append(script)

    together(database, scripts)

    standing = rows(database, "SELECT sum(pending_change) FROM award WHERE rule = 'base'")[0][0]
    assert [("launch", standing)] == used(database)
    assert standing <= 1020
    assert 1020 - standing == sum(given(each(pipeline, *map(bought, range(5000, 5030))))) + (
        0 if edge == "partial" else (1020 - standing) % EACH
    )
    assert_books_agree(pipeline)


def test_a_share_that_opens_while_a_rebalance_waits_keeps_what_it_was_lent(database: Database) -> None:
    """A batch opens a share with what another one lends; a rebalance for it, which waited, does not overwrite it."""
    pipeline = started(database, "{id: launch, rules: [base], miles: 50}")
    each(pipeline, bought(1), undone(1))
    ((lender,),) = rows(database, "SELECT bucket FROM budget_share")
    opened, key = (lender + 1) % BUCKETS, ("skyways", "launch", "lifetime")
    need = Need(key=key, bucket=opened, buckets=frozenset({opened}), units=50, size=50)

    with ThreadPoolExecutor(1) as thread, database.service.begin() as batch:
        cursor = batch.connection.cursor()
        locked = lock_shares(cursor, [(lender, *key), (opened, *key)], pipeline.now, quoted=False)
        free = locked[lender, *key].free
        assert EACH == free
        lent = {(lender, *key): Share(reserved=0), (opened, *key): Share(reserved=free, used=free)}
        update_shares(cursor, lent, pipeline.now)
        dealt = thread.submit(deal, database, need, pipeline)
        while not rows(database, "SELECT 1 FROM pg_locks WHERE NOT granted"):
            sleep(0.01)
        batch.commit()
        dealt.result()

    ((size,),) = rows(database, "SELECT remaining + (SELECT sum(reserved) FROM budget_share) FROM budget_pool")
    assert 50 == size


def deal(database: Database, need: Need, pipeline: Pipeline) -> None:
    """Rebalance a budget for a batch that is short, once; the batch itself does nothing."""
    short = iter([BudgetShortError([need]), None])

    def batch() -> None:
        if error := next(short):
            raise error

    Budgets().within(database.service, lambda: pipeline.now, batch)


def test_exactly_the_first_holders_are_given_something_under_eight_streams(database: Database) -> None:
    """Eight streams of ten accounts each ask twice for 37 places: exactly 37 accounts get something, each twice."""
    pipeline = started(database, "{id: early, rules: [base], holders: 37}")
    scripts = [
        [bought(1000 * turn + 100 * stream + n, 100 * stream + n) for turn in (1, 2) for n in range(10)]
        for stream in range(1, STREAMS + 1)
    ]

    answers = together(database, scripts)

    holders = rows(database, "SELECT count(DISTINCT account) FROM award WHERE rule = 'base'")[0][0]
    assert (37, [("early/holders", 37)]) == (holders, used(database))
    assert 37 * EACH <= sum(given(answers)) <= 2 * 37 * EACH
    assert_books_agree(pipeline)


@pytest.mark.parametrize(
    ("statement", "check"),
    [
        ("UPDATE budget_share SET used = used - 1 WHERE budget = 'launch' AND used > 0", "budget-used"),
        ("UPDATE budget_share SET used = used - 1 WHERE budget = 'launch/holders'", "budget-used"),
        ("UPDATE budget_pool SET remaining = remaining + 1 WHERE budget = 'launch'", "budget-sizes"),
        ("UPDATE budget_share SET used = reserved + 1 WHERE budget = 'launch' AND used > 0", "budget-limits"),
    ],
)
def test_a_wrong_budget_is_found(database: Database, statement: str, check: str) -> None:
    """A share that says other than its purchases, one over its reserve, and a pool that does not add up are named."""
    pipeline = started(database, "{id: launch, rules: [base], miles: 120, holders: 50}")
    pipeline.send(bought(1))
    assert_books_agree(pipeline)

    with database.owner.begin() as connection:
        assert 1 == connection.execute(text(statement)).rowcount

    with snapshot(database.owner) as connection:
        checked = verify(connection, revision_of=pipeline.snapshots.current.revision)
        found = {result.check for result in checked if result.differences}
    assert check in found


def test_an_explanation_names_the_budget(database: Database) -> None:
    """Why an award was cut, or refused, is said in words, and computing it again gives the same."""
    pipeline = started(database, "{id: launch, rules: [base], miles: 120}")
    *_, cut = pipeline.send(*map(bought, range(1, 4)))

    explained = explain(pipeline, cut)

    assert explained.reproduced
    said = "Budget launch, 120 SKY in all for all accounts, which gives what is left, cut rule base by 30 SKY."
    assert said in explained.sentences


@pytest.mark.parametrize(
    "budget",
    [
        "{id: launch, rules: [base], miles: 120, at_edge: refuse}",
        "{id: launch, rules: [base], holders: 2}",
        "{id: launch, rules: [base], miles: 120, holders: 3, at_edge: refuse}",
    ],
)
def test_an_explanation_of_a_refusal_is_reproduced(database: Database, budget: str) -> None:
    """An award that found no place, or did not fit, is explained to the unit."""
    pipeline = started(database, budget)
    *_, refused = pipeline.send(*map(bought, range(1, 4)))

    explained = explain(pipeline, refused)

    assert (0, True) == (given([refused])[0], explained.reproduced)
    assert any(sentence.startswith("Budget launch, ") for sentence in explained.sentences)


def test_joining_accounts_moves_what_they_took(database: Database) -> None:
    """A spent budget gives the survivor what the joined account gives back, and nobody else in between."""
    pipeline = started(database, "{id: launch, rules: [base], miles: 100, holders: 2}")
    first, second = (bytes(row[0]) for row in _accounts_of(pipeline, bought(1), bought(2)))
    assert [0] == given(pipeline.send(bought(3)))

    one, other = (CardAddress(account=account, bucket=bucket_of(account, BUCKETS)) for account in (first, second))
    join_account(pipeline.decider, pipeline.intake, one, other)

    assert [("launch", 100), ("launch/holders", 1)] == used(database)
    assert_books_agree(pipeline)


def _accounts_of(pipeline: Pipeline, *messages: IncomingMessage) -> list[tuple[bytes]]:
    pipeline.send(*messages)
    return rows(pipeline.database, "SELECT id FROM account ORDER BY id")


def test_a_worker_that_dies_at_its_commit_changes_nothing_else(database: Database) -> None:
    """Connections that end while a budget runs out leave it exact: every message is sent again, and counts once."""
    pipeline = started(database, "{id: launch, rules: [base], miles: 1020}")
    scripts = [[bought(100 * stream + n) for n in range(10)] for stream in range(1, STREAMS + 1)]

    pipelines = [make_pipeline(database) for _ in scripts]
    with ThreadPoolExecutor(1) as killer:
        killing = killer.submit(end_connections, database, times=12)
        alongside(pipelines, scripts)
        killing.result()
    together(database, scripts)

    standing = rows(database, "SELECT sum(pending_change) FROM award WHERE rule = 'base'")[0][0]
    assert (1020, [("launch", 1020)]) == (standing, used(database))
    assert_books_agree(pipeline)


def end_connections(database: Database, *, times: int) -> None:
    """End the service's connections again and again, as a restart of the server does."""
    for _ in range(times):
        sleep(0.1)
        with database.service.begin() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND pid <> pg_backend_pid() AND usename = 'cobrand_service'"
                )
            )


def test_operations_see_what_is_used_and_left(database: Database) -> None:
    """Every budget that was asked is listed once, a page at a time, with what quotes hold beside what is used."""
    pipeline = started(database, "{id: launch, rules: [base], miles: 500, holders: 20}")
    pipeline.send(*map(bought, range(1, 4)))
    pipeline.send(beta("0100", 7))

    with database.service.connect() as connection:
        cursor = connection.connection.cursor()
        found = list_budgets(cursor, "skyways", pipeline.now, after=("", "", ""), limit=10)
        behind = list_budgets(cursor, "", pipeline.now, after=found[0].key, limit=10)

    assert [("launch", 500, 150, 50), ("launch/holders", 20, 3, 1)] == [
        (row.key[1], row.size, row.used, row.held) for row in found
    ]
    assert found[1:] == behind
    shown = budget_messages(found, pipeline.snapshots.current)
    assert [("SKY", 300), ("holders", 16)] == [(budget.counts, budget.left) for budget in shown]
