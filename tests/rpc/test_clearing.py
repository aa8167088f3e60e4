"""A clearing file on a real server: it survives a stop in the middle, and hosts are answered beside it."""

import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from examples.traffic import history
from processor.v1 import clearing_pb2 as pb
from processor.v1.card_network_pb2 import OUTCOME_UNAVAILABLE
from processor.v1.clearing_pb2_grpc import ClearingServiceStub
from tests.conftest import TODAY, Database
from tests.flow.audit import assert_books_agree, count, totals
from tests.flow.clearing_files import file_of, presentment
from tests.flow.conftest import apply_skyways, make_pipeline
from tests.rpc.live import Server, exchange, start_server

pytestmark = pytest.mark.xdist_group("kill")

CLOCK = f"{TODAY}T10:00:00+0000"
RECORDS = 3000
FILE_ID = "FILE-1"
CAP = 5000
"""Miles that one account earns in a month at most, which the file reaches."""


def hand_in(server: Server, content: bytes) -> pb.SubmitClearingFileResponse:
    """Hand in a file of bank alpha in pieces; the answer comes when it is accepted."""

    def pieces() -> Iterator[pb.SubmitClearingFileRequest]:
        yield pb.SubmitClearingFileRequest(header=pb.ClearingFileHeader(bank="alpha"))
        for start in range(0, len(content), 65536):
            yield pb.SubmitClearingFileRequest(content=content[start : start + 65536])

    with grpc.insecure_channel(server.address) as channel:
        return ClearingServiceStub(channel).SubmitClearingFile(pieces(), timeout=60)


def seen(server: Server) -> pb.ClearingFile:
    """Return the file as it is now."""
    with grpc.insecure_channel(server.address) as channel:
        request = pb.GetClearingFileRequest(bank="alpha", file_id=FILE_ID)
        return ClearingServiceStub(channel).GetClearingFile(request, timeout=10).file


def wait(server: Server, decided: int) -> pb.ClearingFile:
    """Return the file once so many of its records are decided."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        file = seen(server)
        if file.decided >= decided:
            return file
        time.sleep(0.02)
    raise AssertionError(f"{file.decided} of {decided} records are decided")


def test_a_file_goes_on_behind_a_stop(database: Database, tmp_path: Path) -> None:
    """A server that is stopped by SIGTERM in the middle of a file is followed by one that decides the rest, once."""
    apply_skyways(database)
    content = file_of(*[presentment(number) for number in range(1, RECORDS + 1)])
    first = start_server(database.urls.service_url, tmp_path, workers=1, clock=CLOCK)
    accepted = hand_in(first, content)
    wait(first, 256)
    assert 0 == first.stop()
    left = count(database, "clearing_chunk")

    second = start_server(database.urls.service_url, tmp_path, workers=1, clock=CLOCK)
    try:
        again = hand_in(second, content)
        file = wait(second, RECORDS)
    finally:
        second.stop()

    assert left > 0
    assert (False, True) == (accepted.duplicate, again.duplicate)
    assert (RECORDS, RECORDS) == (file.decided, sum(file.outcomes.values()))
    assert 0 == count(database, "clearing_chunk")
    assert RECORDS == count(database, "message")
    assert (0, CAP) == totals(database)
    assert_books_agree(make_pipeline(database))


def test_hosts_are_answered_while_a_file_is_decided(database: Database, tmp_path: Path) -> None:
    """Every message of a stream is answered between the file's chunks, long before the file is taken."""
    apply_skyways(database)
    server = start_server(database.urls.service_url, tmp_path, workers=1, clock=CLOCK)
    try:
        hand_in(server, file_of(*[presentment(number) for number in range(1, RECORDS + 1)]))
        answers = exchange(server.address, history(11, 60, 400, TODAY), frame=1)
        during = seen(server)
        wait(server, RECORDS)
    finally:
        server.stop()

    assert not [answer for answer in answers if answer.outcome == OUTCOME_UNAVAILABLE]
    assert 400 <= len(answers)
    assert during.decided < RECORDS
