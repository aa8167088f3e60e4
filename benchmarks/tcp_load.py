"""The load generator for raw TCP: connections of a host that writes what it has, and knows answers by trace number.

At full load each connection keeps so many messages without an answer, and writes together what became free together.
At a pace each message is written alone, at the instant intended for it.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice

from benchmarks.frames import dialect_of_messages
from benchmarks.ground import Processor
from benchmarks.load import (
    IN_FLIGHT,
    LEAD_S,
    LoadError,
    Meter,
    Paced,
    Saturated,
    balanced_connections,
    full_load,
    run,
    undisturbed,
)
from benchmarks.processes import Used, accepted_connections
from processor.wire.framing import FrameReader, Framing, LengthEncoding, write_frame
from processor.wire.network_management import echo_message

FRAMING = Framing(length=LengthEncoding.BINARY_2, largest_message_bytes=0xFFFF)
_TRACE_NUMBER = slice(66, 72)
"""Where an answer has its trace number: behind type, one bitmap, a card number of 16 digits, code, amount and time."""
_ACCEPTED = b"OC008ACCEPTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpConnection:
    """One connection and the worker that accepted it."""

    worker: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    frames: FrameReader = field(default_factory=lambda: FrameReader(FRAMING))

    async def answers(self) -> list[bytes]:
        """Wait for the next answers."""
        while True:
            data = await self.reader.read(65536)
            if not data:
                raise LoadError("the server closed a connection that still waits for answers")
            self.frames.feed(data)
            if found := [frame.message for frame in self.frames.take(65536)]:
                return found

    async def close(self) -> None:
        """Close it."""
        self.writer.close()
        await self.writer.wait_closed()


async def _connect(processor: Processor) -> TcpConnection:
    """Connect, and see by an echo which worker accepted."""
    before = accepted_connections(processor.tcp_port, processor.workers)
    reader, writer = await asyncio.open_connection("127.0.0.1", processor.tcp_port)
    writer.write(framed(echo_message(dialect_of_messages(), trace_number="000001", at=datetime.now(UTC))))
    await TcpConnection(worker=0, reader=reader, writer=writer).answers()
    after = accepted_connections(processor.tcp_port, processor.workers)
    (worker,) = {after[inode] for inode in after.keys() - before.keys()}
    return TcpConnection(worker=worker, reader=reader, writer=writer)


def framed(message: bytes) -> bytes:
    """Return a message behind its length."""
    return write_frame(FRAMING, b"", message)


def _check_accepted(answers: Sequence[bytes]) -> None:
    if not all(_ACCEPTED in answer for answer in answers):
        raise LoadError("a message was answered over TCP with another outcome than ACCEPTED")


def saturate(
    processor: Processor,
    frames: Sequence[bytes],
    *,
    connections: int,
    warm_up_s: float,
    seconds: float,
    usage: Callable[[], Used],
) -> Saturated:
    """Keep every connection full, and count what is answered in ``seconds`` after the warm-up; then take the rest."""
    waiting = iter(frames)

    async def measure() -> Saturated:
        async with balanced_connections(processor, connections, _connect) as opened:
            return await full_load(
                opened,
                lambda connection, meter: _keep_full(connection, waiting, meter),
                warm_up_s=warm_up_s,
                seconds=seconds,
                usage=usage,
            )

    with undisturbed():
        return run(measure())


async def _keep_full(connection: TcpConnection, frames: Iterator[bytes], meter: Meter) -> None:
    unanswered = 0
    while True:
        if meter.sending:
            free = list(islice(frames, IN_FLIGHT - unanswered))
            if len(free) < IN_FLIGHT - unanswered:
                meter.exhausted.set()
            connection.writer.write(b"".join(free))
            await connection.writer.drain()
            unanswered += len(free)
            meter.sent += len(free)
        if not unanswered:
            return
        answers = await connection.answers()
        _check_accepted(answers)
        unanswered -= len(answers)
        meter.answered[connection.worker] += len(answers)


def pace(
    processor: Processor,
    messages: Sequence[tuple[str, bytes]],
    *,
    connections: int,
    per_second: float,
    warm_up_s: float,
) -> Paced:
    """Send (trace number, frame) evenly, in turn over the connections, and measure each one's latency."""
    with undisturbed():
        return run(_pace(processor, messages, connections, per_second, warm_up_s))


async def _pace(
    processor: Processor,
    messages: Sequence[tuple[str, bytes]],
    connections: int,
    per_second: float,
    warm_up_s: float,
) -> Paced:
    latencies: list[tuple[float, float]] = []
    async with (
        balanced_connections(processor, connections, _connect) as opened,
        asyncio.TaskGroup() as group,
    ):
        start = time.perf_counter() + LEAD_S
        plan = [(start + place / per_second, *message) for place, message in enumerate(messages)]
        for place, connection in enumerate(opened):
            own = plan[place :: len(opened)]
            group.create_task(_send_on_time(connection, own))
            group.create_task(_take_times(connection, own, latencies))
    return Paced(
        sent=len(messages),
        per_second=per_second,
        latencies_s=tuple(sorted(took for intended, took in latencies if intended >= start + warm_up_s)),
    )


async def _send_on_time(connection: TcpConnection, plan: Sequence[tuple[float, str, bytes]]) -> None:
    for intended, _, frame in plan:
        ahead = intended - time.perf_counter()
        if ahead > 0:
            await asyncio.sleep(ahead)
        connection.writer.write(frame)
        await connection.writer.drain()


async def _take_times(
    connection: TcpConnection, plan: Sequence[tuple[float, str, bytes]], latencies: list[tuple[float, float]]
) -> None:
    """Append (intended instant, latency) of each message of a connection."""
    intended = {trace_number: at for at, trace_number, _ in plan}
    while intended:
        answers = await connection.answers()
        now = time.perf_counter()
        _check_accepted(answers)
        for answer in answers:
            at = intended.pop(answer[_TRACE_NUMBER].decode())
            latencies.append((at, now - at))
