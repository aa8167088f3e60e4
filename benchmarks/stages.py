"""What one message costs the processor's own code, stage by stage, in processor time of one process.

The stages are measured apart from the timed rounds, because reading the clock around each of them costs time too: the
same frames run through one worker's parts in this process, with a clock around the functions below.
A stage's time is its own: what it calls that is a stage itself counts there.
"""

import asyncio
import gc
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pkgutil import resolve_name
from typing import Any, Final
from unittest.mock import patch

from benchmarks.frames import Frame, MessageSource, in_frames
from benchmarks.interruption import run_measurement
from benchmarks.load import check_accepted, window_of
from processor.config import Settings
from processor.rpc.card_network_service import CardNetworkService
from processor.v1 import card_network_pb2 as pb
from processor.wiring import GARBAGE_THRESHOLD, build, clock_from

STAGES: Final = {
    "decode": ["processor.flow.intake.decode"],
    "tokenise": ["processor.wire.tokenise.Tokeniser.reference"],
    "card message": ["processor.flow.intake.to_card_message", "processor.flow.intake.Intake.read"],
    "decide": ["processor.flow.batch_work.BatchWork.decide"],
    "encode rows": [
        "processor.flow.intake.message_to_json",
        "processor.flow.batch_work.decision_detail",
        "processor.store.card_side.encode_purchase",
        "processor.store.card_side.BatchWrites.add_message",
        "processor.store.card_side.BatchWrites.add_decision",
        "processor.store.card_side.BatchWrites.add_award",
        "processor.store.card_side.BatchWrites.add_posting",
    ],
    "database calls": ["processor.flow.batch.BatchDecider.decide"],
    "answer": ["processor.flow.worker.answer", "processor.rpc.card_network_service._to_proto"],
    "batching": ["processor.flow.worker.Worker._answer_jobs"],
}
"""Each stage's functions, by the name under which their caller finds them; a name that is gone ends the benchmark."""

FRAMES_STAGE: Final = "frames"
"""The event loop's thread: parsing frames, queueing them, writing answers."""


_WARM_UP_FRAME: Final = 64
_OUTSIDE: Final = ""
_CALLING: Final = "calling"
_CALLED: Final = "called"
_EMPTY_CALLS: Final = 100_000


@dataclass(slots=True, kw_only=True)
class _Clock:
    """Processor time by stage, of the thread that decides; each stage's own, without those it calls.

    ``calls`` counts how often a stage called another one, or itself, because reading the clock costs both of them time.
    """

    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    _stack: list[str] = field(default_factory=lambda: [_OUTSIDE])
    _since: float = 0.0

    def around(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that counts its time, while it runs, for a stage."""

        @wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            self._turn()
            self.calls[self._stack[-1], stage] += 1
            self._stack.append(stage)
            try:
                return function(*arguments, **named)
            finally:
                self._turn()
                self._stack.pop()

        return timed

    def _turn(self) -> None:
        """Give the time since the last turn to the stage that used it."""
        now = time.thread_time()
        self.seconds[self._stack[-1]] += now - self._since
        self._since = now

    def clear(self) -> None:
        """Forget what was counted."""
        self.seconds.clear()
        self.calls.clear()

    def without_clock(self) -> dict[str, float]:
        """Return the stages' seconds less what reading the clock took, as calls of an empty function show it."""
        empty = _Clock()
        called = empty.around(_CALLED, lambda: None)
        empty.around(_CALLING, lambda: [called() for _ in range(_EMPTY_CALLS)])()
        seconds = dict(self.seconds)
        seconds.pop(_OUTSIDE, None)
        for (calling, stage), times in self.calls.items():
            for name, cost in ((calling, empty.seconds[_CALLING]), (stage, empty.seconds[_CALLED])):
                if name in seconds:
                    seconds[name] -= times * cost / _EMPTY_CALLS
        return seconds


@contextmanager
def _clock_in_place() -> Iterator[_Clock]:
    """Put the clock around every stage's functions for the length of a block."""
    clock = _Clock()
    with ExitStack() as patches:
        for stage, names in STAGES.items():
            for name in names:
                patches.enter_context(patch(name, clock.around(stage, resolve_name(name))))
        yield clock


def measure_stages(
    settings: Settings, source: MessageSource, *, messages: int, sizes: Sequence[int], streams: int
) -> dict[int, dict[str, float]]:
    """Return microseconds of processor time a message by stage, at full load on so many streams, by size of frames.

    Every card of the source is shown first.
    """
    parts = build(settings, clock_from(None))
    found: dict[int, dict[str, float]] = {}
    with _clock_in_place() as clock, _collecting_as_a_worker():
        parts.worker.start()
        try:
            service = CardNetworkService(parts.worker)
            run_measurement(_serve(service, in_frames(source.messages(source.accounts), size=_WARM_UP_FRAME), streams))
            for size in sizes:
                clock.clear()
                frames = in_frames(source.messages(messages), size=size)
                seconds = {FRAMES_STAGE: run_measurement(_serve(service, frames, streams)), **clock.without_clock()}
                found[size] = {stage: used / messages * 1e6 for stage, used in seconds.items()}
        finally:
            parts.worker.stop()
            parts.engine.dispose()
    return found


@contextmanager
def _collecting_as_a_worker() -> Iterator[None]:
    """Let the collector of cycles run as seldom as in a worker, and not over what this process keeps of the rounds."""
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


async def _serve(service: CardNetworkService, frames: Sequence[Frame], streams: int) -> float:
    """Answer all frames, and return the processor time of the event loop's thread."""
    began = time.thread_time()
    size = len(frames[0].caller_ids)
    window = window_of(size) // size
    async with asyncio.TaskGroup() as group:
        for place in range(streams):
            group.create_task(_stream(service, frames[place::streams], window))
    return time.thread_time() - began


async def _stream(service: CardNetworkService, frames: Sequence[Frame], window: int) -> None:
    room = asyncio.Semaphore(window)

    async def requests() -> AsyncIterator[pb.ExchangeRequest]:
        for frame in frames:
            await room.acquire()
            yield pb.ExchangeRequest.FromString(frame.data)

    context: Any = None  # The service takes nothing from it.
    async for response in service.Exchange(requests(), context):
        check_accepted(response)
        response.SerializeToString()
        room.release()
