"""A programme with every feature on a real database, decided by eight workers at once while connections end."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Final
from uuid import UUID

import pytest
import structlog
from sqlalchemy.exc import DBAPIError

from processor.core.outcome import Outcome
from processor.flow.event_message import EventNotBookedError
from processor.flow.post_due import post_due
from processor.flow.release_awards import Release, release_awards
from processor.flow.sweep import Sweep
from settlement.accrual_mending import MendAction
from tests.conftest import Database
from tests.flow.audit import rows
from tests.flow.conftest import BUCKETS, Pipeline, make_pipeline
from tests.flow.everything_ground import (
    Ground,
    Said,
    assert_everything_holds,
    assert_limits_hold,
    later_named,
    name_cards,
    open_ground,
    tell_all,
)
from tests.flow.test_budgets import bought, end_connections
from tests.settlement.owner_ledger import OwnerDesk, all_accepted, name_of

STREAMS: Final = 8
MESSAGES: Final = 150
"""Enough for every story of the traffic to be told once."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep the log of the failures that the tests cause out of the way."""
    with structlog.testing.capture_logs():
        yield


def scripts(said: Sequence[Said], random: Random) -> list[list[Said]]:
    """Deal everything out to the streams, whatever account it is of, and some of it twice."""
    dealt: list[list[Said]] = [[] for _ in range(STREAMS)]
    for entry in said:
        for _ in range(1 + (random.random() < 0.1)):
            dealt[random.randrange(STREAMS)].append(entry)
    return dealt


def stream(pipeline: Pipeline, script: Sequence[Said], seed: int) -> Counter[Outcome]:
    """Tell a script in batches of a few."""
    random, outcomes, waiting = Random(seed), Counter[Outcome](), list(script)
    while waiting:
        taken = random.randint(1, 9)
        outcomes.update(tell_all(pipeline, waiting[:taken]))
        waiting = waiting[taken:]
    return outcomes


def in_streams(pipelines: Sequence[Pipeline], dealt: Sequence[Sequence[Said]]) -> Counter[Outcome]:
    """Tell every script on a thread, each through a worker of its own; return how often each outcome was answered."""
    with ThreadPoolExecutor(len(dealt)) as pool:
        return sum(pool.map(stream, pipelines, dealt, range(len(dealt))), Counter[Outcome]())


@contextmanager
def meanwhile(*work: Callable[[int], None]) -> Iterator[None]:
    """Do each work again and again beside a block, at least once; a connection that ends in it lets it begin anew."""
    over = threading.Event()

    def go_on(does: Callable[[int], None]) -> None:
        turn = 0
        while not over.is_set() or turn == 0:
            turn += 1
            with suppress(DBAPIError, EventNotBookedError):
                does(turn)
            over.wait(0.2)

    with ThreadPoolExecutor(len(work)) as pool:
        running = [pool.submit(go_on, does) for does in work]
        try:
            yield
        finally:
            over.set()
        for future in running:
            future.result()


def rule_on_awards(pipeline: Pipeline, turn: int) -> None:
    """Release and refuse what some purchases wait for, each request under an id of its own."""
    found = rows(pipeline.database, "SELECT bucket, account, id FROM purchase ORDER BY id")
    if not found:
        return
    random = Random(turn)
    for bucket, account, purchase in random.sample(found, min(3, len(found))):
        word = Release(
            purchase=bytes(purchase),
            rules=(),
            reason="Ticket 4711",
            actor="ann",
            request_id=UUID(int=random.getrandbits(120)),
            refuses=random.random() < 0.3,
        )
        release_awards(pipeline.decider, (bucket, bytes(account)), word)


def post_what_is_due(pipeline: Pipeline) -> None:
    """Run through all buckets once."""
    sweep = Sweep(buckets=BUCKETS)
    while sweep.position is not None:
        post_due(pipeline.decider, sweep, as_of=pipeline.now)


def _is_refused(accrual: str, attempt: str) -> bool:
    return attempt == "1" and int(accrual[-2:], 16) % 7 == 0


def settle_accruals(desk: OwnerDesk) -> None:
    """Send what may leave to the owner, which refuses one in seven at first and accepts the rest."""
    desk.make()
    for path in sorted(desk.root.glob("**/*.csv")):
        sequence = int(path.stem[-6:])
        answers = [
            (accrual, attempt, "R", "LATER") if _is_refused(accrual, attempt) else (accrual, attempt, way, code)
            for accrual, attempt, way, code in all_accepted(desk.details(sequence))
        ]
        desk.answer(answers, reference=f"R-{sequence}")
    for row in desk.accruals("suspended"):
        desk.do(MendAction.RESEND, name_of(row))


def test_everything_holds_while_connections_end(database: Database, tmp_path: Path) -> None:
    """Eight streams, operations, card files and accruals at once, connections that end, and all of it sent again."""
    ground = open_ground(database, ledger="owner", messages=MESSAGES, seed=11)
    random, said = Random(20261125), ground.said()
    officer, clerk, *workers = [make_pipeline(database) for _ in range(STREAMS + 2)]
    desk = OwnerDesk(pipeline=make_pipeline(database), root=tmp_path)

    with meanwhile(
        lambda turn: end_connections(database, times=1),
        lambda turn: rule_on_awards(officer, turn),
        lambda turn: post_what_is_due(officer),
        lambda turn: name_cards(clerk, later_named(ground)) if turn > 3 else None,
        lambda turn: settle_accruals(desk),
    ):
        in_streams(workers, scripts(said, random))
    name_cards(clerk, later_named(ground))
    assert any(not in_streams(workers, scripts(said, random))[Outcome.UNAVAILABLE] for _ in range(3))
    post_what_is_due(officer)
    settle_accruals(desk)

    exhaust(ground)
    assert_everything_holds(ground)


def exhaust(ground: Ground) -> None:
    """Buy, once quotes hold nothing any more, until every budget is used up, and prove that it is, to the unit."""
    ground.pipeline.now += timedelta(hours=1)
    ground.pipeline.send(*(bought(5000 + number) for number in range(30)))
    used = assert_limits_hold(ground)
    assert {"pool": 2500, "places/holders": 9} == {pool: used[pool] for pool in ("pool", "places/holders")}
