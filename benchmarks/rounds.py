"""The rounds: the processor and the yardsticks in turn on one server, so that what disturbs one disturbs all."""

import resource
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sqlalchemy import text

from benchmarks.frames import MessageSource, in_frames
from benchmarks.ground import PostgresServer, Processor, connected
from benchmarks.load import Paced, Saturated, pace, saturate, window_of
from benchmarks.processes import Used, family_seconds, usage
from benchmarks.yardstick import Ran, RowScripts, run_rows, run_tpcb

_SPARE: Final = 2
"""Messages made ahead, over what the best rate so far would need."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How long and how much to measure; ``frames`` are the sizes of frames, ``scale`` is that of pgbench's workload.

    ``stage_messages`` are those that the stages are measured with, after the rounds.
    ``pipelined`` lets the yardstick send a message's statements without waiting for their answers.
    """

    rounds: int
    seconds: int
    warm_up_s: int
    frames: tuple[int, ...]
    connections: int
    accounts: int
    scale: int
    stage_messages: int
    pipelined: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OurTurn:
    """The processor's turn with frames of one size: at full load, and at half of it.

    ``batches`` and ``wal_bytes`` are those of full load, its warm-up included: transactions, and write-ahead log.
    """

    full: Saturated
    half: Paced
    batches: int
    wal_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class YardstickTurn:
    """A yardstick's turn; processor time and write-ahead log are those of the measured seconds."""

    ran: Ran
    postgres_s: float
    client_s: float
    wal_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Everything in turn, once; ``ours`` is by size of frames."""

    ours: dict[int, OurTurn]
    rows: YardstickTurn
    tpcb: YardstickTurn


@dataclass(slots=True, kw_only=True)
class Course:
    """What the rounds run on; ``rates`` are the messages a second that each size of frames is expected to reach."""

    options: Options
    server: PostgresServer
    processor: Processor
    processor_url: str
    source: MessageSource
    pgbench: Path
    rows_url: str
    scripts: RowScripts
    tpcb_url: str
    rates: dict[int, float]
    transactions: int = 0
    """Messages that the yardstick has written so far, those of warm-ups included."""
    sent: int = 0
    """Messages that the processor has answered so far."""

    def run_round(self, number: int) -> Round:
        """Measure everything once: a yardstick follows each size of frames."""
        ours: dict[int, OurTurn] = {}
        first, *others = self.options.frames
        ours[first] = self._our_turn(first)
        rows = self._rows_turn(number)
        for size in others:
            ours[size] = self._our_turn(size)
        return Round(ours=ours, rows=rows, tpcb=self._tpcb_turn())

    def _our_turn(self, size: int) -> OurTurn:
        """Measure full load, and then latency at half of what it reached."""
        options = self.options
        duration_s = options.warm_up_s + options.seconds
        needed = int(self.rates[size] * duration_s * _SPARE) + options.connections * window_of(size)
        frames = in_frames(self.source.messages(needed), size=size)
        began, position = datetime.now(UTC), self._wal_position()
        full = saturate(
            self.processor,
            frames,
            connections=options.connections,
            warm_up_s=options.warm_up_s,
            seconds=options.seconds,
            usage=self._usage,
        )
        wal_bytes = self._wal_position() - position
        batches = self._batches_since(began)
        self.rates[size] = max(self.rates[size], full.per_second)
        half_rate = full.per_second / 2
        paced = pace(
            self.processor,
            in_frames(self.source.messages(max(size, int(half_rate * duration_s))), size=size),
            connections=options.connections,
            per_second=half_rate,
            warm_up_s=options.warm_up_s,
        )
        self.sent += full.sent + paced.sent
        return OurTurn(full=full, half=paced, batches=batches, wal_bytes=wal_bytes)

    def _usage(self) -> Used:
        return usage(postgres=self.server.pid, workers=self.processor.workers)

    def _rows_turn(self, number: int) -> YardstickTurn:
        """Write messages' rows; the seeds of all turns differ, so that no id is drawn twice."""

        def turn(seconds: int, seed: int) -> Ran:
            ran = run_rows(self.pgbench, self.rows_url, self.scripts, seconds=seconds, seed=seed)
            self.transactions += ran.transactions
            return ran

        turn(self.options.warm_up_s, 2 * number)
        return self._measured(lambda: turn(self.options.seconds, 2 * number + 1))

    def _tpcb_turn(self) -> YardstickTurn:
        run_tpcb(self.pgbench, self.tpcb_url, seconds=self.options.warm_up_s)
        return self._measured(lambda: run_tpcb(self.pgbench, self.tpcb_url, seconds=self.options.seconds))

    def _measured(self, turn: Callable[[], Ran]) -> YardstickTurn:
        position, postgres_s, client_s = self._wal_position(), family_seconds(self.server.pid), _ended_children_s()
        ran = turn()
        return YardstickTurn(
            ran=ran,
            postgres_s=family_seconds(self.server.pid) - postgres_s,
            client_s=_ended_children_s() - client_s,
            wal_bytes=self._wal_position() - position,
        )

    def _batches_since(self, began: datetime) -> int:
        """Return how many transactions took messages: all messages of one bear the same time of receipt."""
        statement = text("SELECT count(DISTINCT received_at) FROM message WHERE received_at >= :began")
        with connected(self.processor_url) as connection:
            return int(connection.execute(statement, {"began": began}).scalar_one())

    def _wal_position(self) -> int:
        with connected(self.server.url) as connection:
            found = connection.execute(text("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")).scalar_one()
        return int(found)


def _ended_children_s() -> float:
    """Return the processor time of the processes that this one has started and seen end."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
