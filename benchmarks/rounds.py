"""The rounds: the processor and the yardsticks in turn on one server, so that what disturbs one disturbs all."""

import resource
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sqlalchemy import text

from benchmarks import tcp_load
from benchmarks.frames import MessageSource, in_frames, trace_number_of
from benchmarks.ground import PostgresServer, Processor, connected
from benchmarks.load import IN_FLIGHT, Paced, Saturated, pace, saturate, window_of
from benchmarks.processes import Used, family_seconds, usage
from benchmarks.yardstick import Ran, RowScripts, run_rows, run_tpcb
from processor.flow.submission import IncomingMessage

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
    """The processor's turn with frames of one size, or over raw TCP: at full load, and at half of it.

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
    tcp: OurTurn
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
    tcp_rate: float
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
        tcp = self._tcp_turn()
        for size in others:
            ours[size] = self._our_turn(size)
        return Round(ours=ours, tcp=tcp, rows=rows, tpcb=self._tpcb_turn())

    def _our_turn(self, size: int) -> OurTurn:
        """Measure full load in frames of a size, and then latency at half of what it reached."""
        options = self.options
        needed = self._needed(self.rates[size], window_of(size))
        frames = in_frames(self.source.messages(needed), size=size)
        turn = self._turn(
            lambda: saturate(
                self.processor,
                frames,
                connections=options.connections,
                warm_up_s=options.warm_up_s,
                seconds=options.seconds,
                usage=self._usage,
            ),
            lambda messages, per_second: pace(
                self.processor,
                in_frames(messages, size=size),
                connections=options.connections,
                per_second=per_second,
                warm_up_s=options.warm_up_s,
            ),
            least=size,
        )
        self.rates[size] = max(self.rates[size], turn.full.per_second)
        return turn

    def _tcp_turn(self) -> OurTurn:
        """Measure the same over raw TCP."""
        options = self.options
        messages = self.source.messages(self._needed(self.tcp_rate, IN_FLIGHT))
        frames = [tcp_load.framed(message.iso8583) for message in messages]
        turn = self._turn(
            lambda: tcp_load.saturate(
                self.processor,
                frames,
                connections=options.connections,
                warm_up_s=options.warm_up_s,
                seconds=options.seconds,
                usage=self._usage,
            ),
            lambda messages, per_second: tcp_load.pace(
                self.processor,
                [(trace_number_of(message), tcp_load.framed(message.iso8583)) for message in messages],
                connections=options.connections,
                per_second=per_second,
                warm_up_s=options.warm_up_s,
            ),
            least=1,
        )
        self.tcp_rate = max(self.tcp_rate, turn.full.per_second)
        return turn

    def _needed(self, rate: float, window: int) -> int:
        """Return how many messages to make ahead for full load."""
        duration_s = self.options.warm_up_s + self.options.seconds
        return int(rate * duration_s * _SPARE) + self.options.connections * window

    def _turn(
        self,
        saturated: Callable[[], Saturated],
        paced: Callable[[Sequence[IncomingMessage], float], Paced],
        *,
        least: int,
    ) -> OurTurn:
        """Measure full load, and then the latencies at half of it, of ``least`` messages at least."""
        began, position = datetime.now(UTC), self._wal_position()
        full = saturated()
        wal_bytes = self._wal_position() - position
        batches = self._batches_since(began)
        half_rate = full.per_second / 2
        duration_s = self.options.warm_up_s + self.options.seconds
        half = paced(self.source.messages(max(least, int(half_rate * duration_s))), half_rate)
        self.sent += full.sent + half.sent
        return OurTurn(full=full, half=half, batches=batches, wal_bytes=wal_bytes)

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
