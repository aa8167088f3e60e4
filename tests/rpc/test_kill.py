"""Pulling the plug in the middle of a stream and sending everything again ends like an undisturbed run."""

import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from sqlalchemy import text

from examples.traffic import TrafficMessage, history
from processor.store.embedded import create_database, drop_database
from processor.store.engine import connect
from processor.v1 import card_network_pb2 as pb
from tests.conftest import TODAY, Database
from tests.flow.conftest import apply_skyways
from tests.rpc.live import exchange, running, start_server

pytestmark = pytest.mark.xdist_group("kill")

CLOCK = f"{TODAY}T10:00:00+0000"
STREAMS = 4
STATE = {
    "message": "SELECT bucket, id, account, bank, dialect, content, fields::text FROM message ORDER BY 1, 2",
    "decision": "SELECT bucket, message_id, attempt, account, purchase_id, outcome, reason, detail::text FROM decision"
    " ORDER BY 1, 2, 3",
    "purchase": "SELECT bucket, id, account, state::text FROM purchase ORDER BY 1, 2",
    "trace": "SELECT bucket, account, trace, purchase_id FROM trace ORDER BY 1, 2, 3",
    "award": "SELECT bucket, id, message_id, rule, funder, unit, pending_change, available_change FROM award"
    " ORDER BY 1, 2",
    "posting": "SELECT bucket, id, message_id, template, debit, credit, unit, amount, rule FROM posting ORDER BY 1, 2",
    "account": "SELECT bucket, id, status, pending, available FROM account ORDER BY 1, 2",
    "limit_counter": "SELECT bucket, account, cap, period, used FROM limit_counter WHERE used <> 0 ORDER BY 1, 2, 3, 4",
    "parked": "SELECT bucket, message_id, reason FROM parked ORDER BY 1, 2",
    "message_conflict": "SELECT bucket, message_id, content FROM message_conflict ORDER BY 1, 2",
    "undecodable": "SELECT id, bank, length_bytes, field, position, digest FROM undecodable ORDER BY 1",
}
"""All that messages leave behind, without the times at which it was written."""


@contextmanager
def fresh_database(administrator_url: str, template: str) -> Iterator[Database]:
    """Give a database with the example programme applied."""
    name = f"kill_{secrets.token_hex(6)}"
    urls = create_database(administrator_url, name, template=template)
    database = Database(owner=connect(urls.owner_url), service=connect(urls.service_url), urls=urls)
    apply_skyways(database)
    yield database
    database.owner.dispose()
    database.service.dispose()
    drop_database(administrator_url, name)


def state_of(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Read everything that messages left behind."""
    with database.service.connect() as connection:
        return {
            table: [
                tuple(bytes(value) if isinstance(value, memoryview) else value for value in row)
                for row in connection.execute(text(statement))
            ]
            for table, statement in STATE.items()
        }


def on_streams(messages: list[TrafficMessage]) -> list[list[TrafficMessage]]:
    """Share messages out to streams; each account's messages stay on one, in their order."""
    return [[message for message in messages if message.stream % STREAMS == number] for number in range(STREAMS)]


def test_kill_and_send_again(administrator_url: str, template_database: str, tmp_path: Path) -> None:
    """After a kill -9 of every process in mid-stream, sending all again leaves exactly an undisturbed run's rows."""
    streams = on_streams(history(11, 120, 3000, TODAY))

    with fresh_database(administrator_url, template_database) as quiet:
        with (
            running(quiet.urls.service_url, tmp_path, workers=2, clock=CLOCK) as server,
            ThreadPoolExecutor(STREAMS) as pool,
        ):
            undisturbed = list(pool.map(lambda part: exchange(server.address, part, frame=16), streams))
        expected = state_of(quiet)

    with fresh_database(administrator_url, template_database) as disturbed:
        first = start_server(disturbed.urls.service_url, tmp_path, workers=2, clock=CLOCK)
        answered = threading.Semaphore(0)

        def send(part: list[TrafficMessage]) -> str:
            try:
                exchange(first.address, part, frame=16, stop_after=lambda _: answered.release())
            except grpc.RpcError as error:
                return str(error.code().name)
            return "FINISHED"

        with ThreadPoolExecutor(STREAMS) as pool:
            broken = [pool.submit(send, part) for part in streams]
            for _ in range(sum(len(part) for part in streams) // 16 // 3):
                answered.acquire()
            first.kill()
            outcomes = {future.result() for future in broken}
        assert "UNAVAILABLE" in outcomes
        interrupted = state_of(disturbed)
        assert 0 < len(interrupted["message"]) < len(expected["message"])

        with (
            running(disturbed.urls.service_url, tmp_path, workers=2, clock=CLOCK) as server,
            ThreadPoolExecutor(STREAMS) as pool,
        ):
            again = list(pool.map(lambda part: exchange(server.address, part, frame=16), streams))
        actual = state_of(disturbed)

    for table in STATE:
        assert expected[table] == actual[table], table
    assert _decided(undisturbed) == _decided(again)


def _decided(streams: list[list[pb.MessageAnswer]]) -> dict[str, tuple[str, str]]:
    """Return each message's reason and decision, which a repeat gets again, whatever its outcome says of repeats."""
    return {
        answer.caller_id: (answer.reason, answer.decision.SerializeToString(deterministic=True).hex())
        for answers in streams
        for answer in answers
    }
