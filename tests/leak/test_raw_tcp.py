"""Raw TCP links of every dialect on a real socket: sound and broken messages, network management, garbage, floods."""

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from processor.store.operations import write_worker_status
from tests.conftest import Database
from tests.flow.conftest import NOW, Pipeline, apply_skyways, iso87, make_pipeline
from tests.leak.every_dialect import document_with_every_dialect, host_dialects
from tests.leak.forms import leaks
from tests.leak.known import CLASSIC, GOLD, SECRETS, TRACK_1
from tests.leak.messages import full_message
from tests.leak.written import dump
from tests.rpc.tcp_host import FRAMING, LINK, Host, Listening, listening, until

pytestmark = pytest.mark.xdist_group("tcp")


@pytest.fixture
def running(log: list[Any], database: Database) -> Iterator[Pipeline]:
    """Run a worker whose every library logs, with a link of every dialect."""
    apply_skyways(database, document=document_with_every_dialect())
    pipeline = make_pipeline(database)
    pipeline.worker.start()
    yield pipeline
    pipeline.worker.stop()


def garbage() -> Iterator[bytes]:
    """Yield bytes that are no frame, with card data among them."""
    chance = random.Random(4711)
    for number in (GOLD, CLASSIC):
        yield number.encode()
        yield bytes.fromhex(number)
        yield TRACK_1.format(pan=number).encode("cp500")
        yield b"\xff\xff" + number.encode()
        yield b"\x00\x10" + number.encode() + b"\x00\x00"
        yield chance.randbytes(30) + number.encode() + chance.randbytes(30)
        yield f"GET /{number} HTTP/1.1\r\n\r\n".encode()


def broken(raw: bytes) -> Iterator[bytes]:
    """Yield a message cut and spoilt."""
    for part in (3, 2):
        yield raw[: len(raw) * (part - 1) // part]
    yield raw[:-1]
    yield raw + raw
    yield raw[:30] + b"\xff" * 8 + raw[38:]


def talk(found: Listening, port: int, sound: list[bytes], spoilt: list[bytes]) -> None:
    """Send sound messages and wait for their answers, then spoilt ones, and one more sound one behind them."""
    with Host(port) as host:
        assert len(sound) == len(host.ask(*sound))
        host.send(*spoilt)
        assert 1 == len(host.ask(sound[0]))


def test_no_secret_is_written_by_way_of_a_socket(
    running: Pipeline, log: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Tables, logs, the state of links and the worker's status hold nothing that came over the sockets."""
    dialects = host_dialects()
    links = [replace(LINK, name=dialect.name, dialect=dialect.name) for dialect in dialects]
    with listening(running.worker, *links, clock=running.clock) as found:
        for number, (dialect, port) in enumerate(zip(dialects, found.ports, strict=True), start=1):
            sound = [full_message(dialect, number, GOLD), full_message(dialect, number + 100, CLASSIC)]
            talk(found, port, sound, list(broken(sound[0])))
        with Host(found.ports[0]) as host:
            texts = {"acceptor_name": f"CARD {GOLD}", "additional_private": GOLD}
            named = iso87("0800", pan="", amount="", network_code="301", trace_number="000007", **texts).iso8583
            assert 1 == len(host.ask(named))
        for content in garbage():
            with Host(found.ports[1]) as host:
                host.socket.sendall(content)
        until(lambda: all(not found.status(number)["connections"] for number in range(len(links))))
        status = [found.status(number) for number in range(len(links))]
    with running.database.service.begin() as connection:
        write_worker_status(connection, worker="w", started_at=NOW, seen_at=NOW, detail={"tcp_links": status})
    searched = {
        "status": repr((status, running.worker.counts)).encode(),
        "structured log": repr(log).encode(),
        "libraries' logs": caplog.text.encode(),
        **dump(running.database),
    }

    assert {} == {place: leaks(said, SECRETS) for place, said in searched.items() if leaks(said, SECRETS)}
    assert all(one["undecodable"] for one in status), status
    assert b"tcp_no_answer" in searched["structured log"]
    assert FRAMING == LINK.framing
