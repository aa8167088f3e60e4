"""The worker: gathers what has arrived from every stream into a batch, and answers it.

One thread decides; whatever arrives meanwhile becomes the next batch, so an idle system answers a single message at
once and a busy one writes hundreds in one transaction.
The queue is bounded in messages: a full one makes the caller wait, which becomes back-pressure on its stream.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import structlog

from processor.core.message import MessageKind
from processor.core.outcome import Outcome, Reason
from processor.flow.answer import acknowledge, answer, refuse
from processor.flow.batch import BatchDecider
from processor.flow.intake import Intake
from processor.flow.snapshot import Snapshots
from processor.flow.submission import Answer, IncomingMessage, Refusal, Submission, Undecodable
from processor.log import described
from processor.wire.dialect import Dialect

LARGEST_BATCH: Final = 512
"""Messages in one transaction; beyond this a batch's rows cost the same and its locks last longer."""
LARGEST_QUEUE: Final = 8192
"""Messages that may wait; a caller beyond it is asked to wait."""

_LOG = structlog.get_logger(__name__)

Done = Callable[[list[Answer]], None]


class QueueFullError(Exception):
    """The queue holds as many messages as it may; wait, or answer that the system is overloaded."""


class DrainingError(Exception):
    """The worker is shutting down and takes nothing more."""


@dataclass(slots=True, kw_only=True)
class LinkCount:
    """What one link has carried since the worker started."""

    messages: int = 0
    undecodable: int = 0
    last_at: datetime | None = None


@dataclass(slots=True, kw_only=True)
class WorkerCounts:
    """What a worker has done since it started."""

    messages: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    links: dict[tuple[str, str], LinkCount] = field(default_factory=dict)


class Worker:
    """Decides messages on one thread; :meth:`submit` may be called from any."""

    def __init__(
        self,
        *,
        intake: Intake,
        decider: BatchDecider,
        snapshots: Snapshots,
        clock: Callable[[], datetime],
        dialects: Mapping[str, Dialect],
    ) -> None:
        self._intake = intake
        self._decider = decider
        self._snapshots = snapshots
        self._clock = clock
        self._dialects = dialects
        self._jobs: deque[tuple[Sequence[IncomingMessage], Done]] = deque()
        self._queued = 0
        self._ready = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="batch-worker", daemon=True)
        self.counts = WorkerCounts()

    @property
    def queued(self) -> int:
        """Messages that wait."""
        return self._queued

    def start(self) -> None:
        """Start deciding."""
        self._thread.start()

    def stop(self, timeout_s: float = 30.0) -> None:
        """Take nothing more, decide what is queued, and end."""
        with self._ready:
            self._stopping = True
            self._ready.notify()
        self._thread.join(timeout_s)

    def submit(self, messages: Sequence[IncomingMessage], done: Done) -> None:
        """Queue a frame; ``done`` is called on the worker's thread with one answer for each message, in order.

        Raises :class:`QueueFullError`, or :class:`DrainingError` during shutdown; then nothing was queued.
        """
        with self._ready:
            if self._stopping:
                raise DrainingError
            if self._queued and self._queued + len(messages) > LARGEST_QUEUE:
                raise QueueFullError
            self._jobs.append((messages, done))
            self._queued += len(messages)
            self._ready.notify()

    def _work(self) -> None:
        while True:
            with self._ready:
                while not self._jobs and not self._stopping:
                    self._ready.wait()
                if not self._jobs:
                    return
                jobs = self._take()
            self._answer_jobs(jobs)

    def _take(self) -> list[tuple[Sequence[IncomingMessage], Done]]:
        """Take whole frames up to a batch; a frame larger than a batch goes alone."""
        jobs = [self._jobs.popleft()]
        size = len(jobs[0][0])
        while self._jobs and size + len(self._jobs[0][0]) <= LARGEST_BATCH:
            jobs.append(self._jobs.popleft())
            size += len(jobs[-1][0])
        self._queued -= size
        return jobs

    def _answer_jobs(self, jobs: list[tuple[Sequence[IncomingMessage], Done]]) -> None:
        messages = [message for frame, _ in jobs for message in frame]
        try:
            answers = self._answers(messages)
        except Exception as error:  # noqa: BLE001 - the thread must live, and every message must be answered.
            _LOG.error("worker_failed", messages=len(messages), **described(error))
            answers = [_failed(message) for message in messages]
        start = 0
        for frame, done in jobs:
            try:
                done(answers[start : start + len(frame)])
            except Exception as error:  # noqa: BLE001 - a stream that is gone must not end the thread.
                _LOG.error("frame_not_delivered", messages=len(frame), **described(error))
            start += len(frame)

    def _answers(self, messages: Sequence[IncomingMessage]) -> list[Answer]:
        """Read, decide and answer one batch; neighbours of a message that does not decode are unaffected."""
        now = self._clock()
        snapshot = self._snapshots.current
        if any((message.bank, message.dialect) not in snapshot.links for message in messages):
            snapshot = self._decider.follow_reference_data()
        read = [self._intake.read(message, snapshot, now) for message in messages]
        deciding = [entry for entry in read if isinstance(entry, Submission) and _is_card_message(entry)]
        undecodable: list[Undecodable] = [
            entry.undecodable for entry in read if isinstance(entry, Refusal) and entry.undecodable
        ]
        kept = not undecodable or self._decider.keep_undecodable(undecodable)
        verdicts = iter(self._decider.decide(deciding))
        answers: list[Answer] = []
        for message, entry in zip(messages, read, strict=True):
            if isinstance(entry, Refusal):
                answers.append(refuse(message, entry) if kept or not entry.undecodable else _failed(message))
            elif _is_card_message(entry):
                answers.append(answer(message, entry, next(verdicts), self._dialects[message.dialect]))
            else:
                answers.append(acknowledge(message, entry, self._dialects[message.dialect]))
        self._count(messages, answers, now)
        return answers

    def _count(self, messages: Sequence[IncomingMessage], answers: Sequence[Answer], now: datetime) -> None:
        self.counts.messages += len(messages)
        for message, given in zip(messages, answers, strict=True):
            self.counts.outcomes[given.outcome.name] += 1
            if given.reason in {Reason.UNKNOWN_BANK, Reason.UNKNOWN_DIALECT}:
                continue  # A peer's invented names must not grow this table.
            link = self.counts.links.setdefault((message.bank, message.dialect), LinkCount())
            link.messages += 1
            link.undecodable += given.reason is Reason.UNDECODABLE
            link.last_at = now


def _is_card_message(submission: Submission) -> bool:
    """Tell whether there is something to decide; what names no card came this far because it books nothing."""
    message = submission.message
    return message.card is not None and message.kind is not MessageKind.NETWORK_MANAGEMENT


def _failed(message: IncomingMessage) -> Answer:
    return Answer(
        caller_id=message.caller_id,
        outcome=Outcome.UNAVAILABLE,
        reason=Reason.DATABASE_UNAVAILABLE,
        problem="the processor failed and nothing is known to be booked; send the message again after a pause",
    )
