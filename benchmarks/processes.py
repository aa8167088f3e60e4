"""What processes use of the processor, and which of them holds which connection: from ``/proc``, so on Linux alone."""

import os
import time
from collections import Counter
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
_LISTENING: Final = "0A"
_ESTABLISHED: Final = "01"


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """Seconds of processor time that each part has used since it started; ``workers`` is by process id."""

    workers: dict[int, float]
    postgres: float
    generator: float

    def since(self, earlier: "Used") -> "Used":
        """Return what was used after an earlier reading."""
        return Used(
            workers={pid: seconds - earlier.workers[pid] for pid, seconds in self.workers.items()},
            postgres=self.postgres - earlier.postgres,
            generator=self.generator - earlier.generator,
        )


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started and that still run."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def processor_seconds(pid: int, *, with_ended: bool = False) -> float:
    """Return the processor time of a process, 0 for one that is gone; ``with_ended`` adds its ended children's."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, fields[11 : 15 if with_ended else 13])) / _TICKS_A_SECOND


def family_seconds(pid: int) -> float:
    """Return the processor time of a server and of all the processes it has or had, such as PostgreSQL's backends."""
    return processor_seconds(pid, with_ended=True) + sum(map(processor_seconds, children_of(pid)))


def usage(*, postgres: int, workers: Iterable[int] = ()) -> Used:
    """Return what PostgreSQL, the workers and this process, which generates the load, have used so far."""
    return Used(
        workers={pid: processor_seconds(pid) for pid in workers},
        postgres=family_seconds(postgres),
        generator=time.process_time(),
    )


def _sockets(port: int, state: str) -> set[str]:
    """Return the inodes of this machine's sockets in a state whose own port is ``port``."""
    found: set[str] = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == state and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(fields[9])
    return found


def _owners(inodes: Collection[str], pids: Iterable[int]) -> dict[str, int]:
    """Return which of some processes holds each socket."""
    owners: dict[str, int] = {}
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # It was closed meanwhile.
                inode = str(descriptor.readlink()).removeprefix("socket:[").removesuffix("]")
                if inode in inodes:
                    owners[inode] = pid
    return owners


def accepted_connections(port: int, pids: Iterable[int]) -> dict[str, int]:
    """Return the connections to a port, each with the process that accepted it."""
    return _owners(_sockets(port, _ESTABLISHED), pids)


def listening(port: int, pids: Iterable[int]) -> Counter[int]:
    """Return how many sockets each process listens on at a port."""
    return Counter(_owners(_sockets(port, _LISTENING), pids).values())
