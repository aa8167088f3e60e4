"""What a run prints and keeps: medians with the least and the greatest round, ratios, latencies, and where time goes.

A ratio is that of one round's neighbours; the figure given is the median over the rounds.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from benchmarks.rounds import Options, OurTurn, Round, YardstickTurn
from processor.cli.output import show_table

TOLERANCE: Final = 0.01
"""By how much of a table's rows a message the yardstick may differ."""
_STANDARD_ERRORS: Final = 4
_PERCENTILES: Final = (50, 99)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRows:
    """Rows a message writes in one table, and their mean size, of the processor and of the yardstick.

    ``standard_error`` is that of the difference, which short runs owe to chance: the yardstick draws its scripts.
    """

    table: str
    ours: float
    theirs: float
    our_bytes: float
    their_bytes: float
    standard_error: float

    @property
    def difference(self) -> float:
        """By how much the yardstick's rows differ, as a part of the processor's."""
        return self.theirs / self.ours - 1 if self.ours else math.inf

    @property
    def agrees(self) -> bool:
        """Whether the yardstick writes as many rows, but for the tolerance or what chance may do in a short run."""
        return abs(self.theirs - self.ours) <= max(TOLERANCE * self.ours, _STANDARD_ERRORS * self.standard_error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Everything a run has found; ``stages`` is by size of frames, in microseconds a message."""

    machine: Mapping[str, Any]
    postgres: Mapping[str, Any]
    options: Options
    rounds: Sequence[Round]
    rows: Sequence[TableRows]
    stages: Mapping[int, Mapping[str, float]]
    answered: int
    durable: int

    @property
    def sound(self) -> bool:
        """Whether every answered message is in the database, and the yardstick wrote the same rows."""
        return self.answered == self.durable and all(row.agrees for row in self.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A figure over the rounds."""

    median: float
    least: float
    greatest: float


def spread(values: Iterable[float]) -> Spread:
    """Return the median with the least and the greatest value."""
    ordered = sorted(values)
    return Spread(median=statistics.median(ordered), least=ordered[0], greatest=ordered[-1])


def _ours(size: int) -> str:
    return f"processor, frames of {size}"


TCP: Final = "processor, raw TCP"
_TPCB: Final = "pgbench, tpcb-like"


def _turns(result: Result) -> dict[str, list[OurTurn]]:
    """Return the processor's turns of every round, by the way that messages took."""
    found = {_ours(size): [one.ours[size] for one in result.rounds] for size in result.options.frames}
    return {**found, TCP: [one.tcp for one in result.rounds]}


def _rows(options: Options) -> str:
    return f"pgbench, the same rows, one transaction a message{', pipelined' if options.pipelined else ''}"


def rates(result: Result) -> dict[str, Spread]:
    """Return messages, or transactions, a second."""
    found = {way: spread(turn.full.per_second for turn in turns) for way, turns in _turns(result).items()}
    found[_rows(result.options)] = spread(one.rows.ran.per_second for one in result.rounds)
    found[_TPCB] = spread(one.tpcb.ran.per_second for one in result.rounds)
    return found


def ratios(result: Result) -> dict[str, Spread]:
    """Return the processor's rate over each yardstick's in the same round."""
    yardsticks: dict[str, Callable[[Round], YardstickTurn]] = {
        _rows(result.options): lambda one: one.rows,
        _TPCB: lambda one: one.tpcb,
    }
    return {
        f"{way} / {name}": spread(
            turn.full.per_second / yardstick(one).ran.per_second for turn, one in zip(turns, result.rounds, strict=True)
        )
        for way, turns in _turns(result).items()
        for name, yardstick in yardsticks.items()
    }


def latencies(result: Result) -> dict[str, dict[str, Spread]]:
    """Return, by the way of the messages, the pace in messages a second and the latencies in milliseconds."""
    found: dict[str, dict[str, Spread]] = {}
    for way, turns in _turns(result).items():
        found[way] = {"per_second": spread(turn.half.per_second for turn in turns)}
        for percent in _PERCENTILES:
            found[way][f"p{percent}_ms"] = spread(turn.half.percentile_ms(percent) for turn in turns)
    return found


def costs(result: Result) -> dict[str, dict[str, float]]:
    """Return processor time in microseconds, and bytes of write-ahead log, a message: the median of the rounds."""
    found = {way: _medians(map(_our_costs, turns)) for way, turns in _turns(result).items()}
    found[_rows(result.options)] = _medians(_yardstick_costs(one.rows) for one in result.rounds)
    found[_TPCB] = _medians(_yardstick_costs(one.tpcb) for one in result.rounds)
    return found


def _our_costs(turn: OurTurn) -> dict[str, float]:
    full = turn.full
    return {
        "workers_us": sum(full.used.workers.values()) / full.sent * 1e6,
        "postgres_us": full.used.postgres / full.sent * 1e6,
        "client_us": full.used.generator / full.sent * 1e6,
        "wal_bytes": turn.wal_bytes / full.sent,
        "batch": full.sent / turn.batches,
        "busier_worker": max(full.by_worker.values()) / full.messages,
    }


def _yardstick_costs(turn: YardstickTurn) -> dict[str, float]:
    transactions = turn.ran.transactions
    return {
        "postgres_us": turn.postgres_s / transactions * 1e6,
        "client_us": turn.client_s / transactions * 1e6,
        "wal_bytes": turn.wal_bytes / transactions,
        "batch": 1.0,
    }


def _medians(turns: Iterable[Mapping[str, float]]) -> dict[str, float]:
    found = list(turns)
    return {name: statistics.median(turn[name] for turn in found) for name in found[0]}


def stages(result: Result) -> dict[int, dict[str, float]]:
    """Return each size's stages in microseconds a message, with what the workers used beyond them in the rounds."""
    found: dict[int, dict[str, float]] = {}
    used = costs(result)
    for size, measured in result.stages.items():
        rest = used[_ours(size)]["workers_us"] - sum(measured.values())
        found[size] = {**measured, _REST: rest}
    return found


_REST: Final = "gRPC transport, threads and the rest (what the workers used beyond these)"


def document_of(result: Result) -> dict[str, Any]:
    """Return the result for programs: the figures that are shown, and each round's."""
    return {
        "machine": result.machine,
        "postgresql": result.postgres,
        "options": asdict(result.options),
        "sound": result.sound,
        "answered": result.answered,
        "durable": result.durable,
        "per_second": {name: asdict(figure) for name, figure in rates(result).items()},
        "ratios": {name: asdict(figure) for name, figure in ratios(result).items()},
        "latencies": {
            way: {name: asdict(figure) for name, figure in figures.items()}
            for way, figures in latencies(result).items()
        },
        "costs": costs(result),
        "stages_us": {str(size): measured for size, measured in stages(result).items()},
        "rows": [{**asdict(row), "difference": row.difference, "agrees": row.agrees} for row in result.rows],
        "rounds": [_round_document(one) for one in result.rounds],
    }


def _round_document(one: Round) -> dict[str, Any]:
    ours = {str(size): _our_document(turn) for size, turn in one.ours.items()}
    return {
        "ours": ours,
        "tcp": _our_document(one.tcp),
        "rows": _turn_document(one.rows),
        "tpcb": _turn_document(one.tpcb),
    }


def _our_document(turn: OurTurn) -> dict[str, Any]:
    return {
        "per_second": turn.full.per_second,
        "messages": turn.full.messages,
        "seconds": turn.full.seconds,
        "by_worker": sorted(turn.full.by_worker.values()),
        "latency_samples": len(turn.half.latencies_s),
        **{f"p{percent}_ms": turn.half.percentile_ms(percent) for percent in _PERCENTILES},
        **_our_costs(turn),
    }


def _turn_document(turn: YardstickTurn) -> dict[str, Any]:
    return {**asdict(turn.ran), **_yardstick_costs(turn)}


def write_result(result: Result, path: Path) -> None:
    """Keep a result as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(document_of(result), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def show_result(result: Result) -> None:
    """Print a result as tables."""
    _show_facts(result)
    _show_spreads("Durable messages a second", rates(result), digits=0)
    _show_spreads("Ratio within a round", ratios(result), digits=2)
    _show_latencies(result)
    _show_costs(result)
    _show_stages(result)
    _show_rows(result)


def _show_facts(result: Result) -> None:
    machine = result.machine
    rows = [
        ("processor", f"{machine['cores']} cores, {machine['processor']}"),
        ("memory", f"{machine['memory_gib']} GiB"),
        ("kernel", machine["kernel"]),
        ("8 KiB made durable", f"{machine['sync_of_8_kib_ms']} ms"),
        ("load before the run", f"{machine['load_before']:.2f}"),
        ("PostgreSQL, Python", f"{result.postgres['version']}, {machine['python']}"),
        ("commit", machine["commit"]),
    ]
    show_table("Measured on", ("what", "value"), rows)


def _show_spreads(title: str, figures: Mapping[str, Spread], *, digits: int) -> None:
    rows = [
        (name, *(f"{value:,.{digits}f}" for value in (figure.median, figure.least, figure.greatest)))
        for name, figure in figures.items()
    ]
    show_table(title, ("what", "median", "least", "greatest"), rows, numbers=("median", "least", "greatest"))


def _show_latencies(result: Result) -> None:
    rows = [
        (
            way,
            f"{figures['per_second'].median:,.0f}",
            *(
                f"{figures[name].median:.1f} ({figures[name].least:.1f} - {figures[name].greatest:.1f})"
                for name in ("p50_ms", "p99_ms")
            ),
        )
        for way, figures in latencies(result).items()
    ]
    title = "Latency at half of the reached rate, in milliseconds: median (least - greatest)"
    columns = ("what", "messages a second", "p50", "p99")
    show_table(title, columns, rows, numbers=columns[1:])


def _show_costs(result: Result) -> None:
    names = ("workers_us", "postgres_us", "client_us", "wal_bytes", "batch")
    rows = [
        (name, *(f"{figures[each]:,.0f}" if each in figures else "" for each in names))
        for name, figures in costs(result).items()
    ]
    title = "Of one message: processor time in microseconds, bytes of write-ahead log; messages a transaction"
    columns = ("what", "workers", "PostgreSQL", "load generator", "log", "batch")
    show_table(title, columns, rows, numbers=columns[1:])


def _show_stages(result: Result) -> None:
    measured = stages(result)
    sizes = list(measured)
    columns = ("stage", *(f"frames of {size}" for size in sizes))
    rows = [(stage, *(f"{measured[size][stage]:,.1f}" for size in sizes)) for stage in measured[sizes[0]]]
    title = "The workers' processor time by stage, in microseconds a message"
    show_table(title, columns, rows, numbers=columns[1:])


def _show_rows(result: Result) -> None:
    rows = [
        (
            row.table,
            f"{row.ours:.3f}",
            f"{row.theirs:.3f}",
            f"{row.difference:+.2%}{'' if row.agrees else ' DIFFERS'}",
            f"{row.our_bytes:.0f}",
            f"{row.their_bytes:.0f}",
        )
        for row in result.rows
    ]
    columns = ("table", "processor", "the same rows", "difference", "bytes a row", "bytes a row, the same rows")
    show_table("Rows that one message writes", columns, rows, numbers=columns[1:])
