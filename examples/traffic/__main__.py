"""Write example traffic from the command line: ``python -m examples.traffic FOLDER --date 2026-11-22 --seed 7``."""

import argparse
import sys
from datetime import UTC, date, datetime, time
from pathlib import Path

from examples.traffic.files import DEFAULT_MESSAGES, TrafficFiles, write_traffic


def main(arguments: list[str]) -> None:
    """Write the files and print what they hold."""
    parser = argparse.ArgumentParser(prog="python -m examples.traffic", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the files go; it is made if it is not there")
    parser.add_argument(
        "--date", type=date.fromisoformat, required=True, help="the day the traffic ends at, YYYY-MM-DD"
    )
    parser.add_argument("--seed", type=int, required=True, help="the same seed and date give the same bytes")
    parser.add_argument("--messages", type=int, default=DEFAULT_MESSAGES, help="at least so many card messages")
    parser.add_argument("--until", type=time.fromisoformat, default=time(), help="how far into the day, HH:MM UTC")
    chosen = parser.parse_args(arguments)
    now = datetime.combine(chosen.date, chosen.until, tzinfo=UTC)
    _show(write_traffic(chosen.folder, today=chosen.date, seed=chosen.seed, messages=chosen.messages, now=now))


def _show(files: TrafficFiles) -> None:
    width = max(map(len, files.stories))
    print(f"{'story':<{width}}  {'told':>6}  {'messages':>8}  {'clearing':>8}")
    for story, told in sorted(files.stories.items()):
        print(f"{story:<{width}}  {told:>6}  {files.sent[story]:>8}  {files.presented[story]:>8}")
    totals = (files.stories.total(), files.sent.total(), files.presented.total())
    print(f"{'total':<{width}}  {totals[0]:>6}  {totals[1]:>8}  {totals[2]:>8}")
    print(f"in {files.messages.parent}: {files.messages.name}, {files.submission.name}, cards/*.csv, clearing/*.ipm")


if __name__ == "__main__":
    main(sys.argv[1:])
