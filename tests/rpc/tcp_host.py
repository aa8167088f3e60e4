"""A raw TCP listener for a test, on a real socket and a real worker, and a bank's host that connects to it."""

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self

import iso8583
from sqlalchemy import text

from processor.flow.worker import Worker
from processor.rpc.tcp.links import LinkLimits, TcpLink
from processor.rpc.tcp.server import TcpServer
from processor.wire.award_tlv import decode_award
from processor.wire.framing import Frame, FrameReader, Framing, LengthEncoding, write_frame
from tests.flow.conftest import DIALECTS, Pipeline, iso87

FRAMING = Framing(length=LengthEncoding.BINARY_2, largest_message_bytes=8192)
LINK = TcpLink(
    name="alpha", bank="alpha", dialect="iso87-ascii", address="127.0.0.1", port=0, framing=FRAMING, limits=LinkLimits()
)


def link_with(link: TcpLink = LINK, **limits: Any) -> TcpLink:
    """Return a link under other limits."""
    return replace(link, limits=replace(link.limits, **limits))


@dataclass(slots=True, kw_only=True)
class Listening:
    """A running listener and its event loop, which runs on a thread of its own."""

    server: TcpServer
    ports: list[int]
    loop: asyncio.AbstractEventLoop = field(repr=False)

    def status(self, number: int = 0) -> dict[str, Any]:
        """Return what one link has done."""

        async def ask() -> dict[str, Any]:
            return self.server.status()[number]

        return asyncio.run_coroutine_threadsafe(ask(), self.loop).result(timeout=10)

    def drain(self, seconds: float = 10) -> None:
        """End as a worker does on SIGTERM."""
        asyncio.run_coroutine_threadsafe(self.server.drain(seconds), self.loop).result(timeout=seconds + 10)


@contextmanager
def listening(worker: Worker, *links: TcpLink, clock: Callable[[], datetime]) -> Iterator[Listening]:
    """Listen on free ports for the length of a block."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = TcpServer(links, worker=worker, dialects=DIALECTS, clock=clock)
    ports = asyncio.run_coroutine_threadsafe(server.start(), loop).result(timeout=10)
    found = Listening(server=server, ports=ports, loop=loop)
    try:
        yield found
    finally:
        found.drain(0.1)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=10)
        loop.close()


class Host:
    """A bank's host on one connection."""

    def __init__(self, port: int, framing: Framing = FRAMING, tls: ssl.SSLContext | None = None) -> None:
        self.framing = framing
        self.reader = FrameReader(replace(framing, largest_message_bytes=framing.largest_writable_bytes))
        plain = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.socket = tls.wrap_socket(plain, server_hostname="127.0.0.1") if tls is not None else plain

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *messages: bytes, header: bytes = b"") -> None:
        """Send messages in one piece."""
        self.socket.sendall(b"".join(write_frame(self.framing, header, message) for message in messages))

    def frames(self, count: int) -> list[Frame]:
        """Wait for so many frames."""
        found: list[Frame] = []
        while len(found) < count:
            data = self.socket.recv(65536)
            assert data, f"the connection ended after {len(found)} of {count} frames"
            self.reader.feed(data)
            found.extend(self.reader.take(count - len(found)))
            assert self.reader.failure is None
        return found

    def receive(self, count: int) -> list[bytes]:
        """Wait for so many messages."""
        return [frame.message for frame in self.frames(count)]

    def ask(self, *messages: bytes) -> list[bytes]:
        """Send messages and wait for as many answers."""
        self.send(*messages)
        return self.receive(len(messages))

    def rest(self) -> list[bytes]:
        """Return what comes until the other side closes."""
        while data := self._received():
            self.reader.feed(data)
        return [frame.message for frame in self.reader.take(1_000_000)]

    def _received(self) -> bytes:
        try:
            return self.socket.recv(65536)
        except ConnectionResetError:
            return b""


def purchase(number: int, mti: str = "0120", **fields: str) -> bytes:
    """Return one approved purchase of its own."""
    values = {"response_code": "00", "trace_number": f"{number:06d}", "retrieval_reference": f"{number:012d}"}
    return iso87(mti, **{**values, **fields}).iso8583


def network(code: str, number: int = 1, mti: str = "0800") -> bytes:
    """Return a network management message of the 1987 dialect."""
    return iso87(mti, pan="", amount="", network_code=code, trace_number=f"{number:06d}").iso8583


def fields_of(message: bytes, dialect: str = "iso87-ascii") -> dict[str, str]:
    """Return the elements of a message by number."""
    return iso8583.decode(message, DIALECTS[dialect].spec)[0]


def until(reached: Callable[[], bool], timeout_s: float = 10) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + timeout_s
    while not reached():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.02)


def counts(found: Listening, *names: str) -> list[Any]:
    """Return counts of the first link."""
    status = found.status()
    return [status[name] for name in names]


def booked(pipeline: Pipeline, number: int) -> int:
    """Return how many messages of a trace number are booked."""
    statement = text("SELECT count(*) FROM message WHERE fields->>'trace_number' = :number")
    with pipeline.database.service.connect() as connection:
        found: int = connection.execute(statement, {"number": f"{number:06d}"}).scalar_one()
    return found


def told(messages: Sequence[bytes], dialect: str = "iso87-ascii") -> list[str]:
    """Return the outcome that each answer's award element says, empty where it says none."""
    return [_outcome(message, dialect) for message in messages]


def _outcome(message: bytes, dialect: str) -> str:
    award = fields_of(message, dialect).get(str(DIALECTS[dialect].award_field))
    return decode_award(award).outcome if award else ""
