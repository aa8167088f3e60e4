"""Pulling the plug while a clearing file is decided: the service goes on by itself and ends like an undisturbed run."""

import io
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from processor.cli.clearing_verbs import hand_in, wait_for
from tests.conftest import TODAY, Database
from tests.flow.clearing_files import CARDS, file_of, presentment
from tests.rpc.live import running, start_server
from tests.rpc.test_kill import fresh_database, state_of

pytestmark = pytest.mark.xdist_group("kill")

CLOCK = f"{TODAY}T10:00:00+0000"
RECORDS = 3000
DIALECT = "ipm93-ebcdic"


def large_file() -> bytes:
    """Build a file of a dozen chunks."""
    records = [presentment(number, pan=CARDS[number % len(CARDS)]) for number in range(1, RECORDS + 1)]
    return file_of(*records, file_id="LARGE")


def progress(database: Database) -> tuple[Any, ...]:
    """Return how far the file is."""
    statement = "SELECT state, decided_chunks, chunks, (SELECT count(*) FROM clearing_chunk) FROM clearing_file"
    with database.service.connect() as connection:
        row = connection.execute(text(statement)).one_or_none()
    return ("", 0, 0, 0) if row is None else tuple(row)


def until(database: Database, reached: Any, seconds: float = 90.0) -> tuple[Any, ...]:
    """Wait until the file is as far as asked."""
    deadline = time.monotonic() + seconds
    while not reached(found := progress(database)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert reached(found), found
    return found


def test_an_accepted_file_goes_on_after_a_kill(administrator_url: str, template_database: str, tmp_path: Path) -> None:
    """Killed between two chunks and started again, the service decides the rest without being asked."""
    content = large_file()
    with fresh_database(administrator_url, template_database) as quiet:
        with running(quiet.urls.service_url, tmp_path, workers=1, clock=CLOCK) as server:
            sent = hand_in(server.address, io.BytesIO(content), bank="alpha", format_name=DIALECT)
            undisturbed = wait_for(server.address, sent.file)
        expected = state_of(quiet)

    with fresh_database(administrator_url, template_database) as disturbed:
        first = start_server(disturbed.urls.service_url, tmp_path, workers=2, clock=CLOCK)
        accepted = hand_in(first.address, io.BytesIO(content), bank="alpha", format_name=DIALECT)
        until(disturbed, lambda found: found[1] >= 2)
        first.kill()
        state, decided, chunks, waiting = progress(disturbed)
        assert "taking" == state
        assert 0 < decided < chunks
        assert chunks - decided == waiting

        with running(disturbed.urls.service_url, tmp_path, workers=2, clock=CLOCK) as server:
            until(disturbed, lambda found: found[0] == "taken")
            again = hand_in(server.address, io.BytesIO(content), bank="alpha", format_name=DIALECT)
        actual = state_of(disturbed)

    assert RECORDS == accepted.file.records == again.file.decided
    assert again.duplicate
    assert undisturbed.complete
    assert RECORDS == sum(undisturbed.outcomes.values()) == sum(again.file.outcomes.values())
    for table, rows in expected.items():
        assert rows == actual[table], table
