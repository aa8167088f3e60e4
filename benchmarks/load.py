"""The load generator for gRPC: streams of pre-made frames over several connections, at full load or at a given pace.

Full load keeps so many messages without an answer on every stream.
A pace sends each frame at the instant that was intended for it, whether earlier ones are answered or not, and latency
counts from that instant: a stall is not hidden by sending less.
An answer that is not ``ACCEPTED`` ends the run.
"""

import asyncio
import gc
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

import grpc

from benchmarks.frames import Frame
from benchmarks.ground import Processor
from benchmarks.interruption import run_measurement
from benchmarks.processes import Used, accepted_connections
from processor.v1 import card_network_pb2 as pb

EXCHANGE: Final = "/processor.v1.CardNetworkService/Exchange"
IN_FLIGHT: Final = 512
"""Messages without an answer on one stream, in frames of more than one message."""
FRAMES_IN_FLIGHT: Final = 32
"""Frames without an answer on one stream; the server reads no further ahead."""

_CHANNEL_OPTIONS: Final = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
"""Each channel is a connection of its own, so that the system spreads them over the workers."""
_MOST_TRIES: Final = 64
"""Connections opened for each one kept; the system chooses the worker, and half of them go to the other one."""
LEAD_S: Final = 0.2


_T = TypeVar("_T")
_C = TypeVar("_C", bound="Opened")


class LoadError(RuntimeError):
    """The load could not be kept up, or an answer was wrong; the text says which."""


class Opened(Protocol):
    """A connection of any kind, and the worker that accepted it."""

    @property
    def worker(self) -> int:
        """The worker's process id."""

    async def close(self) -> None:
        """Close it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One channel and the worker that accepted it."""

    worker: int
    channel: grpc.aio.Channel

    async def close(self) -> None:
        """Close it."""
        await self.channel.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Saturated:
    """What was answered at full load within the measured seconds.

    ``sent`` and ``used`` are of all messages, those of the warm-up and of the end included; all were answered.
    """

    sent: int
    messages: int
    seconds: float
    by_worker: dict[int, int]
    used: Used

    @property
    def per_second(self) -> float:
        """Messages answered in a second."""
        return self.messages / self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Paced:
    """Latencies of messages sent at a pace, in seconds and in order of size; ``sent`` counts the warm-up's too."""

    sent: int
    per_second: float
    latencies_s: tuple[float, ...]

    def percentile_ms(self, percent: float) -> float:
        """Return the latency that so many percent of the messages do not exceed (nearest rank), in milliseconds."""
        rank = -(-len(self.latencies_s) * percent // 100)
        return self.latencies_s[int(rank) - 1] * 1000


@asynccontextmanager
async def balanced_connections(
    processor: Processor, count: int, connect: Callable[[Processor], Awaitable[_C]]
) -> AsyncIterator[list[_C]]:
    """Open ``count`` connections, as many to each worker: those beyond a worker's part are closed again."""
    part = -(-count // len(processor.workers))
    kept: list[_C] = []
    try:
        for _ in range(_MOST_TRIES * count):
            if len(kept) == part * len(processor.workers):
                break
            connection = await connect(processor)
            if sum(connection.worker == one.worker for one in kept) < part:
                kept.append(connection)
            else:
                await connection.close()
        else:
            raise LoadError("the connections do not reach every worker")
        yield kept
    finally:
        for connection in kept:
            await connection.close()


async def _connect(processor: Processor) -> Connection:
    before = accepted_connections(processor.port, processor.workers)
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{processor.port}", options=_CHANNEL_OPTIONS)
    await channel.channel_ready()
    after = accepted_connections(processor.port, processor.workers)
    (worker,) = {after[inode] for inode in after.keys() - before.keys()}
    return Connection(worker=worker, channel=channel)


def window_of(size: int) -> int:
    """Return how many messages without an answer one stream keeps, in frames of ``size``."""
    return min(max(IN_FLIGHT, size), FRAMES_IN_FLIGHT * size)


def _open_stream(connection: Connection) -> Any:
    method: Any = connection.channel.stream_stream(EXCHANGE, response_deserializer=pb.ExchangeResponse.FromString)
    return method()


def check_accepted(response: pb.ExchangeResponse) -> None:
    """Raise :class:`LoadError` unless every message of a response was decided and is durable."""
    for answer in response.answers:
        if answer.outcome != pb.OUTCOME_ACCEPTED:
            outcome = pb.Outcome.Name(answer.outcome)
            raise LoadError(f"message {answer.caller_id} was answered {outcome} {answer.reason}: {answer.problem}")


@dataclass(slots=True, kw_only=True)
class Meter:
    """What has been sent and answered so far."""

    sending: bool = True
    sent: int = 0
    answered: Counter[int] = field(default_factory=Counter)
    exhausted: asyncio.Event = field(default_factory=asyncio.Event)


def saturate(
    processor: Processor,
    frames: Sequence[Frame],
    *,
    connections: int,
    warm_up_s: float,
    seconds: float,
    usage: Callable[[], Used],
) -> Saturated:
    """Keep every stream full, and count what is answered in ``seconds`` after the warm-up; then answer the rest."""
    waiting = iter(frames)
    window = window_of(len(frames[0].caller_ids))

    async def measure() -> Saturated:
        async with balanced_connections(processor, connections, _connect) as opened:
            return await full_load(
                opened,
                lambda connection, meter: _keep_full(connection, waiting, window, meter),
                warm_up_s=warm_up_s,
                seconds=seconds,
                usage=usage,
            )

    with undisturbed():
        return run(measure())


async def full_load(
    opened: Sequence[_C],
    keep_full: Callable[[_C, Meter], Coroutine[Any, Any, None]],
    *,
    warm_up_s: float,
    seconds: float,
    usage: Callable[[], Used],
) -> Saturated:
    """Let ``keep_full`` keep every connection full, and count what the meter saw answered within the seconds."""
    meter = Meter()
    used_before = usage()
    async with asyncio.TaskGroup() as group:
        for connection in opened:
            group.create_task(keep_full(connection, meter))
        await asyncio.sleep(warm_up_s)
        began, before = time.perf_counter(), meter.answered.copy()
        with suppress(TimeoutError):
            await asyncio.wait_for(meter.exhausted.wait(), seconds)
        ended, after = time.perf_counter(), meter.answered.copy()
        meter.sending = False
    used = usage().since(used_before)
    if ended - began < seconds / 2:
        raise LoadError("too few messages were made for the time to measure")
    return Saturated(
        sent=meter.sent,
        messages=after.total() - before.total(),
        seconds=ended - began,
        by_worker={worker: after[worker] - before[worker] for worker in sorted({one.worker for one in opened})},
        used=used,
    )


async def _keep_full(connection: Connection, frames: Iterator[Frame], window: int, meter: Meter) -> None:
    """Keep ``window`` messages without an answer on one stream until sending ends, then take the last answers."""
    stream = _open_stream(connection)
    unanswered = 0
    while True:
        while meter.sending and unanswered < window:
            frame = next(frames, None)
            if frame is None:
                meter.exhausted.set()
                break
            await stream.write(frame.data)
            unanswered += len(frame.caller_ids)
            meter.sent += len(frame.caller_ids)
        if not unanswered:
            break
        response = await _next_response(stream)
        unanswered -= len(response.answers)
        meter.answered[connection.worker] += len(response.answers)
    await stream.done_writing()


async def _next_response(stream: Any) -> pb.ExchangeResponse:
    response = await stream.read()
    if response is grpc.aio.EOF:
        raise LoadError("the server ended a stream that still waits for answers")
    check_accepted(response)
    return response  # type: ignore[no-any-return]  # The stream's type is not known to the library's stubs.


def send_to_each(processor: Processor, parts: Sequence[Sequence[Frame]]) -> None:
    """Send every worker a part of its own at full load, so that each knows every card of its part."""
    run(_send_to_each(processor, parts))


async def _send_to_each(processor: Processor, parts: Sequence[Sequence[Frame]]) -> None:
    meter = Meter()
    async with (
        balanced_connections(processor, len(processor.workers), _connect) as opened,
        asyncio.TaskGroup() as group,
    ):
        for connection, frames in zip(opened, parts, strict=True):
            group.create_task(_keep_full(connection, iter(frames), 2 * IN_FLIGHT, meter))


def pace(
    processor: Processor, frames: Sequence[Frame], *, connections: int, per_second: float, warm_up_s: float
) -> Paced:
    """Send frames evenly at ``per_second`` messages, in turn over the connections, and measure each one's latency."""
    with undisturbed():
        return run(_pace(processor, frames, connections, per_second, warm_up_s))


async def _pace(
    processor: Processor, frames: Sequence[Frame], connections: int, per_second: float, warm_up_s: float
) -> Paced:
    interval = len(frames[0].caller_ids) / per_second
    latencies: list[tuple[float, float]] = []
    async with balanced_connections(processor, connections, _connect) as opened, asyncio.TaskGroup() as group:
        start = time.perf_counter() + LEAD_S
        plan = [(start + place * interval, frame) for place, frame in enumerate(frames)]
        for place, connection in enumerate(opened):
            stream = _open_stream(connection)
            own = plan[place :: len(opened)]
            group.create_task(_send_on_time(stream, own))
            group.create_task(_take_times(stream, own, latencies))
    return Paced(
        sent=sum(len(frame.caller_ids) for frame in frames),
        per_second=per_second,
        latencies_s=tuple(sorted(took for intended, took in latencies if intended >= start + warm_up_s)),
    )


async def _send_on_time(stream: Any, plan: Sequence[tuple[float, Frame]]) -> None:
    for intended, frame in plan:
        ahead = intended - time.perf_counter()
        if ahead > 0:
            await asyncio.sleep(ahead)
        await stream.write(frame.data)
    await stream.done_writing()


async def _take_times(stream: Any, plan: Sequence[tuple[float, Frame]], latencies: list[tuple[float, float]]) -> None:
    """Append (intended instant, latency) of each message of a stream."""
    intended = {caller_id: at for at, frame in plan for caller_id in frame.caller_ids}
    while intended:
        response = await _next_response(stream)
        now = time.perf_counter()
        for answer in response.answers:
            at = intended.pop(answer.caller_id)
            latencies.append((at, now - at))


def run(measuring: Coroutine[Any, Any, _T]) -> _T:
    """Run a measurement to its end; of the errors of its streams the first one tells what happened."""
    try:
        return run_measurement(measuring)
    except* (LoadError, grpc.aio.AioRpcError) as errors:
        raise LoadError(str(errors.exceptions[0])) from None


@contextmanager
def undisturbed() -> Iterator[None]:
    """Keep Python's collector of cycles from pausing the generator in the middle of a measurement."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
