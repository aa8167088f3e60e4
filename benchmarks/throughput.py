"""Measure durable messages a second through gRPC and raw TCP beside two yardsticks of pgbench, on one PostgreSQL.

Run as ``python -m benchmarks.throughput``; ``docs/benchmarks.md`` says what is measured and how to read it.
Everything it starts ends with it, and its data folder is removed, also when it is interrupted.
"""

import argparse
import os
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from benchmarks.facts import machine_facts, postgres_facts
from benchmarks.frames import MessageSource
from benchmarks.ground import WORKERS, GroundError, connected, postgres_server, running_processor
from benchmarks.interruption import interrupted_once
from benchmarks.load import LoadError
from benchmarks.preparation import Prepared, compare_rows, prepare, warm_up, writes
from benchmarks.report import Result, show_result, write_result
from benchmarks.rounds import Course, Options, Round
from benchmarks.row_shape import SampleError
from benchmarks.stages import measure_stages
from benchmarks.yardstick import YardstickError
from processor.cli.output import say
from processor.config import settings_from
from processor.rpc.card_network_service import LARGEST_FRAME

FULL: Final = Options(
    rounds=5,
    seconds=10,
    warm_up_s=2,
    frames=(64, 1),
    connections=8,
    accounts=20_000,
    scale=50,
    stage_messages=10_000,
    pipelined=False,
)
QUICK: Final = replace(FULL, rounds=1, seconds=1, warm_up_s=1, accounts=4_000, scale=5, stage_messages=1_000)
_STAGE_ACCOUNTS: Final = 2_000
_QUIET_LOAD: Final = 0.5


def main() -> int:
    """Run the benchmark as the command line says; return 0 where the result is sound."""
    options = _options()
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # What is started here is another program at once, never a fork.
    try:
        with interrupted_once():
            result = _run(options)
    except KeyboardInterrupt:
        say("Stopped; everything that was started has ended.")
        return 130
    except (GroundError, LoadError, SampleError, YardstickError) as error:
        say(f"The benchmark failed: {error}")
        return 1
    show_result(result)
    path = Path("build") / "bench" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    write_result(result, path)
    say(f"{result.answered:,} messages were answered and {result.durable:,} are in the database.")
    say(f"All figures are in {path}.")
    if not result.sound:
        say("THE RESULT IS NOT SOUND: rows are missing, or the yardstick wrote others.")
    return 0 if result.sound else 1


def _options() -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=_count, help=f"how often to measure everything ({FULL.rounds})")
    parser.add_argument("--seconds", type=_count, help=f"how long each turn is measured ({FULL.seconds})")
    parser.add_argument("--frames", type=_sizes, help="sizes of frames, with commas (64,1)")
    parser.add_argument("--connections", type=_count, help=f"connections to the processor ({FULL.connections})")
    parser.add_argument(
        "--pipelined", action="store_true", default=None, help="let the yardstick send a message's statements at once"
    )
    parser.add_argument("--quick", action="store_true", help="see that everything works; the figures mean nothing")
    given = vars(parser.parse_args())
    start = QUICK if given.pop("quick") else FULL
    return replace(start, **{name: value for name, value in given.items() if value is not None})


def _count(written: str) -> int:
    """Read a whole number above zero."""
    if not written.isdecimal() or int(written) == 0:
        raise argparse.ArgumentTypeError(f"{written!r} is not a whole number above zero")
    return int(written)


def _sizes(written: str) -> tuple[int, ...]:
    """Read sizes of frames; each is measured once."""
    sizes = tuple(dict.fromkeys(_count(size) for size in written.split(",")))
    if max(sizes) > LARGEST_FRAME:
        raise argparse.ArgumentTypeError(f"a frame holds at most {LARGEST_FRAME} messages")
    return sizes


def _run(options: Options) -> Result:
    """Prepare one server with three databases, run the rounds on it, and look at what they left."""
    place = settings_from().data_folder
    place.mkdir(parents=True, exist_ok=True)
    machine = machine_facts(place)
    if machine["load_before"] > _QUIET_LOAD:
        say(f"Other work runs on this machine (load {machine['load_before']:.1f}); it will disturb the figures.")
    say("Starting PostgreSQL and filling its databases.")
    with (
        tempfile.TemporaryDirectory(dir=place, prefix="bench-files-") as files,
        postgres_server(place / f"bench-{os.getpid()}") as server,
    ):
        prepared = prepare(options, server)
        before = writes(prepared)
        with running_processor(prepared.environment, Path(files) / "processor.log") as processor:
            say("Showing every card to every worker.")
            course, shapes = warm_up(prepared, processor, Path(files))
            rounds = [_round(course, number) for number in range(1, options.rounds + 1)]
        say("Counting rows, and measuring the stages of a message.")
        after = writes(prepared)
        with connected(server.url) as connection:
            postgres = postgres_facts(connection)
        return Result(
            machine=machine,
            postgres=postgres,
            options=options,
            rounds=rounds,
            rows=compare_rows(prepared, shapes, course, before, after),
            stages=_stages(prepared),
            answered=course.sent,
            durable=after.ours["message"] - before.ours["message"],
        )


def _round(course: Course, number: int) -> Round:
    """Run one round and tell its rates."""
    found = course.run_round(number)
    ours = ", ".join(f"{turn.full.per_second:,.0f} in frames of {size}" for size, turn in found.ours.items())
    ours += f", {found.tcp.full.per_second:,.0f} over raw TCP"
    say(
        f"Round {number} of {course.options.rounds}: {ours} messages a second; pgbench "
        f"{found.rows.ran.per_second:,.0f} of the same rows, {found.tpcb.ran.per_second:,.0f} tpcb-like"
    )
    return found


def _stages(prepared: Prepared) -> dict[int, dict[str, float]]:
    """Measure the stages as one worker would see its part of the load, with messages of the day before."""
    options = prepared.options
    return measure_stages(
        settings_from(prepared.environment),
        MessageSource(accounts=_STAGE_ACCOUNTS, now=datetime.now(UTC) - timedelta(days=1)),
        messages=options.stage_messages,
        sizes=options.frames,
        streams=max(1, options.connections // WORKERS),
    )


if __name__ == "__main__":
    sys.exit(main())
