"""The hosts' stream against a live server: frames, neighbours of bad messages, bounds, health, reflection, draining."""

import os
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from sqlalchemy import text

from processor.flow.submission import IncomingMessage
from processor.store.embedded import create_database, drop_database
from processor.store.engine import connect
from processor.v1 import card_network_pb2 as pb
from processor.v1 import card_network_pb2_grpc as pb_grpc
from processor.v1 import operations_pb2, operations_pb2_grpc
from processor.wire.decode import decode
from tests.conftest import TODAY, Database
from tests.flow.conftest import DIALECTS, apply_skyways, iso87
from tests.rpc.live import Server, start_server

pytestmark = pytest.mark.xdist_group("exchange")


@pytest.fixture(scope="module")
def database(administrator_url: str, template_database: str) -> Iterator[Database]:
    """Give the module a database with the example programme applied."""
    name = f"exchange_{secrets.token_hex(6)}"
    urls = create_database(administrator_url, name, template=template_database)
    made = Database(owner=connect(urls.owner_url), service=connect(urls.service_url), urls=urls)
    apply_skyways(made)
    yield made
    made.owner.dispose()
    made.service.dispose()
    drop_database(administrator_url, name)


@pytest.fixture(scope="module")
def server(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run a server of two workers."""
    folder = tmp_path_factory.mktemp("exchange")
    running = start_server(database.urls.service_url, folder, workers=2, clock=f"{TODAY}T12:00:00+0000")
    yield running
    assert 0 == running.stop()


def to_proto(incoming: IncomingMessage) -> pb.CardMessage:
    """Return a message as the contract carries it."""
    return pb.CardMessage(
        caller_id=incoming.caller_id, bank=incoming.bank, dialect=incoming.dialect, iso8583=incoming.iso8583
    )


def approved(number: int, **fields: str) -> pb.CardMessage:
    """Return one approved purchase of its own."""
    return to_proto(
        iso87(
            "0110",
            caller_id=f"message-{number}",
            trace_number=f"{number:06d}",
            retrieval_reference=f"{number:012d}",
            response_code="00",
            **fields,
        )
    )


def exchange(server: Server, *frames: list[pb.CardMessage]) -> list[pb.MessageAnswer]:
    """Send frames on one stream and return the answers."""
    with grpc.insecure_channel(server.address) as channel:
        requests = (pb.ExchangeRequest(messages=frame) for frame in frames)
        responses = pb_grpc.CardNetworkServiceStub(channel).Exchange(requests)
        return [answer for response in responses for answer in response.answers]


def test_an_answer_says_what_a_message_earned(server: Server) -> None:
    """The typed decision and the ISO 8583 answer agree, and the answer repeats the host's own fields."""
    (answer,) = exchange(server, [approved(1)])

    assert (pb.OUTCOME_ACCEPTED, "EARNED", "message-1") == (answer.outcome, answer.reason, answer.caller_id)
    assert {"base": 50, "premium": 25} == {award.rule: award.pending_change for award in answer.decision.awards}
    decoded = decode(DIALECTS["iso87-ascii"], answer.iso8583)
    assert ("0110", "000001", "00") == (decoded.mti, decoded.fields["trace_number"], decoded.fields["response_code"])
    assert b"MI00275" in answer.iso8583


def test_neighbours_of_bad_messages_are_processed(server: Server) -> None:
    """Each bad message gets its own reason and place, and the good ones around it are decided."""
    letters = approved(12)
    letters.iso8583 = letters.iso8583.replace(b"000000010000", b"0000000A0000")
    cut = approved(13)
    cut.iso8583 = cut.iso8583[:-5]
    unknown_bank, unknown_dialect = approved(14), approved(15)
    unknown_bank.bank = "gamma"
    unknown_dialect.dialect = "iso2026"
    empty = pb.CardMessage(caller_id="empty", bank="alpha", dialect="iso87-ascii")

    answers = exchange(server, [approved(11), letters, cut, unknown_bank, unknown_dialect, empty, approved(16)])

    assert ["EARNED", "UNDECODABLE", "UNDECODABLE", "UNKNOWN_BANK", "UNKNOWN_DIALECT", "UNDECODABLE", "EARNED"] == [
        answer.reason for answer in answers
    ]
    assert "4 amount at byte" in answers[1].problem
    assert "no programme names this bank; known banks: alpha, beta" in answers[3].problem
    assert "iso87-ascii" in answers[4].problem


def test_a_frame_of_too_many_messages_is_refused_and_the_stream_goes_on(server: Server) -> None:
    """Every message of the frame is told, and the next frame is decided."""
    answers = exchange(server, [approved(21)] * 1025, [approved(22)])

    assert {"TOO_LARGE"} == {answer.reason for answer in answers if answer.outcome == pb.OUTCOME_REJECTED}
    assert ["EARNED"] == [answer.reason for answer in answers if answer.outcome == pb.OUTCOME_ACCEPTED]


def test_a_frame_of_too_many_bytes_ends_the_stream(server: Server) -> None:
    """GRPC's own bound on a frame's bytes ends the stream with a status that says so."""
    big = pb.CardMessage(caller_id="big", bank="alpha", dialect="iso87-ascii", iso8583=b"0" * (5 * 1024 * 1024))

    with pytest.raises(grpc.RpcError) as caught:
        exchange(server, [big])

    assert grpc.StatusCode.RESOURCE_EXHAUSTED == caught.value.code()


def test_a_message_of_too_many_bytes_is_refused(server: Server) -> None:
    """A message beyond the dialect's bound is refused alone."""
    big = pb.CardMessage(caller_id="big", bank="alpha", dialect="iso87-ascii", iso8583=b"0" * 9000)

    answers = exchange(server, [big, approved(23)])

    assert ["TOO_LARGE", "EARNED"] == [answer.reason for answer in answers]
    assert "8192" in answers[0].problem


def test_a_single_message_on_an_idle_stream_is_answered_at_once(server: Server) -> None:
    """A host may wait for each answer before it sends the next message."""
    with grpc.insecure_channel(server.address) as channel:
        waiting = threading.Semaphore(1)

        def frames() -> Iterator[pb.ExchangeRequest]:
            for number in range(31, 34):
                waiting.acquire()
                yield pb.ExchangeRequest(messages=[approved(number)])

        seen: list[str] = []
        for response in pb_grpc.CardNetworkServiceStub(channel).Exchange(frames()):
            seen.extend(answer.caller_id for answer in response.answers)
            waiting.release()
    assert ["message-31", "message-32", "message-33"] == seen


def test_a_host_that_does_not_read_is_made_to_wait(server: Server) -> None:
    """Beyond the frames in flight and gRPC's own buffers nothing more is taken until the host reads its answers."""
    taken = 0
    frame = pb.ExchangeRequest(messages=[approved(41)] * 1000)

    def frames() -> Iterator[pb.ExchangeRequest]:
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield frame

    with grpc.insecure_channel(server.address) as channel:
        stream = pb_grpc.CardNetworkServiceStub(channel).Exchange(frames())
        next(stream)
        before = -1
        while before != taken:
            before = taken
            time.sleep(2)
        assert taken < 500
        stream.cancel()


def test_sign_on_is_answered_and_books_nothing(server: Server, database: Database) -> None:
    """Network management has no card; its answer is an 0810 with response code 00."""
    sign_on = to_proto(iso87("0800", pan="", amount="", network_code="001", caller_id="sign-on"))
    with database.service.connect() as connection:
        before = connection.execute(text("SELECT count(*) FROM message")).scalar_one()

    (answer,) = exchange(server, [sign_on])

    assert (pb.OUTCOME_ACCEPTED, "NETWORK_MANAGEMENT") == (answer.outcome, answer.reason)
    assert answer.iso8583.startswith(b"0810")
    with database.service.connect() as connection:
        assert before == connection.execute(text("SELECT count(*) FROM message")).scalar_one()


def test_health_and_reflection_are_on(server: Server) -> None:
    """Every service reports its health, and reflection lists them."""
    with grpc.insecure_channel(server.address) as channel:
        checks: Any = health_pb2_grpc.HealthStub(channel)
        for service in ("", "processor.v1.CardNetworkService", "processor.v1.SettlementService"):
            status = checks.Check(health_pb2.HealthCheckRequest(service=service)).status
            assert health_pb2.HealthCheckResponse.SERVING == status
        listing: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        (response,) = listing.ServerReflectionInfo(iter([request]))
        names = {service.name for service in response.list_services_response.service}
        assert {"processor.v1.ClearingService", "processor.v1.OperationsService", "grpc.health.v1.Health"} <= names


def test_both_workers_report_their_state(server: Server) -> None:
    """Operations see every worker and the snapshot it works with."""
    with grpc.insecure_channel(server.address) as channel:
        status = operations_pb2_grpc.OperationsServiceStub(channel).GetStatus(operations_pb2.GetStatusRequest())
    assert 2 == len(status.workers)
    assert {1} == {worker.snapshot_version for worker in status.workers}


def test_draining_answers_what_was_accepted(database: Database, tmp_path: Path) -> None:
    """After SIGTERM every message is answered, decided or told to come again, and what was decided is durable."""
    own = start_server(database.urls.service_url, tmp_path, workers=1, clock=f"{TODAY}T12:00:00+0000")
    answers: list[pb.MessageAnswer] = []
    numbers = range(1000, 3000)
    frames = [
        pb.ExchangeRequest(messages=[approved(number) for number in range(start, start + 50)])
        for start in range(numbers.start, numbers.stop, 50)
    ]
    with grpc.insecure_channel(own.address) as channel:
        for response in pb_grpc.CardNetworkServiceStub(channel).Exchange(iter(frames)):
            if not answers:
                own.process.send_signal(signal.SIGTERM)
            answers.extend(response.answers)
    assert 0 == own.process.wait(40)
    own.stop()
    assert len(numbers) == len({answer.caller_id for answer in answers})
    accepted = {answer.caller_id for answer in answers if answer.outcome == pb.OUTCOME_ACCEPTED}
    assert accepted
    with database.service.connect() as connection:
        durable = connection.execute(
            text("SELECT count(*) FROM message WHERE fields->>'trace_number' BETWEEN '001000' AND '002999'")
        ).scalar_one()
    assert len(accepted) == durable


def test_workers_do_not_outlive_their_supervisor(database: Database, tmp_path: Path) -> None:
    """When the supervisor alone is killed its workers see it, drain and end."""
    own = start_server(database.urls.service_url, tmp_path, workers=2, clock=f"{TODAY}T12:00:00+0000")
    own.process.kill()
    own.process.wait(10)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and _is_alive(own.process.pid):
        time.sleep(0.2)
    assert not _is_alive(own.process.pid)
    own.stop()


def _is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
