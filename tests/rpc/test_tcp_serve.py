"""Raw TCP links of a server as processes of its own: shared ports, the plug pulled, draining, and what status shows."""

import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from sqlalchemy import text

from examples.traffic import TrafficMessage, history
from processor.v1 import operations_pb2, operations_pb2_grpc
from processor.wire.framing import Framing, LengthEncoding
from tests.conftest import TODAY, Database
from tests.flow.conftest import apply_skyways
from tests.rpc.live import Server, running, start_server
from tests.rpc.tcp_host import FRAMING, Host, network, purchase
from tests.rpc.test_kill import CLOCK, STATE, fresh_database, on_streams, state_of

pytestmark = pytest.mark.xdist_group("tcp-serve")

FRAMINGS = {"alpha": FRAMING, "beta": replace(FRAMING, length=LengthEncoding.BCD_2)}
LINKS = """\
links:
  - {{name: alpha-switch, bank: alpha, dialect: iso87-ascii, port: {alpha}, length: {{encoding: binary-2}}}}
  - {{name: beta-switch, bank: beta, dialect: iso87-bcd, port: {beta}, length: {{encoding: bcd-2}}}}
"""


@pytest.fixture
def ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Name a file of links on two free ports in the environment that servers start with."""
    with socket.socket() as alpha, socket.socket() as beta:
        for holder in (alpha, beta):
            holder.bind(("127.0.0.1", 0))
        free = {"alpha": int(alpha.getsockname()[1]), "beta": int(beta.getsockname()[1])}
    file = tmp_path / "tcp-links.yaml"
    file.write_text(LINKS.format(**free))
    monkeypatch.setenv("COBRAND_TCP_LINKS", str(file))
    return free


def send_all(port: int, framing: Framing, messages: Sequence[bytes], answered: threading.Semaphore) -> int:
    """Send messages on one connection while their answers are read; return how many came before it ended."""
    with Host(port, framing) as host:

        def write() -> None:
            try:
                for start in range(0, len(messages), 16):
                    host.send(*messages[start : start + 16])
                host.socket.shutdown(socket.SHUT_WR)
            except OSError:
                return  # The server was killed.

        writer = threading.Thread(target=write)
        writer.start()
        answers = 0
        while data := host._received():
            host.reader.feed(data)
            for _ in host.reader.take(1_000_000):
                answers += 1
                answered.release()
        writer.join()
    return answers


def send_streams(
    ports: dict[str, int], streams: list[list[TrafficMessage]], answered: threading.Semaphore
) -> Iterator[int]:
    """Send each stream's messages over a connection for each bank, and give the number of answers."""
    parts = [
        (
            bank,
            [raw for message in stream if message.bank == bank for raw in (message.message, message.response) if raw],
        )
        for stream in streams
        for bank in FRAMINGS
    ]
    with ThreadPoolExecutor(len(parts)) as pool:
        yield from pool.map(lambda part: send_all(ports[part[0]], FRAMINGS[part[0]], part[1], answered), parts)


def test_kill_and_send_again_over_tcp(
    administrator_url: str, template_database: str, tmp_path: Path, ports: dict[str, int]
) -> None:
    """After a kill -9 of every worker in mid-stream, sending all again on new connections leaves the same rows."""
    streams = on_streams(history(11, 120, 3000, TODAY))
    unheard = threading.Semaphore(0)

    with fresh_database(administrator_url, template_database) as quiet:
        with running(quiet.urls.service_url, tmp_path, workers=2, clock=CLOCK):
            undisturbed = list(send_streams(ports, streams, unheard))
        expected = state_of(quiet)

    with fresh_database(administrator_url, template_database) as disturbed:
        first = start_server(disturbed.urls.service_url, tmp_path, workers=2, clock=CLOCK)
        answered = threading.Semaphore(0)
        with ThreadPoolExecutor(1) as pool:
            broken = pool.submit(list, send_streams(ports, streams, answered))
            for _ in range(sum(undisturbed) // 3):
                answered.acquire()
            first.kill()
            assert sum(broken.result()) < sum(undisturbed)
        interrupted = state_of(disturbed)
        assert 0 < len(interrupted["message"]) < len(expected["message"])

        with running(disturbed.urls.service_url, tmp_path, workers=2, clock=CLOCK):
            assert undisturbed == list(send_streams(ports, streams, unheard))
        actual = state_of(disturbed)

    for table in STATE:
        assert expected[table] == actual[table], table


def test_sigterm_answers_what_was_taken(database: Database, tmp_path: Path, ports: dict[str, int]) -> None:
    """Every message that is booked is answered, and every answer's message is booked."""
    apply_skyways(database)
    own = start_server(database.urls.service_url, tmp_path, workers=1, clock=f"{TODAY}T12:00:00+0000")
    with Host(ports["alpha"]) as host:
        writer = threading.Thread(target=_send_many, args=(host,))
        writer.start()
        host.frames(50)
        own.process.send_signal(signal.SIGTERM)
        answers = 50 + len(host.rest())
        writer.join()
    assert 0 == own.process.wait(40)
    own.stop()
    with database.service.connect() as connection:
        assert answers == connection.execute(text("SELECT count(*) FROM message")).scalar_one()


def _send_many(host: Host) -> None:
    try:
        for start in range(0, 20_000, 100):
            host.send(*[purchase(start + number) for number in range(100)])
    except OSError:
        return  # The server has drained.


def test_status_sums_the_links_of_all_workers(database: Database, tmp_path: Path, ports: dict[str, int]) -> None:
    """Connections are spread over the workers of a port; operations see each link once."""
    apply_skyways(database)
    with running(database.urls.service_url, tmp_path, workers=2, clock=f"{TODAY}T12:00:00+0000") as server:
        hosts = [Host(ports["alpha"]) for _ in range(16)]
        for number, host in enumerate(hosts):
            host.ask(network("001"), purchase(number))
        alpha, beta = _tcp_links(server, messages=32)
        for host in hosts:
            host.socket.close()

    assert ("alpha-switch", "beta-switch") == (alpha.link, beta.link)
    assert (16, 16, 32, 32) == (alpha.connections, alpha.signed_on_connections, alpha.messages, alpha.answered)
    assert f"127.0.0.1:{ports['alpha']}" == alpha.address
    assert ["127.0.0.1"] == list(alpha.peers)
    assert operations_pb2.TCP_LINK_STATE_SIGNED_ON == alpha.state
    assert alpha.HasField("last_message_time")
    assert operations_pb2.TCP_LINK_STATE_LISTENING == beta.state
    assert not beta.HasField("last_message_time")


def _tcp_links(server: Server, *, messages: int) -> list[operations_pb2.TcpLinkStatus]:
    """Ask for the status until the workers have written of so many messages, which they do every five seconds."""
    deadline = time.monotonic() + 20
    with grpc.insecure_channel(server.address) as channel:
        stub = operations_pb2_grpc.OperationsServiceStub(channel)
        while True:
            links = list(stub.GetStatus(operations_pb2.GetStatusRequest()).tcp_links)
            if sum(link.messages for link in links) == messages:
                return links
            assert time.monotonic() < deadline, links
            time.sleep(0.5)
