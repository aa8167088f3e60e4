"""Caps for each household: its accounts share them exactly, whoever decides at once, and undo gives back."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Final

import pytest
from sqlalchemy import text

from processor.core.person import FactKind
from processor.flow.join_accounts import join_account
from processor.flow.member_facts import Recorded, StatedFact
from processor.flow.submission import IncomingMessage
from processor.store.card_side import Key
from processor.store.directory import CardAddress, bucket_of
from processor.store.verification import snapshot
from settlement.verification import verify
from tests.conftest import Database
from tests.flow.audit import assert_books_agree, rows
from tests.flow.conftest import BUCKETS, NOW, SKYWAYS, Pipeline, apply_skyways, make_pipeline
from tests.flow.test_batch import approved
from tests.flow.test_budgets import alongside, bought, card, each, end_connections, given, together, undone
from tests.flow.test_explain import explain
from tests.flow.test_member_facts import know
from tests.flow.test_quotes import CARDS, beta

FAMILY: Final = "{id: family, rules: [base], period: month, miles: 120, per: household}"
EARLIER: Final = NOW - timedelta(hours=2)
"""Before the purchases of the tests, which are of 11:30."""
EACH: Final = 50
STREAMS: Final = 8


def capped(database: Database, cap: str = FAMILY) -> Pipeline:
    """Give a pipeline whose programme has a cap for each household, two hours before noon."""
    document = (SKYWAYS / "programme.yaml").read_text()
    apply_skyways(database, document=document.replace("\ncaps:\n", f"\ncaps:\n  - {cap}\n"))
    pipeline = make_pipeline(database)
    pipeline.now = EARLIER
    return pipeline


def opened(pipeline: Pipeline, number: int) -> Key:
    """Open the account of a numbered card with a message that earns nothing."""
    (answer,) = pipeline.send(approved(900_000 + number, pan=card(number), amount="000000000000"))
    account = bytes.fromhex(answer.explanation.split("/")[1])
    return bucket_of(account, BUCKETS), account


def of_household(pipeline: Pipeline, name: str, *numbers: int) -> list[Key]:
    """Put the accounts of numbered cards into a household from now on."""
    keys = [opened(pipeline, number) for number in numbers]
    for key in keys:
        assert isinstance(know(pipeline, key, StatedFact(kind=FactKind.HOUSEHOLD, value=name)), Recorded)
    return keys


def used(pipeline: Pipeline) -> dict[str, int]:
    """Return what is used of the cap by each household, and by accounts alone under their cap's own name."""
    found = rows(pipeline.database, "SELECT cap, used FROM household_counter WHERE used <> 0")
    alone = rows(pipeline.database, "SELECT cap, sum(used) FROM limit_counter WHERE cap = 'family/own' GROUP BY cap")
    return {str(cap): int(units) for cap, units in (*found, *alone) if units}


def test_the_accounts_of_a_household_share_a_cap(database: Database) -> None:
    """Two accounts get 120 miles together, a third one, of no household, 120 alone; undo serves who asks next."""
    pipeline = capped(database)
    of_household(pipeline, "H-1", 1, 2)
    pipeline.now = NOW

    assert [50, 50, 20, 0] == given(each(pipeline, bought(1, 1), bought(2, 2), bought(3, 1), bought(4, 2)))
    assert [50, 50, 20, 0] == given(pipeline.send(*(bought(10 + number, 3) for number in range(4))))
    assert {"family@H-1/own": 120, "family/own": 120} == used(pipeline)
    assert [-50, 50, 0] == given(each(pipeline, undone(1, 1), bought(5, 2), bought(6, 1)))
    assert_books_agree(pipeline)


def test_accounts_of_one_batch_share_a_cap(database: Database) -> None:
    """What one message of a batch took of its household's cap, the next one of another account does not get."""
    pipeline = capped(database)
    of_household(pipeline, "H-1", 1, 2, 3)
    pipeline.now = NOW

    assert [50, 50, 20, 0, -50, 50] == given(
        pipeline.send(bought(1, 1), bought(2, 2), bought(3, 3), bought(4, 1), undone(2, 2), bought(5, 3))
    )
    assert {"family@H-1/own": 120} == used(pipeline)
    assert_books_agree(pipeline)


def test_a_purchase_is_of_the_household_of_its_instant(database: Database) -> None:
    """What was bought before an account came to a household, or after it left, counts for it alone, also later."""
    pipeline = capped(database)
    key = opened(pipeline, 1)
    of_household(pipeline, "H-1", 2)
    pipeline.now = NOW
    assert [50, 50] == given(each(pipeline, bought(1, 1), bought(2, 2)))
    know(pipeline, key, StatedFact(kind=FactKind.HOUSEHOLD, value="H-1"))
    pipeline.now = NOW + timedelta(minutes=20)
    after = {"transmission_date_time": "1120121000"}

    assert [50] == given(pipeline.send(approved(3, pan=card(1), **after)))
    assert {"family@H-1/own": 100, "family/own": 50} == used(pipeline)
    assert [-50] == given(pipeline.send(undone(1, 1)))
    assert [20, 50] == given(each(pipeline, approved(4, pan=card(1), **after), bought(5, 1)))
    assert {"family@H-1/own": 120, "family/own": 50} == used(pipeline)
    know(pipeline, key, StatedFact(kind=FactKind.HOUSEHOLD, value="", holds=False))
    pipeline.now = NOW + timedelta(minutes=40)
    assert [50] == given(pipeline.send(approved(6, pan=card(1), transmission_date_time="1120123000")))
    assert {"family@H-1/own": 120, "family/own": 100} == used(pipeline)
    assert_books_agree(pipeline)


def test_a_quote_holds_the_household_s_headroom(database: Database) -> None:
    """What one account is quoted another of its household does not get; a decline and time give it back."""
    pipeline = capped(database)
    for number, pan in enumerate(CARDS[:2]):
        (answer,) = pipeline.send(beta("0100", 800 + number, usd=0, pan=pan))
        account = bytes.fromhex(answer.explanation.split("/")[1])
        know(pipeline, (bucket_of(account, BUCKETS), account), StatedFact(kind=FactKind.HOUSEHOLD, value="H-1"))
    pipeline.now = NOW

    def quoted(number: int) -> int:
        return given(pipeline.send(beta("0100", number, pan=CARDS[number % 2])))[0]

    assert [50, 50, 20, 0] == [quoted(number) for number in range(1, 5)]
    pipeline.send(beta("0110", 1, pan=CARDS[1], response_code="51"))
    assert [50, 0] == [quoted(6), quoted(7)]
    pipeline.now += timedelta(minutes=11)
    assert [50, 50] == [quoted(8), given(pipeline.send(beta("0110", 8, pan=CARDS[0], response_code="00")))[0]]
    assert {"family@H-1/own": 50} == used(pipeline)
    assert_books_agree(pipeline)


def scripts_of(accounts: int) -> list[list[IncomingMessage]]:
    """Return ten purchases for each stream, each of another account, with some undone."""
    scripts = []
    for stream in range(1, STREAMS + 1):
        script = [bought(100 * stream + number, 1 + (stream + number) % accounts) for number in range(10)]
        for number in (2, 6):
            holder = 1 + (stream + number) % accounts
            script.insert(
                script.index(bought(100 * stream + number, holder)) + 2, undone(100 * stream + number, holder)
            )
        scripts.append(script)
    return scripts


@pytest.mark.parametrize("ends", [0, 8])
def test_eight_streams_share_a_household_s_cap_exactly(database: Database, ends: int) -> None:
    """Streams over four accounts of one household never exceed its cap, also where connections end, and use it up."""
    pipeline = capped(database, FAMILY.replace("120", "1020"))
    of_household(pipeline, "H-1", 1, 2, 3, 4)
    pipeline.now = NOW
    scripts = scripts_of(4)

    pipelines = [make_pipeline(database) for _ in scripts]
    with ThreadPoolExecutor(1) as killer:
        killing = killer.submit(end_connections, database, times=ends)
        alongside(pipelines, scripts)
        killing.result()
    together(database, scripts)

    standing = rows(database, "SELECT sum(pending_change) FROM award WHERE rule = 'base'")[0][0]
    assert {"family@H-1/own": standing} == used(pipeline)
    assert standing <= 1020
    assert 1020 - standing == sum(given(each(pipeline, *(bought(5000 + number, 1) for number in range(22)))))
    assert_books_agree(pipeline)


def test_joined_accounts_keep_their_household(database: Database) -> None:
    """What a joined account bought is decided afresh for the survivor, and counts for the household it was of."""
    pipeline = capped(database)
    first, second = of_household(pipeline, "H-1", 1, 2)
    pipeline.now = NOW
    assert [50, 50, 20] == given(each(pipeline, bought(1, 1), bought(2, 2), bought(3, 2)))

    one, other = (CardAddress(account=account, bucket=bucket) for bucket, account in (second, first))
    join_account(pipeline.decider, pipeline.intake, one, other)

    assert {"family@H-1/own": 120} == used(pipeline)
    assert [0] == given(pipeline.send(bought(4, 1)))
    assert_books_agree(pipeline)


def test_the_survivor_of_a_join_stays_of_its_own_household(database: Database) -> None:
    """The joined account came to another household later: what the survivor bought and buys counts for its own."""
    pipeline = capped(database)
    (first,) = of_household(pipeline, "H-2", 1)
    pipeline.now = EARLIER + timedelta(minutes=10)
    second, _ = of_household(pipeline, "H-1", 2, 3)
    pipeline.now = NOW
    assert [50, 50, 50, 20] == given(each(pipeline, *(bought(number, min(number, 3)) for number in (1, 3, 4, 5))))

    one, other = (CardAddress(account=account, bucket=bucket) for bucket, account in (second, first))
    join_account(pipeline.decider, pipeline.intake, one, other)

    assert [50] == given(pipeline.send(bought(6, 1)))
    assert {"family@H-1/own": 120, "family@H-2/own": 100} == used(pipeline)
    assert_books_agree(pipeline)


def test_a_household_has_a_cap_in_money(database: Database) -> None:
    """A cap in money for each household counts what the bank pays for the miles of all its accounts."""
    cap = '{id: family, rules: [grocery-bonus], period: year, amount: "2.75", currency: EUR, per: household}'
    pipeline = capped(database, cap)
    of_household(pipeline, "H-1", 1, 2)
    pipeline.now = NOW
    grocer = {"acquirer": "412345", "acceptor": "FRESHMART000101"}

    answers = each(pipeline, *(approved(number, pan=card(1 + number % 2), **grocer) for number in range(1, 5)))

    assert [100, 100, 50, 0] == [
        sum(line.pending_change for line in answer.awards if line.rule == "grocery-bonus") for answer in answers
    ]
    assert {"family@H-1/own": 275} == used(pipeline)
    assert_books_agree(pipeline)


def test_an_explanation_names_the_household_s_cap(database: Database) -> None:
    """Why an award was cut, and for which household it counts, is said in words, and is computed again."""
    pipeline = capped(database)
    of_household(pipeline, "H-1", 1, 2)
    pipeline.now = NOW
    *_, cut = each(pipeline, bought(1, 1), bought(2, 2), bought(3, 1))

    explained = explain(pipeline, cut)

    assert explained.reproduced
    assert "The member's household was H-1." in explained.sentences
    assert "Cap family, 120 SKY a month for each household, cut rule base by 30 SKY." in explained.sentences
    less = "so that 30 x Skyways mile less were given."
    assert f"At most 120 x Skyways mile can be given in a month for one household, {less}" in explained.for_member


def test_a_wrong_counter_of_a_household_is_found(database: Database) -> None:
    """A household's counter that says other than its accounts' purchases is named."""
    pipeline = capped(database)
    of_household(pipeline, "H-1", 1, 2)
    pipeline.now = NOW
    each(pipeline, bought(1, 1), bought(2, 2))

    with database.owner.begin() as connection:
        assert 1 == connection.execute(text("UPDATE household_counter SET used = used - 1")).rowcount

    with snapshot(database.owner) as connection:
        checked = verify(connection, revision_of=pipeline.snapshots.current.revision)
        found = {result.check: result.differences[0].subject for result in checked if result.differences}
    assert {"household-used": "household skyways, family@H-1/own, 2026-11"} == found


def test_without_a_cap_for_households_nothing_is_counted_for_them(database: Database) -> None:
    """Where no cap asks for it, a household's fact opens no row and costs no statement."""
    pipeline = capped(database, FAMILY.replace("household", "account"))
    of_household(pipeline, "H-1", 1, 2)
    pipeline.now = NOW

    assert [50, 50] == given(each(pipeline, bought(1, 1), bought(2, 2)))
    assert [(0,)] == rows(database, "SELECT count(*) FROM household")
    assert pipeline.snapshots.current.shared == frozenset()
