"""Deciding accepted clearing files: chunk after chunk through ordinary batches, behind the hosts' streams.

A lease says which worker decides a file; one that ended without a word is followed by another once its lease is over,
which goes on behind the last chunk that is known to be decided.
A chunk decided again, because its worker ended before it said so, is found decided: it changes nothing, and its
records count as they did then.
"""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from processor.core.outcome import Outcome, Reason
from processor.flow.batch import BatchDecider
from processor.flow.clearing import ClearingInterruptedError
from processor.flow.clearing_stage import StagedRecord, problem_of, unpack_chunk
from processor.flow.intake import Intake
from processor.flow.pace import Pace
from processor.flow.submission import Verdict
from processor.log import described
from processor.store.clearing import (
    ClearingFileRow,
    ExceptionRow,
    advance,
    complete,
    keep_exceptions,
    lease_next,
    load_chunk,
    release,
)
from processor.store.failure import is_retryable

LEASE_S: Final = 10.0
"""How long a file waits for a worker that ended without a word."""
LOOK_EVERY_S: Final = 1.0
"""How often an idle worker looks for files that others accepted, or left."""

_LOG = structlog.get_logger(__name__)


def wall_clock() -> datetime:
    """Return the time that leases are measured by, which must run on also where a demonstration's clock is set."""
    return datetime.now(UTC)


@dataclass(slots=True, kw_only=True)
class ClearingRun:
    """Decides one file at a time; ``worker`` names who holds the leases."""

    decider: BatchDecider
    intake: Intake
    worker: str
    pace: Pace = field(default_factory=Pace)
    clock: Callable[[], datetime] = wall_clock

    def run_next(self, stopped: Callable[[], bool] = lambda: False) -> ClearingFileRow | None:
        """Lease the file that has waited longest and decide it; return it as it is then, or None where none waits.

        It comes back unfinished where ``stopped`` says so or another worker holds its lease by now.
        Raises :class:`ClearingInterruptedError` where the database does not answer.
        """
        try:
            row = self._lease()
            if row is None:
                return None
            self.pace.begin()
            leased_at = row.decided_chunks
            while row.decided_chunks < row.chunks and not stopped():
                following = self._decide_chunk(row, resumed=row.decided_chunks == leased_at)
                if following is None:
                    return row
                row = following
                self.pace.rest()
            return self._end(row)
        except Exception as error:
            if is_retryable(error):
                raise ClearingInterruptedError("the database did not answer; the file goes on when it does") from error
            raise

    def _lease(self) -> ClearingFileRow | None:
        now = self.clock()
        with self.decider.engine.begin() as connection:
            self.decider.snapshots.refresh(connection)
            return lease_next(connection, worker=self.worker, now=now, until=now + timedelta(seconds=LEASE_S))

    def _decide_chunk(self, row: ClearingFileRow, *, resumed: bool) -> ClearingFileRow | None:
        """Decide the next chunk and say so; return the file as it is then, None where another worker was quicker.

        A ``resumed`` chunk may have been decided by a worker that ended before it said so; its records count as then.
        """
        with self.decider.engine.connect() as connection:
            content = load_chunk(connection, row.staging, row.decided_chunks)
        if content is None:
            return None
        records = unpack_chunk(content)
        exceptions, outcomes = self._decide(records, resumed=resumed)
        counted = dict(Counter(row.outcomes) + outcomes)
        until = self.clock() + timedelta(seconds=LEASE_S)
        with self.decider.engine.begin() as connection:
            if not advance(connection, row, records=len(records), outcomes=counted, until=until):
                return None
            keep_exceptions(connection.connection.cursor(), row, exceptions)
        return replace(row, decided=row.decided + len(records), outcomes=counted, decided_chunks=row.decided_chunks + 1)

    def _decide(self, records: Sequence[StagedRecord], *, resumed: bool) -> tuple[list[ExceptionRow], Counter[str]]:
        """Decide the records of a chunk; return those that went wrong, and how many ended how."""
        now, snapshot = self.decider.clock(), self.decider.snapshots.current
        refused = [record.refused for record in records if record.refused is not None]
        messages = [record for record in records if record.fields]
        submissions = [
            replace(self.intake.read_stored(record.fields, snapshot, now, replay=False), resumed=resumed)
            for record in messages
        ]
        kept = not refused or self.decider.keep_undecodable(refused)
        verdicts = self.decider.decide(submissions)
        if not kept or any(verdict.outcome is Outcome.UNAVAILABLE for verdict in verdicts):
            raise ClearingInterruptedError("the database did not answer; the file goes on when it does")
        exceptions = [_refused(record) for record in records if record.refused is not None]
        exceptions += [
            _exception(record, verdict)
            for record, verdict in zip(messages, verdicts, strict=True)
            if verdict.outcome in {Outcome.PARKED, Outcome.REJECTED}
        ]
        outcomes = Counter(_label(verdict.outcome, verdict.reason) for verdict in verdicts)
        outcomes[_label(Outcome.PARKED, Reason.UNDECODABLE)] = len(refused)
        outcomes[_label(Outcome.ACCEPTED, Reason.ACKNOWLEDGED)] += len(records) - len(messages) - len(refused)
        return exceptions, outcomes

    def _end(self, row: ClearingFileRow) -> ClearingFileRow:
        """Say that a file is taken, or give back the lease of one that is not."""
        with self.decider.engine.begin() as connection:
            if row.decided_chunks == row.chunks:
                return complete(connection, row, self.decider.clock())
            release(connection, row, self.worker)
        return row


def _refused(record: StagedRecord) -> ExceptionRow:
    assert record.refused is not None  # noqa: S101 - its caller chose such records.
    return ExceptionRow(
        number=record.number,
        place=record.place,
        outcome=int(Outcome.PARKED),
        reason=int(Reason.UNDECODABLE),
        problem=problem_of(record.refused),
    )


def _exception(record: StagedRecord, verdict: Verdict) -> ExceptionRow:
    return ExceptionRow(
        number=record.number,
        place=record.place,
        outcome=int(verdict.outcome),
        reason=int(verdict.reason),
        problem=verdict.problem,
    )


def _label(outcome: Outcome, reason: Reason) -> str:
    return f"{outcome.name} {reason.name}"


class ClearingDesk:
    """Decides accepted files on a thread of its own, as long as the worker process lives."""

    def __init__(self, run: ClearingRun) -> None:
        self._run = run
        self._stopping = False
        self._look = threading.Event()
        self._thread = threading.Thread(target=self._work, name="clearing-desk", daemon=True)

    def start(self) -> None:
        """Start deciding what waits."""
        self._thread.start()

    def stop(self, timeout_s: float = 20.0) -> None:
        """End behind the chunk that is being decided, and leave the rest to whoever comes next."""
        self._stopping = True
        self._look.set()
        self._thread.join(timeout_s)

    def look(self) -> None:
        """Look now: a file was accepted."""
        self._look.set()

    def _work(self) -> None:
        while not self._stopping:
            if not self._worked():
                self._look.wait(LOOK_EVERY_S)
                self._look.clear()

    def _worked(self) -> bool:
        try:
            return self._run.run_next(lambda: self._stopping) is not None
        except Exception as error:  # noqa: BLE001 - whatever fails is tried again after a pause.
            _LOG.error("clearing_interrupted", **described(error))
            return False
